// SPDX-License-Identifier: BSD-3-Clause
//! Deadlines and timers, on one thread of the host's ([`becket_chan::timer`]).
//!
//! The thread starts with the first timer and never runs a plugin's code: notifications of a
//! plugin go to its own job queue.

use std::{
    ffi::c_void,
    future::Future,
    ptr,
    sync::{LazyLock, Once, Weak},
    time::{Duration, Instant},
};

use becket_abi::BkTimerFn;
pub(crate) use becket_chan::timer::{Key, Sleep, after, sleep};
use becket_chan::timer::{SetError, Timers};
use futures_lite::future::or;

use crate::{
    deadline,
    instance::Instance,
    jobs,
    plugin::Trial,
    stream::{End, Idle},
    table::{self, Target},
    watchdog,
};

/// What to do when the time comes.
pub(crate) enum Task {
    /// Free the caller of the call in this slot, if it is due; see [`deadline`].
    CallDeadline { slot: u32, at_ns: u64 },
    /// End this stream.
    StreamDeadline { sid: u64 },
    /// End this stream if nothing moved since, else look again one period later.
    StreamIdle { sid: u64, activity: u64, period: Duration },
    /// Run a plugin's function.
    Plugin(PluginTimer),
    /// Take this rollout back, if nothing has decided it.
    RolloutTimeout { trial: Weak<Trial> },
    /// Look for threads that are stuck inside a plugin.
    Watch,
}

/// A plugin's timer.
pub(crate) struct PluginTimer {
    pub(crate) instance: &'static Instance,
    pub(crate) id: u64,
    pub(crate) callback: BkTimerFn,
    pub(crate) user_data: *mut c_void,
}

// SAFETY: `user_data` is handed back to the plugin that gave it, on a thread of the host, as the
// ABI says; nothing here looks behind it.
unsafe impl Send for PluginTimer {}

static TIMERS: Timers<Task> = Timers::new("becket-timer", |task, now| {
    // Caught here to be logged; deadlines go on in either case.
    jobs::caught(|| run(task, now), "a timer panicked");
});

/// When the process first asked, by [`monotonic_ns`] and as an instant. In this order: an instant that has come is never
/// ahead of [`now_ns`].
static EPOCH: LazyLock<(u64, Instant)> = LazyLock::new(|| (monotonic_ns(), Instant::now()));

/// Nanoseconds of the clock that [`Instant`] reads. Two instants and their difference cost twice as many instructions.
#[inline]
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the record of this function. It cannot fail: every system has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    // Neither is negative: it counts from the start of the system.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Milliseconds since the process first asked, from 1.
pub(crate) fn now_ms() -> u64 {
    ms_of(Instant::now())
}

/// Nanoseconds since the same moment, from 1.
#[inline]
pub(crate) fn now_ns() -> u64 {
    // The epoch first: it may be now.
    let epoch_ns = EPOCH.0;
    monotonic_ns().saturating_sub(epoch_ns) + 1
}

/// What [`now_ms`] is when [`now_ns`] is this.
pub(crate) const fn ms_of_ns(ns: u64) -> u64 {
    ns.saturating_sub(1) / 1_000_000 + 1
}

/// The instant at which [`now_ns`] is this.
pub(crate) fn instant_of_ns(ns: u64) -> Instant {
    EPOCH.1 + Duration::from_nanos(ns.saturating_sub(1))
}

/// What [`now_ms`] is at this instant.
pub(crate) fn ms_of(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(EPOCH.1);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// Sets a timer; `None`, and an error in the log, if there is no thread for timers to be had. A
/// later call tries again.
pub(crate) fn set(at: Instant, task: Task) -> Option<Key> {
    TIMERS.set(at, task).inspect_err(complain).ok()
}

/// Takes a timer back; `None` if it ran or runs.
pub(crate) fn cancel(key: Key) -> Option<Task> {
    TIMERS.cancel(key)
}

/// True if `event` happens within `limit`.
pub(crate) async fn within(event: impl Future<Output = ()>, limit: Duration) -> bool {
    let happened = async {
        event.await;
        true
    };
    let out_of_time = async {
        sleep(limit).await;
        false
    };
    or(happened, out_of_time).await
}

#[cold]
fn complain(error: &SetError<Task>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let cause = &error.cause;
        tracing::error!(target: "becket::host", %cause, "{error}: deadlines are not kept");
    });
}

fn run(task: Task, now: Instant) {
    match task {
        Task::CallDeadline { slot, at_ns } => deadline::passed(slot, at_ns),
        Task::StreamDeadline { sid } => {
            if let Ok(Target::Stream(slot)) = table::find(sid, ptr::null())
                && let Some(cell) = slot.stream()
            {
                slot.owner().end_and_notify(sid, || cell.end(sid, End::DeadlineExceeded));
            }
        }
        Task::StreamIdle { sid, activity, period } => {
            if let Ok(Target::Stream(slot)) = table::find(sid, ptr::null())
                && let Some(cell) = slot.stream()
            {
                slot.owner().end_and_notify(sid, || match cell.end_if_idle(sid, activity) {
                    Idle::Ended => true,
                    Idle::Over => false,
                    Idle::Active(activity) => {
                        set(now + period, Task::StreamIdle { sid, activity, period });
                        false
                    }
                });
            }
        }
        Task::Plugin(timer) => Instance::run_timer(timer),
        Task::RolloutTimeout { trial } => {
            if let Some(trial) = trial.upgrade() {
                trial.time_out(now);
            }
        }
        Task::Watch => watchdog::tick(now),
    }
}
