// SPDX-License-Identifier: BSD-3-Clause
//! How a flow is ended from outside: its wait panics, and its stack is unwound.
//!
//! A flow (a coroutine or a fiber) that is being unwound must not panic again. But it may wait, in a
//! destructor, and then others of its thread run, while the standard library, which counts panics
//! by thread, says of all of them that they are panicking. So this module keeps count, for each
//! thread, of the flows that are suspended while they are being unwound (or that are, and have
//! resumed a fiber). While there is none, the library's answer is exact. While there are some, a
//! flow is taken to be unwinding if it was when that was last known, or was told to end since.
//!
//! What that can get wrong: a flow that was told to end, caught that panic and waits again, beside
//! one that waits in a destructor, is told again only when the other has gone on. And a flow that
//! panicked by itself beside one that waits in a destructor, waits in a destructor too, and is then
//! told to end, panics twice, which aborts the process.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use crate::{context, slot::Slot};

/// What a flow is unwound with.
#[derive(Debug)]
struct Ending;

thread_local! {
    /// Flows of this thread that are being unwound and do not run now. A worker counts by itself.
    static ASIDE: Cell<u32> = const { Cell::new(0) };
}

fn with_aside<R>(f: impl FnOnce(&Cell<u32>) -> R) -> Option<R> {
    context::with_worker(|worker| match worker {
        Some(worker) => Some(f(&worker.aside)),
        // A thread that is torn down runs no flows.
        None => ASIDE.try_with(f).ok(),
    })
}

fn aside() -> u32 {
    with_aside(Cell::get).unwrap_or(0)
}

fn set_aside(count: u32) {
    with_aside(|aside| aside.set(count));
}

/// Whether a caught panic is a flow's end.
pub(crate) fn is_ending(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Ending>()
}

/// Whether somebody of this thread waits in a destructor, so that who declined to end must be told
/// again later.
pub(crate) fn somebody_waits() -> bool {
    aside() != 0
}

/// Whether the running flow (or thread, without a slot) is being unwound.
fn is_unwinding(slot: Option<&Slot>) -> bool {
    if aside() == 0 { thread::panicking() } else { slot.is_some_and(Slot::is_unwound) }
}

/// Ends the flow that runs, by a panic, unless it is being unwound. Returns in that case only.
#[cold]
pub(crate) fn end(slot: &Slot) {
    if !is_unwinding(Some(slot)) {
        slot.set_unwound(true);
        resume_unwind(Box::new(Ending));
    }
}

/// Runs what suspends the running flow, or lets another run above it.
#[inline]
pub(crate) fn leave<R>(slot: Option<&Slot>, suspend: impl FnOnce() -> R) -> R {
    if thread::panicking() {
        return leave_panicking(slot, suspend);
    }
    if let Some(slot) = slot
        && slot.is_unwound()
    {
        // Nobody of this thread is unwinding, nor is this flow any longer.
        slot.set_unwound(false);
    }
    suspend()
}

#[cold]
fn leave_panicking<R>(slot: Option<&Slot>, suspend: impl FnOnce() -> R) -> R {
    if !is_unwinding(slot) {
        return suspend();
    }
    if let Some(slot) = slot {
        slot.set_unwound(true);
    }
    set_aside(aside() + 1);
    let result = suspend();
    set_aside(aside().saturating_sub(1));
    result
}

/// Runs code of the user's where it must not unwind. A panic has been reported by the panic hook.
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(code)) {
        // To drop what it was thrown with may panic again.
        let _kept = std::mem::ManuallyDrop::new(payload);
    }
}
