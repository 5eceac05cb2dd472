// SPDX-License-Identifier: BSD-3-Clause
//! Deadlines and timers: one thread, one ordered map, parked until the earliest is due.
//!
//! Setting and cancelling take O(log n) under one lock. The thread starts with the first timer and
//! never runs a plugin's code: what a plugin must be told goes to its own job queue.

use std::{
    collections::BTreeMap,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr,
    sync::{LazyLock, OnceLock},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use becket_abi::BkTimerFn;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    instance::Instance,
    stream::{End, Idle},
    table::{self, Outcome, Target},
    watchdog,
};

/// Names a timer that is set.
pub(crate) type Key = (Instant, u64);

/// What to do when the time comes.
pub(crate) enum Task {
    /// Free the caller of this call.
    CallDeadline { sid: u64 },
    /// End this stream.
    StreamDeadline { sid: u64 },
    /// End this stream if nothing moved since, else look again one period later.
    StreamIdle { sid: u64, activity: u64, period: Duration },
    /// Run a plugin's function.
    Plugin(PluginTimer),
    /// Look for threads that are stuck inside a plugin.
    Watch,
    /// Wake a [`Sleep`].
    Wake(Waker),
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

struct Timers {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    tasks: BTreeMap<Key, Task>,
    sequence: u64,
}

static TIMERS: Timers = Timers {
    state: Mutex::new(State { tasks: BTreeMap::new(), sequence: 0 }),
    changed: Condvar::new(),
};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the process first asked, from 1.
pub(crate) fn now_ms() -> u64 {
    ms_of(Instant::now())
}

/// The same for another instant.
pub(crate) fn ms_of(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(*EPOCH);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// The instant `delay` from now; a delay beyond a century is taken as one.
pub(crate) fn after(delay: Duration) -> Instant {
    const DELAY_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    Instant::now() + delay.min(DELAY_MAX)
}

/// Sets a timer.
pub(crate) fn set(at: Instant, task: Task) -> Key {
    start();
    let mut state = TIMERS.state.lock();
    state.sequence += 1;
    let key = (at, state.sequence);
    let earliest = state.tasks.first_key_value().is_none_or(|(first, _)| key < *first);
    state.tasks.insert(key, task);
    drop(state);
    if earliest {
        TIMERS.changed.notify_one();
    }
    key
}

/// Takes a timer back; `None` if it ran or runs.
pub(crate) fn cancel(key: Key) -> Option<Task> {
    TIMERS.state.lock().tasks.remove(&key)
}

fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let started = thread::Builder::new().name("becket-timer".to_owned()).spawn(run);
        if let Err(error) = started {
            tracing::error!(%error, "no thread for timers: deadlines are not kept");
        }
    });
}

fn run() {
    let mut state = TIMERS.state.lock();
    loop {
        let now = Instant::now();
        let next = state.tasks.first_key_value().map(|(key, _)| *key);
        match next {
            Some(key) if key.0 <= now => {
                if let Some(task) = state.tasks.remove(&key) {
                    MutexGuard::unlocked(&mut state, || {
                        // A waker of the user's may panic: deadlines go on.
                        if catch_unwind(AssertUnwindSafe(|| fire(task, now))).is_err() {
                            tracing::error!(target: "becket::host", "a timer panicked");
                        }
                    });
                }
            }
            Some(key) => {
                TIMERS.changed.wait_until(&mut state, key.0);
            }
            None => TIMERS.changed.wait(&mut state),
        }
    }
}

fn fire(task: Task, now: Instant) {
    match task {
        Task::CallDeadline { sid } => {
            if let Ok(Target::Call(slot)) = table::find(sid, ptr::null()) {
                slot.owner()
                    .end_and_tell(sid, || slot.complete(sid, || Outcome::DeadlineExceeded).is_ok());
            }
        }
        Task::StreamDeadline { sid } => {
            if let Ok(Target::Stream(slot)) = table::find(sid, ptr::null())
                && let Some(cell) = slot.stream()
            {
                slot.owner().end_and_tell(sid, || cell.end(sid, End::DeadlineExceeded));
            }
        }
        Task::StreamIdle { sid, activity, period } => {
            if let Ok(Target::Stream(slot)) = table::find(sid, ptr::null())
                && let Some(cell) = slot.stream()
            {
                slot.owner().end_and_tell(sid, || match cell.end_if_idle(sid, activity) {
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
        Task::Watch => watchdog::tick(now),
        Task::Wake(waker) => waker.wake(),
    }
}

/// Ready after `duration`, on any executor.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep { at: after(duration), key: None }
}

/// See [`sleep`].
pub(crate) struct Sleep {
    at: Instant,
    key: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        if let Some(key) = self.key.take() {
            cancel(key);
        }
        self.key = Some(set(self.at, Task::Wake(context.waker().clone())));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            cancel(key);
        }
    }
}
