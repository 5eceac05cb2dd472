// SPDX-License-Identifier: BSD-3-Clause
//! Replacing a plugin's instance, and its end.
//!
//! ```text
//!   without state   load new ─▶ swap ─▶ [old: wait for its calls and streams ─▶ shut down ─▶ unmap]
//!   with state      load new ─▶ pause ─▶ wait for calls ─▶ export ─▶ import ─▶ put new ─▶ [old …]
//!                                  └ failure: put the old one back ◀┘
//!   by a rollout    load new ─▶ deal the calls to both ─▶ swap, or leave it: see `rollout`
//! ```
//!
//! What stands in brackets goes on in the background: a chat that has been open for an hour does
//! not hold up a reload. An unload ends all instances that are alive, those in brackets too. None of
//! it stops when its future is dropped.
//!
//! Code of a plugin may block for ever, so it runs on a thread of that plugin alone: a reload on a
//! thread of its own, `shutdown` and the image's destructors on the thread of the notifications.
//! The waits for that code run on a few threads that all ends share.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use async_task::{Runnable, Task};
use futures_lite::future::{block_on, or};

use super::{Rollout, RolloutCause, RolloutResult, Shared};
use crate::{
    counters::Count,
    error::ReloadError,
    instance::{Instance, Ready},
    jobs::{self, Jobs},
    load::{EntryInfo, LoadError, LoadStage, Origin, Source},
    loading::{self, Loading},
    placement::Placement,
    spec::PluginSpec,
    table, timer,
};

/// What a shutdown grants to the ends of plugins when its drain took all of its time.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Without a spec: what was loaded last, from its file as it is now.
pub(super) async fn reload(
    shared: &Arc<Shared>,
    spec: Option<PluginSpec>,
    rollout: Option<Rollout>,
) -> Result<(), ReloadError> {
    let shared = shared.clone();
    let name = shared.name.clone();
    // On a thread of its own, which a plugin may keep: its load may take for ever if no limit is set.
    let (reload, task) = jobs::once(move || {
        let is_rollout = rollout.is_some();
        let result = replace(&shared, spec, rollout);
        match result {
            // Counted if it is promoted.
            Ok(()) if is_rollout => {}
            Ok(()) => shared.counters.one(Count::Reloads),
            // Nothing was begun.
            Err(ReloadError::Fixed { .. } | ReloadError::Stateful { .. }) => {}
            Err(_) => shared.counters.one(Count::ReloadFailures),
        }
        result
    });
    thread::Builder::new()
        .name("becket-reload".to_owned())
        .spawn(move || reload.run())
        .map_err(|source| LoadError::Thread { plugin: name, source })?;
    // Finishes whether or not its caller waits: half a reload is none.
    Detached(Some(task)).await
}

/// Why the plugin cannot be reloaded in this process, and what to do instead.
fn fixed(
    shared: &Shared,
    before: &PluginSpec,
    spec: Option<&PluginSpec>,
) -> Option<(&'static str, &'static str)> {
    const RESTART: &str = "restart the host";
    if spec.is_some_and(|spec| spec.limits.metrics_max != before.limits.metrics_max) {
        return Some(("its metrics go on, in the room that they have", "unload it and load it"));
    }
    match (&spec.unwrap_or(before).source, &before.source) {
        (Origin::Here(Source::Linked(_)), _) if spec.is_none() => {
            return Some(("it is part of this program", RESTART));
        }
        // Whether it may run twice is seen when it is loaded.
        (Origin::Here(Source::Linked(_)) | Origin::Elsewhere(_), _) => return None,
        (Origin::Here(Source::Path(_)), Origin::Here(_)) => {
            if !spec.unwrap_or(before).private_copy || !before.private_copy {
                return Some(("its file is mapped in place", RESTART));
            }
        }
        (Origin::Here(Source::Path(_)), Origin::Elsewhere(_)) => {}
    }
    shared.has_been_go().then_some((
        "its Go runtime never ends, and a reload would start a second one in this process",
        "restart the host, or run the plugin with `placement = \"process\"`, where it is reloaded",
    ))
}

fn replace(
    shared: &Arc<Shared>,
    spec: Option<PluginSpec>,
    rollout: Option<Rollout>,
) -> Result<(), ReloadError> {
    let name = || shared.name.clone();
    let one_at_a_time = match &spec {
        None => shared.reloading.try_lock(),
        // The one that is under way loads something else.
        Some(_) => Some(shared.reloading.lock()),
    };
    let Some(_one_at_a_time) = one_at_a_time else {
        return Err(ReloadError::Busy { name: name() });
    };
    let before = shared.spec();
    if let Some((reason, hint)) = fixed(shared, &before, spec.as_ref()) {
        return Err(ReloadError::Fixed { name: name(), reason, hint });
    }
    let spec = spec.map_or(before, |spec| Arc::new(PluginSpec { name: name(), ..spec }));
    if shared.is_unloaded() {
        return Err(ReloadError::Unloaded { name: name() });
    }
    if rollout.is_some() && exports_state(shared) {
        return Err(ReloadError::Stateful { name: name() });
    }
    // Also asked for its entries: before callers wait.
    let Ready { instance: new, entries } =
        match Instance::load(shared, &spec, shared.next_generation()) {
            Err(LoadError::SecondInstance { plugin }) => {
                let reason = "it cannot run twice in this process";
                let hint =
                    "restart the host, or set BK_PLUGIN_MULTI_INSTANCE in the plugin if it can";
                return Err(ReloadError::Fixed { name: plugin, reason, hint });
            }
            loaded => loaded?,
        };
    // What it tries out is older than this.
    shared.end_rollout(None, RolloutResult::TakenBack, RolloutCause::Replaced);
    if let Some(rollout) = rollout {
        return begin_rollout(shared, new, entries, spec, rollout);
    }
    let hands_over = shared.stable().is_some_and(|old| {
        let hangs = old.is_export_hanging();
        if hangs {
            tracing::warn!(
                target: "becket::host",
                plugin = %shared.name,
                generation = old.generation,
                "replaced without its state: a thread does not come back from its `reload_export`",
            );
        }
        old.placement.capabilities().exports_state && !hangs
    });
    let paused = if hands_over { shared.pause() } else { None };
    if let Some(old) = paused
        && let Err(error) = hand_over(shared, old, new)
    {
        shared.resume(old);
        discard(new);
        return Err(error);
    }
    match shared.put(new, entries, spec) {
        Ok(replaced) => {
            if let Some(old) = paused.or(replaced) {
                retire(old);
            }
        }
        // The unload ends the old one.
        Err(_gone) => {
            discard(new);
            return Err(ReloadError::Unloaded { name: name() });
        }
    }
    tracing::info!(
        target: "becket::host",
        plugin = %shared.name,
        generation = new.generation,
        "reloaded",
    );
    Ok(())
}

/// Whether the version that gets the calls has a state to hand over.
fn exports_state(shared: &Shared) -> bool {
    shared.stable().is_some_and(|old| old.placement.capabilities().exports_state)
}

fn begin_rollout(
    shared: &Arc<Shared>,
    new: &'static Instance,
    entries: Arc<[EntryInfo]>,
    spec: Arc<PluginSpec>,
    rollout: Rollout,
) -> Result<(), ReloadError> {
    // What was tried out may have been promoted since the first look.
    let begun = match exports_state(shared) {
        true => Err(ReloadError::Stateful { name: shared.name.clone() }),
        false => shared
            .begin_rollout(new, entries, spec, rollout)
            .map_err(|_gone| ReloadError::Unloaded { name: shared.name.clone() }),
    };
    match begun {
        Ok(()) => tracing::info!(
            target: "becket::host",
            plugin = %shared.name,
            generation = new.generation,
            version = new.about.version,
            "a new version gets a share of the calls",
        ),
        Err(_) => discard(new),
    }
    begun
}

/// Moves the state from the paused instance to the new one, if its calls end in time.
fn hand_over(
    shared: &Arc<Shared>,
    old: &'static Instance,
    new: &'static Instance,
) -> Result<(), ReloadError> {
    let name = || shared.name.clone();
    let drain_ms = old.limits.drain_ms;
    old.begin_drain();
    let done = or(old.calls_done(), drain_over(shared));
    let in_time = block_on(timer::within(done, Duration::from_millis(drain_ms)));
    if !in_time && !shared.is_unloaded() {
        return Err(ReloadError::StillBusy { name: name(), drain_ms });
    }
    let state_of_old = {
        let shared = shared.clone();
        // Its thread is inside both before it looks for an unload: one that comes later waits for
        // it. It has left the old one before the new one runs: should that never return, the old
        // one can still be reloaded.
        move || {
            let _own = crate::thread::current().as_worker();
            new.inside(|| {
                let export = || (!shared.is_unloaded()).then(|| old.export());
                let exported = old.inside(export).flatten()?;
                Some(exported.map_or(Ok(()), |state| new.import(&state?)))
            })
        }
    };
    let hand_over = move |loading: &Loading| {
        loading.begin(LoadStage::HandOver)?;
        Ok(state_of_old())
    };
    let limit_ms = new.limits.load_timeout_ms;
    match loading::within(&shared.name, limit_ms, hand_over, drop)?.flatten() {
        Some(Ok(())) => Ok(()),
        Some(Err(status)) => Err(ReloadError::HandOver { name: name(), status }),
        None => Err(ReloadError::Unloaded { name: name() }),
    }
}

/// Ends a new instance that is not wanted.
pub(crate) fn discard(new: &'static Instance) {
    new.plugin.list(new);
    retire(new);
}

/// Shuts an instance down, in the background, when its last call and stream has ended. The first
/// time only.
pub(crate) fn retire(instance: &'static Instance) {
    let shared = &instance.plugin;
    if !shared.begin_end(instance) {
        return;
    }
    instance.begin_drain();
    let end = async move {
        or(instance.quiet(), drain_over(shared)).await;
        let unmapped = instance.shut_down().await;
        shared.ended(instance);
        tracing::debug!(
            target: "becket::host",
            plugin = %instance.plugin.name,
            generation = instance.generation,
            unmapped,
            "retired",
        );
    };
    drop(spawn_end(end));
}

/// Takes the plugin out of reach, waits for the calls and streams of all its instances, fails those
/// that outlast `drain`, and shuts the instances down. Returns how many were failed. All of it
/// happens once this was polled, awaited or not.
///
/// `drain` is that of a shutdown: all is over a moment after it, the instances' ends too. Without
/// it each has its plugin's `drain_ms`.
pub(super) async fn unload(shared: &Arc<Shared>, drain: Option<Duration>) -> u64 {
    let alive = shared.take();
    let patience = Duration::from_millis(shared.spec().limits.drain_ms);
    let until = drain.map(|drain| timer::after(drain.saturating_add(SHUTDOWN_GRACE)));
    let drain = drain.unwrap_or(patience);
    alive.iter().for_each(|instance| retire(instance));
    let shared = shared.clone();
    let end = async move {
        let all_quiet = async {
            for instance in &alive {
                instance.quiet().await;
            }
        };
        let abandoned = if timer::within(all_quiet, drain).await {
            0
        } else {
            alive.iter().map(|instance| table::end_all(instance) + instance.give_up()).sum()
        };
        shared.end_drain();
        // A thread that is stuck inside keeps its image, and is not waited for.
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        timer::within(shared.all_ended(), left.unwrap_or(patience * 3)).await;
        abandoned
    };
    spawn_end(end).await
}

/// Waits until the time that an unload grants to calls is over. Has no waker of its own: it is
/// polled when a call ends, and by `Shared::end_drain`.
async fn drain_over(shared: &Shared) {
    poll_fn(|_| if shared.is_drain_over() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Runs a future of an end on the host's threads for that, each only while there is something to do:
/// a chat may keep an old instance for an hour. It runs none of a plugin's code, so that no plugin
/// can keep these threads from the others.
fn spawn_end<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Detached<T> {
    static ENDS: LazyLock<Jobs> =
        LazyLock::new(|| Jobs::new("becket-end".to_owned(), 4, usize::MAX));
    let schedule = |runnable: Runnable| {
        ENDS.submit_owed(Box::new(move || {
            runnable.run();
        }));
    };
    let (runnable, task) = async_task::spawn(future, schedule);
    runnable.schedule();
    Detached(Some(task))
}

/// What runs elsewhere. Cancel safety: it goes on when this is dropped.
struct Detached<T>(Option<Task<T>>);

impl<T> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Some(task) => Pin::new(task).poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Detached<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
