// SPDX-License-Identifier: BSD-3-Clause
//! The ring of one sender and one receiver: two positions, each stored by its owner alone.
//!
//! Source: Lamport's queue (1977); each side caches the other side's position, as in MCRingBuffer
//! and rtrb. What is new is that a large ring is a circle of blocks, each of which is a ring of its
//! own and fits into a core's first-level cache (the idea of moodycamel's `ReaderWriterQueue`): as
//! long as the receiver keeps up, the sender stays in one block, and the memory of the other blocks
//! is not touched. With 256-byte values that halves the cost of a message.
//!
//! ```text
//!   tail: values sent            the sender's line     │ positions only grow, and count
//!   head: values received        the receiver's line   │
//!
//!   block 0  ┌────┬────┬────┬────┐  end: MAX     the sender is here: full when it is a block's
//!            └────┴────┴────┴────┘               width ahead of the receiver
//!   block 1  ┌────┬────┬────┬────┐  end: 4711    left when it was full; the receiver takes the
//!            └────┴────┴────┴────┘               values before 4711, and goes to block 2
//!   …
//! ```
//!
//! A position's slot is not a function of the position; both cursors count slots along. The sender
//! leaves a block when the block has no room while the channel as a whole has some, stores the
//! position at which it left, and continues with the first slot of the next block.
//!
//! # Invariants
//!
//! 1. The slot of the sender's cursor is free while its position is below its limit; the slot of
//!    the receiver's cursor holds a value while its position is below its limit. A limit is never
//!    ahead of what the other side's position, read with `Acquire`, allows.
//! 2. A block that the sender enters is empty, and the receiver has left it: since the last visit
//!    the sender has left every other block, with `width` or more values sent into each, together
//!    at least `capacity`; and it enters a block only while it is less than that ahead.
//! 3. The `end` of a block is written by the sender, before it publishes a value beyond, and read
//!    by the receiver, which publishes that it went beyond before the sender comes around again.

use std::mem::MaybeUninit;
use std::ptr;

use crossbeam_utils::CachePadded;

use crate::park;
use crate::sync::{AtomicU64, Ordering, cell::UnsafeCell};

/// The memory of a block in bytes: half of a small first-level cache.
const BLOCK_BYTES: usize = if cfg!(feature = "loom") { 0 } else { 16 * 1024 };
const BLOCK_SLOTS_MIN: usize = if cfg!(feature = "loom") { 1 } else { 16 };
/// The `end` of the block in which the sender is.
const OPEN: u64 = u64::MAX;
/// The backoff of a sender at a full block, in steps, before it enters the next block: a fraction
/// of the cost of a block's cache misses.
const BACKOFF_STEPS: u32 = 512;
/// The backoff pays if this many values are taken meanwhile; if not, the next [`BACKOFF_SKIPS`] are
/// skipped.
const BACKOFF_PAYS_VALUES: u64 = 8;
const BACKOFF_SKIPS: u8 = 64;

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

pub(super) struct Ring<T> {
    slots: Box<[Slot<T>]>,
    /// The position at which each block was left; one per block.
    ends: Box<[AtomicU64]>,
    /// Slots per block.
    width: usize,
    capacity: u64,
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
}

// SAFETY: a value goes in on one thread and out on another, and is never shared (invariant 1).
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

/// The position of one side.
#[derive(Debug)]
pub(super) struct RingCursor {
    /// Values sent, or received.
    pub(super) position: u64,
    /// The position up to which it may advance without reading the other side's position.
    limit: u64,
    /// The slot of the position.
    slot: usize,
    /// The first slot of the block, and the one behind its last.
    block: (usize, usize),
    /// The number of the block.
    number: usize,
    /// The position at which the block was entered.
    start: u64,
    /// The other side's position when it was last read.
    pub(super) seen: u64,
    /// How many times the sender will skip the backoff.
    skips: u8,
}

impl RingCursor {
    /// Makes the next operation read the other side's position.
    pub(super) fn stop(&mut self) {
        self.limit = self.position;
    }

    /// The number of slots it may advance without reading the other side's position.
    #[inline]
    pub(super) fn run(&self) -> u64 {
        self.limit - self.position
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.position += 1;
        self.slot += 1;
        if self.slot == self.block.1 {
            self.slot = self.block.0;
        }
    }

    /// Goes to the first slot of the next block.
    fn enter_next<T>(&mut self, ring: &Ring<T>) {
        self.number = if self.number + 1 == ring.ends.len() { 0 } else { self.number + 1 };
        let first = self.number * ring.width;
        self.block = (first, first + ring.width);
        self.slot = first;
        self.start = self.position;
    }
}

impl<T> Ring<T> {
    /// A ring for exactly `capacity` values.
    pub(super) fn new(capacity: usize) -> Self {
        let small = (BLOCK_BYTES / size_of::<T>().max(1)).max(BLOCK_SLOTS_MIN);
        let width = if capacity / 2 <= small { capacity } else { small };
        let blocks = if width == capacity { 1 } else { capacity.div_ceil(width) + 1 };
        Self {
            slots: (0..blocks * width).map(|_| Slot::new(MaybeUninit::uninit())).collect(),
            ends: (0..blocks).map(|_| AtomicU64::new(OPEN)).collect(),
            width,
            capacity: capacity as u64,
            head: CachePadded::new(AtomicU64::new(0)),
            tail: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// The initial cursor of either side.
    pub(super) fn cursor(&self) -> RingCursor {
        let block = (0, self.width);
        RingCursor { position: 0, limit: 0, slot: 0, block, number: 0, start: 0, seen: 0, skips: 0 }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Values sent so far.
    #[inline]
    pub(super) fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Values received so far.
    #[inline]
    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Whether the sender, which was at its limit, has a free slot after reading `head`. It may
    /// back off in its block rather than enter memory that is not in the cache.
    pub(super) fn find_room(&self, sender: &mut RingCursor, backoff: bool) -> bool {
        let before = std::mem::replace(&mut sender.seen, self.head());
        if self.has_room_here(sender) {
            return true;
        }
        if sender.position == sender.seen + self.capacity {
            return false;
        }
        // A receiver that has moved since the last read is awake.
        if backoff && sender.seen != before && self.drains_quickly(sender) {
            return true;
        }
        if let Some(end) = self.ends.get(sender.number) {
            end.store(sender.position, Ordering::Relaxed);
        }
        sender.enter_next(self);
        if let Some(end) = self.ends.get(sender.number) {
            end.store(OPEN, Ordering::Relaxed);
        }
        self.has_room_here(sender)
    }

    /// Backs off, and returns whether the receiver has made room in the block.
    fn drains_quickly(&self, sender: &mut RingCursor) -> bool {
        if sender.skips != 0 || sender.seen < sender.start || cfg!(feature = "loom") {
            sender.skips = sender.skips.saturating_sub(1);
            return false;
        }
        park::relax(BACKOFF_STEPS);
        let before = std::mem::replace(&mut sender.seen, self.head());
        if sender.seen - before < BACKOFF_PAYS_VALUES {
            sender.skips = BACKOFF_SKIPS;
        }
        self.has_room_here(sender)
    }

    /// Whether there is room in the block.
    fn has_room_here(&self, sender: &mut RingCursor) -> bool {
        let block = sender.seen.max(sender.start) + self.width as u64;
        sender.limit = block.min(sender.seen + self.capacity);
        sender.limit != sender.position
    }

    /// Whether there is a value for the receiver, which was at its limit, after reading `tail`: a
    /// value before the position `last`.
    pub(super) fn find_value(&self, receiver: &mut RingCursor, last: &AtomicU64) -> bool {
        // In this order: a read of a tail beyond `last` also sees `last`.
        let tail = self.tail();
        receiver.seen = tail.min(last.load(Ordering::Relaxed));
        if receiver.seen <= receiver.position {
            return false;
        }
        // The publication of a value includes the `end` of the blocks before it.
        let mut end = self.end(receiver);
        if end == receiver.position {
            receiver.enter_next(self);
            end = self.end(receiver);
        }
        receiver.limit = receiver.seen.min(end);
        true
    }

    fn end(&self, receiver: &RingCursor) -> u64 {
        self.ends.get(receiver.number).map_or(OPEN, |end| end.load(Ordering::Relaxed))
    }

    /// Moves `*value` into the sender's slot without publishing it.
    ///
    /// # Safety
    ///
    /// The cursor is the sender's, and below its limit. `value` is valid for a read, and is moved
    /// out.
    #[inline(always)]
    pub(super) unsafe fn write(&self, sender: &mut RingCursor, value: *const T) {
        // SAFETY: the index is that of a slot, which is free (invariant 1).
        unsafe { self.slots.get_unchecked(sender.slot) }.with_mut(|to| unsafe {
            ptr::copy_nonoverlapping(value, to.cast::<T>(), 1);
        });
        sender.advance();
    }

    /// As [`Self::write`], for a run of values that lie one after the other.
    ///
    /// # Safety
    ///
    /// The cursor is the sender's, and `count` or more below its limit. `values` is valid for as
    /// many reads; the values are moved out.
    pub(super) unsafe fn write_run(&self, sender: &mut RingCursor, values: *const T, count: usize) {
        let mut done = 0;
        while done < count {
            // SAFETY: the caller's promise; the run is of free slots (invariant 1).
            unsafe {
                let from = values.add(done);
                done += self.run_of_slots(sender, count - done, |slots, run| {
                    slots::write(slots, from, run);
                });
            }
        }
    }

    /// Gives `act` the slots from the cursor's on that lie one after the other, up to `max`, and
    /// advances the cursor past them. Returns how many.
    ///
    /// # Safety
    ///
    /// The cursor is `max` or more below its limit.
    #[inline]
    unsafe fn run_of_slots(
        &self,
        cursor: &mut RingCursor,
        max: usize,
        act: impl FnOnce(*const Slot<T>, usize),
    ) -> usize {
        let run = max.min(cursor.block.1 - cursor.slot);
        // SAFETY: the cursor's slot is one of them.
        act(unsafe { self.slots.as_ptr().add(cursor.slot) }, run);
        cursor.position += run as u64;
        cursor.slot += run;
        if cursor.slot == cursor.block.1 {
            cursor.slot = cursor.block.0;
        }
        run
    }

    /// Publishes the written values.
    #[inline]
    pub(super) fn publish_tail(&self, sender: &RingCursor) {
        self.tail.store(sender.position, Ordering::Release);
    }

    /// Moves the value out of the receiver's slot.
    ///
    /// # Safety
    ///
    /// The cursor is the receiver's, and below its limit.
    #[inline(always)]
    pub(super) unsafe fn read(&self, receiver: &mut RingCursor) -> T {
        // SAFETY: the index is that of a slot, which holds a value (invariant 1).
        let slot = unsafe { self.slots.get_unchecked(receiver.slot) };
        receiver.advance();
        // SAFETY: as above.
        slot.with(|from| unsafe { from.cast::<T>().read() })
    }

    /// As [`Self::read`], for a run of values, which are moved to `values`, one after the other.
    ///
    /// # Safety
    ///
    /// The cursor is the receiver's, and `count` or more below its limit. `values` is valid for as
    /// many writes.
    pub(super) unsafe fn read_run(&self, receiver: &mut RingCursor, values: *mut T, count: usize) {
        let mut done = 0;
        while done < count {
            // SAFETY: the caller's promise; the run is of slots with a value (invariant 1).
            unsafe {
                let to = values.add(done);
                done += self.run_of_slots(receiver, count - done, |slots, run| {
                    slots::read(slots, to, run);
                });
            }
        }
    }

    /// Publishes that the slots were read.
    #[inline]
    pub(super) fn publish_head(&self, receiver: &RingCursor) {
        self.head.store(receiver.position, Ordering::Release);
    }

    /// Takes back the value that was written and published last, which the receiver will not read.
    ///
    /// # Safety
    ///
    /// The receiver's `last` is the sender's position before that write, or less. The cursor is the
    /// sender's.
    pub(super) unsafe fn take_back(&self, sender: &mut RingCursor) -> T {
        sender.position -= 1;
        sender.slot = if sender.slot == sender.block.0 { sender.block.1 } else { sender.slot } - 1;
        sender.stop();
        self.publish_tail(sender);
        // SAFETY: the slot holds the value that was written last, and the receiver stops before it.
        let slot = unsafe { self.slots.get_unchecked(sender.slot) };
        // SAFETY: as above.
        slot.with(|from| unsafe { from.cast::<T>().read() })
    }
}

/// Copies between slots that lie one after the other and memory.
///
/// # Safety
///
/// Of all of them: the slots are the caller's, so no other thread accesses them, and so is the
/// memory, which has room for as many values; what is read holds values, which are moved out.
#[cfg(not(feature = "loom"))]
mod slots {
    use super::{Slot, ptr};

    #[inline]
    pub(super) unsafe fn write<T>(slots: *const Slot<T>, values: *const T, count: usize) {
        // SAFETY: the caller's promise. A slot is nothing but a cell around a value, which may be
        // written through a shared reference to the slots.
        unsafe { ptr::copy_nonoverlapping(values, slots.cast::<T>().cast_mut(), count) };
    }

    #[inline]
    pub(super) unsafe fn read<T>(slots: *const Slot<T>, values: *mut T, count: usize) {
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(slots.cast::<T>(), values, count) };
    }
}

/// As above, slot by slot, so that loom sees each access.
#[cfg(feature = "loom")]
mod slots {
    use super::{Slot, ptr};

    pub(super) unsafe fn write<T>(slots: *const Slot<T>, values: *const T, count: usize) {
        for at in 0..count {
            // SAFETY: the caller's promise.
            unsafe {
                let value = values.add(at);
                (*slots.add(at)).with_mut(|to| ptr::copy_nonoverlapping(value, to.cast::<T>(), 1));
            }
        }
    }

    pub(super) unsafe fn read<T>(slots: *const Slot<T>, values: *mut T, count: usize) {
        for at in 0..count {
            // SAFETY: the caller's promise.
            unsafe {
                let to = values.add(at);
                (*slots.add(at)).with(|from| ptr::copy_nonoverlapping(from.cast::<T>(), to, 1));
            }
        }
    }
}
