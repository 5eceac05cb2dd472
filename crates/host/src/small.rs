// SPDX-License-Identifier: BSD-3-Clause
//! Blocks for short bodies and for what longer ones are made of, kept by the thread that freed them last.
//!
//! Most answers are short, and each would cost an allocation. A thread keeps up to
//! [`KEPT_MAX`] blocks in its record, linked through their own memory, so that in the steady state
//! a short body costs a few loads and stores. A block may be freed on another thread than the one
//! that filled it; it then stays there.
//!
//! ```text
//!   free   │ next ─────────▶ the next free block, or null │ 56 bytes unused │
//!   in use │ up to 64 bytes, or a value                                    │
//! ```
//!
//! # Invariants
//!
//! 1. A block is on one list, or a caller's of [`copy_of`], or in one [`SmallBox`]: one of these.
//! 2. A list belongs to a thread record, which only its own thread touches.

use std::{
    cell::Cell,
    marker::PhantomData,
    mem::{ManuallyDrop, MaybeUninit},
    ptr,
    ptr::NonNull,
};

use crate::thread::{self, ThreadRecord};

/// Bytes of a block.
pub(crate) const SMALL_BYTES_MAX: usize = 64;

/// Blocks that a thread keeps.
const KEPT_MAX: u32 = 1024;

#[repr(C, align(16))]
union Block {
    next: *mut Block,
    bytes: [MaybeUninit<u8>; SMALL_BYTES_MAX],
}

/// The free blocks of one thread.
pub(crate) struct FreeBlocks {
    head: Cell<*mut Block>,
    len: Cell<u32>,
}

impl FreeBlocks {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(ptr::null_mut()), len: Cell::new(0) }
    }

    #[inline]
    fn take(&self) -> NonNull<Block> {
        let Some(block) = NonNull::new(self.head.get()) else {
            return NonNull::from(Box::leak(Box::new(Block { next: ptr::null_mut() })));
        };
        // SAFETY: on this list, so ours alone (invariant 1), and `next` was written by `put`.
        self.head.set(unsafe { (*block.as_ptr()).next });
        self.len.set(self.len.get() - 1);
        block
    }

    #[inline]
    fn put(&self, block: NonNull<Block>) {
        if self.len.get() >= KEPT_MAX {
            // SAFETY: made by `take` from a box, and no other list or body has it (invariant 1).
            drop(unsafe { Box::from_raw(block.as_ptr()) });
            return;
        }
        // SAFETY: no other list or body has it (invariant 1).
        unsafe { (*block.as_ptr()).next = self.head.get() };
        self.head.set(block.as_ptr());
        self.len.set(self.len.get() + 1);
    }
}

/// A copy of `bytes`, as far as they fit, in a block that is the caller's from now on.
#[inline]
pub(crate) fn copy_of(bytes: &[u8]) -> NonNull<u8> {
    copy_on(thread::current(), bytes)
}

/// The same, with the calling thread's record.
#[inline]
pub(crate) fn copy_on(record: &ThreadRecord, bytes: &[u8]) -> NonNull<u8> {
    let len = bytes.len().min(SMALL_BYTES_MAX);
    let block = record.free_blocks.take().cast();
    // SAFETY: the block is ours alone, and holds `len` bytes; the two do not overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), block.as_ptr(), len) };
    block
}

/// Gives a block back.
///
/// # Safety
/// It is one of [`copy_of`], and not used any more.
#[inline]
pub(crate) unsafe fn free(block: *mut u8) {
    // SAFETY: the caller's promise; no block is at null.
    thread::current().free_blocks.put(unsafe { NonNull::new_unchecked(block.cast()) });
}

/// A value in a block.
pub(crate) struct SmallBox<T> {
    block: NonNull<Block>,
    _value: PhantomData<T>,
}

// SAFETY: the block and the value in it are this value's alone (invariant 1).
unsafe impl<T: Send> Send for SmallBox<T> {}
// SAFETY: shared access only shares the value.
unsafe impl<T: Sync> Sync for SmallBox<T> {}

impl<T> SmallBox<T> {
    const FITS: () =
        assert!(size_of::<T>() <= size_of::<Block>() && align_of::<T>() <= align_of::<Block>());

    /// A value that is made where it stands, once there is a block for it.
    #[inline(always)]
    pub(crate) fn new(make: impl FnOnce() -> T) -> Self {
        const { Self::FITS };
        let block = thread::current().free_blocks.take();
        // SAFETY: the block is ours alone, and a `T` fits (`FITS`).
        unsafe { block.cast().write(make()) };
        Self { block, _value: PhantomData }
    }

    /// Its block, where the value is.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).block.cast()
    }

    /// What [`Self::into_raw`] took apart.
    ///
    /// # Safety
    /// `block` came from there, and is used for this alone.
    pub(crate) unsafe fn from_raw(block: *mut u8) -> Self {
        // SAFETY: the caller's promise; no block is at null.
        Self { block: unsafe { NonNull::new_unchecked(block.cast()) }, _value: PhantomData }
    }

    /// The value; its block is free again.
    pub(crate) fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: `new` wrote it, and neither `drop` nor this reads it again: `this` is forgotten.
        let value = unsafe { this.block.cast::<T>().read() };
        thread::current().free_blocks.put(this.block);
        value
    }
}

impl<T> Drop for SmallBox<T> {
    fn drop(&mut self) {
        // Where it is, not moved. Its drop may be the plugin's code, which may drop others meanwhile.
        // SAFETY: `new` wrote it, and nothing reads it again.
        unsafe { self.block.cast::<T>().drop_in_place() };
        thread::current().free_blocks.put(self.block);
    }
}
