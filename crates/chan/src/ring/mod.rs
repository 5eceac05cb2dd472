// SPDX-License-Identifier: BSD-3-Clause
//! The bounded ring: each slot carries the lap in which it may be written or read next.
//!
//! Source: Dmitry Vyukov's bounded MPMC queue, with laps in place of a power-of-two capacity, as
//! crossbeam's array channel has them. What is new is the SLOW bit in both index words.
//!
//! ```text
//!   word (head, tail)        lap │ index │ S        position = lap │ index
//!
//!   slots   ┌───────┬───────┬───────┬───────┐
//!           │stamp  │stamp  │stamp  │stamp  │   stamp = p      free for the send at position p
//!           │value  │value  │value  │value  │   stamp = p + 1  holds the value of position p
//!           └───────┴───────┴───────┴───────┘   received at p: stamp = p + one lap
//!               ▲ head          ▲ tail
//! ```
//!
//! **Fast.** A send reads `tail` and the slot's stamp, moves `tail` on by one compare-exchange,
//! writes the value and publishes it by storing the stamp: one read-modify-write, no user code
//! between claim and publication. A receive does the same with `head`.
//!
//! **Slow.** While any operation waits, S is set in both words by the holder of the channel's lock.
//! No compare-exchange succeeds then, since no expected word has the bit, so the words belong to
//! the holder of the lock, which moves them by plain stores. Going slow costs two
//! read-modify-writes, staying slow none; an operation under the lock costs one, for the lock.
//!
//! **Between the two** are operations that claimed before S was set and have not published yet.
//! Each reads its word again after its publication, behind the light side of the asymmetric fence.
//! A waiter that finds a slot claimed but not published runs the heavy side before it sleeps and
//! checks again: then either it sees the publication, or the other side sees S and takes the lock
//! to rebalance. The sleeper pays for the fence.
//!
//! **Past.** An unlimited channel that holds more values than its ring has S set in `tail` alone:
//! sends go through the lock, which keeps their values behind the ring and moves them up in runs,
//! while receives stay on `head` (`channel/unlimited.rs`).
//!
//! **Fresh.** A large ring takes its memory as it fills: its slots are zeroes that nothing was
//! written to ([`slots`]). No operation stores the stamp 0. So a slot with that stamp, at a position
//! of the first lap, was never used and is free. A send finds that out behind the comparison that
//! fails for it, off the shortest path, once for each slot.
//!
//! [`locked`] has the operations of the holder of the lock on the ring.
//!
//! # Invariants
//!
//! 1. A slot is written only by the operation that moved `tail` past it, and only while its stamp
//!    is its position, or it is fresh; it is read only by the operation that moved `head` past it, while its stamp
//!    is its position + 1.
//! 2. While S is set in a word, only the holder of the lock changes that word. S is set in `tail`
//!    whenever it is set in `head`, except between the two steps of going slow and going fast.
//! 3. Every fast operation reads its word again after its publication.

mod locked;
mod slots;

use std::mem::{MaybeUninit, offset_of};
use std::ptr;

use crossbeam_utils::CachePadded;

use self::slots::Slots;
use crate::contend::Races;
use crate::sync::{AtomicU64, Ordering, cell::UnsafeCell, fence, light};
use crate::transfer::Direction;

/// Set in an index word while it belongs to the holder of the lock.
///
/// (A claim acquires what was written before the word went fast: the readiness hint.)
pub(crate) const SLOW: u64 = 1;

/// The prefetch offset from a slot, in bytes.
#[cfg_attr(any(not(target_arch = "x86_64"), miri), allow(dead_code, reason = "no such prefetch"))]
const PREFETCH_BYTES: usize = 384;
/// The lines that are prefetched of a large slot.
#[cfg_attr(any(not(target_arch = "x86_64"), miri), allow(dead_code, reason = "no such prefetch"))]
const PREFETCH_LINES_MAX: usize = 8;
#[cfg_attr(any(not(target_arch = "x86_64"), miri), allow(dead_code, reason = "no such prefetch"))]
const LINE_BYTES: usize = 64;

/// How far ahead a sender that waits for room checks for a free slot, in slots.
const RUN: u64 = 64;

/// The result of an attempt on the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingOutcome {
    /// Completed.
    Done,
    /// Completed, and an operation waits: rebalance under the lock.
    DoneSlow,
    /// The ring is full (for a send) or empty (for a receive).
    Blocked,
    /// As `Blocked`, except that an operation of the other side has claimed the slot and not
    /// published yet.
    Busy,
    /// The word belongs to the holder of the lock.
    Slow,
}

struct Slot<T> {
    stamp: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

pub(crate) struct Ring<T> {
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
    races: CachePadded<Races>,
    slots: Slots<T>,
    /// The increment of a position from one lap to the next: a power of two above every index.
    one_lap: u64,
    /// The bits of a position that are its index.
    index: u64,
}

// SAFETY: a value goes in on one thread and out on another, and is never shared (invariant 1).
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// A ring of exactly `capacity` slots; with none, it is slow for ever.
    pub(crate) fn new(capacity: usize) -> Self {
        Self::of(Slots::new(capacity))
    }

    /// A ring of slots that were never used, however small.
    #[cfg(feature = "loom")]
    pub(crate) fn fresh(capacity: usize) -> Self {
        Self::of(Slots::fresh(capacity))
    }

    fn of(slots: Slots<T>) -> Self {
        let capacity = slots.len();
        let word = if capacity == 0 { SLOW } else { 0 };
        let one_lap = (capacity as u64 + 1).next_power_of_two();
        Self {
            head: CachePadded::new(AtomicU64::new(word)),
            tail: CachePadded::new(AtomicU64::new(word)),
            races: CachePadded::new(Races::new()),
            slots,
            one_lap,
            index: one_lap - 1,
        }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The index word of a direction.
    pub(crate) fn word<D: Direction>(&self) -> &AtomicU64 {
        if D::SENDS { &self.tail } else { &self.head }
    }

    /// The stamp of the first slot, and how many bytes further the next one is.
    pub(crate) fn stamps(&self) -> (*const AtomicU64, usize) {
        let first = self.slots.as_ptr();
        (first.wrapping_byte_add(offset_of!(Slot<T>, stamp)).cast(), size_of::<Slot<T>>())
    }

    /// The bits of a position that are its index.
    pub(crate) fn index_bits(&self) -> u64 {
        self.index
    }

    /// Values sent into it since it was made.
    pub(crate) fn pushed(&self) -> u64 {
        self.count(self.tail.load(Ordering::SeqCst))
    }

    /// Values taken out of it since it was made.
    pub(crate) fn popped(&self) -> u64 {
        self.count(self.head.load(Ordering::SeqCst))
    }

    /// The number of values in it: exact when no operation is in flight.
    pub(crate) fn len(&self) -> usize {
        loop {
            let tail = self.tail.load(Ordering::SeqCst);
            let head = self.head.load(Ordering::SeqCst);
            if self.tail.load(Ordering::SeqCst) == tail {
                let len = self.count(tail).saturating_sub(self.count(head));
                return usize::try_from(len).unwrap_or(usize::MAX).min(self.capacity());
            }
        }
    }

    /// Whether no holder of the lock owns the words.
    pub(crate) fn is_fast(&self) -> bool {
        (self.tail.load(Ordering::Relaxed) | self.head.load(Ordering::Relaxed)) & SLOW == 0
    }

    /// Whether a send would find room; `None` if the word is slow: the answer needs the lock.
    #[inline]
    pub(crate) fn may_push(&self) -> Option<bool> {
        let word = self.tail.load(Ordering::Relaxed);
        (word & SLOW == 0).then(|| self.is_free(self.stamp_at(word), word >> 1))
    }

    /// Whether a run of sends would find room; `None` if the word is slow.
    ///
    /// A sender that waits for room and takes the first slot that becomes free writes into the
    /// cache line that the receiver is reading. So this checks a slot some positions ahead: when
    /// that slot is free, the receiver has left the lines before it.
    pub(crate) fn may_push_run(&self) -> Option<bool> {
        let word = self.tail.load(Ordering::Relaxed);
        if word & SLOW != 0 {
            return None;
        }
        let (capacity, position) = (self.slots.len() as u64, word >> 1);
        let ahead = (position & self.index) + (capacity / 4).min(RUN);
        // Past the end of the lap, the slot is one of the next lap.
        let (lap, index) = if ahead < capacity {
            (position & !self.index, ahead)
        } else {
            ((position & !self.index).wrapping_add(self.one_lap), ahead - capacity)
        };
        Some(self.is_free(self.stamp_at((lap | index) << 1), lap | index))
    }

    /// Whether a receive would find a value; `None` if the word is slow.
    #[inline]
    pub(crate) fn may_pop(&self) -> Option<bool> {
        let word = self.head.load(Ordering::Relaxed);
        (word & SLOW == 0).then(|| self.stamp_at(word) == (word >> 1) + 1)
    }

    /// As [`Self::may_pop`], for a ring behind which values may be held: a value that is moved up
    /// from there meanwhile is not missed.
    #[inline]
    pub(crate) fn may_pop_past(&self) -> Option<bool> {
        let word = self.head.load(Ordering::Relaxed);
        if word & SLOW != 0 {
            return None;
        }
        if self.stamp_at(word) == (word >> 1) + 1 {
            return Some(true);
        }
        // In this order: `tail` goes fast after it was moved past the last value that was held
        // behind the ring.
        let tail = self.tail.load(Ordering::Relaxed);
        (tail & SLOW == 0).then_some(tail != word)
    }

    /// As [`Self::push`], but a single attempt without a call, so that no register need be saved
    /// around it. `None`: nothing happened; `push` finds out why.
    ///
    /// # Safety
    ///
    /// As for [`Self::push`], and `word` comes from [`Self::tail_fast`].
    #[inline]
    pub(crate) unsafe fn push_once(&self, word: u64, value: *const T) -> Option<RingOutcome> {
        let position = word >> 1;
        // Read once: behind a load that acquires, the compiler would read it again.
        let index = position & self.index;
        // SAFETY: the word is not slow, so there are slots, and its index is one of them.
        let slot = unsafe { self.slots.get_unchecked(index as usize) };
        if slot.stamp.load(Ordering::Acquire) != position {
            return None;
        }
        let next = self.behind(position, index) << 1;
        match self.tail.compare_exchange(word, next, Ordering::Acquire, Ordering::Relaxed) {
            // SAFETY: the stamp said free and we moved the tail past it; the caller's promise.
            Ok(_) => Some(unsafe { self.fill(slot, position, value) }),
            Err(_) => None,
        }
    }

    /// `tail`, if it is fast.
    #[inline]
    pub(crate) fn tail_fast(&self) -> Option<u64> {
        // A guess, which the compare-exchange of a claim confirms.
        let word = self.tail.load(Ordering::Relaxed);
        (word & SLOW == 0).then_some(word)
    }

    /// `head`, if it is fast.
    #[inline]
    pub(crate) fn head_fast(&self) -> Option<u64> {
        let word = self.head.load(Ordering::Relaxed);
        (word & SLOW == 0).then_some(word)
    }

    /// Why [`Self::push_once`] did nothing, from one read. `None`: try again.
    #[inline]
    pub(crate) fn push_stopped(&self) -> Option<RingOutcome> {
        let word = self.tail.load(Ordering::Relaxed);
        if word & SLOW != 0 {
            return Some(RingOutcome::Slow);
        }
        let is_free = self.is_free(self.stamp_at(word), word >> 1);
        if is_free { None } else { self.why_full(word).ok() }
    }

    /// Why [`Self::pop_once`] did nothing, as [`Self::push_stopped`].
    #[inline]
    pub(crate) fn pop_stopped(&self) -> Option<RingOutcome> {
        let word = self.head.load(Ordering::Relaxed);
        if word & SLOW != 0 {
            return Some(RingOutcome::Slow);
        }
        if self.stamp_at(word) == (word >> 1) + 1 { None } else { self.why_empty(word).ok() }
    }

    /// Moves `*value` into the ring, if the word is fast and there is room.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on `Done` and `DoneSlow` its value has been moved out.
    #[inline]
    pub(crate) unsafe fn push(&self, value: *const T) -> RingOutcome {
        let mut word = self.tail.load(Ordering::Relaxed);
        loop {
            if word & SLOW != 0 {
                return RingOutcome::Slow;
            }
            let position = word >> 1;
            // SAFETY: as in `push_once`.
            let slot = unsafe { self.slot(position) };
            if !self.is_free(slot.stamp.load(Ordering::Acquire), position) {
                match self.why_full(word) {
                    Ok(attempt) => return attempt,
                    Err(now) => word = now,
                }
                continue;
            }
            let next = self.next(position) << 1;
            match self.tail.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed)
            {
                // SAFETY: as in `push_once`.
                Ok(_) => return unsafe { self.fill(slot, position, value) },
                Err(now) => word = self.races.tail.lost(&self.tail, now),
            }
        }
    }

    /// Fills a slot that was claimed.
    ///
    /// # Safety
    ///
    /// The stamp said free and the caller moved the tail past it (invariant 1). `value` is valid
    /// for a read, and its value is moved out.
    #[inline]
    unsafe fn fill(&self, slot: &Slot<T>, position: u64, value: *const T) -> RingOutcome {
        prefetch_write(slot);
        // SAFETY: the caller's promise.
        slot.value.with_mut(|to| unsafe { ptr::copy_nonoverlapping(value, to.cast::<T>(), 1) });
        slot.stamp.store(position + 1, Ordering::Release);
        light();
        done(&self.tail)
    }

    /// Why there is no room at `word`, or the current word: other operations have moved it on, or
    /// none has and the ring is full.
    #[inline]
    fn why_full(&self, word: u64) -> Result<RingOutcome, u64> {
        let now = self.tail.load(Ordering::Relaxed);
        if now != word {
            return Err(now);
        }
        fence(Ordering::SeqCst);
        let now = self.tail.load(Ordering::Relaxed);
        if now != word { Err(now) } else { Ok(self.blocked_push(word >> 1)) }
    }

    /// As [`Self::pop`], but a single attempt, as [`Self::push_once`].
    ///
    /// # Safety
    ///
    /// As for [`Self::pop`], and `word` comes from [`Self::head_fast`].
    #[inline]
    pub(crate) unsafe fn pop_once(&self, word: u64, out: *mut T) -> Option<RingOutcome> {
        let position = word >> 1;
        let index = position & self.index;
        // SAFETY: as in `push_once`.
        let slot = unsafe { self.slots.get_unchecked(index as usize) };
        if slot.stamp.load(Ordering::Acquire) != position + 1 {
            return None;
        }
        let next = self.behind(position, index) << 1;
        match self.head.compare_exchange(word, next, Ordering::Acquire, Ordering::Relaxed) {
            // SAFETY: the stamp said full and we moved the head past it; the caller's promise.
            Ok(_) => Some(unsafe { self.empty(slot, position, out) }),
            Err(_) => None,
        }
    }

    /// Moves a value out of the ring to `*out`, if the word is fast and there is one.
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on `Done` and `DoneSlow` it holds a value.
    #[inline]
    pub(crate) unsafe fn pop(&self, out: *mut T) -> RingOutcome {
        let mut word = self.head.load(Ordering::Relaxed);
        loop {
            if word & SLOW != 0 {
                return RingOutcome::Slow;
            }
            let position = word >> 1;
            // SAFETY: as in `push_once`.
            let slot = unsafe { self.slot(position) };
            if slot.stamp.load(Ordering::Acquire) != position + 1 {
                match self.why_empty(word) {
                    Ok(attempt) => return attempt,
                    Err(now) => word = now,
                }
                continue;
            }
            let next = self.next(position) << 1;
            match self.head.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed)
            {
                // SAFETY: as in `pop_once`.
                Ok(_) => return unsafe { self.empty(slot, position, out) },
                Err(now) => word = self.races.head.lost(&self.head, now),
            }
        }
    }

    /// Empties a slot that was claimed.
    ///
    /// # Safety
    ///
    /// The stamp said full and the caller moved the head past it (invariant 1). `out` is valid for
    /// a write; it holds the value then.
    #[inline]
    unsafe fn empty(&self, slot: &Slot<T>, position: u64, out: *mut T) -> RingOutcome {
        prefetch_write(slot);
        // SAFETY: the caller's promise.
        slot.value.with(|from| unsafe { ptr::copy_nonoverlapping(from.cast::<T>(), out, 1) });
        slot.stamp.store(position.wrapping_add(self.one_lap), Ordering::Release);
        light();
        done(&self.head)
    }

    /// Why there is nothing to receive at `word`, or the current word, as in `why_full`.
    #[inline]
    fn why_empty(&self, word: u64) -> Result<RingOutcome, u64> {
        let now = self.head.load(Ordering::Relaxed);
        if now != word {
            return Err(now);
        }
        fence(Ordering::SeqCst);
        let tail = self.tail.load(Ordering::Relaxed);
        let now = self.head.load(Ordering::Relaxed);
        if now != word {
            return Err(now);
        }
        Ok(match tail {
            // Values may be held behind the ring, or the channel is closed.
            _ if tail & SLOW != 0 => RingOutcome::Slow,
            _ if tail == word => RingOutcome::Blocked,
            _ => RingOutcome::Busy,
        })
    }

    /// Claims a run of up to `max` free slots with one compare-exchange and moves the results of
    /// `next` into them. Returns how many, and whether an operation waits (`DoneSlow`), or why
    /// none.
    ///
    /// `next` is called once per slot, between claim and publication: it must not run user code,
    /// nor fail.
    pub(crate) fn push_run(&self, max: usize, mut next: impl FnMut() -> T) -> (usize, RingOutcome) {
        let mut word = self.tail.load(Ordering::Relaxed);
        loop {
            if word & SLOW != 0 {
                return (0, RingOutcome::Slow);
            }
            let position = word >> 1;
            let run = self.run(position, max, |stamp, at| self.is_free(stamp, at));
            if run == 0 {
                match self.why_full(word) {
                    Ok(_) => return (0, RingOutcome::Blocked),
                    Err(now) => word = now,
                }
                continue;
            }
            let after = self.advance(position, run) << 1;
            match self.tail.compare_exchange_weak(word, after, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {}
                Err(now) => {
                    word = self.races.tail.lost(&self.tail, now);
                    continue;
                }
            }
            for (at, slot) in (position + 1..).zip(self.slots_at(position, run)) {
                // SAFETY: the stamp said free and we moved the tail past it (invariant 1).
                slot.value.with_mut(|to| unsafe { (*to).write(next()) });
                slot.stamp.store(at, Ordering::Release);
            }
            light();
            let slow = self.tail.load(Ordering::Relaxed) & SLOW != 0;
            return (run as usize, if slow { RingOutcome::DoneSlow } else { RingOutcome::Done });
        }
    }

    /// Claims a run of up to `max` values with one compare-exchange and passes each to `take`,
    /// under the conditions of `next` in [`Self::push_run`].
    pub(crate) fn pop_run(&self, max: usize, mut take: impl FnMut(T)) -> (usize, RingOutcome) {
        let mut word = self.head.load(Ordering::Relaxed);
        loop {
            if word & SLOW != 0 {
                return (0, RingOutcome::Slow);
            }
            let position = word >> 1;
            let run = self.run(position, max, |stamp, at| stamp == at + 1);
            if run == 0 {
                match self.why_empty(word) {
                    Ok(attempt) => return (0, attempt),
                    Err(now) => word = now,
                }
                continue;
            }
            let after = self.advance(position, run) << 1;
            match self.head.compare_exchange_weak(word, after, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {}
                Err(now) => {
                    word = self.races.head.lost(&self.head, now);
                    continue;
                }
            }
            let free = position.wrapping_add(self.one_lap);
            for (offset, slot) in (0..).zip(self.slots_at(position, run)) {
                // SAFETY: the stamp said full and we moved the head past it (invariant 1).
                take(slot.value.with(|from| unsafe { from.cast::<T>().read() }));
                slot.stamp.store(free.wrapping_add(offset), Ordering::Release);
            }
            light();
            let slow = self.head.load(Ordering::Relaxed) & SLOW != 0;
            return (run as usize, if slow { RingOutcome::DoneSlow } else { RingOutcome::Done });
        }
    }

    /// How many slots from `position` to the end of the lap have a stamp that suits their position.
    fn run(&self, position: u64, max: usize, suits: impl Fn(u64, u64) -> bool) -> u64 {
        let slots = (position..).zip(self.slots_at(position, max as u64));
        slots.take_while(|(at, slot)| suits(slot.stamp.load(Ordering::Acquire), *at)).count() as u64
    }

    /// Up to `max` slots from `position` to the end of the lap.
    #[inline]
    fn slots_at(&self, position: u64, max: u64) -> impl Iterator<Item = &Slot<T>> {
        let index = (position & self.index) as usize;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.slots.get(index..).unwrap_or_default().iter().take(max)
    }

    /// The position `run` slots on; the run does not cross the end of the lap.
    #[inline]
    fn advance(&self, position: u64, run: u64) -> u64 {
        let index = position & self.index;
        if index + run < self.slots.len() as u64 {
            position + run
        } else {
            (position - index).wrapping_add(self.one_lap)
        }
    }

    #[inline]
    fn blocked_push(&self, position: u64) -> RingOutcome {
        let head = self.head.load(Ordering::Relaxed) >> 1;
        if head.wrapping_add(self.one_lap) == position {
            RingOutcome::Blocked
        } else {
            RingOutcome::Busy
        }
    }

    /// Whether the slot of a position is free by its stamp: it has its turn, or is fresh.
    #[inline]
    fn is_free(&self, stamp: u64, position: u64) -> bool {
        stamp == position || is_fresh(stamp, position, self.index)
    }

    #[inline]
    fn stamp_at(&self, word: u64) -> u64 {
        // SAFETY: callers have slots, and the index of a word is one of them.
        unsafe { self.slot(word >> 1) }.stamp.load(Ordering::Acquire)
    }

    /// # Safety
    ///
    /// The ring has slots, and `position` comes from one of its words.
    #[inline]
    unsafe fn slot(&self, position: u64) -> &Slot<T> {
        let index = (position & self.index) as usize;
        // SAFETY: `next` keeps every index below the number of slots.
        unsafe { self.slots.get_unchecked(index) }
    }

    #[inline]
    fn next(&self, position: u64) -> u64 {
        self.behind(position, position & self.index)
    }

    /// The position behind `position`, whose index is `index`.
    #[inline]
    fn behind(&self, position: u64, index: u64) -> u64 {
        if index + 1 < self.slots.len() as u64 {
            position + 1
        } else {
            (position - index).wrapping_add(self.one_lap)
        }
    }

    /// The number of operations that a word stands for.
    fn count(&self, word: u64) -> u64 {
        let position = word >> 1;
        let (lap, index) = (position >> self.one_lap.trailing_zeros(), position & self.index);
        lap * self.slots.len() as u64 + index
    }
}

/// Whether a slot was never used: its stamp is still 0, at a position of the first lap, whose bits
/// are all those of the `index`.
#[inline]
pub(crate) fn is_fresh(stamp: u64, position: u64, index: u64) -> bool {
    stamp == 0 && position <= index
}

/// The position of a word, as a number that grows with each value that is taken.
#[inline]
pub(crate) fn position(word: u64) -> i64 {
    (word >> 1).cast_signed()
}

/// The result of a completed fast operation, by whether an operation waits.
#[inline]
fn done(word: &AtomicU64) -> RingOutcome {
    if word.load(Ordering::Relaxed) & SLOW == 0 { RingOutcome::Done } else { RingOutcome::DoneSlow }
}

/// Prefetches a line ahead for writing: a slot's stamp is read first and written soon after, which
/// would fetch the line twice when another CPU owns it.
#[inline]
fn prefetch_write<T>(slot: &Slot<T>) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // Small slots share lines, some of which are ahead; of large slots, the one after the next.
        let (ahead, lines) = const {
            let size = size_of::<Slot<T>>();
            if size <= LINE_BYTES { (PREFETCH_BYTES, 1) } else { (2 * size, size / LINE_BYTES + 1) }
        };
        let ahead = ptr::from_ref(slot).cast::<i8>().wrapping_add(ahead);
        for line in 0..lines.min(PREFETCH_LINES_MAX) {
            // SAFETY: a prefetch reads nothing and accepts any address.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(ahead.wrapping_add(line * LINE_BYTES)) };
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = slot;
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests;
