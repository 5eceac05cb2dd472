// SPDX-License-Identifier: BSD-3-Clause
//! A worker's own few free stacks: O(1), without a lock.
//!
//! A small array used as a stack, so that the coroutine stack freed last, whose memory is in the
//! processor's cache, is reused first. When it is empty, it takes half its capacity from the pool;
//! when it is full, it gives the half that is oldest to the pool.
//!
//! Stacks from the pool have left the caches, mostly. So the one after the next is prefetched, as
//! far as the first frames will reach, unless the stacks are new: a prefetch of memory that does
//! not exist yet only costs.

use std::cell::Cell;

use super::class::Class;
use super::pool::{POOL, Run, Slot};
use super::{Stack, StackError};

const CAPACITY: usize = 2 * BATCH;
const BATCH: usize = 32;
/// The number of gets ahead of which [`Cache::soon`] finds a stack.
const AHEAD: usize = 2;

/// Free stacks of one size for one thread. Stacks of other sizes go directly to the pool.
///
/// `Send`, not `Sync`. Dropping it gives all its stacks to the pool.
#[derive(Debug)]
pub(crate) struct Cache {
    class: Result<Class, StackError>,
    /// Those below `len` are ours and free.
    slots: [Cell<Slot>; CAPACITY],
    len: Cell<usize>,
    /// The last refill made new stacks.
    are_new: Cell<bool>,
    /// Addresses for new ones.
    run: Cell<Run>,
}

impl Cache {
    /// An empty cache of stacks of `size_bytes` (rounded up). [`get`](Self::get) reports a size
    /// that is not possible.
    pub(crate) fn new(size_bytes: usize) -> Self {
        let slots = [const { Cell::new(Slot::NONE) }; CAPACITY];
        Self {
            class: Class::of(size_bytes),
            slots,
            len: Cell::new(0),
            are_new: Cell::new(true),
            run: Cell::new(Run::EMPTY),
        }
    }

    /// The warmest stack.
    #[inline]
    pub(crate) fn get(&self) -> Result<Stack, StackError> {
        let (Ok(class), Some(top)) = (&self.class, self.len.get().checked_sub(1)) else {
            return self.refill();
        };
        let Some(slot) = self.slots.get(top) else { return self.refill() };
        self.len.set(top);
        // SAFETY: the slot was below `len`, hence ours; it is no longer.
        Ok(unsafe { Stack::from_slot(slot.get(), *class) })
    }

    /// The base of the stack after the next, unless it is new.
    #[inline]
    pub(crate) fn soon(&self) -> Option<usize> {
        let place = self.len.get().checked_sub(AHEAD).filter(|_| !self.are_new.get())?;
        self.slots.get(place).map(|slot| slot.get().0.get())
    }

    /// A stack of at least `size_bytes`: from this cache if the size matches.
    #[inline]
    pub(crate) fn get_sized(&self, size_bytes: usize) -> Result<Stack, StackError> {
        let class = Class::of(size_bytes)?;
        if self.class.as_ref() == Ok(&class) { self.get() } else { super::acquire(size_bytes) }
    }

    /// Keeps `stack` for the next [`get`](Self::get), if it is of this cache's size.
    #[inline]
    pub(crate) fn put(&self, stack: Stack) {
        if self.class.as_ref() != Ok(&stack.class) {
            return drop(stack);
        }
        if self.len.get() == CAPACITY {
            self.give(BATCH);
        }
        let len = self.len.get();
        if let Some(slot) = self.slots.get(len) {
            slot.set(stack.into_slot());
            self.len.set(len + 1);
        }
    }

    #[cold]
    fn refill(&self) -> Result<Stack, StackError> {
        let class = self.class.clone()?;
        let mut slots = [Slot::NONE; BATCH];
        let mut taken = POOL.take(class, &mut slots);
        self.are_new.set(taken == 0);
        if taken == 0 {
            let mut run = self.run.replace(Run::EMPTY);
            if run.is_empty() {
                run = POOL.reserve(class, true)?;
            }
            let carved = POOL.carve(class, &mut run, &mut slots);
            self.run.set(run);
            taken = carved?;
        }
        for (cell, slot) in self.slots.iter().zip(slots.iter().take(taken)) {
            cell.set(*slot);
        }
        // At least one: a reserved run is not empty.
        self.len.set(taken);
        self.get()
    }

    /// Gives the `count` oldest to the pool.
    #[cold]
    fn give(&self, count: usize) {
        let Ok(class) = &self.class else { return };
        let len = self.len.get();
        let count = count.min(len);
        let mut slots = [Slot::NONE; CAPACITY];
        for (slot, cell) in slots.iter_mut().zip(&self.slots) {
            *slot = cell.get();
        }
        for (cell, slot) in self.slots.iter().zip(slots.iter().skip(count)) {
            cell.set(*slot);
        }
        self.len.set(len - count);
        POOL.put(*class, slots.get(..count).unwrap_or_default());
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.give(CAPACITY);
        if let Ok(class) = &self.class {
            POOL.unreserve(*class, self.run.get());
        }
    }
}
