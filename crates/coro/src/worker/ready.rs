// SPDX-License-Identifier: BSD-3-Clause
//! The coroutines of a worker that can go on, first come, first served: a list through their slots.

use std::{cell::Cell, ptr};

use crate::slot::Slot;

pub(super) struct Ready {
    head: Cell<*const Slot>,
    tail: Cell<*const Slot>,
    len: Cell<usize>,
}

/// In a queue this long, what a coroutine needs has left the caches by the time of its turn.
const LONG: usize = 64;

impl Ready {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()), len: Cell::new(0) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Puts one at the end. It is in no list.
    #[inline]
    pub(super) fn push(&self, slot: &'static Slot) {
        slot.next.set(ptr::null());
        self.len.set(self.len.get() + 1);
        // SAFETY: null, or a slot, which is never unmapped.
        match unsafe { self.tail.replace(slot).as_ref() } {
            Some(tail) => tail.next.set(slot),
            None => self.head.set(slot),
        }
    }

    /// Takes the first.
    #[inline]
    pub(super) fn pop(&self) -> Option<&'static Slot> {
        // SAFETY: null, or a slot, which is never unmapped.
        let slot = unsafe { self.head.get().as_ref() }?;
        let next = slot.next.get();
        self.head.set(next);
        self.len.set(self.len.get() - 1);
        if next.is_null() {
            self.tail.set(ptr::null());
        }
        if self.len.get() >= LONG {
            Self::fetch(next);
        }
        Some(slot)
    }

    /// Has the processor fetch the stack of the next, while the one before it runs, and the slot of
    /// the one after it.
    fn fetch(next: *const Slot) {
        // SAFETY: null, or a slot, which is never unmapped.
        let Some(next) = (unsafe { next.as_ref() }) else { return };
        // SAFETY: ready, so it is filled, and the calling worker's.
        unsafe { next.prefetch_stack() };
        // SAFETY: as above.
        if let Some(after) = unsafe { next.next.get().as_ref() } {
            after.prefetch();
        }
    }
}
