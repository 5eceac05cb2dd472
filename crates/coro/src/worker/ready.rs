// SPDX-License-Identifier: BSD-3-Clause
//! The ready coroutines of a worker, in FIFO order.
//!
//! A queue of addresses, not a list through the slots: in a long queue, a coroutine's data has left
//! the caches by the time of its dispatch, and only with the next addresses at hand can the data be
//! prefetched while other coroutines run. First the slot, then, by its contents, the top of the
//! stack.

use std::{cell::RefCell, collections::VecDeque};

use crate::slot::Slot;

pub(super) struct Ready {
    queue: RefCell<VecDeque<&'static Slot>>,
}

/// The queue length from which data is prefetched.
const LONG: usize = 64;
/// The number of dispatches ahead at which the slot is prefetched, and the stack.
const SLOT_AHEAD: usize = 5;
const STACK_AHEAD: usize = 2;
/// The capacity above which an empty queue frees its memory.
const KEPT: usize = 4096;

impl Ready {
    pub(super) const fn new() -> Self {
        Self { queue: RefCell::new(VecDeque::new()) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Appends a coroutine. It is in no other place.
    #[inline]
    pub(super) fn push(&self, slot: &'static Slot) {
        self.queue.borrow_mut().push_back(slot);
    }

    /// Takes the first.
    #[inline]
    pub(super) fn pop(&self) -> Option<&'static Slot> {
        let mut queue = self.queue.borrow_mut();
        let slot = queue.pop_front();
        if queue.len() >= LONG {
            if let Some(slot) = queue.get(SLOT_AHEAD) {
                slot.prefetch();
            }
            if let Some(slot) = queue.get(STACK_AHEAD) {
                // SAFETY: ready, so it has a stack, and is the calling worker's.
                unsafe { slot.prefetch_stack() };
            }
        }
        slot
    }

    /// Frees memory that a long queue has needed. For a worker that is about to sleep.
    pub(super) fn trim(&self) {
        let mut queue = self.queue.borrow_mut();
        if queue.capacity() > KEPT {
            queue.shrink_to(KEPT);
        }
    }
}
