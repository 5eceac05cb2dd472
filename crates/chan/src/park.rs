// SPDX-License-Identifier: BSD-3-Clause
//! How a flow of control waits: a thread by itself, anything else through a hook.
//!
//! [`wait`](crate::Operation::wait) parks whoever calls it. On a plain thread that is the thread.
//! A scheduler that runs many flows on one thread (coroutines, fibres) says so with [`set_hook`]
//! on each of its threads; from then on a wait on that thread parks the flow, not the thread.
//!
//! A thread that waits here sleeps in the process-wide parking lot of `parking_lot_core`, under the
//! address of the word it waits for. Whoever wakes it needs that address and not the memory behind
//! it, so the word may live on the sleeper's stack.

use std::cell::Cell;
use std::time::Instant;

/// Parks and unparks flows of control that are not threads.
///
/// Implemented by a scheduler, once for each of its threads or once for all.
pub trait Park: Sync {
    /// How to wake the flow that runs now.
    fn unparker(&self) -> Unparker;

    /// Suspends the flow that runs now until it is unparked or `deadline` has passed. May return
    /// without a reason: the caller looks and parks again. An unpark that came before the park
    /// makes it return at once, and is used up by that.
    fn park(&self, deadline: Option<Instant>);

    /// The time by which the flows of this scheduler live: timeouts count from it.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// Wakes one flow of control. A value of two words, made by [`Park::unparker`].
///
/// It may be called from any thread, once, and also after the flow has gone on or has ended: the
/// scheduler must be able to tell (a slab index with a generation can).
#[derive(Debug, Clone, Copy)]
pub struct Unparker {
    unpark: fn(usize),
    flow: usize,
}

impl Unparker {
    /// `unpark(flow)` wakes it.
    #[must_use]
    pub fn new(unpark: fn(usize), flow: usize) -> Self {
        Self { unpark, flow }
    }

    /// Wakes it.
    #[inline]
    pub fn unpark(self) {
        (self.unpark)(self.flow);
    }
}

thread_local! {
    static HOOK: Cell<Option<&'static dyn Park>> = const { Cell::new(None) };
}

/// Says how flows on the calling thread wait from now on, and returns what held before. `None`: the
/// thread waits by itself.
pub fn set_hook(hook: Option<&'static dyn Park>) -> Option<&'static dyn Park> {
    HOOK.replace(hook)
}

/// How the calling flow waits. A thread that is being torn down waits by itself.
#[inline]
pub(crate) fn hook() -> Option<&'static dyn Park> {
    HOOK.try_with(Cell::get).unwrap_or(None)
}

/// The time by which the calling flow lives.
#[inline]
pub(crate) fn now() -> Instant {
    hook().map_or_else(Instant::now, Park::now)
}

/// Sleeps under `key` if `blocked` still says so, until somebody unparks the key or the deadline
/// has passed. May return early.
#[cfg(not(feature = "loom"))]
pub(crate) fn park_while(key: usize, deadline: Option<Instant>, blocked: impl Fn() -> bool) {
    // SAFETY: the key is the address of a word of this crate's, which nobody else parks under; the
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

/// Spends a moment between two looks at a word that another thread will change soon. A step is a
/// fraction of a nanosecond.
///
/// Not the CPU's own hint: under a hypervisor that traps it, one costs a microsecond.
#[cfg(not(feature = "loom"))]
#[inline]
pub(crate) fn relax(steps: u32) {
    for step in 0..steps {
        std::hint::black_box(step);
    }
}

#[cfg(feature = "loom")]
pub(crate) use crate::sync::{park_while, relax, unpark_one};
