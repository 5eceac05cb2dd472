// SPDX-License-Identifier: BSD-3-Clause
//! Free slots of the call table. They are kept per thread and moved between threads in batches
//! (J. Bonwick, "Magazines and Vmem", 2001), so that taking one costs no shared access.

use std::{
    cell::Cell,
    hash::{BuildHasher, RandomState},
    sync::atomic::Ordering,
};

use super::{CHUNK_SLOTS, CHUNKS, Chunk, NONE, SHARED, Slot, slot};
use crate::thread::ThreadRecord;

/// A thread that has more free slots than this gives half away.
const THREAD_FREE_MAX: u32 = 512;
const BATCH: u32 = 256;

/// Free slots of one thread, linked through their `next_free`.
pub(crate) struct FreeList {
    head: Cell<u32>,
    len: Cell<u32>,
}

impl FreeList {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(NONE), len: Cell::new(0) }
    }

    /// Puts a free slot on the list.
    #[inline]
    pub(super) fn put(&self, slot: &Slot) {
        slot.next_free.store(self.head.get(), Ordering::Relaxed);
        self.head.set(slot.index);
        self.len.set(self.len.get() + 1);
        if self.len.get() > THREAD_FREE_MAX {
            self.give_back(BATCH);
        }
    }

    #[inline]
    fn take(&self) -> Option<&'static Slot> {
        let slot = slot(self.head.get())?;
        self.head.set(slot.next_free.load(Ordering::Relaxed));
        self.len.set(self.len.get().saturating_sub(1));
        Some(slot)
    }

    /// Gives everything back for other threads; its thread ends.
    pub(crate) fn give_all_back(&self) {
        self.give_back(self.len.get());
    }

    #[cold]
    fn give_back(&self, count: u32) {
        let head = self.head.get();
        let mut last = None;
        let mut moved = 0;
        while moved < count {
            let Some(slot) = self.take() else { break };
            last = Some(slot);
            moved += 1;
        }
        if let Some(last) = last {
            last.next_free.store(NONE, Ordering::Relaxed);
            SHARED.lock().batches.push((head, moved));
        }
    }
}

/// A free slot, or `None` when [`SLOTS_MAX`](super::SLOTS_MAX) are in flight.
#[inline]
pub(crate) fn take_free(record: &ThreadRecord) -> Option<&'static Slot> {
    match record.free_slots.take() {
        Some(slot) => Some(slot),
        None => refill(record),
    }
}

#[cold]
fn refill(record: &ThreadRecord) -> Option<&'static Slot> {
    let mut shared = SHARED.lock();
    if let Some((head, len)) = shared.batches.pop() {
        record.free_slots.head.set(head);
        record.free_slots.len.set(len);
    } else {
        let at = shared.chunks;
        let place = CHUNKS.get(at)?;
        let first = at as u32 * CHUNK_SLOTS;
        // Random, so that an id cannot be guessed from the outside.
        let seed = RandomState::new();
        let chunk: Box<Chunk> = Box::new(std::array::from_fn(|offset| {
            let index = first + offset as u32;
            Slot::new(index, seed.hash_one(index))
        }));
        place.store(Box::into_raw(chunk), Ordering::Release);
        shared.chunks = at + 1;
        for index in first..first + CHUNK_SLOTS {
            if let Some(slot) = slot(index) {
                slot.next_free.store(record.free_slots.head.get(), Ordering::Relaxed);
                record.free_slots.head.set(index);
            }
        }
        record.free_slots.len.set(CHUNK_SLOTS);
    }
    drop(shared);
    record.free_slots.take()
}
