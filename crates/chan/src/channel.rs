// SPDX-License-Identifier: BSD-3-Clause
//! One channel: the ring's fast path in front, the gate behind it, and what is counted beside.
//!
//! Every operation tries the ring first. It goes to the gate when the ring's words are the gate's
//! (somebody waits, the channel is closed, or its kind has no ring), and when it must wait.

use std::collections::VecDeque;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::counters::{FailureCounters, Snapshot};
use crate::gate::{After, Gate, Hint, Kind, Locked, Overflow};
use crate::lock::{Guard, Lock};
use crate::park;
use crate::ring::{Attempt, Ring};
use crate::sync::{AtomicU64, AtomicUsize, Ordering, heavy};
use crate::waiter::{Node, contain};

/// Slots of an unlimited channel's ring; what it holds beyond them goes to the spill.
const UNLIMITED_RING: usize = if cfg!(feature = "loom") { 1 } else { 64 };

/// Looks at a slot that is claimed and not published, before the thread lets others run.
const BUSY_LOOKS: u32 = if cfg!(feature = "loom") { 0 } else { 100 };
/// How often it lets others run before it takes the slot for blocked.
const BUSY_YIELDS: u32 = if cfg!(feature = "loom") { 0 } else { 32 };

/// Called with each value that nobody will receive.
pub(crate) type Undelivered<T> = Box<dyn Fn(T) + Send + Sync>;
/// Says how many bytes a value stands for.
pub(crate) type Weigh<T> = Box<dyn Fn(&T) -> u64 + Send + Sync>;

/// What became of an operation that does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    Done,
    Blocked,
    Closed,
}

/// What became of an operation that may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    Done,
    Closed,
    /// Its node is in the list.
    Waiting,
}

/// How a channel is made.
pub(crate) struct Plan<T> {
    pub(crate) kind: Kind,
    pub(crate) capacity: usize,
    pub(crate) overflow: Overflow,
    pub(crate) timing: bool,
    pub(crate) undelivered: Option<Undelivered<T>>,
    pub(crate) weigh: Option<Weigh<T>>,
}

pub(crate) struct Gated<T> {
    pub(crate) hint: Hint,
    pub(crate) lock: Lock<Gate<T>>,
}

pub(crate) struct Channel<T> {
    pub(crate) ring: Ring<T>,
    pub(crate) gate: CachePadded<Gated<T>>,
    pub(crate) kind: Kind,
    /// A send for which the ring has no room waits.
    suspends: bool,
    undelivered: Option<Undelivered<T>>,
    weigh: Option<Weigh<T>>,
    pub(crate) senders: AtomicUsize,
    pub(crate) receivers: AtomicUsize,
    send_failures: FailureCounters,
    receive_failures: FailureCounters,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

impl<T> Channel<T> {
    pub(crate) fn new(plan: Plan<T>) -> Self {
        #[cfg(not(feature = "loom"))]
        crate::fence::register();
        let slots = match plan.kind {
            Kind::Rendezvous | Kind::Conflated => 0,
            Kind::Bounded => plan.capacity,
            Kind::Unlimited => UNLIMITED_RING,
        };
        let ring = Ring::new(slots);
        let mut gate = Gate::new(plan.kind, plan.overflow, plan.timing);
        let hint = Hint::new();
        if plan.timing {
            gate.enter(&ring);
        }
        gate.tell(&ring, &hint);
        Self {
            ring,
            gate: CachePadded::new(Gated { hint, lock: Lock::new(gate) }),
            kind: plan.kind,
            suspends: plan.kind == Kind::Bounded && plan.overflow == Overflow::Suspend,
            undelivered: plan.undelivered,
            weigh: plan.weigh,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            send_failures: FailureCounters::default(),
            receive_failures: FailureCounters::default(),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
        }
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        match self.kind {
            Kind::Rendezvous => Some(0),
            Kind::Bounded => Some(self.ring.capacity()),
            Kind::Conflated => Some(1),
            Kind::Unlimited => None,
        }
    }

    /// Whether a send could happen now, as far as a look without the lock tells.
    #[inline]
    pub(crate) fn may_send(&self) -> bool {
        match self.ring.may_push() {
            Some(room) => room || !self.suspends,
            None => self.gate.hint.may_send(),
        }
    }

    /// Whether a receive could happen now, as far as a look without the lock tells.
    #[inline]
    pub(crate) fn may_recv(&self) -> bool {
        self.ring.may_pop().unwrap_or_else(|| self.gate.hint.may_recv())
    }

    /// The gate, for an operation.
    #[inline]
    fn enter(&self) -> Guard<'_, Gate<T>> {
        let mut gate = self.gate.lock.lock();
        gate.enter(&self.ring);
        gate
    }

    /// Lets go of the lock and does what must be done without it.
    #[inline]
    fn leave(&self, mut gate: Guard<'_, Gate<T>>, after: &mut After<T>) {
        gate.leave(&self.ring, &self.gate.hint);
        drop(gate);
        self.follow(after);
    }

    /// What is left to do when the lock is free.
    #[inline]
    pub(crate) fn follow(&self, after: &mut After<T>) {
        after.wakes.fire();
        if let Some(value) = after.undelivered.take() {
            self.lose(value);
            if !after.undelivered_more.is_empty() {
                self.lose_more(&mut after.undelivered_more);
            }
        }
        if after.again {
            self.settle();
        }
    }

    #[cold]
    fn lose_more(&self, values: &mut Vec<T>) {
        values.drain(..).for_each(|value| self.lose(value));
    }

    /// Nobody will receive this value.
    #[inline]
    pub(crate) fn lose(&self, value: T) {
        match &self.undelivered {
            Some(undelivered) => contain(|| undelivered(value)),
            None if mem::needs_drop::<T>() => contain(|| drop(value)),
            None => {}
        }
    }

    /// Serves who waits, after an operation of the ring that saw that somebody does.
    #[cold]
    pub(crate) fn settle(&self) {
        loop {
            let mut after = After::new();
            let mut gate = self.gate.lock.lock();
            if !gate.is_slow() {
                return;
            }
            gate.settle(&self.ring, &mut after);
            gate.leave(&self.ring, &self.gate.hint);
            drop(gate);
            let again = mem::take(&mut after.again);
            self.follow(&mut after);
            if !again {
                return;
            }
        }
    }

    /// Sends without waiting.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on `Done` its value has been moved out.
    #[inline]
    pub(crate) unsafe fn try_send(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push(value) } {
            Attempt::Done => Tried::Done,
            Attempt::DoneSlow => {
                self.settle();
                Tried::Done
            }
            Attempt::Blocked if self.suspends => Tried::Blocked,
            // SAFETY: the caller's promise.
            Attempt::Busy if self.suspends => unsafe { self.try_send_busy(value) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.try_send_slow(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn try_send_slow(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Conflated => self.send_latest(value),
                Kind::Rendezvous => self.meet_receiver(value),
                Kind::Bounded | Kind::Unlimited => self.try_send_gate(value),
            }
        }
    }

    /// As [`Self::try_send`], and counts the bytes of a channel that weighs its values.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline]
    pub(crate) unsafe fn try_send_weighed(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            match &self.weigh {
                None => self.try_send(value),
                Some(weigh) => self.weigh_and_try_send(weigh, value),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn weigh_and_try_send(&self, weigh: &Weigh<T>, value: *const T) -> Tried {
        // SAFETY: the caller's promise; it is weighed before it may be moved out.
        unsafe {
            let weight = weigh(&*value);
            let tried = self.try_send(value);
            if tried == Tried::Done {
                self.count_sent(weight);
            }
            tried
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[cold]
    unsafe fn try_send_busy(&self, value: *const T) -> Tried {
        for round in 0.. {
            // SAFETY: the caller's promise.
            match unsafe { self.ring.push(value) } {
                Attempt::Done => return Tried::Done,
                Attempt::DoneSlow => {
                    self.settle();
                    return Tried::Done;
                }
                // SAFETY: the caller's promise.
                Attempt::Slow => return unsafe { self.try_send_gate(value) },
                Attempt::Busy if linger(round) => {}
                Attempt::Blocked | Attempt::Busy => break,
            }
        }
        Tried::Blocked
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn try_send_gate(&self, value: *const T) -> Tried {
        for round in 0.. {
            let mut after = After::new();
            let mut gate = self.enter();
            // SAFETY: entered; the caller's promise; the value is still there.
            let sent = unsafe { gate.send(&self.ring, value, &mut after) };
            self.leave(gate, &mut after);
            match sent {
                Locked::Done => return Tried::Done,
                Locked::Closed => return Tried::Closed,
                Locked::Busy if linger(round) => {}
                Locked::Blocked | Locked::Busy => break,
            }
        }
        Tried::Blocked
    }

    /// Receives without waiting.
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on `Done` it holds a value.
    #[inline]
    pub(crate) unsafe fn try_recv(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.pop(out) } {
            Attempt::Done => Tried::Done,
            Attempt::DoneSlow => {
                self.settle();
                Tried::Done
            }
            Attempt::Blocked => Tried::Blocked,
            // SAFETY: the caller's promise.
            Attempt::Busy => unsafe { self.try_recv_busy(out) },
            // SAFETY: the caller's promise.
            Attempt::Slow => unsafe { self.try_recv_slow(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn try_recv_slow(&self, out: *mut T) -> Tried {
        if !self.gate.hint.may_recv() {
            return Tried::Blocked;
        }
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Conflated => self.take_latest(out),
                Kind::Rendezvous => self.meet_sender(out),
                Kind::Bounded | Kind::Unlimited => self.try_recv_gate(out),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[cold]
    unsafe fn try_recv_busy(&self, out: *mut T) -> Tried {
        for round in 0.. {
            // SAFETY: the caller's promise.
            match unsafe { self.ring.pop(out) } {
                Attempt::Done => return Tried::Done,
                Attempt::DoneSlow => {
                    self.settle();
                    return Tried::Done;
                }
                // SAFETY: the caller's promise.
                Attempt::Slow => return unsafe { self.try_recv_gate(out) },
                Attempt::Busy if linger(round) => {}
                Attempt::Blocked | Attempt::Busy => break,
            }
        }
        Tried::Blocked
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn try_recv_gate(&self, out: *mut T) -> Tried {
        for round in 0.. {
            let mut after = After::new();
            let mut gate = self.enter();
            // SAFETY: entered; the caller's promise.
            let taken = unsafe { gate.recv(&self.ring, out, &mut after) };
            self.leave(gate, &mut after);
            match taken {
                Locked::Done => return Tried::Done,
                Locked::Closed => return Tried::Closed,
                Locked::Busy if linger(round) => {}
                Locked::Blocked | Locked::Busy => break,
            }
        }
        Tried::Blocked
    }

    /// Sends from the front of `values` what needs no waiting. Says how many, and whether the
    /// channel is closed.
    pub(crate) fn try_send_many(&self, values: &mut VecDeque<T>) -> (usize, Tried) {
        let mut sent = 0;
        while !values.is_empty() {
            if self.suspends && self.weigh.is_none() {
                let (run, attempt) = self.ring.push_run(values.len(), || {
                    // SAFETY: called at most as often as there are values.
                    unsafe { values.pop_front().unwrap_unchecked() }
                });
                sent += run;
                match attempt {
                    Attempt::Done => continue,
                    Attempt::DoneSlow => {
                        self.settle();
                        continue;
                    }
                    Attempt::Blocked | Attempt::Busy => return (sent, Tried::Blocked),
                    Attempt::Slow => {}
                }
            }
            let (more, tried) = if self.weigh.is_some() {
                self.try_send_front(values)
            } else {
                self.try_send_many_gate(values)
            };
            sent += more;
            if tried != Tried::Done {
                return (sent, tried);
            }
        }
        (sent, Tried::Done)
    }

    /// Sends one value of a channel that weighs its values.
    fn try_send_front(&self, values: &mut VecDeque<T>) -> (usize, Tried) {
        let Some(value) = values.pop_front() else {
            return (0, Tried::Done);
        };
        let value = ManuallyDrop::new(value);
        // SAFETY: the value is put back if it was not moved out.
        match unsafe { self.try_send_weighed(&raw const *value) } {
            Tried::Done => (1, Tried::Done),
            tried => {
                values.push_front(ManuallyDrop::into_inner(value));
                (0, tried)
            }
        }
    }

    fn try_send_many_gate(&self, values: &mut VecDeque<T>) -> (usize, Tried) {
        let mut after = After::new();
        let mut sent = 0;
        let mut tried = Tried::Done;
        let mut gate = self.enter();
        while let Some(value) = values.pop_front() {
            let value = ManuallyDrop::new(value);
            // SAFETY: entered; the value is put back if it was not moved out.
            match unsafe { gate.send(&self.ring, &raw const *value, &mut after) } {
                Locked::Done => sent += 1,
                locked => {
                    values.push_front(ManuallyDrop::into_inner(value));
                    tried = if locked == Locked::Closed { Tried::Closed } else { Tried::Blocked };
                    break;
                }
            }
        }
        self.leave(gate, &mut after);
        (sent, tried)
    }

    /// Receives up to `max` values that need no waiting. Says how many, and whether the channel is
    /// closed and drained.
    pub(crate) fn try_recv_many(&self, values: &mut Vec<T>, max: usize) -> (usize, Tried) {
        let begin = values.len();
        let tried = self.try_recv_many_into(values, max);
        let received = values.len() - begin;
        if self.weigh.is_some() {
            values.iter().skip(begin).for_each(|value| self.count_received(value));
        }
        (received, tried)
    }

    fn try_recv_many_into(&self, values: &mut Vec<T>, max: usize) -> Tried {
        let end = values.len().saturating_add(max);
        while values.len() < end {
            let max = end - values.len();
            // No code of the allocator's between claim and publication.
            values.reserve(max.min(self.ring.capacity()));
            let (_, attempt) = self.ring.pop_run(max, |value| values.push(value));
            match attempt {
                Attempt::Done => continue,
                Attempt::DoneSlow => {
                    self.settle();
                    continue;
                }
                Attempt::Blocked | Attempt::Busy if self.ring.is_fast() => return Tried::Blocked,
                _ => {}
            }
            values.reserve(max.min(self.len().max(1)));
            let mut after = After::new();
            let mut gate = self.enter();
            let tried = loop {
                if values.len() == values.capacity() || values.len() == end {
                    break Tried::Done;
                }
                let mut value = MaybeUninit::uninit();
                // SAFETY: entered; on `Done` the value is there.
                match unsafe { gate.recv(&self.ring, value.as_mut_ptr(), &mut after) } {
                    // SAFETY: as above.
                    Locked::Done => values.push(unsafe { value.assume_init() }),
                    Locked::Closed => break Tried::Closed,
                    Locked::Blocked | Locked::Busy => break Tried::Blocked,
                }
            };
            self.leave(gate, &mut after);
            if tried != Tried::Done {
                return tried;
            }
        }
        Tried::Done
    }

    /// Sends the value in the node's slot, or gives the node a place in the line.
    ///
    /// # Safety
    ///
    /// The slot holds a value, which on `Done` has been moved out. On `Waiting` the node and its
    /// claim stay where they are until the wait has ended.
    pub(crate) unsafe fn send_or_queue(&self, node: *const Node) -> Queued {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.meet_receiver_or_queue(node) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_or_queue_gate(node) }
    }

    /// # Safety
    ///
    /// As for [`Self::send_or_queue`].
    #[inline(never)]
    pub(crate) unsafe fn send_or_queue_gate(&self, node: *const Node) -> Queued {
        let mut after = After::new();
        let mut gate = self.enter();
        // SAFETY: entered; the caller's promise.
        let sent = unsafe { gate.send(&self.ring, (*node).slot::<T>(), &mut after) };
        let queued = match sent {
            Locked::Done => Queued::Done,
            Locked::Closed => Queued::Closed,
            Locked::Blocked | Locked::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { gate.queue_sender(&self.ring, node) };
                self.look_again(&mut gate, sent, &mut after);
                Queued::Waiting
            }
        };
        self.leave(gate, &mut after);
        queued
    }

    /// Receives into the node's slot, or gives the node a place in the line.
    ///
    /// # Safety
    ///
    /// The slot is valid for a write. On `Waiting` the node and its claim stay where they are until
    /// the wait has ended.
    pub(crate) unsafe fn recv_or_queue(&self, node: *const Node) -> Queued {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.meet_sender_or_queue(node) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.recv_or_queue_gate(node) }
    }

    /// # Safety
    ///
    /// As for [`Self::recv_or_queue`].
    #[inline(never)]
    pub(crate) unsafe fn recv_or_queue_gate(&self, node: *const Node) -> Queued {
        let mut after = After::new();
        let mut gate = self.enter();
        // SAFETY: entered; the caller's promise.
        let taken = unsafe { gate.recv(&self.ring, (*node).slot::<T>(), &mut after) };
        let queued = match taken {
            Locked::Done => Queued::Done,
            Locked::Closed => Queued::Closed,
            Locked::Blocked | Locked::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { gate.queue_receiver(node) };
                self.look_again(&mut gate, taken, &mut after);
                Queued::Waiting
            }
        };
        self.leave(gate, &mut after);
        queued
    }

    /// What stands between a waiter that has just queued and its sleep: an operation of the other
    /// side that claimed before the ring went slow either sees that it did, or is seen here.
    #[inline]
    fn look_again(&self, gate: &mut Gate<T>, why: Locked, after: &mut After<T>) {
        if why == Locked::Busy {
            heavy();
            gate.settle(&self.ring, after);
        }
    }

    /// Takes a sender's node out of the line, if it is there.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    pub(crate) unsafe fn unqueue_sender(&self, node: *const Node) {
        let mut gate = self.gate.lock.lock();
        // SAFETY: the caller's promise.
        unsafe { gate.senders.unlink(node) };
        gate.leave(&self.ring, &self.gate.hint);
    }

    /// Takes a receiver's node out of the line, if it is there.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    pub(crate) unsafe fn unqueue_receiver(&self, node: *const Node) {
        let mut gate = self.gate.lock.lock();
        // SAFETY: the caller's promise.
        unsafe { gate.receivers.unlink(node) };
        gate.leave(&self.ring, &self.gate.hint);
    }

    /// Takes back what was handed to a receive that was dropped before it gave it to anybody.
    pub(crate) fn give_back(&self, value: T, turn: u64) {
        let mut after = After::new();
        let mut gate = self.enter();
        gate.give_back(&self.ring, value, turn, &mut after);
        self.leave(gate, &mut after);
    }

    /// Closes. True if it was open.
    pub(crate) fn close(&self, reason: Option<Arc<str>>) -> bool {
        let mut after = After::new();
        let mut gate = self.enter();
        let closed = gate.close(&self.ring, reason, &mut after);
        self.leave(gate, &mut after);
        closed
    }

    /// The last receiver is gone.
    pub(crate) fn abandon(&self) {
        let mut after = After::new();
        let mut gate = self.enter();
        gate.abandon(&self.ring, &mut after);
        if self.ring.ready_locked() == Attempt::Busy {
            // A send between claim and publication drains its value itself, once it sees us.
            heavy();
            gate.settle(&self.ring, &mut after);
        }
        self.leave(gate, &mut after);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.lock.lock().is_closed()
    }

    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.gate.lock.lock().reason().cloned()
    }

    pub(crate) fn len(&self) -> usize {
        if matches!(self.kind, Kind::Bounded) && self.ring.is_fast() {
            return self.ring.len();
        }
        self.gate.lock.lock().len(&self.ring)
    }

    /// The lock by itself, and what a select does while it holds it.
    pub(crate) fn raw(&self) -> &crate::lock::RawLock {
        self.gate.lock.raw()
    }

    /// The gate of a channel whose lock is held through [`Self::raw`].
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`].
    unsafe fn held<R>(&self, act: impl FnOnce(&mut Gate<T>) -> R) -> R {
        // SAFETY: the caller's promise.
        let mut gate = unsafe { self.gate.lock.guard() };
        gate.enter(&self.ring);
        let result = act(&mut gate);
        gate.tell(&self.ring, &self.gate.hint);
        gate.keep_locked();
        result
    }

    /// Sends if that needs no waiting, for who holds the lock. A weight is not counted here: a
    /// channel that weighs its values is tried without the lock, before.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`] and [`Lock::guard`].
    pub(crate) unsafe fn send_held(&self, value: *const T) -> (Locked, After<T>) {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        let locked = unsafe { self.held(|gate| gate.send(&self.ring, value, &mut after)) };
        (locked, after)
    }

    /// As [`Self::send_held`].
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`] and [`Lock::guard`].
    pub(crate) unsafe fn recv_held(&self, out: *mut T) -> (Locked, After<T>) {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        let locked = unsafe { self.held(|gate| gate.recv(&self.ring, out, &mut after)) };
        (locked, after)
    }

    /// # Safety
    ///
    /// As for [`Gate::queue_sender`] and [`Lock::guard`].
    pub(crate) unsafe fn link_sender_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.queue_sender(&self.ring, node)) };
    }

    /// # Safety
    ///
    /// As for [`Gate::queue_receiver`] and [`Lock::guard`].
    pub(crate) unsafe fn link_receiver_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.queue_receiver(node)) };
    }

    /// # Safety
    ///
    /// As for [`Lock::guard`].
    pub(crate) unsafe fn settle_held(&self) -> After<T> {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.settle(&self.ring, &mut after)) };
        after
    }

    #[inline]
    pub(crate) fn count_send_failure(&self, cause: Cause) {
        self.send_failures.count(cause);
    }

    #[inline]
    pub(crate) fn count_receive_failure(&self, cause: Cause) {
        self.receive_failures.count(cause);
    }

    /// What a value weighs, if the channel weighs its values.
    #[inline]
    pub(crate) fn weight(&self, value: &T) -> Option<u64> {
        self.weigh.as_ref().map(|weigh| weigh(value))
    }

    /// A value of this weight was accepted.
    #[inline]
    pub(crate) fn count_sent(&self, weight: u64) {
        if self.weigh.is_some() {
            self.bytes_sent.fetch_add(weight, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn count_received(&self, value: &T) {
        if let Some(weight) = self.weight(value) {
            self.bytes_received.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// Whoever found no room saw the channel full, though it may not have taken the lock.
    fn high_water(&self, seen: u64) -> usize {
        let seen = usize::try_from(seen).unwrap_or(usize::MAX);
        if self.suspends && self.send_failures.read().would_block > 0 {
            return seen.max(self.ring.capacity());
        }
        seen
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut gate = self.gate.lock.lock();
        gate.note_len(&self.ring);
        let (pushed, popped) = (self.ring.pushed(), self.ring.popped());
        let counts = gate.counts;
        let sends = pushed + counts.sent_apart + counts.handed;
        let receives =
            (popped - counts.discarded + counts.handed).wrapping_add(counts.received_apart);
        let (bytes_sent, bytes_received) = if self.weigh.is_some() {
            (self.bytes_sent.load(Ordering::Relaxed), self.bytes_received.load(Ordering::Relaxed))
        } else {
            let size = size_of::<T>() as u64;
            (sends.wrapping_mul(size), receives.wrapping_mul(size))
        };
        Snapshot {
            kind: self.kind,
            capacity: self.capacity(),
            len: gate.len(&self.ring),
            high_water: self.high_water(counts.high_water),
            senders_waiting: gate.senders.len(),
            receivers_waiting: gate.receivers.len(),
            closed: gate.is_closed(),
            sends,
            receives,
            bytes_sent,
            bytes_received,
            send_failures: self.send_failures.read(),
            receive_failures: self.receive_failures.read(),
            conflated: counts.conflated,
            dropped: counts.dropped,
            undelivered: counts.conflated + counts.dropped + counts.left,
            matches: if self.kind == Kind::Rendezvous { counts.handed } else { 0 },
            first_operation: gate.span.map(|span| span.first),
            last_operation: gate.span.map(|span| span.last),
            taken_at: Instant::now(),
        }
    }
}

impl<T> Drop for Channel<T> {
    fn drop(&mut self) {
        // Both sides are gone, and the last receiver has drained the channel. What a send published
        // after that is still here.
        self.abandon();
    }
}

/// Waits a moment for an operation that has claimed a slot and not published. False: long enough.
fn linger(round: u32) -> bool {
    if round < BUSY_LOOKS {
        park::relax();
    } else if round < BUSY_LOOKS + BUSY_YIELDS {
        #[cfg(not(feature = "loom"))]
        std::thread::yield_now();
        #[cfg(feature = "loom")]
        loom::thread::yield_now();
    } else {
        return false;
    }
    true
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    WouldBlock,
    TimedOut,
    Closed,
    Cancelled,
}
