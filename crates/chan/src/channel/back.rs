// SPDX-License-Identifier: BSD-3-Clause
//! The opposite direction: values are requeued in front, and the newest values are removed; each
//! operation under one hold of the lock.
//!
//! ```text
//!        requeue, put back                             split off
//!           │                                              ▲
//!           ▼                                              │
//!   ◄── requeued ──────┬── ring ──────┬── past the ring ───┴─◄── send
//!           ▲          │  head  tail  │
//!           └── kept ──┴───┘
//! ```
//!
//! The ring gives up values at its head only; its tail never moves back. A receive that read the
//! stamps of a run of slots before the ring went slow may move the head past that run once the ring
//! is fast again: unless the head has moved meanwhile, the run must still be full. So a split that
//! reaches into the ring empties it, and the values that stay in the channel go to `requeued`,
//! where they are ordered like values that were handed out and requeued.
//!
//! # Invariants, beyond the core's
//!
//! 1. `requeued` is in the order in which its values left the channel ([`Sequence`]), and no two
//!    left at once. A value that is put back comes before all others; a value that a split moves out
//!    of the ring left it then, after all others. When such a value leaves again, it keeps its
//!    sequence.
//! 2. The values that a split removes are newer than all that stay in the channel, and were
//!    accepted before the split: the values of waiting senders move up after the removal.
//! 3. A removed value counts as received; a requeued value is subtracted from the received ones; a
//!    value that moves from the ring to `requeued` does not change the counts.

use super::attempt::backoff;
use super::{Channel, Kind};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::ring::{Ring, RingOutcome};
use crate::waiter::Sequence;

impl<T> Channel<T> {
    /// Requeues a value that was handed to a receive that was dropped before it returned the value.
    pub(crate) fn requeue(&self, value: T, sequence: Sequence) {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        core.requeue(&self.ring, value, sequence, &mut effects);
        self.leave(core, &mut effects);
    }

    /// Puts back values that were received and are no longer counted as received, in order.
    /// `values` is an iterator of the standard library: it runs under the lock.
    pub(crate) fn put_back(&self, values: impl DoubleEndedIterator<Item = T>) {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        core.put_back(&self.ring, values, &mut effects);
        self.leave(core, &mut effects);
    }

    /// Removes and returns all values except the `keep` oldest, in order.
    pub(crate) fn split_off(&self, keep: usize) -> Vec<T> {
        let mut newest = Vec::new();
        for round in 0.. {
            let surplus = self.len().saturating_sub(keep);
            if surplus == 0 {
                break;
            }
            newest.reserve(surplus);
            let mut effects = DeferredEffects::new();
            let mut core = self.enter();
            let split = core.split_off(&self.ring, keep, &mut newest, &mut effects);
            self.leave(core, &mut effects);
            if split != LockedOutcome::Busy || !backoff(round) {
                break;
            }
        }
        newest.iter().for_each(|value| self.count_received(value));
        newest
    }
}

impl<T> Core<T> {
    /// Requeues a value that was handed to a receive that was then dropped.
    fn requeue(
        &mut self,
        ring: &Ring<T>,
        value: T,
        sequence: Sequence,
        effects: &mut DeferredEffects<T>,
    ) {
        let at = self.requeued.partition_point(|(other, _)| *other < sequence);
        self.requeued.insert(at, (sequence, value));
        self.after_requeue(ring, 1, effects);
    }

    /// Puts back values that were received: the first comes in front of all stored values, the
    /// others behind it. `values` runs under the lock: it is an iterator of the standard library.
    fn put_back(
        &mut self,
        ring: &Ring<T>,
        values: impl DoubleEndedIterator<Item = T>,
        effects: &mut DeferredEffects<T>,
    ) {
        let mut count = 0;
        for value in values.rev() {
            self.front -= 1;
            self.requeued.push_front((Sequence { position: self.front, turn: 0 }, value));
            count += 1;
        }
        self.after_requeue(ring, count, effects);
    }

    fn after_requeue(&mut self, ring: &Ring<T>, count: u64, effects: &mut DeferredEffects<T>) {
        self.counts.received_apart = self.counts.received_apart.wrapping_sub(count);
        if self.kind == Kind::Conflated {
            // The last value that was handed out is the latest, unless one was sent since.
            let keep = usize::from(self.latest.is_none());
            while self.requeued.len() > keep
                && let Some((_, old)) = self.requeued.pop_front()
            {
                self.counts.conflated += 1;
                effects.discard(old);
            }
        }
        self.note_len(ring);
        self.rebalance(ring, effects);
    }

    /// Appends all values except the `keep` oldest to `newest`, in order. `Busy`: nothing was
    /// removed, since a send before the last of them has claimed its slot and not published it.
    ///
    /// The caller holds the lock and has entered.
    fn split_off(
        &mut self,
        ring: &Ring<T>,
        keep: usize,
        newest: &mut Vec<T>,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        if !self.receivers.is_empty() {
            // A send that had claimed its slot may have published since: waiting receives come
            // first.
            self.rebalance(ring, effects);
        }
        let begin = newest.len();
        let before_spill = self.len(ring) - self.spill.len();
        if keep < before_spill && !self.empty_ring(ring) {
            return LockedOutcome::Busy;
        }
        let kept = keep.min(self.requeued.len());
        newest.extend(self.requeued.drain(kept..).map(|(_, value)| value));
        if keep == 0 {
            newest.extend(self.latest.take());
        }
        self.spill.split_off(keep.saturating_sub(before_spill), newest);
        let count = (newest.len() - begin) as u64;
        if count > 0 {
            self.counts.received_apart = self.counts.received_apart.wrapping_add(count);
            self.note_time();
            // The removal made room.
            self.rebalance(ring, effects);
        }
        LockedOutcome::Done
    }

    /// Moves the values of the ring to the end of `requeued`. False: some are left, since a slot is
    /// claimed and not published.
    fn empty_ring(&mut self, ring: &Ring<T>) -> bool {
        loop {
            let sequence = self.next_sequence(ring);
            let Some(value) = self.take_ring(ring) else { break };
            // The ring's position has counted it as received.
            self.counts.received_apart = self.counts.received_apart.wrapping_sub(1);
            self.requeued.push_back((sequence, value));
        }
        ring.ready_locked() == RingOutcome::Blocked
    }
}
