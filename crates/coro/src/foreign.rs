// SPDX-License-Identifier: BSD-3-Clause
//! For whoever puts frames of another language on a coroutine's stack.
//!
//! When a runtime or a fiber ends, what waits is unwound by a panic out of its wait. Frames that
//! know no panics must not be unwound. So the function that they call, at the boundary, catches the
//! panic, asks [`is_ending`], and calls [`abandon`]: the stack is given back as it is, and nothing
//! on it, above the boundary, is dropped. What was below has been unwound by then, so that no
//! channel knows of the wait any more.

use crate::{unwinding, worker};

/// Whether a caught panic is the end of the coroutine.
pub fn is_ending(payload: &(dyn std::any::Any + Send)) -> bool {
    unwinding::is_ending(payload)
}

/// Ends the running coroutine where it stands: its values of
/// [`coroutine_local!`](crate::coroutine_local) are dropped, what is on its stack is not. Its joiner
/// hears that it was cancelled. On a plain thread it never returns.
///
/// # Safety
///
/// The stack becomes somebody else's. Between the coroutine's start and this call there must be no
/// frame that others may still reach (a scoped thread, a linked wait), and none that relies on
/// being dropped: frames of another language above the boundary at which the panic was caught, and
/// below them what the scheduler itself put there.
pub unsafe fn abandon() -> ! {
    worker::abandon()
}
