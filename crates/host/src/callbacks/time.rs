// SPDX-License-Identifier: BSD-3-Clause
//! Timers of a plugin.
//!
//! A timer retains its instance until it ran or was cancelled. It runs on the thread of the plugin's
//! notifications, one after another, never on the thread that keeps the deadlines.

use std::{collections::HashMap, ffi::c_void, time::Duration};

use becket_abi::{BkTimerFn, NrStatus};

use super::{boundary, is_function};
use crate::{
    counters::Count,
    timer::{self, Key, PluginTimer, Task},
};

/// The timers of one instance that are set and have not run.
#[derive(Default)]
pub(crate) struct TimerTable {
    keys: HashMap<u64, Key>,
    last: u64,
}

impl TimerTable {
    /// Removes a timer before it runs; false if it was cancelled.
    pub(crate) fn finish(&mut self, id: u64) -> bool {
        self.keys.remove(&id).is_some()
    }

    /// Removes all.
    pub(crate) fn take_all(&mut self) -> Vec<Key> {
        self.keys.drain().map(|(_, key)| key).collect()
    }
}

pub(super) unsafe extern "C" fn start(
    host_ctx: *mut c_void,
    delay_ms: u64,
    callback: Option<BkTimerFn>,
    user_data: *mut c_void,
) -> u64 {
    boundary(host_ctx, 0, |instance| {
        let Some(callback) = callback else { return 0 };
        if !is_function(instance, callback as usize) {
            return 0;
        }
        let mut table = instance.timers.lock();
        if instance.is_stopped() {
            return 0;
        }
        if table.keys.len() >= instance.limits.timers_max as usize {
            instance.plugin.counters.one(Count::ResourceRefused);
            return 0;
        }
        table.last += 1;
        let id = table.last;
        instance.retain();
        let at = timer::after(Duration::from_millis(delay_ms));
        let timer = PluginTimer { instance, id, callback, user_data };
        let Some(key) = timer::set(at, Task::Plugin(timer)) else {
            drop(table);
            instance.release();
            instance.plugin.counters.one(Count::ResourceRefused);
            return 0;
        };
        table.keys.insert(id, key);
        id
    })
}

pub(super) unsafe extern "C" fn cancel(host_ctx: *mut c_void, timer: u64) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        // Removed first: even a timer that is due and queued does not run any more.
        let Some(key) = instance.timers.lock().keys.remove(&timer) else {
            return NrStatus::Invalid;
        };
        if timer::cancel(key).is_some() {
            instance.release();
        }
        NrStatus::Ok
    })
}
