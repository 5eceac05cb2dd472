// SPDX-License-Identifier: BSD-3-Clause
//! The coroutines of a worker that can go on, first come, first served: a list through their slots.

use std::{cell::Cell, ptr};

use crate::slot::Slot;

pub(super) struct Ready {
    head: Cell<*const Slot>,
    tail: Cell<*const Slot>,
}

impl Ready {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Puts one at the end. It is in no list.
    #[inline]
    pub(super) fn push(&self, slot: &'static Slot) {
        slot.next.set(ptr::null());
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
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            None => self.tail.set(ptr::null()),
            // In a long queue whose coroutines have lain for a while, what they need is in no
            // cache: the stack of the next is fetched while this one runs, and the slot of the one
            // after it.
            Some(next) => {
                // SAFETY: ready, so it has run before, and it is this worker's.
                unsafe { next.prefetch_stack() };
                // SAFETY: as above.
                if let Some(after) = unsafe { next.next.get().as_ref() } {
                    after.prefetch();
                }
            }
        }
        Some(slot)
    }
}
