// SPDX-License-Identifier: BSD-3-Clause
//! How a flow is ended from outside: its wait panics, and its stack is unwound.
//!
//! A flow (a coroutine or a fiber) that is being unwound must not panic again. But it may wait, in a
//! destructor, and then others of its thread run, while the standard library counts panics by
//! thread. So a flow that suspends while it is being unwound, or resumes a fiber, takes its share of
//! the thread's count with it (see [`count`]), and gets it back when it goes on:
//!
//! 1. While a flow runs, its thread's count is the number of its own panics. So `panicking()` speaks
//!    of whoever calls it: here, in destructors of the user's, in the mutexes of the standard
//!    library.
//! 2. A worker's loop runs with a count of 0.
//! 3. What is told to end is unwound at its next wait, and if it waits in a destructor then, at the
//!    first wait after that destructor's panic was caught.
//!
//! The share is kept in the frame of [`leave`] that suspends: a flow that does not panic pays for one
//! look. One that does pays two turns of another thread, some microseconds.
//!
//! With the thread-backed stand-in each flow has a count of its own, and nothing is to be done.

#[cfg(not(any(miri, feature = "threads")))]
mod count;
#[cfg(any(miri, feature = "threads"))]
mod count {
    //! Each flow has a thread, which counts its panics and nobody else's.

    pub(super) struct Taken;

    pub(super) fn take() -> Option<Taken> {
        None
    }

    pub(super) fn put_back(_taken: Taken) {}
}

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

/// What a flow is unwound with.
#[derive(Debug)]
struct Ending;

/// Whether a caught panic is a flow's end.
pub(crate) fn is_ending(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Ending>()
}

/// Ends the flow that runs, by a panic, unless it is being unwound. Returns in that case only.
#[cold]
pub(crate) fn end() {
    if !thread::panicking() {
        resume_unwind(Box::new(Ending));
    }
}

/// Runs what suspends the running flow, or lets another run above it. It must not unwind.
#[inline]
pub(crate) fn leave<R>(suspend: impl FnOnce() -> R) -> R {
    if thread::panicking() { leave_panicking(suspend) } else { suspend() }
}

/// Takes one panic after the other off the thread, each kept in a frame of this.
#[cold]
fn leave_panicking<R, F: FnOnce() -> R>(suspend: F) -> R {
    let Some(taken) = count::take() else { return suspend() };
    let result = if thread::panicking() { leave_panicking(suspend) } else { suspend() };
    count::put_back(taken);
    result
}

/// As [`leave`], for a flow that never comes back: nobody will catch its panics.
pub(crate) fn leave_for_good() {
    while thread::panicking() && count::take().is_some() {}
}

/// Runs code of the user's where it must not unwind. A panic has been reported by the panic hook.
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code))
        // To drop what it was thrown with may panic again, and so may what that is thrown with.
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        let _kept = std::mem::ManuallyDrop::new(second);
    }
}
