// SPDX-License-Identifier: BSD-3-Clause
//! The memory of a ring, which a large one takes from the system as it fills.
//!
//! | bytes | from | stamps at first |
//! |---|---|---|
//! | fewer than [`MAPPED_BYTES_MIN`] | the allocator | the positions of the first lap |
//! | more | a mapping of its own: the system commits a page when it is first written to | 0: each slot is fresh |
//!
//! An allocator may reuse memory for a large ring, and would have to clear all of it.
//!
//! # Safety
//!
//! `first` and `count` are those of one allocation or mapping, which lives until the drop. Zeroes
//! are valid slots: a stamp of 0, and no value.

use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;

use super::Slot;
use crate::sync::{AtomicU64, cell::UnsafeCell};

/// The least bytes of a ring with a mapping of its own.
#[cfg(not(any(feature = "loom", miri)))]
const MAPPED_BYTES_MIN: usize = 1 << 20;

/// See the module's documentation.
pub(super) struct Slots<T> {
    first: NonNull<Slot<T>>,
    count: usize,
    is_mapped: bool,
}

impl<T> Slots<T> {
    /// So many slots that are free in the first lap.
    pub(super) fn new(count: usize) -> Self {
        match map(count) {
            Some(first) => Self { first, count, is_mapped: true },
            None => {
                let first = NonNull::from(Box::leak(allocate::<T>(count))).cast();
                Self { first, count, is_mapped: false }
            }
        }
    }
}

#[cfg(feature = "loom")]
impl<T> Slots<T> {
    /// So many slots as a mapping has them: a stamp of 0.
    pub(super) fn fresh(count: usize) -> Self {
        let slots = allocate::<T>(count);
        slots.iter().for_each(|slot| slot.stamp.store(0, crate::sync::Ordering::Relaxed));
        Self { first: NonNull::from(Box::leak(slots)).cast(), count, is_mapped: false }
    }
}

impl<T> Deref for Slots<T> {
    type Target = [Slot<T>];

    #[inline]
    fn deref(&self) -> &[Slot<T>] {
        // SAFETY: see the module.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        if self.is_mapped {
            unmap(self.first, self.count);
        } else {
            let slots = std::ptr::slice_from_raw_parts_mut(self.first.as_ptr(), self.count);
            // SAFETY: it was leaked by `new`.
            drop(unsafe { Box::from_raw(slots) });
        }
    }
}

fn allocate<T>(count: usize) -> Box<[Slot<T>]> {
    let slot =
        |at| Slot { stamp: AtomicU64::new(at), value: UnsafeCell::new(MaybeUninit::uninit()) };
    (0..count as u64).map(slot).collect()
}

/// `None`: it is too small, or there is no mapping for it.
#[cfg(not(any(feature = "loom", miri)))]
fn map<T>(count: usize) -> Option<NonNull<Slot<T>>> {
    let bytes = count.checked_mul(size_of::<Slot<T>>())?;
    // A page is aligned for all but unusual values.
    if bytes < MAPPED_BYTES_MIN || align_of::<Slot<T>>() > 4096 {
        return None;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping.
    let first = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
    if first == libc::MAP_FAILED { None } else { NonNull::new(first.cast()) }
}

#[cfg(any(feature = "loom", miri))]
fn map<T>(_: usize) -> Option<NonNull<Slot<T>>> {
    None
}

#[cfg(not(any(feature = "loom", miri)))]
fn unmap<T>(first: NonNull<Slot<T>>, count: usize) {
    // SAFETY: the mapping of `map`, of these bytes, whose slots have no destructor.
    unsafe { libc::munmap(first.as_ptr().cast(), count * size_of::<Slot<T>>()) };
}

#[cfg(any(feature = "loom", miri))]
fn unmap<T>(_: NonNull<Slot<T>>, _: usize) {}
