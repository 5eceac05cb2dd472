// SPDX-License-Identifier: BSD-3-Clause
//! One channel: the ring's fast path in front, the gate behind it, and what is counted beside.
//!
//! Every operation tries the ring first. It goes to the gate when the ring's words are the gate's
//! (somebody waits, the channel is closed, or its kind has no ring), and when it must wait.
//!
//! | module | what lives there |
//! |---|---|
//! | [`attempt`] | operations that do not wait |
//! | [`many`] | batches that do not wait |
//! | [`queue`] | operations that wait |
//! | [`back`] | values that come back, and the newest ones, taken out |
//! | [`held`] | what a select does under its locks |
//! | [`rendezvous`], [`conflated`] | the short ways of the two kinds without a ring |
//! | [`past`] | the short way of an unlimited channel that holds more than its ring |

mod attempt;
mod back;
mod conflated;
mod held;
mod many;
mod past;
mod queue;
mod rendezvous;

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use crate::counters::{FailureCounters, Snapshot};
use crate::gate::{After, Gate, Kind, Overflow};
use crate::hint::Hint;
use crate::lock::{Guard, Lock};
use crate::ring::{Attempt, Ring};
use crate::spin::Brief;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, heavy};
use crate::waiter::contain;

/// Slots of an unlimited channel's ring; what it holds beyond them goes to the spill.
const UNLIMITED_RING: usize = if cfg!(feature = "loom") { 1 } else { 64 };

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

/// By which way a value is sent for which the ring has no short one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendWay {
    /// The kind's.
    Kind(Kind),
    /// The same, after the value was weighed.
    Weighed,
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
    send_way: SendWay,
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
    /// How long tasks look for room, and for a value.
    pub(crate) send_looks: Brief,
    pub(crate) recv_looks: Brief,
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
        if gate.is_slow() {
            gate.tell(&ring, &hint);
        }
        Self {
            ring,
            gate: CachePadded::new(Gated { hint, lock: Lock::new(gate) }),
            kind: plan.kind,
            send_way: plan.weigh.as_ref().map_or(SendWay::Kind(plan.kind), |_| SendWay::Weighed),
            suspends: plan.kind == Kind::Bounded && plan.overflow == Overflow::Suspend,
            undelivered: plan.undelivered,
            weigh: plan.weigh,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            send_failures: FailureCounters::default(),
            receive_failures: FailureCounters::default(),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            send_looks: Brief::new(),
            recv_looks: Brief::new(),
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
        let found = match self.kind {
            Kind::Unlimited => self.ring.may_pop_past(),
            _ => self.ring.may_pop(),
        };
        found.unwrap_or_else(|| self.gate.hint.may_recv())
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
    #[inline(never)]
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

    #[inline]
    pub(crate) fn count_send_failure(&self, cause: Cause) {
        self.send_failures.count(cause);
    }

    #[inline]
    pub(crate) fn count_receive_failure(&self, cause: Cause) {
        self.receive_failures.count(cause);
    }

    /// Whether it weighs its values.
    #[inline]
    pub(crate) fn weighs(&self) -> bool {
        self.weigh.is_some()
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
        if self.weighs() {
            self.count_weight_received(value);
        }
    }

    #[inline(never)]
    fn count_weight_received(&self, value: &T) {
        if let Some(weight) = self.weight(value) {
            self.bytes_received.fetch_add(weight, Ordering::Relaxed);
        }
    }

    /// A value that was counted as received was not.
    pub(crate) fn uncount_received(&self, value: &T) {
        if let Some(weight) = self.weight(value) {
            self.bytes_received.fetch_sub(weight, Ordering::Relaxed);
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

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    WouldBlock,
    TimedOut,
    Closed,
    Cancelled,
}
