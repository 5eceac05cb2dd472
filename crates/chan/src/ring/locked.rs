// SPDX-License-Identifier: BSD-3-Clause
//! Operations of the holder of the channel's lock on the ring: it owns the words while they are
//! slow, and moves them by plain stores.

use std::ptr;

use super::{Ring, RingOutcome, SLOW, position};
use crate::sync::Ordering;

impl<T> Ring<T> {
    /// Gives both words to the holder of the lock.
    pub(crate) fn go_slow(&self) {
        self.tail.fetch_or(SLOW, Ordering::SeqCst);
        self.head.fetch_or(SLOW, Ordering::SeqCst);
    }

    /// Gives both words back.
    ///
    /// The caller holds the lock, and the words are slow.
    pub(crate) fn go_fast(&self) {
        self.give_head();
        self.give_tail();
    }

    /// Gives `tail` to the holder of the lock.
    pub(crate) fn take_tail(&self) {
        self.tail.fetch_or(SLOW, Ordering::SeqCst);
    }

    /// Gives `tail` back, as [`Self::go_fast`].
    pub(crate) fn give_tail(&self) {
        self.tail.fetch_and(!SLOW, Ordering::Release);
    }

    /// Gives `head` back, as [`Self::go_fast`].
    pub(crate) fn give_head(&self) {
        self.head.fetch_and(!SLOW, Ordering::Release);
    }

    /// Where the next value is taken. Values that were taken before had lower positions.
    ///
    /// The caller holds the lock, and `head` is slow.
    #[inline]
    pub(crate) fn head_position(&self) -> i64 {
        position(self.head.load(Ordering::Relaxed))
    }

    /// Where the next value is put: where the head is, if the ring is drained.
    ///
    /// The caller holds the lock, and `tail` is slow.
    #[inline]
    pub(crate) fn tail_position(&self) -> i64 {
        position(self.tail.load(Ordering::Relaxed))
    }

    /// Whether every value that was pushed has been claimed by a receive.
    ///
    /// The caller holds the lock, and `tail` is slow: the answer for an empty ring stays true.
    pub(crate) fn is_drained(&self) -> bool {
        self.head.load(Ordering::Relaxed) >> 1 == self.tail.load(Ordering::Relaxed) >> 1
    }

    /// As [`Self::push`], for the holder of the lock, while `tail` is slow.
    ///
    /// # Safety
    ///
    /// As for [`Self::push`], and the caller holds the lock and `tail` is slow.
    pub(crate) unsafe fn push_locked(&self, value: *const T) -> RingOutcome {
        let word = self.tail.load(Ordering::Relaxed);
        let position = word >> 1;
        if self.slots.is_empty() {
            return RingOutcome::Blocked;
        }
        // SAFETY: there are slots, and the index is one of them.
        let slot = unsafe { self.slot(position) };
        if !self.is_free(slot.stamp.load(Ordering::Acquire), position) {
            return self.blocked_push(position);
        }
        // SAFETY: the stamp says free and the tail is ours (invariant 2).
        slot.value.with_mut(|to| unsafe { ptr::copy_nonoverlapping(value, to.cast::<T>(), 1) });
        self.tail.store(self.next(position) << 1 | SLOW, Ordering::Relaxed);
        slot.stamp.store(position + 1, Ordering::Release);
        RingOutcome::Done
    }

    /// Moves values into the ring, the first ones of the `len` at `values`, as many as it has room
    /// for, and returns how many.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and `tail` is slow. The values are valid for a read; as many as
    /// the result have been moved out.
    #[inline]
    pub(crate) unsafe fn push_run_locked(&self, values: *const T, len: usize) -> usize {
        // Read once: behind a load that acquires, the compiler would read them again.
        let (slots, one_lap) = (&*self.slots, self.one_lap);
        let mut position = self.tail.load(Ordering::Relaxed) >> 1;
        let mut index = (position & self.index) as usize;
        let mut moved = 0;
        while moved < len
            && let Some(slot) = slots.get(index)
        {
            // Pairs with the store of the receive that has copied the last lap's value out.
            if !self.is_free(slot.stamp.load(Ordering::Acquire), position) {
                break;
            }
            // SAFETY: the stamp says free and the tail is ours (invariants 1 and 2); the caller's
            // promise for the value.
            slot.value.with_mut(|to| unsafe {
                ptr::copy_nonoverlapping(values.add(moved), to.cast::<T>(), 1);
            });
            let filled = position + 1;
            (position, index) = if index + 1 < slots.len() {
                (filled, index + 1)
            } else {
                ((position - index as u64).wrapping_add(one_lap), 0)
            };
            // Before the stamp, which publishes it: a receive never moves `head` past this slot and
            // beyond the tail.
            self.tail.store(position << 1 | SLOW, Ordering::Relaxed);
            slot.stamp.store(filled, Ordering::Release);
            moved += 1;
        }
        moved
    }

    /// As [`Self::pop`], for the holder of the lock, while the ring is slow.
    ///
    /// # Safety
    ///
    /// As for [`Self::pop`], and the caller holds the lock and the words are slow.
    pub(crate) unsafe fn pop_locked(&self, out: *mut T) -> RingOutcome {
        let ready = self.ready_locked();
        if ready != RingOutcome::Done {
            return ready;
        }
        let position = self.head.load(Ordering::Relaxed) >> 1;
        // SAFETY: there is a value, hence a slot.
        let slot = unsafe { self.slot(position) };
        // SAFETY: the stamp says full and the head is ours (invariant 2).
        slot.value.with(|from| unsafe { ptr::copy_nonoverlapping(from.cast::<T>(), out, 1) });
        slot.stamp.store(position.wrapping_add(self.one_lap), Ordering::Release);
        self.head.store(self.next(position) << 1 | SLOW, Ordering::Relaxed);
        RingOutcome::Done
    }

    /// Whether [`Self::pop_locked`] would find a value: `Done`, `Blocked` or `Busy`.
    #[inline]
    pub(crate) fn ready_locked(&self) -> RingOutcome {
        if self.slots.is_empty() {
            return RingOutcome::Blocked;
        }
        let position = self.head.load(Ordering::Relaxed) >> 1;
        if self.stamp_at(position << 1) == position + 1 {
            return RingOutcome::Done;
        }
        if self.tail.load(Ordering::Relaxed) >> 1 == position {
            RingOutcome::Blocked
        } else {
            RingOutcome::Busy
        }
    }

    /// Whether [`Self::push_locked`] would find room: `Done`, `Blocked` or `Busy`.
    #[inline]
    pub(crate) fn room_locked(&self) -> RingOutcome {
        if self.slots.is_empty() {
            return RingOutcome::Blocked;
        }
        let word = self.tail.load(Ordering::Relaxed);
        if self.is_free(self.stamp_at(word), word >> 1) {
            return RingOutcome::Done;
        }
        self.blocked_push(word >> 1)
    }
}
