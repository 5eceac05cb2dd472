// SPDX-License-Identifier: BSD-3-Clause
//! How a coroutine or a fiber is ended from outside: its wait panics, and its stack is unwound.
//!
//! A coroutine that is being unwound must not panic again. But it may wait, in a destructor, and
//! then other coroutines of its thread run, while the standard library counts panics per thread. So
//! a coroutine that suspends while it is being unwound, or resumes a fiber, takes its share of the
//! thread's count with it (see [`count`]), and gets it back when it continues:
//!
//! 1. While a coroutine runs, its thread's count is the number of its own panics. So `panicking()`
//!    describes its caller: here, in user destructors, in the mutexes of the standard library.
//! 2. A worker's loop runs with a count of 0.
//! 3. A coroutine that is to end is unwound at its next wait, and if it waits in a destructor then,
//!    at the first wait after that destructor's panic was caught.
//!
//! The share is kept in the frame of [`leave`] that suspends: a coroutine that does not panic pays
//! for one check. One that does pays for two round trips to another thread, some microseconds.
//!
//! With the thread-backed stand-in each coroutine has a count of its own, and nothing is to be
//! done.

#[cfg(not(any(miri, feature = "threads")))]
mod count;
#[cfg(any(miri, feature = "threads"))]
mod count {
    //! Each coroutine has a thread, which counts its panics only.

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

/// The payload with which a coroutine is unwound.
#[derive(Debug)]
struct Ending;

/// Whether a caught panic is the end of a coroutine.
pub(crate) fn is_ending(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Ending>()
}

/// Ends the running coroutine by a panic, unless it is being unwound. Returns in that case only.
#[cold]
pub(crate) fn end() {
    if !thread::panicking() {
        resume_unwind(Box::new(Ending));
    }
}

/// Runs code that suspends the running coroutine, or runs another above it. It must not unwind.
#[inline]
pub(crate) fn leave<R>(suspend: impl FnOnce() -> R) -> R {
    if thread::panicking() { leave_panicking(suspend) } else { suspend() }
}

/// Takes the panics off the thread's count one after the other, each in a frame of this function,
/// and puts them back when `suspend` has returned.
#[cold]
fn leave_panicking<R, F: FnOnce() -> R>(suspend: F) -> R {
    let Some(taken) = count::take() else { return suspend() };
    let result = if thread::panicking() { leave_panicking(suspend) } else { suspend() };
    count::put_back(taken);
    result
}

/// As [`leave`], for a coroutine that never continues: its panics are never caught.
pub(crate) fn leave_for_good() {
    while thread::panicking() && count::take().is_some() {}
}

/// Runs user code where it must not unwind. A panic has been reported by the panic hook.
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code))
        // The drop of the payload may panic again, and so may the drop of that payload.
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        let _kept = std::mem::ManuallyDrop::new(second);
    }
}
