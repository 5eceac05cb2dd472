// SPDX-License-Identifier: BSD-3-Clause
//! Switching coroutines: one interface, three implementations.
//!
//! - `x86_64`: another stack on the same thread, in nanoseconds, on x86-64.
//! - `stackful`: the same on other architectures, by `corosensei`.
//! - `threads`: another thread, one of the two running at a time. For tools that cannot follow a
//!   stack switch (miri, and builds with the feature `threads`).
//! - [`control`]: the floating-point control state, which belongs to each coroutine.
//!
//! All have `Switch::{new, resume, resume_from, suspend, prefetch, prefetch_new, into_stack}` and the
//! same rules:
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
#[cfg(not(all(target_arch = "x86_64", unix, not(feature = "sanitizer"))))]
mod stackful;
#[cfg(any(miri, feature = "threads"))]
mod threads;
#[cfg(not(any(miri, feature = "threads")))]
#[cfg(all(target_arch = "x86_64", unix, not(feature = "sanitizer")))]
mod x86_64;

pub(crate) use self::control::Control;
#[cfg(not(any(miri, feature = "threads")))]
#[cfg(not(all(target_arch = "x86_64", unix, not(feature = "sanitizer"))))]
pub(crate) use self::stackful::Switch;
#[cfg(any(miri, feature = "threads"))]
pub(crate) use self::threads::Switch;
#[cfg(not(any(miri, feature = "threads")))]
#[cfg(all(target_arch = "x86_64", unix, not(feature = "sanitizer")))]
pub(crate) use self::x86_64::Switch;

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

#[cfg(not(any(miri, feature = "threads")))]
const LINE_BYTES: usize = 64;

/// Where a stack with its base at this address starts: not at the end of its page.
///
/// Stacks are whole pages apart. If all started at a page's end, the tops of thousands of suspended
/// stacks would lie in the same few sets of each cache. So each starts some lines further down, by
/// its number: at most 15, so that the top of a suspended stack still fits into one page.
#[cfg(not(any(miri, feature = "threads")))]
#[inline]
const fn spread(base: usize) -> usize {
    const PLACES: usize = 16;
    base - (base / 4096) % PLACES * LINE_BYTES
}

#[cfg(test)]
mod tests;
