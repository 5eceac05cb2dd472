// SPDX-License-Identifier: BSD-3-Clause
//! Past the ring: how an unlimited channel holds more values than its ring has slots.
//!
//! ```text
//!   recv ◄── ring of 64 ◄──── a run, when the ring is empty ──── past the ring ◄── send
//!            head: free                                          blocks of 256
//!            tail: the lock's holder's                           under the lock
//! ```
//!
//! A queue in two parts. Receives take from the ring by one compare-exchange on `head`, as usual.
//! Sends append to the blocks behind it under the lock, which is one read-modify-write too. The
//! receive that finds the ring empty takes the oldest value from the blocks for itself and moves
//! the next ones up into the ring: so the lock is taken once per ring of receives, a value moves
//! once more than it would without a ring, and neither side reads the other side's words.
//!
//! ```text
//!             a send finds the ring full                 wait, close, put back
//!   FAST ──────────────────────────────────► PAST ──────────────────────────────────► SLOW
//!   both words free                          tail locked, head free                   both locked
//!        ◄──────────────────────────────────      ◄──────────────────────────────────
//!          the last value has moved up              hysteresis, values held behind
//! ```
//!
//! Only the holder of the lock touches a block. So a drained block can be freed at once: no
//! operation on another thread can still be reading it. Lock-free block lists need hazard pointers,
//! epochs or marks in each slot for that, and some of them freed a block twice (RUSTSEC-2025-0024).
//!
//! Source: the two-part queues of work stealing schedulers, a fixed ring with an unbounded queue
//! behind it, as tokio's run queue and its injection queue; here both parts share one order.
//!
//! # Invariants, whenever the lock is free
//!
//! 1. PAST: the blocks hold a value, no operation waits, no value is requeued, the channel is open,
//!    and S is set in `tail` and not in `head`.
//! 2. While the blocks hold a value, S is set in `tail`: values sent later go behind it.
//! 3. Every value in the ring is older than every value in the blocks. A value goes from the blocks
//!    to a receive only while the ring is empty, which it stays under the lock and with S in
//!    `tail`.
//! 4. A value counts as sent apart while it is in the blocks, and as pushed once it is in the ring.
//!
//! # Safety
//!
//! `tail` is moved by plain stores, which S in it allows to the holder of the lock, while receives
//! move `head`: a slot is written only if its stamp says free, which a receive stores after it has
//! copied the value out (the ring's invariant 1).

use super::{Core, LockedOutcome};
use crate::ring::{Ring, RingOutcome};

/// The path of a receive. See [`Core::way`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The ring: it is fast by now.
    Ring,
    /// From behind the ring.
    Past,
    /// From the ring, which is slow, or from behind it: no operation waits.
    Stored,
    /// The core's general path.
    Long,
}

impl<T> Core<T> {
    /// Whether a send may take the short path.
    #[inline]
    pub(crate) fn sends_past(&self) -> bool {
        !(self.closed | self.slow)
    }

    /// The path of a receive that found the ring empty or slow.
    #[inline]
    pub(crate) fn way(&self) -> Way {
        if !self.slow {
            return if self.past { Way::Past } else { Way::Ring };
        }
        let long = self.timed
            | !self.senders.is_empty()
            | !self.receivers.is_empty()
            | !self.requeued.is_empty();
        if long { Way::Long } else { Way::Stored }
    }

    /// Sends `*value`.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and [`Self::sends_past`]. `value` is valid for a read; its value
    /// is moved out.
    #[inline]
    pub(crate) unsafe fn send_past(&mut self, ring: &Ring<T>, value: *const T) {
        // SAFETY: the caller's promise.
        if !self.past && unsafe { self.go_past(ring, value) } {
            return;
        }
        // SAFETY: the caller's promise.
        self.spill.push(unsafe { value.read() });
        self.counts.sent_apart += 1;
        self.note_len_past(ring);
    }

    /// Gives the tail to the holder of the lock. True: the ring has room by now, and `*value` is in
    /// it.
    ///
    /// # Safety
    ///
    /// As for [`Self::send_past`].
    #[cold]
    #[inline(never)]
    unsafe fn go_past(&mut self, ring: &Ring<T>, value: *const T) -> bool {
        ring.take_tail();
        // SAFETY: the line above gave us the tail; the caller's promise.
        if unsafe { ring.push_locked(value) } == RingOutcome::Done {
            ring.give_tail();
            return true;
        }
        self.past = true;
        false
    }

    /// Receives into `*out`. `Busy`: the ring has values again.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and the way is [`Way::Past`]. `out` is valid for a write; on
    /// `Done` it holds a value.
    #[inline]
    pub(crate) unsafe fn recv_past(&mut self, ring: &Ring<T>, out: *mut T) -> LockedOutcome {
        if !ring.is_drained() {
            return LockedOutcome::Busy;
        }
        let Some(value) = self.spill.pop() else {
            return LockedOutcome::Busy;
        };
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
        self.counts.received_apart = self.counts.received_apart.wrapping_add(1);
        self.move_up(ring);
        LockedOutcome::Done
    }

    /// Receives into `*out` from the stored values.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and the way is [`Way::Stored`]. `out` is valid for a write; on
    /// `Done` it holds a value.
    #[inline]
    pub(crate) unsafe fn recv_stored(&mut self, ring: &Ring<T>, out: *mut T) -> LockedOutcome {
        // SAFETY: the ring is slow; the caller's promise.
        match unsafe { self.take(ring, out) } {
            LockedOutcome::Blocked if self.closed => LockedOutcome::Closed,
            taken => taken,
        }
    }

    /// As [`Self::recv_past`], for up to `max` values, for which `values` has room.
    pub(crate) fn recv_many_past(
        &mut self,
        ring: &Ring<T>,
        values: &mut Vec<T>,
        max: usize,
    ) -> LockedOutcome {
        if !ring.is_drained() {
            return LockedOutcome::Busy;
        }
        let before = values.len();
        values.extend(std::iter::from_fn(|| self.spill.pop()).take(max));
        let taken = (values.len() - before) as u64;
        self.counts.received_apart = self.counts.received_apart.wrapping_add(taken);
        self.move_up(ring);
        LockedOutcome::Done
    }

    /// Moves the oldest values of the blocks up into the ring, as many as it has room for; with the
    /// last of them, `tail` is given back.
    ///
    /// The caller holds the lock, and `tail` is slow.
    fn move_up(&mut self, ring: &Ring<T>) {
        // SAFETY: locked, and the tail is slow; the ring has moved out as many values as it
        // returns.
        let moved = unsafe { self.spill.pop_runs(|values, len| ring.push_run_locked(values, len)) };
        self.counts.sent_apart -= moved as u64;
        if self.spill.is_empty() {
            self.past = false;
            ring.give_tail();
        }
    }

    #[inline(never)]
    fn note_len_slow(&mut self, ring: &Ring<T>) {
        self.note_len(ring);
    }

    /// As [`Self::note_len`]: whether a new maximum is possible follows from two numbers, while the
    /// exact length needs two words that other threads write.
    #[inline]
    fn note_len_past(&mut self, ring: &Ring<T>) {
        if (self.spill.len() + ring.capacity()) as u64 > self.counts.high_water {
            self.note_len_slow(ring);
        }
    }
}
