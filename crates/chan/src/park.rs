// SPDX-License-Identifier: BSD-3-Clause
//! How a caller waits: a thread by itself, a coroutine through its scheduler's hook.
//!
//! [`wait`](crate::Operation::wait) parks its caller. On a plain thread that is the thread. A
//! scheduler that runs many coroutines or fibers on one thread calls [`set_hook`] on each of its
//! threads; from then on a wait on that thread parks the coroutine, not the thread.
//!
//! A thread that waits here sleeps in the process-wide parking lot of `parking_lot_core`, under the
//! address of the word it waits for. To wake it takes that address and not the memory behind it, so
//! the word may live on the sleeper's stack.

use std::cell::Cell;
use std::task::Waker;
use std::time::Instant;

/// Parks and unparks coroutines, or whatever else runs on a thread and is not one.
///
/// Implemented by a scheduler, once for each of its threads or once for all.
pub trait Park: Sync {
    /// The unparker of the running coroutine.
    fn unparker(&self) -> Unparker;

    /// Suspends the running coroutine until it is unparked or `deadline` has passed. May return
    /// spuriously: the caller checks its condition and parks again. An unpark before the park makes
    /// the park return at once; one park consumes it.
    fn park(&self, deadline: Option<Instant>);

    /// The current time by the scheduler's clock: timeouts count from it.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Sets a timer for a future that the running coroutine polls: `waker` is woken at this instant
    /// of the scheduler's clock, unless the result is dropped before. `None`, unless a scheduler
    /// with a clock of its own implements it: the process's timers wake it, by `Instant::now`.
    fn wake_at(&self, at: Instant, waker: &Waker) -> Option<Box<dyn Send + Sync>> {
        let _ = (at, waker);
        None
    }
}

/// Wakes one coroutine. A value of two words, made by [`Park::unparker`].
///
/// It may be called from any thread, once, also after the coroutine has continued or has ended: the
/// scheduler must be able to detect that (by a slab index with a generation, for example).
#[derive(Debug, Clone, Copy)]
pub struct Unparker {
    unpark: fn(usize),
    flow: usize,
}

impl Unparker {
    /// An unparker that calls `unpark(flow)`; `flow` identifies the coroutine.
    #[must_use]
    pub fn new(unpark: fn(usize), flow: usize) -> Self {
        Self { unpark, flow }
    }

    /// Wakes the coroutine.
    #[inline]
    pub fn unpark(self) {
        (self.unpark)(self.flow);
    }
}

thread_local! {
    static HOOK: Cell<Option<&'static dyn Park>> = const { Cell::new(None) };
}

/// Sets the hook of the calling thread, through which it waits from now on, and returns the
/// previous one. `None`: the thread waits by itself.
pub fn set_hook(hook: Option<&'static dyn Park>) -> Option<&'static dyn Park> {
    HOOK.replace(hook)
}

/// The hook of the calling thread. A thread that is being torn down waits by itself.
#[inline]
pub(crate) fn hook() -> Option<&'static dyn Park> {
    HOOK.try_with(Cell::get).unwrap_or(None)
}

/// The current time by the clock of the calling thread's scheduler, if it has one.
#[inline]
pub(crate) fn now() -> Instant {
    hook().map_or_else(Instant::now, Park::now)
}

/// Sleeps under `key` while `blocked` returns true, until the key is unparked or the deadline has
/// passed. May return early.
#[cfg(not(feature = "loom"))]
pub(crate) fn park_while(key: usize, deadline: Option<Instant>, blocked: impl Fn() -> bool) {
    // SAFETY: the key is the address of a word of this crate, under which no other code parks; the
    // closures neither panic nor call into the parking lot.
    unsafe {
        parking_lot_core::park(
            key,
            &blocked,
            || {},
            |_, _| {},
            parking_lot_core::DEFAULT_PARK_TOKEN,
            deadline,
        );
    }
}

/// Wakes one thread that sleeps under `key`.
#[cfg(not(feature = "loom"))]
#[cold]
pub(crate) fn unpark_one(key: usize) {
    // SAFETY: as above.
    unsafe { parking_lot_core::unpark_one(key, |_| parking_lot_core::DEFAULT_UNPARK_TOKEN) };
}

/// Pauses between two reads of a word that another thread will change soon. A step is a fraction of
/// a nanosecond.
///
/// Not the CPU's own pause instruction: under a hypervisor that traps it, one costs a microsecond.
#[cfg(not(feature = "loom"))]
#[inline]
pub(crate) fn relax(steps: u32) {
    for step in 0..steps {
        std::hint::black_box(step);
    }
}

#[cfg(feature = "loom")]
pub(crate) use crate::sync::{park_while, relax, unpark_one};
