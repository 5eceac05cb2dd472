// SPDX-License-Identifier: BSD-3-Clause
//! The coroutines of a worker that can go on, first come, first served: a list through their slots.

use std::{cell::Cell, sync::atomic::Ordering};

use crate::{
    gate::NONE,
    slot::{self, Slot},
};

pub(super) struct Ready {
    head: Cell<u32>,
    tail: Cell<u32>,
}

impl Ready {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(NONE), tail: Cell::new(NONE) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get() == NONE
    }

    /// Puts one at the end. It is in no list.
    #[inline]
    pub(super) fn push(&self, index: u32, slot: &Slot) {
        slot.next.store(NONE, Ordering::Relaxed);
        match slot::get(self.tail.get()) {
            Some(tail) => tail.next.store(index, Ordering::Relaxed),
            None => self.head.set(index),
        }
        self.tail.set(index);
    }

    /// Takes the first.
    #[inline]
    pub(super) fn pop(&self) -> Option<(u32, &'static Slot)> {
        let index = self.head.get();
        let slot = slot::get(index)?;
        let next = slot.next.load(Ordering::Relaxed);
        self.head.set(next);
        if next == NONE {
            self.tail.set(NONE);
        }
        Some((index, slot))
    }
}
