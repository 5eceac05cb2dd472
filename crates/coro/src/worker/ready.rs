// SPDX-License-Identifier: BSD-3-Clause
//! The coroutines of a worker that can go on, first come, first served.
//!
//! A queue of addresses, not a list through the slots: in a long queue, what a coroutine needs has
//! left the caches by the time of its turn, and only who knows the next ones' addresses can have them
//! fetched while others run. First the slot, then, by what it says, the top of the stack.

use std::{cell::RefCell, collections::VecDeque};

use crate::slot::Slot;

pub(super) struct Ready {
    queue: RefCell<VecDeque<&'static Slot>>,
}

/// In a queue this long something is fetched ahead.
const LONG: usize = 64;
/// So many turns ahead of its own: the slot, the stack.
const SLOT_AHEAD: usize = 5;
const STACK_AHEAD: usize = 2;
/// With room for more, an empty queue gives its memory back.
const KEPT: usize = 4096;

impl Ready {
    pub(super) const fn new() -> Self {
        Self { queue: RefCell::new(VecDeque::new()) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Puts one at the end. It is nowhere else.
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
                // SAFETY: ready, so it is filled, and the calling worker's.
                unsafe { slot.prefetch_stack() };
            }
        }
        slot
    }

    /// Gives memory back that a long queue has needed. By a worker that is about to sleep.
    pub(super) fn trim(&self) {
        let mut queue = self.queue.borrow_mut();
        if queue.capacity() > KEPT {
            queue.shrink_to(KEPT);
        }
    }
}
