// SPDX-License-Identifier: BSD-3-Clause
//! The unlimited kind: a ring, and blocks for the values that it has no slots for. The blocks are
//! *past* the ring, seen from a send, and *behind* it, seen from a receive.
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
//! The short paths of this file are taken while no operation waits and no value is requeued; all
//! other cases take the core's general path. They have no deferred effects.
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
//! 4. A value that was put into the blocks is counted in `sent_apart`, until it moves up into the
//!    ring, whose position then counts it. One that a receive takes from the blocks stays there.
//!
//! # Safety
//!
//! `tail` is moved by plain stores, which S in it allows to the holder of the lock, while receives
//! move `head`: a slot is written only if its stamp says free, which a receive stores after it has
//! copied the value out (the ring's invariant 1).

use std::collections::VecDeque;
use std::mem::ManuallyDrop;

use super::attempt::backoff;
use super::{Channel, Outcome};
use crate::core::{Core, LockedOutcome};
use crate::ring::{Ring, RingOutcome};
use crate::transfer::{Receiving, Sending};

/// Slots of the ring; further values go to the spill.
pub(super) const RING_SLOTS: usize = if cfg!(feature = "loom") { 1 } else { 64 };

/// The path of a receive. See [`Core::way`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The ring: it is fast by now.
    Ring,
    /// From behind the ring.
    Past,
    /// From the ring, which is slow, or from behind it: no operation waits.
    Stored,
    /// The core's general path.
    Long,
}

impl<T> Channel<T> {
    /// Sends after the ring was found slow or full.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    pub(super) unsafe fn send_unlimited(&self, value: *const T) -> Outcome {
        match self.ring.push_stopped() {
            // SAFETY: the caller's promise.
            Some(_) => unsafe { self.send_past(value) },
            // SAFETY: the caller's promise.
            None => unsafe { self.send_unlimited_again(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn send_unlimited_again(&self, value: *const T) -> Outcome {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push(value) } {
            RingOutcome::Done => Outcome::Done,
            RingOutcome::DoneSlow => {
                self.rebalance();
                Outcome::Done
            }
            // SAFETY: the caller's promise.
            _ => unsafe { self.send_past(value) },
        }
    }

    /// Sends past the ring.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    unsafe fn send_past(&self, value: *const T) -> Outcome {
        let mut core = self.core.lock.lock();
        if !core.sends_past() {
            // SAFETY: the caller's promise; the value is still there after the first line.
            return unsafe {
                let Some(core) = self.hand_over(core, value) else { return Outcome::Done };
                self.try_locked::<Sending>(core, value.cast_mut())
            };
        }
        // SAFETY: locked; the caller's promise.
        unsafe { core.send_past(&self.ring, value) };
        Outcome::Done
    }

    /// Sends all of `values` past the ring. `None`: none was sent, the general path must be taken.
    pub(super) fn send_many_past(&self, values: &mut VecDeque<T>) -> Option<usize> {
        let mut core = self.core.lock.lock();
        if !core.sends_past() {
            return None;
        }
        let sent = values.len();
        while let Some(value) = values.pop_front() {
            let value = ManuallyDrop::new(value);
            // SAFETY: locked; the value is owned here, and not dropped.
            unsafe { core.send_past(&self.ring, &raw const *value) };
        }
        Some(sent)
    }

    /// Receives after the ring was found empty or slow: from behind the ring, or under the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    pub(super) unsafe fn recv_past(&self, out: *mut T) -> Outcome {
        for round in 0.. {
            let mut core = self.core.lock.lock();
            let taken = match core.way() {
                // SAFETY: locked, and the path is this one; the caller's promise.
                Way::Past => unsafe { core.recv_past(&self.ring, out) },
                // SAFETY: as above.
                Way::Stored => unsafe { core.recv_stored(&self.ring, out) },
                Way::Ring => LockedOutcome::Busy,
                // SAFETY: the caller's promise.
                Way::Long => return unsafe { self.try_locked::<Receiving>(core, out) },
            };
            if core.is_slow() {
                core.leave(&self.ring, &self.core.hint);
            }
            drop(core);
            match taken {
                LockedOutcome::Done => return Outcome::Done,
                LockedOutcome::Closed => return Outcome::Closed,
                LockedOutcome::Blocked => return Outcome::Blocked,
                LockedOutcome::Busy => {}
            }
            // SAFETY: the caller's promise.
            if let Some(tried) = self.outcome(unsafe { self.ring.pop(out) }) {
                return tried;
            }
            if !backoff(round) {
                break;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.try_locked_core::<Receiving>(out) }
    }

    /// Receives up to `max` values from behind a ring that was found empty, for which `values` has
    /// room. `Busy`: none, the ring has values again; `Blocked`: the general path must be taken.
    pub(super) fn recv_many_past(&self, values: &mut Vec<T>, max: usize) -> LockedOutcome {
        let mut core = self.core.lock.lock();
        match core.way() {
            Way::Past => core.recv_many_past(&self.ring, values, max),
            Way::Ring => LockedOutcome::Busy,
            Way::Stored | Way::Long => LockedOutcome::Blocked,
        }
    }
}

impl<T> Core<T> {
    /// Whether a send may take the short path.
    #[inline]
    fn sends_past(&self) -> bool {
        !(self.closed | self.slow)
    }

    /// The path of a receive that found the ring empty or slow.
    #[inline]
    pub(super) fn way(&self) -> Way {
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
    unsafe fn send_past(&mut self, ring: &Ring<T>, value: *const T) {
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
    pub(super) unsafe fn recv_past(&mut self, ring: &Ring<T>, out: *mut T) -> LockedOutcome {
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
    unsafe fn recv_stored(&mut self, ring: &Ring<T>, out: *mut T) -> LockedOutcome {
        // SAFETY: the ring is slow; the caller's promise.
        match unsafe { self.take(ring, out) } {
            LockedOutcome::Blocked if self.closed => LockedOutcome::Closed,
            taken => taken,
        }
    }

    /// As [`Self::recv_past`], for up to `max` values, for which `values` has room.
    fn recv_many_past(&mut self, ring: &Ring<T>, values: &mut Vec<T>, max: usize) -> LockedOutcome {
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

    /// Stores `*value` in the ring, or behind it, for the general path.
    ///
    /// # Safety
    ///
    /// As for [`Core::send`].
    #[inline]
    pub(crate) unsafe fn store_behind(&mut self, ring: &Ring<T>, value: *const T) {
        // SAFETY: entered; moved out at most once.
        unsafe {
            if !self.spill.is_empty() || ring.push_locked(value) != RingOutcome::Done {
                self.spill.push(value.read());
                self.counts.sent_apart += 1;
            }
        }
        self.note_len(ring);
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use crate::{Kind, Receiver, Sender, bounded, unlimited};

    const VALUES: usize = 1000;

    fn filled() -> (Sender<usize>, Receiver<usize>) {
        let (tx, rx) = unlimited();
        (0..VALUES).for_each(|number| tx.try_send(number).unwrap());
        (tx, rx)
    }

    #[test]
    fn a_backlog_is_received_from_the_ring_and_not_under_the_lock() {
        let (tx, rx) = filled();
        let mut locked = 0;
        for number in 0..VALUES {
            locked += usize::from(rx.channel.ring.may_pop() != Some(true));
            assert_eq!(rx.try_recv(), Ok(number));
        }
        // Once per ring of values: the receive that moves the next values up.
        assert!(locked <= VALUES / rx.channel.ring.capacity(), "{locked}");
        assert!(tx.channel.ring.is_fast(), "nothing is held past the ring any more");
    }

    #[test]
    fn a_batch_is_received_from_behind_the_ring_and_leaves_receives_on_it() {
        let (tx, rx) = filled();
        let mut values = Vec::new();
        let (received, _) = rx.channel.try_recv_many(&mut values, VALUES / 2);
        assert_eq!(received, VALUES / 2);
        assert!(values.iter().copied().eq(0..VALUES / 2));
        assert_eq!(rx.channel.ring.may_pop(), Some(true));
        let mut more = (0..VALUES).collect();
        assert_eq!(tx.channel.try_send_many(&mut more).0, VALUES);
        assert_eq!(rx.channel.ring.may_pop(), Some(true));
        assert!(rx.try_iter().eq((VALUES / 2..VALUES).chain(0..VALUES)));
    }

    #[test]
    fn the_counters_are_exact_at_every_step_of_a_backlog() {
        let (tx, rx) = unlimited();
        let seen = |sends: usize, receives: usize, most: usize| {
            let seen = tx.snapshot();
            assert_eq!((seen.sends, seen.receives), (sends as u64, receives as u64));
            assert_eq!((seen.len, seen.high_water), (sends - receives, most));
        };
        for number in 0..VALUES {
            assert!(tx.try_send(number).is_ok());
            if number % 7 == 0 {
                seen(number + 1, 0, number + 1);
            }
        }
        for number in 0..VALUES {
            assert_eq!(rx.try_recv(), Ok(number));
            if number % 7 == 0 {
                seen(VALUES, number + 1, VALUES);
            }
        }
    }

    /// Operations that found the ring slow, and reach the lock when it is fast again.
    #[test]
    fn an_operation_that_comes_late_to_the_lock_leaves_a_fast_ring_fast() {
        for (tx, rx) in [bounded(4), unlimited()] {
            let value = 7_u64;
            // SAFETY: the value is copied, and has no drop.
            let sent = unsafe {
                match tx.kind() {
                    Kind::Bounded => tx.channel.send_stored(&raw const value),
                    _ => tx.channel.send_past(&raw const value),
                }
            };
            assert_eq!(sent, super::Outcome::Done);
            assert!(tx.channel.ring.is_fast());
            let mut out = 0;
            // SAFETY: the place is ours.
            assert_eq!(unsafe { rx.channel.recv_past(&raw mut out) }, super::Outcome::Done);
            assert!(out == value && rx.channel.ring.is_fast());
        }
    }
}
