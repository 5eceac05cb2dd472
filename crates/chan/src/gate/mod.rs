// SPDX-License-Identifier: BSD-3-Clause
//! Everything that happens under a channel's lock, for every kind.
//!
//! The gate is a whole channel by itself: two lists of waiters, what the kind stores, and the
//! rules by which a value goes from one side to the other. The ring's fast path only leaves it out
//! while nobody waits. A channel made with `timing` never leaves it out; the tests hold the fast
//! path against that one.
//!
//! ```text
//!   send ──► a receiver waits and nothing is stored ──► straight into its slot
//!        ──► room                                   ──► stored
//!        ──► otherwise                              ──► the overflow policy, or a place in `senders`
//!
//!   recv ──► returned │ ring │ past the ring │ latest ──► and a waiting sender's value moves up
//!        ──► a waiting sender's own slot (rendezvous)
//!        ──► otherwise                                ──► a place in `receivers`
//! ```
//!
//! [`back`] has what goes against that stream: values that come back in front, and the newest ones,
//! which are taken out; [`past`] what an unlimited channel does that holds more than its ring.
//!
//! # Invariants, whenever the lock is free
//!
//! 1. Receivers wait only while nothing can be received; senders wait only while there is no room.
//!    (A slot that was claimed and not published counts as neither: who claimed it comes to settle.)
//! 2. Who waits is served in the order of coming, before anybody who comes later.
//! 3. A value that was handed to a receive that was then dropped comes before all that is stored,
//!    and among its like in the order in which they were handed out.
//! 4. `sends = receives + len + undelivered`, in values accepted.
//! 5. No code of the user's runs under the lock: values are moved by copy, wakers and values to be
//!    dropped are collected in an [`After`] and dealt with once it is free.

mod back;
mod past;

pub(crate) use past::Way;

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use crate::hint::Hint;
use crate::ring::{Attempt, Ring};
use crate::spill::Spill;
use crate::waiter::{List, Node, Wakes};

/// Operations under the lock without a waiter after which the ring is fast again.
const CALM_OPERATIONS: u8 = if cfg!(feature = "loom") { 1 } else { 4 };

/// Before all turns of hand-overs, and after all of values that were put back.
const FIRST_TURN: u64 = 1 << 63;

/// What a bounded channel does with a value for which it has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The send waits. A `try_send` fails.
    #[default]
    Suspend,
    /// The oldest value is dropped and makes room: a send does not wait for a receiver. (It may have
    /// to wait for another send that has taken the last slot and not filled it yet; a `try_send`
    /// fails then.)
    DropOldest,
    /// The new value is dropped: a send never waits, and succeeds.
    DropLatest,
}

/// What kind of channel it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A send completes when a receiver takes its value.
    Rendezvous,
    /// Holds up to a number of values.
    Bounded,
    /// Holds the latest value.
    Conflated,
    /// Holds what comes.
    Unlimited,
}

/// What became of an operation under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    Done,
    Blocked,
    /// Blocked by an operation that has claimed a slot and not published yet.
    Busy,
    Closed,
}

/// What is left to do when the lock is free.
#[derive(Debug)]
pub(crate) struct After<T> {
    pub(crate) wakes: Wakes,
    /// The first value nobody will receive; mostly there is none, rarely more than one.
    pub(crate) undelivered: Option<T>,
    pub(crate) undelivered_more: Vec<T>,
    /// Take the lock again and go on settling.
    pub(crate) again: bool,
}

impl<T> After<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { wakes: Wakes::new(), undelivered: None, undelivered_more: Vec::new(), again: false }
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

/// What is counted under the lock; the ring's own positions say the rest.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Values accepted past the ring.
    pub(crate) sent_apart: u64,
    /// Values received past the ring, less those that came back.
    pub(crate) received_apart: u64,
    /// Values that left the ring without being received.
    pub(crate) discarded: u64,
    /// Values that went from a sender straight to a receiver: accepted and received.
    pub(crate) handed: u64,
    pub(crate) conflated: u64,
    pub(crate) dropped: u64,
    /// Values that were left when the last receiver went.
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
pub(crate) struct Gate<T> {
    kind: Kind,
    overflow: Overflow,
    /// The ring's words are ours.
    slow: bool,
    /// Of the two only `tail` is ours: values are held past the ring, and no operation waits.
    past: bool,
    /// They stay ours.
    pinned: bool,
    calm: u8,
    pub(crate) closed: bool,
    /// Nobody will ever receive.
    abandoned: bool,
    pub(crate) timed: bool,
    pub(crate) senders: List,
    pub(crate) receivers: List,
    pub(crate) latest: Option<T>,
    pub(crate) returned: VecDeque<(u64, T)>,
    spill: Spill<T>,
    /// The last turn of a hand-over to a waiting receiver.
    turn: u64,
    /// The first turn of a value that was put back: it counts down, from before all hand-overs.
    front: u64,
    pub(crate) counts: Counts,
    pub(crate) span: Option<Span>,
    reason: Option<Arc<str>>,
}

impl<T> Gate<T> {
    pub(crate) fn new(kind: Kind, overflow: Overflow, timed: bool) -> Self {
        let ringless = matches!(kind, Kind::Rendezvous | Kind::Conflated);
        Self {
            kind,
            overflow,
            slow: ringless,
            past: false,
            pinned: ringless || timed,
            calm: 0,
            closed: false,
            abandoned: false,
            timed,
            senders: List::new(),
            receivers: List::new(),
            latest: None,
            returned: VecDeque::new(),
            spill: Spill::new(),
            turn: FIRST_TURN,
            front: FIRST_TURN,
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

    /// Whether the ring's words are the lock's holder's.
    #[inline]
    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Makes them so.
    #[inline]
    pub(crate) fn enter(&mut self, ring: &Ring<T>) {
        if !self.slow {
            self.slow = true;
            self.past = false;
            self.calm = 0;
            ring.go_slow();
        }
    }

    /// Says to who looks without the lock what it would find with it. A slot that is claimed and not
    /// published counts as found: only under the lock can it be waited for.
    #[inline]
    pub(crate) fn tell(&self, ring: &Ring<T>, hint: &Hint) {
        if self.closed {
            hint.set(true, true);
            return;
        }
        let (mut send, mut recv) = (false, !self.returned.is_empty());
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
                    || (ring.room_locked() != Attempt::Blocked && !self.is_overfull(ring));
                recv |= ring.ready_locked() != Attempt::Blocked || !self.spill.is_empty();
            }
        }
        hint.set(send, recv);
    }

    /// Gives them back once nothing has needed the lock for a while; of a ring past which values are
    /// held only the one that receives need.
    #[inline]
    pub(crate) fn leave(&mut self, ring: &Ring<T>, hint: &Hint) {
        self.tell(ring, hint);
        if self.pinned {
            return;
        }
        if !self.senders.is_empty() || !self.receivers.is_empty() || !self.returned.is_empty() {
            self.calm = 0;
            return;
        }
        self.calm += 1;
        if self.calm >= CALM_OPERATIONS {
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

    /// Values held, those that were claimed and not published among them.
    pub(crate) fn len(&self, ring: &Ring<T>) -> usize {
        ring.len() + self.spill.len() + self.returned.len() + usize::from(self.latest.is_some())
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
        after: &mut After<T>,
    ) -> Locked {
        if self.closed {
            return Locked::Closed;
        }
        if !self.receivers.is_empty()
            && (self.senders.is_empty() || self.kind == Kind::Rendezvous)
            && !self.holds_any(ring)
            && let Some(receiver) = self.receivers.pop_claimed()
        {
            // SAFETY: a claimed receiver's slot is valid for a write; the caller's promise.
            unsafe { ptr::copy_nonoverlapping(value, receiver.node().slot::<T>(), 1) };
            self.counts.handed += 1;
            receiver.node().set_turn(self.next_turn());
            after.wakes.push(receiver.matched());
            self.note_time();
            return Locked::Done;
        }
        if !self.senders.is_empty() {
            // A receive that had claimed its slot may have published since: who waits comes first.
            self.admit(ring, after);
            if self.kind == Kind::Bounded && !self.senders.is_empty() {
                return self.full(ring);
            }
        }
        // SAFETY: the caller's promise.
        let sent = unsafe { self.store(ring, value, after) };
        if sent == Locked::Done {
            if !self.receivers.is_empty() {
                self.settle(ring, after);
            }
            self.note_time();
        }
        sent
    }

    /// # Safety
    ///
    /// As for [`Self::send`].
    #[inline]
    unsafe fn store(&mut self, ring: &Ring<T>, value: *const T, after: &mut After<T>) -> Locked {
        match self.kind {
            Kind::Rendezvous => return Locked::Blocked,
            Kind::Conflated => {
                // SAFETY: moved out, as promised by `Done`.
                let old = self.latest.replace(unsafe { value.read() });
                let returned = self.returned.drain(..).map(|(_, value)| value);
                for old in old.into_iter().chain(returned) {
                    self.counts.conflated += 1;
                    after.discard(old);
                }
                self.counts.sent_apart += 1;
            }
            Kind::Unlimited => {
                // SAFETY: entered; moved out at most once.
                unsafe {
                    if !self.spill.is_empty() || ring.push_locked(value) != Attempt::Done {
                        self.spill.push(value.read());
                        self.counts.sent_apart += 1;
                    }
                }
                self.note_len(ring);
                return Locked::Done;
            }
            Kind::Bounded => loop {
                if self.overflow == Overflow::DropOldest
                    && ring.len() + self.returned.len() >= ring.capacity()
                    && self.drop_oldest(ring, after)
                {
                    continue;
                }
                let pushed = if self.is_overfull(ring) {
                    Attempt::Blocked
                } else {
                    // SAFETY: entered; the caller's promise.
                    unsafe { ring.push_locked(value) }
                };
                match (pushed, self.overflow) {
                    (Attempt::Done, _) => break,
                    (_, Overflow::Suspend) => return self.full(ring),
                    // Every slot is between claim and publication: nothing is older.
                    (_, Overflow::DropOldest) => return Locked::Busy,
                    (_, Overflow::DropLatest) => {
                        // SAFETY: moved out, as promised by `Done`.
                        after.discard(unsafe { value.read() });
                        self.counts.sent_apart += 1;
                        self.counts.dropped += 1;
                        break;
                    }
                }
            },
        }
        if self.timed {
            self.note_len(ring);
        }
        Locked::Done
    }

    fn drop_oldest(&mut self, ring: &Ring<T>, after: &mut After<T>) -> bool {
        let oldest = match self.returned.pop_front() {
            Some((_, oldest)) => oldest,
            None => match self.take_ring(ring) {
                Some(oldest) => {
                    self.counts.discarded += 1;
                    oldest
                }
                None => return false,
            },
        };
        self.counts.dropped += 1;
        after.discard(oldest);
        true
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
        after: &mut After<T>,
    ) -> Locked {
        if !self.receivers.is_empty() {
            self.settle(ring, after);
            if self.kind != Kind::Rendezvous && !self.receivers.is_empty() {
                return match ring.ready_locked() {
                    _ if self.closed && !self.holds_any(ring) => Locked::Closed,
                    Attempt::Blocked => Locked::Blocked,
                    _ => Locked::Busy,
                };
            }
        }
        // SAFETY: the caller's promise.
        let taken = unsafe { self.take(ring, out) };
        if taken == Locked::Done {
            if !self.senders.is_empty() {
                self.admit(ring, after);
            }
            self.note_time();
            return Locked::Done;
        }
        if self.kind == Kind::Rendezvous
            && let Some(sender) = self.senders.pop_claimed()
        {
            // SAFETY: a claimed sender's slot holds its value; the caller's promise.
            unsafe { ptr::copy_nonoverlapping(sender.node().slot::<T>(), out, 1) };
            after.wakes.push(sender.matched());
            self.counts.handed += 1;
            self.note_time();
            return Locked::Done;
        }
        if self.closed && taken == Locked::Blocked { Locked::Closed } else { taken }
    }

    /// Takes the oldest stored value.
    ///
    /// # Safety
    ///
    /// As for [`Self::recv`].
    #[inline]
    unsafe fn take(&mut self, ring: &Ring<T>, out: *mut T) -> Locked {
        let value = if let Some((_, value)) = self.returned.pop_front() {
            value
        } else {
            match self.kind {
                Kind::Rendezvous => return Locked::Blocked,
                Kind::Conflated => match self.latest.take() {
                    Some(value) => value,
                    None => return Locked::Blocked,
                },
                // SAFETY: entered; the caller's promise.
                Kind::Bounded | Kind::Unlimited => match unsafe { ring.pop_locked(out) } {
                    Attempt::Busy => return Locked::Busy,
                    Attempt::Blocked if self.spill.is_empty() => return Locked::Blocked,
                    Attempt::Blocked => match self.spill.pop() {
                        Some(value) => value,
                        None => return Locked::Blocked,
                    },
                    _ => return Locked::Done,
                },
            }
        };
        self.counts.received_apart = self.counts.received_apart.wrapping_add(1);
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
        Locked::Done
    }

    /// Gives a place in the line of senders.
    ///
    /// # Safety
    ///
    /// As for [`List::push_back`]; `send` has just said `Blocked` or `Busy`, under the same lock.
    pub(crate) unsafe fn queue_sender(&mut self, ring: &Ring<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.senders.push_back(node) };
        self.note_len(ring);
    }

    /// Gives a place in the line of receivers.
    ///
    /// # Safety
    ///
    /// As for [`List::push_back`]; `recv` has just said `Blocked` or `Busy`, under the same lock.
    pub(crate) unsafe fn queue_receiver(&mut self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.receivers.push_back(node) };
    }

    /// Brings what is stored to who waits, and what senders hold to where there is room; on a
    /// closed channel, ends who waits for nothing.
    pub(crate) fn settle(&mut self, ring: &Ring<T>, after: &mut After<T>) {
        loop {
            while !self.receivers.is_empty() && self.is_ready(ring) {
                let Some(receiver) = self.receivers.pop_claimed() else {
                    break;
                };
                // A value that was given back keeps its turn, and with it its place.
                let turn = self.returned.front().map(|(turn, _)| *turn);
                // SAFETY: entered; a claimed receiver's slot is valid for a write.
                let taken = unsafe { self.take(ring, receiver.node().slot::<T>()) };
                debug_assert_eq!(taken, Locked::Done, "it was ready, and we hold the lock");
                // `take` or the ring's position has counted it as received.
                receiver.node().set_turn(turn.unwrap_or_else(|| self.next_turn()));
                after.wakes.push(receiver.matched());
            }
            if !self.admit(ring, after) || self.receivers.is_empty() {
                break;
            }
        }
        if self.closed {
            self.end(ring, after);
        }
    }

    /// Moves the values of waiting senders to where there is room. True if any moved.
    fn admit(&mut self, ring: &Ring<T>, after: &mut After<T>) -> bool {
        let mut moved = false;
        while !self.senders.is_empty() {
            let drops = self.overflow == Overflow::DropOldest && self.is_ready(ring);
            if !self.has_room(ring) && !drops {
                break;
            }
            let Some(sender) = self.senders.pop_claimed() else {
                break;
            };
            // One that drops the oldest waits only if a slot was claimed and not published when it
            // came.
            while !self.has_room(ring) && self.drop_oldest(ring, after) {}
            // SAFETY: entered; a claimed sender's slot holds its value.
            let pushed = unsafe { ring.push_locked(sender.node().slot::<T>()) };
            debug_assert_eq!(pushed, Attempt::Done, "there was room, and we hold the lock");
            after.wakes.push(sender.matched());
            moved = true;
        }
        moved
    }

    /// Ends waiters of a closed channel, a number of them at a time.
    fn end(&mut self, ring: &Ring<T>, after: &mut After<T>) {
        while let Some(sender) = self.senders.pop_claimed() {
            after.wakes.push(sender.closed());
            if after.is_enough() {
                after.again = true;
                return;
            }
        }
        if self.abandoned {
            while let Some(value) = self.take_any(ring) {
                self.counts.left += 1;
                after.discard(value);
                if after.is_enough() {
                    after.again = true;
                    return;
                }
            }
        }
        if self.holds_any(ring) {
            return;
        }
        while let Some(receiver) = self.receivers.pop_claimed() {
            after.wakes.push(receiver.closed());
            if after.is_enough() {
                after.again = true;
                return;
            }
        }
    }

    /// Closes. True if it was open.
    pub(crate) fn close(
        &mut self,
        ring: &Ring<T>,
        reason: Option<Arc<str>>,
        after: &mut After<T>,
    ) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.pinned = true;
        self.reason = reason;
        self.end(ring, after);
        true
    }

    /// Nobody receives any more: what is stored goes to nobody.
    pub(crate) fn abandon(&mut self, ring: &Ring<T>, after: &mut After<T>) {
        self.abandoned = true;
        self.close(ring, None, after);
        self.end(ring, after);
    }

    /// Whether a send would find room. What was given back takes room too.
    #[inline]
    fn has_room(&self, ring: &Ring<T>) -> bool {
        ring.room_locked() == Attempt::Done && !self.is_overfull(ring)
    }

    /// Why there is no room for who comes behind a line of senders.
    #[cold]
    fn full(&self, ring: &Ring<T>) -> Locked {
        let full = ring.room_locked() == Attempt::Blocked || self.is_overfull(ring);
        if full { Locked::Blocked } else { Locked::Busy }
    }

    /// Whether what was given back takes the room that the ring still has.
    #[inline]
    fn is_overfull(&self, ring: &Ring<T>) -> bool {
        !self.returned.is_empty() && self.len(ring) >= ring.capacity()
    }

    /// Whether a receive would find something.
    fn is_ready(&self, ring: &Ring<T>) -> bool {
        !self.returned.is_empty()
            || self.latest.is_some()
            || match ring.ready_locked() {
                Attempt::Done => true,
                Attempt::Blocked => !self.spill.is_empty(),
                _ => false,
            }
    }

    /// Whether anything is stored, published or not.
    #[inline]
    fn holds_any(&self, ring: &Ring<T>) -> bool {
        !self.returned.is_empty()
            || self.latest.is_some()
            || !self.spill.is_empty()
            || ring.ready_locked() != Attempt::Blocked
    }

    fn take_any(&mut self, ring: &Ring<T>) -> Option<T> {
        if let Some((_, value)) = self.returned.pop_front() {
            return Some(value);
        }
        if let Some(value) = self.latest.take() {
            return Some(value);
        }
        if let Some(value) = self.take_ring(ring) {
            self.counts.discarded += 1;
            return Some(value);
        }
        if ring.ready_locked() == Attempt::Blocked { self.spill.pop() } else { None }
    }

    fn take_ring(&mut self, ring: &Ring<T>) -> Option<T> {
        let mut value = std::mem::MaybeUninit::uninit();
        // SAFETY: entered; on `Done` the value is there.
        unsafe {
            (ring.pop_locked(value.as_mut_ptr()) == Attempt::Done).then(|| value.assume_init())
        }
    }

    #[inline]
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    #[inline]
    fn note_time(&mut self) {
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
