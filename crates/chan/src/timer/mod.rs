// SPDX-License-Identifier: BSD-3-Clause
//! Deadlines: one thread per [`Timers`], parked until the earliest deadline.
//!
//! | file | contents |
//! |---|---|
//! | [`wheel`] | the order of deadlines, without clock or thread |
//! | `slab` | the wheel's memory |
//! | `sleep` | timers that wake a task: [`Sleep`] |
//!
//! A lock guards the wheel. Setting and cancelling take it once, for some ten nanoseconds, and make
//! no system call, except that a timer earlier than all others wakes the thread. The thread starts
//! with the first timer and lives as long as the process. Time is `Instant`'s, which no change of
//! the wall clock moves.
//!
//! Invariants:
//!
//! 1. No task runs before its instant.
//! 2. While the thread is parked, `parked_until` is not later than the wheel's bound: a call that
//!    sets an earlier timer lowers it and wakes the thread; nothing else wakes it.
//! 3. A task runs outside the lock. The code that takes a task out of the wheel owns it: the task
//!    is run by the thread or returned by [`Timers::cancel`], never both.

#![forbid(unsafe_code)]

mod slab;
mod sleep;
pub mod wheel;

use std::{
    fmt, io, thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};
use thiserror::Error;

pub(crate) use self::sleep::{WakeTimer, wake_at};
use self::wheel::Wheel;
pub use self::{
    sleep::{Sleep, sleep, sleep_until},
    wheel::Key,
};
use crate::{contain::contain, park};

/// The value of `parked_until` while the thread runs: it checks the wheel before it parks.
const AWAKE: u64 = 0;
/// While the thread is parked because there is no timer.
const IDLE: u64 = u64::MAX;

/// Runs tasks at their instants, one after another, on a thread of its own. Intended for a
/// `static`.
pub struct Timers<T: 'static> {
    thread_name: &'static str,
    run: fn(T, Instant),
    state: Mutex<State<T>>,
    earlier: Condvar,
}

struct State<T> {
    wheel: Wheel<T>,
    /// The instant from which the wheel counts nanoseconds; `None` until the thread is started.
    start: Option<Instant>,
    /// In nanoseconds from the start; or [`AWAKE`], or [`IDLE`].
    parked_until: u64,
}

/// A timer that could not be set. Contains its task.
#[derive(Error)]
#[error("no timer can be set")]
pub struct SetError<T> {
    /// The task that would have run.
    pub task: T,
    /// The cause: the thread could not be started, or there is no memory for more timers.
    #[source]
    pub cause: io::Error,
}

/// The instant `delay` from now, by the clock of the calling thread's scheduler if it has one; a
/// delay beyond a century is taken as one.
pub fn after(delay: Duration) -> Instant {
    const DELAY_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    park::now() + delay.min(DELAY_MAX)
}

impl<T: Send + 'static> Timers<T> {
    /// Timers whose tasks are run by `run`, with the current time. `run` must not block for long:
    /// the next timer waits for it. If it panics, the panic hook reports that and the next timer
    /// runs.
    pub const fn new(thread_name: &'static str, run: fn(T, Instant)) -> Self {
        let state = State { wheel: Wheel::new(), start: None, parked_until: AWAKE };
        Self { thread_name, run, state: Mutex::new(state), earlier: Condvar::new() }
    }

    /// Runs `task` at an instant, or as soon as possible if that has passed.
    ///
    /// # Errors
    ///
    /// [`SetError`], with the task: the thread could not be started, or there is no memory for the
    /// timer.
    pub fn set(&'static self, at: Instant, task: T) -> Result<Key, SetError<T>> {
        let mut state = self.state.lock();
        let start = match state.start {
            Some(start) => start,
            None => match self.start_thread() {
                Ok(start) => *state.start.insert(start),
                Err(cause) => return Err(SetError { task, cause }),
            },
        };
        let deadline = nanos(start, at);
        let key = match state.wheel.insert(deadline, task) {
            Ok(key) => key,
            Err(task) => {
                return Err(SetError { task, cause: io::ErrorKind::OutOfMemory.into() });
            }
        };
        let earlier = deadline < state.parked_until;
        if earlier {
            // One wake is enough, however many timers are set before the thread runs.
            state.parked_until = AWAKE;
        }
        drop(state);
        if earlier {
            self.earlier.notify_one();
        }
        Ok(key)
    }

    /// Cancels a timer and returns its task; `None` if it ran or runs, or was cancelled before.
    pub fn cancel(&self, key: Key) -> Option<T> {
        self.state.lock().wheel.remove(key)
    }

    /// The number of timers that are set.
    pub fn len(&self) -> usize {
        self.state.lock().wheel.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Starts the thread. Called with the lock held; the thread waits for the lock.
    #[cold]
    fn start_thread(&'static self) -> io::Result<Instant> {
        let start = Instant::now();
        thread::Builder::new()
            .name(self.thread_name.to_owned())
            .spawn(move || self.keep_time(start))
            .map(|_| start)
    }

    fn keep_time(&self, start: Instant) {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            if let Some((_, task)) = state.wheel.pop(nanos(start, now)) {
                MutexGuard::unlocked(&mut state, || {
                    contain(|| (self.run)(task, now));
                });
                continue;
            }
            match state.wheel.bound() {
                Some(bound) => {
                    state.parked_until = bound;
                    let until = start + Duration::from_nanos(bound);
                    self.earlier.wait_until(&mut state, until);
                }
                None => {
                    state.parked_until = IDLE;
                    self.earlier.wait(&mut state);
                }
            }
            state.parked_until = AWAKE;
        }
    }
}

impl<T> fmt::Debug for Timers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("thread_name", &self.thread_name).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

/// Nanoseconds since the start, less than [`IDLE`]; 0 for an instant before it.
fn nanos(start: Instant, at: Instant) -> u64 {
    let since = at.saturating_duration_since(start);
    let nanos = since.as_secs().saturating_mul(1_000_000_000);
    nanos.saturating_add(u64::from(since.subsec_nanos())).min(IDLE - 1)
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests;
