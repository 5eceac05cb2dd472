// SPDX-License-Identifier: BSD-3-Clause
//! Against the stream: values that come back in front, and the newest ones, which are taken out.
//!
//! ```text
//!        put back                                      split off
//!           │                                              ▲
//!           ▼                                              │
//!   ◄── returned ──────┬── ring ──────┬── past the ring ───┴─◄── send
//!           ▲          │  head  tail  │
//!           └── kept ──┴───┘
//! ```
//!
//! The ring gives up values at its head only; its tail never moves back. A receive that read the
//! stamps of a run of slots before the ring went slow may move the head past that run once the ring
//! is fast again: unless the head has moved meanwhile, the run must still be full. So a split that
//! reaches into the ring empties it, and what it keeps of it goes to `returned`, where it has the
//! place of values that were handed out and given back.
//!
//! # Invariants, beyond the gate's
//!
//! 1. `returned` is in the order of its turns, and no two turns are the same. A value that is put
//!    back gets a turn before all others, one that is kept out of the ring a turn after all others.
//!    When such a value is handed out, it keeps its turn, as every other does.
//! 2. What a split takes is newer than all that stays in the channel, and was accepted before the
//!    split: what senders that wait hold moves up behind it, once it is out.
//! 3. What is taken counts as received, what comes back does not any more; what moves from the ring
//!    to `returned` counts as before.

use super::{After, Gate, Kind, Locked};
use crate::ring::{Attempt, Ring};

impl<T> Gate<T> {
    /// Takes back a value that was handed to a receive that was then dropped.
    pub(crate) fn give_back(&mut self, ring: &Ring<T>, value: T, turn: u64, after: &mut After<T>) {
        let at = self.returned.partition_point(|(other, _)| *other < turn);
        self.returned.insert(at, (turn, value));
        self.came_back(ring, 1, after);
    }

    /// Takes back values that were received: the first stands in front of all that is stored, the
    /// others behind it. `values` runs under the lock: it is an iterator of the standard library's.
    pub(crate) fn put_back(
        &mut self,
        ring: &Ring<T>,
        values: impl DoubleEndedIterator<Item = T>,
        after: &mut After<T>,
    ) {
        let mut count = 0;
        for value in values.rev() {
            self.front -= 1;
            self.returned.push_front((self.front, value));
            count += 1;
        }
        self.came_back(ring, count, after);
    }

    fn came_back(&mut self, ring: &Ring<T>, count: u64, after: &mut After<T>) {
        self.counts.received_apart = self.counts.received_apart.wrapping_sub(count);
        if self.kind == Kind::Conflated {
            // Of those that were handed out the last is the latest, unless one was sent since.
            let keep = usize::from(self.latest.is_none());
            while self.returned.len() > keep
                && let Some((_, old)) = self.returned.pop_front()
            {
                self.counts.conflated += 1;
                after.discard(old);
            }
        }
        self.note_len(ring);
        self.settle(ring, after);
    }

    /// Appends all values but the `keep` oldest to `newest`, in order. `Busy`: it took none, since a
    /// send before the last of them has claimed its slot and not published.
    ///
    /// The caller holds the lock and has entered.
    pub(crate) fn split_off(
        &mut self,
        ring: &Ring<T>,
        keep: usize,
        newest: &mut Vec<T>,
        after: &mut After<T>,
    ) -> Locked {
        if !self.receivers.is_empty() {
            // A send that had claimed its slot may have published since: who waits comes first.
            self.settle(ring, after);
        }
        let begin = newest.len();
        let before_spill = self.len(ring) - self.spill.len();
        if keep < before_spill && !self.empty_ring(ring) {
            return Locked::Busy;
        }
        let kept = keep.min(self.returned.len());
        newest.extend(self.returned.drain(kept..).map(|(_, value)| value));
        if keep == 0 {
            newest.extend(self.latest.take());
        }
        self.spill.split_off(keep.saturating_sub(before_spill), newest);
        let count = (newest.len() - begin) as u64;
        if count > 0 {
            self.counts.received_apart = self.counts.received_apart.wrapping_add(count);
            self.note_time();
            // There is room.
            self.settle(ring, after);
        }
        Locked::Done
    }

    /// Moves what the ring holds behind what was given back. False: not all of it, since a slot is
    /// claimed and not published.
    fn empty_ring(&mut self, ring: &Ring<T>) -> bool {
        while let Some(value) = self.take_ring(ring) {
            // The ring's position has counted it as received.
            self.counts.received_apart = self.counts.received_apart.wrapping_sub(1);
            let turn = self.next_turn();
            self.returned.push_back((turn, value));
        }
        ring.ready_locked() == Attempt::Blocked
    }
}
