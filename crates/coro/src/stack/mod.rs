// SPDX-License-Identifier: BSD-3-Clause
//! Stacks for coroutines.
//!
//! - [`class`]: sizes, and the layout of a slot.
//! - [`sys`]: the system calls.
//! - [`slab`]: which addresses are stacks, readable from a signal handler.
//! - [`pool`]: the process's free stacks; which are kept warm, which are released.
//! - [`cache`]: a worker's own few, without a lock.
//! - [`valgrind`]: registers new stacks with valgrind.
//! - [`overflow`]: the message when a guard is hit.
//!
//! A million stacks are a few hundred mappings: stacks are cut from slabs of up to 1 GiB of
//! addresses, and only pages that were touched are memory.
//!
//! # Invariants
//!
//! 1. A slot (an address range of one class) is in one place: a [`Stack`], a cache or the pool.
//! 2. Only the owner of the [`Stack`] touches its memory.
//! 3. The page below every stack that was given out once is a guard for the life of the process.

mod cache;
mod class;
mod error;
pub(crate) mod overflow;
mod pool;
mod slab;
mod sys;
mod valgrind;

use corosensei::stack::StackPointer;

pub(crate) use self::cache::Cache;
pub(crate) use self::class::SIZE_DEFAULT_BYTES;
pub use self::error::StackError;

use self::class::Class;
use self::pool::{POOL, Slot};

/// A stack and the right to use it. Dropped, it goes back to the pool.
#[derive(Debug)]
pub(crate) struct Stack {
    slot: StackPointer,
    class: Class,
}

/// A stack of at least `size_bytes` usable bytes, from the pool.
pub(crate) fn acquire(size_bytes: usize) -> Result<Stack, StackError> {
    let class = Class::of(size_bytes)?;
    let mut slots = [Slot::NONE; 1];
    if POOL.take(class, &mut slots) == 0 {
        let mut run = POOL.reserve(class, false)?;
        let carved = POOL.carve(class, &mut run, &mut slots);
        POOL.unreserve(class, run);
        carved?;
    }
    let [slot] = slots;
    // SAFETY: taken or carved: the caller's from here on.
    Ok(unsafe { Stack::from_slot(slot, class) })
}

/// The size of the class of a stack of `size_bytes`, if there is one.
pub(crate) fn check_size(size_bytes: usize) -> Result<usize, StackError> {
    Class::of(size_bytes).map(|class| class.size_bytes())
}

/// Whether more free stacks have memory than should in an idle process.
pub(crate) fn has_too_many_warm() -> bool {
    POOL.has_too_many_warm()
}

/// Releases the memory of some free stacks, if many have some. False: there was nothing to do.
pub(crate) fn trim() -> bool {
    POOL.trim()
}

impl Stack {
    /// # Safety
    ///
    /// The slot is the caller's and passes to the result.
    #[inline]
    unsafe fn from_slot(slot: Slot, class: Class) -> Self {
        Self { slot: slot.0, class }
    }

    #[inline]
    fn into_slot(self) -> Slot {
        Slot(std::mem::ManuallyDrop::new(self).slot)
    }

    /// Usable bytes.
    #[inline]
    pub(crate) fn size_bytes(&self) -> usize {
        self.class.size_bytes()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        POOL.put(self.class, &[Slot(self.slot)]);
    }
}

// SAFETY: `base` is page-aligned; below the usable bytes, of which there are 16 KiB at least, lies
// a guard that is never removed (invariant 3); the memory is this value's alone (invariant 2).
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> StackPointer {
        self.slot
    }

    fn limit(&self) -> StackPointer {
        let below = self.slot.get() - self.class.stride_bytes();
        StackPointer::new(below).unwrap_or(StackPointer::MIN)
    }
}

#[cfg(all(test, not(miri)))]
mod tests;
