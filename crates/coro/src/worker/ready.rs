// SPDX-License-Identifier: BSD-3-Clause
//! The ready coroutines of a worker, in FIFO order.
//!
//! A queue of addresses, not a list through the slots: in a long queue, a coroutine's data has left
//! the caches by the time of its dispatch, and only with the next addresses at hand can the data be
//! prefetched while other coroutines run. First the slot, then, by its contents, the top of the
//! stack.
//!
//! ```text
//!   places   │  │ a │ b │ c │  │  │  │  │    a power of two; doubled when it is full
//!                 ▲           ▲
//!                head        tail            positions that only grow; a place is position & mask
//! ```
//!
//! # Safety
//!
//! The queue belongs to one thread, and no method calls code that could reach it again. So the
//! places are never replaced while a method uses them.

use std::cell::{Cell, UnsafeCell};

use crate::slot::Slot;

pub(super) struct Ready {
    places: UnsafeCell<Box<[Option<&'static Slot>]>>,
    head: Cell<usize>,
    tail: Cell<usize>,
}

/// The queue length from which data is prefetched.
const LONG: usize = 64;
/// The number of dispatches ahead at which the slot is prefetched, and the stack.
const SLOT_AHEAD: usize = 5;
const STACK_AHEAD: usize = 2;
/// The smallest capacity, of a queue that was used.
const CAPACITY_MIN: usize = 64;
/// The capacity above which an empty queue frees its memory.
const KEPT: usize = 4096;

impl Ready {
    pub(super) fn new() -> Self {
        Self { places: UnsafeCell::default(), head: Cell::new(0), tail: Cell::new(0) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    fn capacity(&self) -> usize {
        // SAFETY: see the module's notes.
        unsafe { (&*self.places.get()).len() }
    }

    /// Appends a coroutine. It is in no other place.
    #[inline]
    pub(super) fn push(&self, slot: &'static Slot) {
        if self.len() == self.capacity() {
            self.resize(self.len().max(CAPACITY_MIN / 2) * 2);
        }
        let tail = self.tail.get();
        // SAFETY: see the module's notes. There is a place, so a masked position is one.
        unsafe {
            let places = &mut *self.places.get();
            let place = tail & (places.len() - 1);
            *places.get_unchecked_mut(place) = Some(slot);
        }
        self.tail.set(tail.wrapping_add(1));
    }

    /// Takes the first.
    #[inline]
    pub(super) fn pop(&self) -> Option<&'static Slot> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        let head = self.head.get();
        self.head.set(head.wrapping_add(1));
        if len > LONG {
            self.prefetch(head.wrapping_add(1));
        }
        self.at(head)
    }

    /// The one at this position, of a queue that is not empty or has just been left by its last.
    #[inline]
    fn at(&self, position: usize) -> Option<&'static Slot> {
        // SAFETY: see the module's notes. There are places, so a masked position is one.
        unsafe {
            let places = &*self.places.get();
            *places.get_unchecked(position & (places.len() - 1))
        }
    }

    /// Prefetches the data of those that come soon after the one at `head`.
    fn prefetch(&self, head: usize) {
        if let Some(slot) = self.at(head.wrapping_add(SLOT_AHEAD)) {
            slot.prefetch();
        }
        if let Some(slot) = self.at(head.wrapping_add(STACK_AHEAD)) {
            // SAFETY: ready, so it has a stack, and is the calling worker's.
            unsafe { slot.prefetch_stack() };
        }
    }

    /// Frees memory that a long queue has needed. For a worker that is about to sleep.
    pub(super) fn trim(&self) {
        if self.capacity() > KEPT {
            self.resize(self.len().next_power_of_two().max(KEPT));
        }
    }

    /// Moves the queue into so many places, a power of two and enough for it.
    #[cold]
    fn resize(&self, capacity: usize) {
        let len = self.len();
        let places = (0..capacity).map(|index| {
            if index < len { self.at(self.head.get().wrapping_add(index)) } else { None }
        });
        let places = places.collect();
        self.head.set(0);
        self.tail.set(len);
        // SAFETY: see the module's notes.
        unsafe { *self.places.get() = places };
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::slot::Cache;

    #[test]
    fn first_in_first_out_while_it_grows_and_is_trimmed() {
        let cache = Cache::new();
        let slots: Vec<_> = (0..20_000).map(|_| cache.take().unwrap()).collect();
        let ready = Ready::new();
        let (mut pushed, mut popped) = (slots.iter(), slots.iter());
        assert!(ready.is_empty() && ready.pop().is_none());
        ready.trim();
        // Three in, two out: the head moves around the places while they are doubled. The slots
        // have no stacks to be prefetched: the queue stays short, until it is not popped any more.
        for _ in 0..LONG - 4 {
            (0..3).for_each(|_| ready.push(pushed.next().unwrap()));
            (0..2)
                .for_each(|_| assert!(std::ptr::eq(ready.pop().unwrap(), *popped.next().unwrap())));
        }
        assert_eq!(ready.len(), LONG - 4);
        pushed.for_each(|slot| ready.push(slot));
        assert!(ready.capacity() > KEPT);
        let all = ready.len();
        ready.trim();
        assert_eq!(ready.len(), all);
        // Emptied without its prefetches.
        for expected in popped {
            let head = ready.head.get();
            assert!(std::ptr::eq(ready.at(head).unwrap(), *expected));
            ready.head.set(head + 1);
        }
        assert!(ready.is_empty());
        ready.trim();
        assert_eq!(ready.capacity(), KEPT);
        ready.push(slots.first().unwrap());
        assert!(ready.pop().is_some() && ready.pop().is_none());
        slots.into_iter().for_each(|slot| cache.give(slot));
    }
}
