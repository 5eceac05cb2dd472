// SPDX-License-Identifier: BSD-3-Clause
//! The channel core: everything that happens under a channel's lock, for every kind.
//!
//! The core is a complete channel by itself: two wait queues, the storage of the kind, and the
//! rules by which a value goes from one side to the other. The ring's fast path bypasses it only
//! while no operation waits. A channel made with `timing` never bypasses it; the tests compare the
//! fast path with such a channel.
//!
//! ```text
//!   send ──► a receiver waits and nothing is stored ──► copied into the receiver's slot
//!        ──► room                                   ──► stored
//!        ──► otherwise                              ──► the overflow policy, or queue `senders`
//!
//!   recv ──► requeued │ ring │ past the ring │ latest ──► and a waiting sender's value moves up
//!        ──► a waiting sender's own slot (rendezvous)
//!        ──► otherwise                                ──► queue `receivers`
//! ```
//!
//! What one kind does differently is in the kind's file in [`crate::channel`]; the operations in the
//! opposite direction (requeued values, the removal of the newest values) are in `channel/back.rs`.
//!
//! # Invariants, whenever the lock is free
//!
//! 1. Receivers wait only while nothing can be received; senders wait only while there is no room.
//!    (A slot that was claimed and not published counts as neither: the operation that claimed it
//!    rebalances after its publication.)
//! 2. Waiting operations are served in the order of arrival, before any operation that arrives
//!    later.
//! 3. A value that was handed to a receive that was then dropped comes before all stored values;
//!    several such values are in the order in which they left.
//! 4. `sends = receives + len + undelivered`, in values accepted.
//! 5. No user code runs under the lock: values are moved by copy; wakers and values to be dropped
//!    are collected in a [`DeferredEffects`], which is processed once the lock is free.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use crate::channel::{Kind, Overflow};
use crate::hint::ReadinessHint;
use crate::ring::{Ring, RingOutcome};
use crate::spill::Spill;
use crate::transfer::Direction;
use crate::waiter::{Node, PendingWakes, Sequence, WaitQueue};

/// Hysteresis: locked operations without a waiter after which the ring is fast again.
const HYSTERESIS_OPERATIONS: u8 = if cfg!(feature = "loom") { 1 } else { 4 };

/// The result of an operation under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockedOutcome {
    Done,
    Blocked,
    /// Blocked by an operation that has claimed a slot and not published it yet.
    Busy,
    Closed,
}

/// Deferred effects: the work of an operation that must wait until the lock is free.
#[derive(Debug)]
pub(crate) struct DeferredEffects<T> {
    pub(crate) wakes: PendingWakes,
    /// The first value that no receiver will get; usually there is none, rarely more than one.
    pub(crate) undelivered: Option<T>,
    pub(crate) undelivered_more: Vec<T>,
    /// Take the lock again and continue to rebalance.
    pub(crate) again: bool,
}

impl<T> DeferredEffects<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            wakes: PendingWakes::new(),
            undelivered: None,
            undelivered_more: Vec::new(),
            again: false,
        }
    }

    #[inline]
    pub(crate) fn discard(&mut self, value: T) {
        if self.undelivered.is_none() {
            self.undelivered = Some(value);
        } else {
            self.undelivered_more.push(value);
        }
    }

    fn is_enough(&self) -> bool {
        self.wakes.is_enough() || self.undelivered_more.len() >= 64
    }
}

/// The counts that are kept under the lock; the ring's positions count the rest.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Values accepted outside of the ring: in the spill, as the latest value, or dropped at once.
    pub(crate) sent_apart: u64,
    /// Values received from outside of the ring, minus those that were requeued. Wraps.
    pub(crate) received_apart: u64,
    /// Values that left the ring without being received.
    pub(crate) discarded: u64,
    /// Handoffs: values copied from a sender straight to a receiver, both accepted and received.
    pub(crate) handed: u64,
    pub(crate) conflated: u64,
    pub(crate) dropped: u64,
    /// Values that the channel held when the last receiver was dropped.
    pub(crate) left: u64,
    pub(crate) high_water: u64,
}

/// First and last time of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
}

#[derive(Debug)]
pub(crate) struct Core<T> {
    pub(crate) kind: Kind,
    pub(crate) overflow: Overflow,
    /// Both index words of the ring belong to the holder of the lock.
    pub(crate) slow: bool,
    /// Only `tail` belongs to the holder of the lock: values are held past the ring, and no
    /// operation waits.
    pub(crate) past: bool,
    /// The words belong to the holder of the lock for good: there is no ring, every operation is
    /// timed, or the channel is closed.
    pinned: bool,
    /// Operations under the lock since the last one that found a waiter or a requeued value.
    pub(crate) quiet_operations: u8,
    pub(crate) closed: bool,
    /// The last receiver is gone.
    abandoned: bool,
    pub(crate) timed: bool,
    pub(crate) senders: WaitQueue,
    pub(crate) receivers: WaitQueue,
    pub(crate) latest: Option<T>,
    pub(crate) requeued: VecDeque<(Sequence, T)>,
    pub(crate) spill: Spill<T>,
    /// The last sequence number: each operation under the lock that may take a value out gets one.
    turn: u64,
    /// The lowest position of a value that was put back: it counts down from 0, so that these values
    /// come before all others.
    pub(crate) front: i64,
    pub(crate) counts: Counts,
    pub(crate) span: Option<Span>,
    reason: Option<Arc<str>>,
}

impl<T> Core<T> {
    pub(crate) fn new(kind: Kind, overflow: Overflow, timed: bool) -> Self {
        let ringless = matches!(kind, Kind::Rendezvous | Kind::Conflated);
        Self {
            kind,
            // The other kinds have none.
            overflow: if kind == Kind::Bounded { overflow } else { Overflow::Suspend },
            slow: ringless,
            past: false,
            pinned: ringless || timed,
            quiet_operations: 0,
            closed: false,
            abandoned: false,
            timed,
            senders: WaitQueue::default(),
            receivers: WaitQueue::default(),
            latest: None,
            requeued: VecDeque::new(),
            spill: Spill::new(),
            turn: 0,
            front: 0,
            counts: Counts::default(),
            span: None,
            reason: None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn reason(&self) -> Option<&Arc<str>> {
        self.reason.as_ref()
    }

    /// Whether the ring's words belong to the holder of the lock.
    #[inline]
    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Gives the ring's words to the holder of the lock.
    #[inline]
    pub(crate) fn enter(&mut self, ring: &Ring<T>) {
        if !self.slow {
            self.slow = true;
            self.past = false;
            self.quiet_operations = 0;
            ring.go_slow();
        }
    }

    /// Publishes the readiness hint: what an operation would find under the lock. A slot that is
    /// claimed and not published counts as found, since it can be waited for only under the lock.
    #[inline]
    pub(crate) fn update_hint(&self, ring: &Ring<T>, hint: &ReadinessHint) {
        if self.closed {
            hint.set(true, true);
            return;
        }
        let (mut send, mut recv) = (false, !self.requeued.is_empty());
        match self.kind {
            Kind::Rendezvous => {
                send |= !self.receivers.is_empty();
                recv |= !self.senders.is_empty();
            }
            Kind::Conflated => {
                send = true;
                recv |= self.latest.is_some();
            }
            Kind::Bounded | Kind::Unlimited => {
                send |= self.kind == Kind::Unlimited
                    || self.overflow != Overflow::Suspend
                    || (ring.room_locked() != RingOutcome::Blocked && !self.is_overfull(ring));
                recv |= ring.ready_locked() != RingOutcome::Blocked || !self.spill.is_empty();
            }
        }
        hint.set(send, recv);
    }

    /// Gives the words back after some operations that did not need the lock (hysteresis). If
    /// values are held past the ring, only `head` is given back.
    #[inline]
    pub(crate) fn leave(&mut self, ring: &Ring<T>, hint: &ReadinessHint) {
        self.update_hint(ring, hint);
        if self.pinned {
            return;
        }
        if !self.senders.is_empty() || !self.receivers.is_empty() || !self.requeued.is_empty() {
            self.quiet_operations = 0;
            return;
        }
        self.quiet_operations += 1;
        if self.quiet_operations >= HYSTERESIS_OPERATIONS {
            self.slow = false;
            self.past = !self.spill.is_empty();
            hint.set(true, true);
            if self.past {
                ring.give_head();
            } else {
                ring.go_fast();
            }
        }
    }

    /// Values held, including those that were claimed and not published.
    pub(crate) fn len(&self, ring: &Ring<T>) -> usize {
        ring.len() + self.spill.len() + self.requeued.len() + usize::from(self.latest.is_some())
    }

    /// Sends `*value` if that needs no waiting.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and has entered. `value` is valid for a read; on `Done` its value
    /// has been moved out.
    #[inline]
    pub(crate) unsafe fn send(
        &mut self,
        ring: &Ring<T>,
        value: *const T,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        if self.closed {
            return LockedOutcome::Closed;
        }
        if !self.receivers.is_empty()
            && (self.senders.is_empty() || self.kind == Kind::Rendezvous)
            && !self.holds_any(ring)
            && let Some(receiver) = self.receivers.pop_claimed()
        {
            // SAFETY: a claimed receiver's slot is valid for a write; the caller's promise.
            unsafe { ptr::copy_nonoverlapping(value, receiver.node().slot::<T>(), 1) };
            self.counts.handed += 1;
            receiver.node().set_sequence(self.next_sequence(ring));
            effects.wakes.push(receiver.matched());
            self.note_time();
            return LockedOutcome::Done;
        }
        if !self.senders.is_empty() {
            // A receive that had claimed its slot may have published since: waiting sends come
            // first.
            self.admit(ring, effects);
            if self.kind == Kind::Bounded && !self.senders.is_empty() {
                return self.full(ring);
            }
        }
        // SAFETY: the caller's promise.
        let sent = unsafe { self.store(ring, value, effects) };
        if sent == LockedOutcome::Done {
            if !self.receivers.is_empty() {
                self.rebalance(ring, effects);
            }
            self.note_time();
        }
        sent
    }

    /// # Safety
    ///
    /// As for [`Self::send`].
    #[inline]
    unsafe fn store(
        &mut self,
        ring: &Ring<T>,
        value: *const T,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        match self.kind {
            Kind::Rendezvous => return LockedOutcome::Blocked,
            // SAFETY: the caller's promise.
            Kind::Conflated => unsafe { self.store_latest(value, effects) },
            Kind::Unlimited => {
                // SAFETY: the caller's promise.
                unsafe { self.store_behind(ring, value) };
                return LockedOutcome::Done;
            }
            Kind::Bounded => {
                // SAFETY: the caller's promise.
                let stored = unsafe { self.store_bounded(ring, value, effects) };
                if stored != LockedOutcome::Done {
                    return stored;
                }
            }
        }
        if self.timed {
            self.note_len(ring);
        }
        LockedOutcome::Done
    }

    /// Receives into `*out` if that needs no waiting.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and has entered. `out` is valid for a write; on `Done` it holds a
    /// value.
    #[inline]
    pub(crate) unsafe fn recv(
        &mut self,
        ring: &Ring<T>,
        out: *mut T,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        if !self.receivers.is_empty() {
            self.rebalance(ring, effects);
            if self.kind != Kind::Rendezvous && !self.receivers.is_empty() {
                return match ring.ready_locked() {
                    _ if self.closed && !self.holds_any(ring) => LockedOutcome::Closed,
                    RingOutcome::Blocked => LockedOutcome::Blocked,
                    _ => LockedOutcome::Busy,
                };
            }
        }
        // SAFETY: the caller's promise.
        let taken = unsafe { self.take(ring, out) };
        if taken == LockedOutcome::Done {
            if !self.senders.is_empty() {
                self.admit(ring, effects);
            }
            self.note_time();
            return LockedOutcome::Done;
        }
        if self.kind == Kind::Rendezvous
            && let Some(sender) = self.senders.pop_claimed()
        {
            // SAFETY: a claimed sender's slot holds its value; the caller's promise.
            unsafe { ptr::copy_nonoverlapping(sender.node().slot::<T>(), out, 1) };
            effects.wakes.push(sender.matched());
            self.counts.handed += 1;
            self.note_time();
            return LockedOutcome::Done;
        }
        if self.closed && taken == LockedOutcome::Blocked { LockedOutcome::Closed } else { taken }
    }

    /// Takes the oldest stored value.
    ///
    /// # Safety
    ///
    /// As for [`Self::recv`].
    #[inline]
    pub(crate) unsafe fn take(&mut self, ring: &Ring<T>, out: *mut T) -> LockedOutcome {
        let value = if let Some((_, value)) = self.requeued.pop_front() {
            value
        } else {
            match self.kind {
                Kind::Rendezvous => return LockedOutcome::Blocked,
                Kind::Conflated => match self.latest.take() {
                    Some(value) => value,
                    None => return LockedOutcome::Blocked,
                },
                // SAFETY: entered; the caller's promise.
                Kind::Bounded | Kind::Unlimited => match unsafe { ring.pop_locked(out) } {
                    RingOutcome::Busy => return LockedOutcome::Busy,
                    RingOutcome::Blocked if self.spill.is_empty() => return LockedOutcome::Blocked,
                    RingOutcome::Blocked => match self.spill.pop() {
                        Some(value) => value,
                        None => return LockedOutcome::Blocked,
                    },
                    _ => return LockedOutcome::Done,
                },
            }
        };
        self.counts.received_apart = self.counts.received_apart.wrapping_add(1);
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
        LockedOutcome::Done
    }

    /// As [`Self::recv`], and stores the value's sequence in `left`.
    ///
    /// # Safety
    ///
    /// As for [`Self::recv`].
    pub(crate) unsafe fn recv_in_sequence(
        &mut self,
        ring: &Ring<T>,
        out: *mut T,
        left: &Cell<Sequence>,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        if !self.receivers.is_empty() {
            // Waiting receives come first: what they are handed leaves before.
            self.rebalance(ring, effects);
        }
        left.set(self.next_sequence(ring));
        // SAFETY: the caller's promise.
        unsafe { self.recv(ring, out, effects) }
    }

    /// The wait queue of a direction.
    #[inline]
    pub(crate) fn waiters<D: Direction>(&mut self) -> &mut WaitQueue {
        if D::SENDS { &mut self.senders } else { &mut self.receivers }
    }

    /// Appends a node to the wait queue of its direction.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::push_back`]; an attempt has just returned `Blocked` or `Busy`, under the
    /// same hold of the lock.
    pub(crate) unsafe fn queue<D: Direction>(&mut self, ring: &Ring<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.waiters::<D>().push_back(node) };
        if D::SENDS {
            self.note_len(ring);
        }
    }

    /// Rebalances: moves stored values to waiting receivers and values of waiting senders to free
    /// slots. On a closed channel, also ends the waits that cannot succeed any more.
    pub(crate) fn rebalance(&mut self, ring: &Ring<T>, effects: &mut DeferredEffects<T>) {
        loop {
            while !self.receivers.is_empty() && self.is_ready(ring) {
                let Some(receiver) = self.receivers.pop_claimed() else {
                    break;
                };
                let sequence = self.next_sequence(ring);
                // SAFETY: entered; a claimed receiver's slot is valid for a write.
                let taken = unsafe { self.take(ring, receiver.node().slot::<T>()) };
                debug_assert_eq!(taken, LockedOutcome::Done, "a value was ready under the lock");
                // `take` or the ring's position has counted it as received.
                receiver.node().set_sequence(sequence);
                effects.wakes.push(receiver.matched());
            }
            if !self.admit(ring, effects) || self.receivers.is_empty() {
                break;
            }
        }
        if self.closed {
            self.end(ring, effects);
        }
    }

    /// Moves the values of waiting senders into free slots, or does with them what the overflow
    /// policy says, if it has changed since they began to wait. True if any moved.
    fn admit(&mut self, ring: &Ring<T>, effects: &mut DeferredEffects<T>) -> bool {
        let mut moved = false;
        while !self.senders.is_empty() {
            if self.overflow != Overflow::Suspend && effects.is_enough() {
                effects.again = true;
                break;
            }
            if !self.has_room(ring) {
                match self.overflow {
                    Overflow::DropOldest if self.is_ready(ring) => {}
                    Overflow::DropLatest if self.full(ring) == LockedOutcome::Blocked => {
                        let Some(sender) = self.senders.pop_claimed() else {
                            break;
                        };
                        // SAFETY: a claimed sender's slot holds its value, which is moved out.
                        self.drop_latest(unsafe { sender.node().slot::<T>().read() }, effects);
                        effects.wakes.push(sender.matched());
                        continue;
                    }
                    _ => break,
                }
            }
            let Some(sender) = self.senders.pop_claimed() else {
                break;
            };
            // With `DropOldest` a send waits if every slot was between claim and publication when it
            // was queued, or if the policy was another then.
            while !self.has_room(ring) && self.drop_oldest(ring, effects) {}
            // SAFETY: entered; a claimed sender's slot holds its value.
            let pushed = unsafe { ring.push_locked(sender.node().slot::<T>()) };
            debug_assert_eq!(pushed, RingOutcome::Done, "there was room under the lock");
            effects.wakes.push(sender.matched());
            moved = true;
        }
        moved
    }

    /// Ends the waits on a closed channel, a bounded number of them per hold of the lock.
    fn end(&mut self, ring: &Ring<T>, effects: &mut DeferredEffects<T>) {
        while let Some(sender) = self.senders.pop_claimed() {
            effects.wakes.push(sender.closed());
            if effects.is_enough() {
                effects.again = true;
                return;
            }
        }
        if self.abandoned {
            while let Some(value) = self.take_any(ring) {
                self.counts.left += 1;
                effects.discard(value);
                if effects.is_enough() {
                    effects.again = true;
                    return;
                }
            }
        }
        if self.holds_any(ring) {
            return;
        }
        while let Some(receiver) = self.receivers.pop_claimed() {
            effects.wakes.push(receiver.closed());
            if effects.is_enough() {
                effects.again = true;
                return;
            }
        }
    }

    /// Closes the channel. True if it was open.
    pub(crate) fn close(
        &mut self,
        ring: &Ring<T>,
        reason: Option<Arc<str>>,
        effects: &mut DeferredEffects<T>,
    ) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.pinned = true;
        self.reason = reason;
        self.end(ring, effects);
        true
    }

    /// Closes the channel after its last receiver: all stored values are undelivered.
    pub(crate) fn abandon(&mut self, ring: &Ring<T>, effects: &mut DeferredEffects<T>) {
        self.abandoned = true;
        self.close(ring, None, effects);
        self.end(ring, effects);
    }

    /// Whether a receive would find something.
    fn is_ready(&self, ring: &Ring<T>) -> bool {
        !self.requeued.is_empty()
            || self.latest.is_some()
            || match ring.ready_locked() {
                RingOutcome::Done => true,
                RingOutcome::Blocked => !self.spill.is_empty(),
                _ => false,
            }
    }

    /// Whether anything is stored, published or not.
    #[inline]
    pub(crate) fn holds_any(&self, ring: &Ring<T>) -> bool {
        !self.requeued.is_empty()
            || self.latest.is_some()
            || !self.spill.is_empty()
            || ring.ready_locked() != RingOutcome::Blocked
    }

    pub(crate) fn take_any(&mut self, ring: &Ring<T>) -> Option<T> {
        if let Some((_, value)) = self.requeued.pop_front() {
            return Some(value);
        }
        if let Some(value) = self.latest.take() {
            return Some(value);
        }
        if let Some(value) = self.take_ring(ring) {
            self.counts.discarded += 1;
            return Some(value);
        }
        if ring.ready_locked() == RingOutcome::Blocked { self.spill.pop() } else { None }
    }

    pub(crate) fn take_ring(&mut self, ring: &Ring<T>) -> Option<T> {
        let mut value = std::mem::MaybeUninit::uninit();
        // SAFETY: entered; on `Done` the value is there.
        unsafe {
            (ring.pop_locked(value.as_mut_ptr()) == RingOutcome::Done).then(|| value.assume_init())
        }
    }

    /// The sequence of the value that leaves next, under this hold of the lock. A requeued value
    /// keeps its own.
    #[inline]
    pub(crate) fn next_sequence(&mut self, ring: &Ring<T>) -> Sequence {
        match self.requeued.front() {
            Some((sequence, _)) => *sequence,
            None => self.sequence_at(ring.head_position()),
        }
    }

    /// The sequence of a value that leaves next, while the ring's head is at `position`.
    #[inline]
    pub(crate) fn sequence_at(&mut self, position: i64) -> Sequence {
        self.turn += 1;
        Sequence { position, turn: self.turn }
    }

    #[inline]
    pub(crate) fn note_time(&mut self) {
        if self.timed {
            let now = Instant::now();
            self.span.get_or_insert(Span { first: now, last: now }).last = now;
        }
    }

    pub(crate) fn note_len(&mut self, ring: &Ring<T>) {
        let len = self.len(ring) as u64;
        self.counts.high_water = self.counts.high_water.max(len);
    }
}
