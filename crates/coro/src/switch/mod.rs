// SPDX-License-Identifier: BSD-3-Clause
//! Switching coroutines: one interface, two implementations.
//!
//! - [`stackful`]: another stack on the same thread, in nanoseconds. The default.
//! - `threads`: another thread, one of the two running at a time. For tools that cannot follow a
//!   stack switch (miri, and builds with the feature `threads`).
//! - [`control`]: the floating-point control state, which belongs to each coroutine.
//!
//! Both have `Switch::{new, resume, resume_from, suspend, into_stack}` and the same rules:
//!
//! 1. A coroutine is new, suspended, running or finished; `resume` takes the first two to the
//!    third, and returns when it is in the second or the fourth.
//! 2. The code around `entry` needs nothing of the caller: `entry` must not unwind, and if it does
//!    the process aborts.
//! 3. Nothing here unwinds a suspended coroutine. A `Switch` that is dropped, or whose stack is
//!    taken, while it is suspended is **abandoned in place**: no destructor of the values on its
//!    stack runs. To run them, the coroutine must be resumed and unwind.
//! 4. A coroutine starts with the floating-point control state (rounding, exception masks) of its
//!    first resumer, keeps its own across suspends, and restores its resumer's when it suspends.

#[cfg_attr(
    any(miri, feature = "threads"),
    allow(dead_code, reason = "a thread keeps its state by itself")
)]
mod control;
#[cfg(not(any(miri, feature = "threads")))]
mod stackful;
#[cfg(any(miri, feature = "threads"))]
mod threads;

pub(crate) use self::control::Control;
#[cfg(not(any(miri, feature = "threads")))]
pub(crate) use self::stackful::Switch;
#[cfg(any(miri, feature = "threads"))]
pub(crate) use self::threads::Switch;

use std::ptr::NonNull;

/// From within a coroutine: the way back to its resumer. It is valid for that coroutine alone, as
/// long as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(NonNull<()>);

impl Link {
    /// Of a coroutine that has not started.
    pub(crate) const NOWHERE: Self = Self(NonNull::dangling());
}

/// The code on the stack: called once, with the pointer given to `new` and the link.
pub(crate) type Entry = unsafe fn(*mut (), Link);

#[cfg(test)]
mod tests;
