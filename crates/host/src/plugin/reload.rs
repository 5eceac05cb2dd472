// SPDX-License-Identifier: BSD-3-Clause
//! Replacing a plugin's instance, and its end.
//!
//! ```text
//!   without state   load new ─▶ swap ─▶ [old: wait for its calls and streams ─▶ shut down ─▶ unmap]
//!   with state      load new ─▶ pause ─▶ wait for calls ─▶ export ─▶ import ─▶ put new ─▶ [old …]
//!                                  └ failure: put the old one back ◀┘
//! ```
//!
//! What stands in brackets goes on in the background: a chat that has been open for an hour does
//! not hold up a reload. Loading, starting and shutting down run the plugin's code and may block,
//! so they run on threads of the pool.

use std::{sync::Arc, time::Duration};

use async_task::Runnable;
use blocking::unblock;
use futures_lite::future::{block_on, or};

use super::Shared;
use crate::{
    counters::Count, distance::Distance, error::ReloadError, instance::Instance, load::Source,
    table, timer,
};

pub(super) async fn reload(shared: &Arc<Shared>) -> Result<(), ReloadError> {
    let name = || shared.spec.name.clone();
    if matches!(shared.spec.source, Source::Linked(_)) {
        return Err(ReloadError::Fixed { name: name(), reason: "it is part of this program" });
    }
    if !shared.spec.private_copy {
        return Err(ReloadError::Fixed { name: name(), reason: "its file is mapped in place" });
    }
    let shared = shared.clone();
    // Finishes whether or not its caller waits: half a reload is none.
    let result = unblock(move || {
        let result = replace(&shared);
        let count = if result.is_ok() { Count::Reloads } else { Count::ReloadFailures };
        shared.counters.one(count);
        result
    });
    result.await
}

fn replace(shared: &Arc<Shared>) -> Result<(), ReloadError> {
    let name = || shared.spec.name.clone();
    let Some(_one_at_a_time) = shared.reloading.try_lock() else {
        return Err(ReloadError::Busy { name: name() });
    };
    if shared.is_unloaded() {
        return Err(ReloadError::Unloaded { name: name() });
    }
    let new = Instance::load(shared, shared.next_generation())?;
    let hands_over = shared.current().is_some_and(|old| old.distance.hands_over_state());
    let mut paused = None;
    if hands_over && let Some(old) = shared.pause() {
        let patience = Duration::from_millis(old.limits.drain_ms);
        old.begin_drain();
        block_on(or(old.calls_done(), timer::sleep(patience)));
        if let Err(status) = old.hand_over(new) {
            old.end_drain();
            if shared.put(old).is_err() {
                retire(old);
            }
            retire(new);
            return Err(ReloadError::HandOver { name: name(), status });
        }
        paused = Some(old);
    }
    let put = shared.put(new);
    if let Some(old) = paused.or(put.as_ref().ok().copied().flatten()) {
        retire(old);
    }
    if put.is_err() {
        retire(new);
        return Err(ReloadError::Unloaded { name: name() });
    }
    tracing::info!(
        target: "becket::host",
        plugin = %shared.spec.name,
        generation = new.generation,
        "reloaded",
    );
    Ok(())
}

/// Shuts an instance down, in the background, when its last call and stream has ended.
pub(crate) fn retire(instance: &'static Instance) {
    instance.begin_drain();
    let end = async move {
        instance.quiet().await;
        let unmapped = instance.shut_down().await;
        tracing::debug!(
            target: "becket::host",
            plugin = %instance.plugin.spec.name,
            generation = instance.generation,
            unmapped,
            "retired",
        );
    };
    // On a thread of the pool only while there is something to do: a chat may keep an old instance
    // for an hour, and many of those must not take the pool's threads.
    let on_pool = |runnable: Runnable| {
        unblock(move || {
            runnable.run();
        })
        .detach();
    };
    let (runnable, task) = async_task::spawn(end, on_pool);
    task.detach();
    runnable.schedule();
}

/// Takes the plugin out of reach, waits for its calls, fails those that outlast `drain`, and shuts
/// it down. Returns how many were failed.
pub(super) async fn unload(shared: &Arc<Shared>, drain: Option<Duration>) -> u64 {
    let Some(instance) = shared.take() else { return 0 };
    let drain = drain.unwrap_or(Duration::from_millis(instance.limits.drain_ms));
    instance.begin_drain();
    let drained = or(
        async {
            instance.quiet().await;
            true
        },
        async {
            timer::sleep(drain).await;
            false
        },
    );
    let abandoned = if drained.await { 0 } else { table::end_all(instance) };
    // A thread that is stuck inside keeps the image; nobody waits for it.
    let ended = unblock(move || block_on(instance.shut_down()));
    or(
        async {
            ended.await;
        },
        timer::sleep(Duration::from_millis(instance.limits.drain_ms) * 3),
    )
    .await;
    abandoned
}
