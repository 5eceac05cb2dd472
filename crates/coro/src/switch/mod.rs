// SPDX-License-Identifier: BSD-3-Clause
//! Switching flows: one interface, two ways.
//!
//! - [`stackful`]: another stack on the same thread, in nanoseconds. What is used.
//! - `threads`: another thread, one of the two running at a time. For tools that cannot follow a
//!   stack switch (miri, and whoever sets the feature `threads`).
//! - [`control`]: the floating-point control state, which belongs to each flow.
//!
//! Both have `Switch::{new, resume, resume_from, suspend, into_stack}` and the same rules:
//!
//! 1. A flow is new, suspended, running or finished; `resume` takes the first two to the third,
//!    and returns when it is in the second or the fourth.
//! 2. What `entry` does before its first instruction and after its last needs nothing of the
//!    caller: `entry` must not unwind, and if it does the process aborts.
//! 3. Nothing here unwinds a suspended flow. A `Switch` that is dropped, or whose stack is taken,
//!    while it is suspended is **abandoned where it stands**: no destructor of what is on its
//!    stack runs. Whoever wants them to run resumes it and has it unwind.
//! 4. A flow starts with the floating-point control state (rounding, exception masks) of who resumes
//!    it first, keeps its own across suspends, and gives that of its resumer back to it.

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

/// From within a flow: the way back to whoever resumed it. It is good for that flow alone, as long
/// as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link(NonNull<()>);

impl Link {
    /// Of a flow that has not begun.
    pub(crate) const NOWHERE: Self = Self(NonNull::dangling());
}

/// What runs on the stack: called once, with the pointer given to `new` and the way back.
pub(crate) type Entry = unsafe fn(*mut (), Link);

#[cfg(test)]
mod tests;
