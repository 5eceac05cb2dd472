// SPDX-License-Identifier: BSD-3-Clause
//! The names of coroutines that have one: outside the slots, so that unnamed ones cost nothing.

use std::{collections::HashMap, sync::Arc, sync::LazyLock};

use parking_lot::Mutex;

const SHARDS: usize = 16;

type Shard = Mutex<HashMap<u32, Arc<str>>>;

static NAMES: [LazyLock<Shard>; SHARDS] = [const { LazyLock::new(Shard::default) }; SHARDS];

fn shard(index: u32) -> Option<&'static LazyLock<Shard>> {
    NAMES.get(index as usize % SHARDS)
}

pub(crate) fn insert(index: u32, name: Arc<str>) {
    if let Some(shard) = shard(index) {
        shard.lock().insert(index, name);
    }
}

#[cold]
pub(crate) fn remove(index: u32) {
    if let Some(shard) = shard(index) {
        shard.lock().remove(&index);
    }
}

pub(crate) fn get(index: u32) -> Option<Arc<str>> {
    shard(index)?.lock().get(&index).cloned()
}

/// Passes the name to `f`, for a signal handler: it waits for no lock (a held one means no name)
/// and allocates nothing, once the shard is initialised.
pub(crate) fn peek(index: u32, f: impl FnOnce(&str)) {
    if let Some(names) = shard(index).and_then(|shard| shard.try_lock())
        && let Some(name) = names.get(&index)
    {
        f(name);
    }
}
