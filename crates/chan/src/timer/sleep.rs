// SPDX-License-Identifier: BSD-3-Clause
//! Timers that wake a task: all on one thread of the process, but for tasks that a coroutine polls whose
//! scheduler has a clock of its own.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{Key, Timers, after};
use crate::park;

static WAKES: Timers<Waker> = Timers::new("becket-wake", |waker, _| waker.wake());

/// Wakes `waker` at an instant, unless the result is dropped before. The woken task compares the
/// clock and, if it is too early, sets the timer again: if the timer thread cannot be started, the
/// waker is woken at once, so that the task polls repeatedly rather than waiting for ever.
pub(crate) fn wake_at(at: Instant, waker: Waker) -> WakeTimer {
    if let Some(timer) = park::hook().and_then(|hook| hook.wake_at(at, &waker)) {
        return WakeTimer::Scheduler { _timer: timer };
    }
    match WAKES.set(at, waker) {
        Ok(key) => WakeTimer::Process(key),
        Err(error) => {
            error.task.wake();
            WakeTimer::Unset
        }
    }
}

/// See [`wake_at`].
#[must_use = "dropping it cancels it"]
pub(crate) enum WakeTimer {
    /// One of the scheduler that runs the calling coroutine.
    Scheduler {
        _timer: Box<dyn Send + Sync>,
    },
    Process(Key),
    /// No timer could be set, and the waker was woken at once.
    Unset,
}

impl WakeTimer {
    /// False if no timer could be set and the waker was woken at once.
    pub(crate) const fn is_set(&self) -> bool {
        !matches!(self, Self::Unset)
    }
}

impl Drop for WakeTimer {
    fn drop(&mut self) {
        if let Self::Process(key) = *self {
            WAKES.cancel(key);
        }
    }
}

/// Ready `duration` from now, on any executor; a duration beyond a century is taken as one.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(after(duration))
}

/// Ready at an instant, on any executor.
pub const fn sleep_until(at: Instant) -> Sleep {
    Sleep { at, timer: None }
}

/// See [`sleep`]. Dropping it cancels its timer, which the first poll sets.
#[must_use = "a future does nothing until it is polled"]
pub struct Sleep {
    at: Instant,
    timer: Option<(Waker, WakeTimer)>,
}

impl Sleep {
    /// When it is ready.
    pub const fn deadline(&self) -> Instant {
        self.at
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if park::now() >= self.at {
            self.timer = None;
            return Poll::Ready(());
        }
        if let Some((waker, timer)) = &self.timer
            && timer.is_set()
            && waker.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        // The old timer first: its waker must not be woken any more.
        self.timer = None;
        let waker = context.waker().clone();
        self.timer = Some((waker.clone(), wake_at(self.at, waker)));
        Poll::Pending
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.at).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
#[path = "sleep_tests.rs"]
mod tests;
