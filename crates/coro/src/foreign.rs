// SPDX-License-Identifier: BSD-3-Clause
//! For code that puts frames of another language on a coroutine's stack.
//!
//! When a runtime or a fiber ends, waiting coroutines are unwound by a panic out of their wait.
//! Frames that do not support panics must not be unwound. So the function that they call, at the
//! boundary, catches the panic, checks [`is_ending`], and calls [`abandon`]: the stack is freed as
//! it is, and nothing on it above the boundary is dropped. The frames below have been unwound by
//! then, so no channel has a node of the wait any more.

use crate::{unwinding, worker};

/// Whether a caught panic is the end of the coroutine.
pub fn is_ending(payload: &(dyn std::any::Any + Send)) -> bool {
    unwinding::is_ending(payload)
}

/// Ends the running coroutine in place: its values of
/// [`coroutine_local!`](crate::coroutine_local) are dropped, the values on its stack are not. Its
/// joiner gets the error `Cancelled`. On a plain thread it never returns.
///
/// # Safety
///
/// The stack is reused. Between the coroutine's start and this call there must be no frame that
/// other threads may still reach (a scoped thread, a linked wait), and none that relies on being
/// dropped: only frames of another language above the boundary at which the panic was caught, and
/// below them those of the scheduler itself.
pub unsafe fn abandon() -> ! {
    worker::abandon()
}
