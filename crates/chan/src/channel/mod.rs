// SPDX-License-Identifier: BSD-3-Clause
//! One channel: the ring's fast path, the core under the lock behind it, and the counters.
//!
//! Every operation tries the ring first. It goes to the core when the ring's words belong to the
//! core (an operation waits, the channel is closed, or its kind has no ring), and when it must
//! wait.
//!
//! | a kind | what it does |
//! |---|---|
//! | [`bounded`] | the ring, the overflow policies; receives from a ring |
//! | [`unlimited`] | the ring, and the blocks past it |
//! | [`rendezvous`] | a handoff |
//! | [`conflated`] | one slot, in which a send replaces the value |
//! | [`spsc`](crate::spsc) | its handles have a channel of their own: a ring without compare-exchange |
//!
//! | what they share | contents |
//! |---|---|
//! | [`attempt`] | operations that do not wait: the ring first, then the path of the kind |
//! | [`queue`] | operations that wait |
//! | [`direct`] | the short paths of a receive that waits, and of the send that ends its wait |
//! | [`many`] | batches that do not wait |
//! | [`held`] | the steps of a select under its locks |
//! | [`back`] | requeued values, and the removal of the newest values |
//! | [`core`](crate::core) | the state under the lock, and the general path of every kind |

mod attempt;
mod back;
mod bounded;
mod conflated;
mod direct;
mod held;
mod many;
mod queue;
mod rendezvous;
mod unlimited;

use std::mem;
use std::panic::{self, AssertUnwindSafe};
// Not of `sync`: no operation depends on the order of these two (see `set_overflow`).
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_utils::CachePadded;

pub use self::bounded::Overflow;
use crate::contain::contain;
use crate::core::{Core, DeferredEffects};
use crate::counters::{FailureCounters, Snapshot};
use crate::hint::ReadinessHint;
use crate::limit::StopReason;
use crate::lock::{Guard, Lock};
use crate::ring::{Ring, RingOutcome};
use crate::spin::TaskSpin;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, heavy};
use crate::transfer::Direction;

/// The kind of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A send completes when a receiver takes its value.
    Rendezvous,
    /// Holds up to a number of values.
    Bounded,
    /// Holds the latest value.
    Conflated,
    /// Holds any number of values.
    Unlimited,
}

/// Called with each undelivered value.
pub(crate) type Undelivered<T> = Box<dyn Fn(T) + Send + Sync>;
/// Returns the weight of a value in bytes.
pub(crate) type Weigh<T> = Box<dyn Fn(&T) -> u64 + Send + Sync>;

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Nothing happened. An attempt that was given a node has linked it into the wait queue.
    Blocked,
    Closed,
}

/// The slow path of a send, where the ring's fast path did not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendWay {
    /// The path of the kind.
    Kind(Kind),
    /// The same, after the value was weighed.
    Weighed,
}

/// The parameters of a new channel.
pub(crate) struct Plan<T> {
    pub(crate) kind: Kind,
    pub(crate) capacity: usize,
    pub(crate) overflow: Overflow,
    pub(crate) timing: bool,
    pub(crate) undelivered: Option<Undelivered<T>>,
    pub(crate) weigh: Option<Weigh<T>>,
}

pub(crate) struct LockedCore<T> {
    pub(crate) hint: ReadinessHint,
    pub(crate) lock: Lock<Core<T>>,
}

pub(crate) struct Channel<T> {
    pub(crate) ring: Ring<T>,
    pub(crate) core: CachePadded<LockedCore<T>>,
    pub(crate) kind: Kind,
    send_way: SendWay,
    /// A send waits if the ring has no room: as the core's policy, for the paths without the lock.
    suspends: AtomicBool,
    undelivered: OnceLock<Undelivered<T>>,
    weigh: Option<Weigh<T>>,
    pub(crate) senders: AtomicUsize,
    pub(crate) receivers: AtomicUsize,
    send_failures: FailureCounters,
    receive_failures: FailureCounters,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    /// Adaptive spinning of tasks that wait for room, and for a value.
    send_spin: TaskSpin,
    recv_spin: TaskSpin,
}

impl<T> Channel<T> {
    pub(crate) fn new(plan: Plan<T>) -> Self {
        #[cfg(not(feature = "loom"))]
        crate::fence::register();
        let slots = match plan.kind {
            Kind::Rendezvous | Kind::Conflated => 0,
            Kind::Bounded => plan.capacity,
            Kind::Unlimited => unlimited::RING_SLOTS,
        };
        let ring = Ring::new(slots);
        let suspends = plan.kind == Kind::Bounded && plan.overflow == Overflow::Suspend;
        let mut core = Core::new(plan.kind, plan.overflow, plan.timing);
        let hint = ReadinessHint::new();
        if plan.timing {
            core.enter(&ring);
        }
        if core.is_slow() {
            core.update_hint(&ring, &hint);
        }
        Self {
            ring,
            core: CachePadded::new(LockedCore { hint, lock: Lock::new(core) }),
            kind: plan.kind,
            send_way: plan.weigh.as_ref().map_or(SendWay::Kind(plan.kind), |_| SendWay::Weighed),
            suspends: AtomicBool::new(suspends),
            undelivered: plan.undelivered.map_or_else(OnceLock::new, OnceLock::from),
            weigh: plan.weigh,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            send_failures: FailureCounters::default(),
            receive_failures: FailureCounters::default(),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            send_spin: TaskSpin::new(),
            recv_spin: TaskSpin::new(),
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

    /// Whether an operation could complete now, by a check without the lock.
    #[inline]
    pub(crate) fn may<D: Direction>(&self) -> bool {
        if D::SENDS {
            return match self.ring.may_push() {
                Some(room) => room || !self.suspends(),
                None => self.core.hint.may::<D>(),
            };
        }
        let found = match self.kind {
            Kind::Unlimited => self.ring.may_pop_past(),
            _ => self.ring.may_pop(),
        };
        found.unwrap_or_else(|| self.core.hint.may::<D>())
    }

    /// Whether an attempt would be blocked, by the hint of a channel whose ring is slow. False: it may
    /// succeed.
    #[inline]
    pub(crate) fn is_blocked<D: Direction>(&self) -> bool {
        let word = if D::SENDS { self.ring.tail_fast() } else { self.ring.head_fast() };
        word.is_none() && !self.core.hint.may::<D>()
    }

    /// Whether values may be held behind the ring.
    pub(crate) fn holds_behind(&self) -> bool {
        self.kind == Kind::Unlimited
    }

    /// Whether a send waits if the ring has no room.
    #[inline]
    pub(crate) fn suspends(&self) -> bool {
        self.suspends.load(Ordering::Relaxed)
    }

    pub(crate) fn overflow(&self) -> Overflow {
        self.core.lock.lock().overflow
    }

    /// Changes the policy of a bounded channel. Sends that wait for room complete as the new one
    /// says.
    pub(crate) fn set_overflow(&self, overflow: Overflow) {
        if self.kind != Kind::Bounded {
            return;
        }
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        core.overflow = overflow;
        // Under the lock, so that of two calls the same is the last in both places. A send that
        // still reads the old value came before this call, or attempts under the lock before it
        // waits.
        self.suspends.store(overflow == Overflow::Suspend, Ordering::Relaxed);
        core.rebalance(&self.ring, &mut effects);
        self.leave(core, &mut effects);
    }

    /// Sets the undelivered hook. False: there is one.
    pub(crate) fn set_undelivered(&self, undelivered: Undelivered<T>) -> bool {
        self.undelivered.set(undelivered).is_ok()
    }

    /// The adaptive spinning of tasks that wait.
    #[inline]
    pub(crate) fn task_spin<D: Direction>(&self) -> &TaskSpin {
        if D::SENDS { &self.send_spin } else { &self.recv_spin }
    }

    /// Takes the lock and enters the core for an operation.
    #[inline]
    fn enter(&self) -> Guard<'_, Core<T>> {
        let mut core = self.core.lock.lock();
        core.enter(&self.ring);
        core
    }

    /// Releases the lock and processes the deferred effects.
    #[inline]
    fn leave(&self, mut core: Guard<'_, Core<T>>, effects: &mut DeferredEffects<T>) {
        core.leave(&self.ring, &self.core.hint);
        drop(core);
        self.follow(effects);
    }

    /// Processes deferred effects. The lock is free.
    #[inline]
    pub(crate) fn follow(&self, effects: &mut DeferredEffects<T>) {
        effects.wakes.fire();
        if let Some(value) = effects.undelivered.take() {
            self.discard(value);
            if !effects.undelivered_more.is_empty() {
                self.discard_more(&mut effects.undelivered_more);
            }
        }
        if effects.again {
            self.rebalance();
        }
    }

    #[cold]
    fn discard_more(&self, values: &mut Vec<T>) {
        values.drain(..).for_each(|value| self.discard(value));
    }

    /// The value is undelivered: calls the hook, or drops it.
    #[inline]
    pub(crate) fn discard(&self, value: T) {
        match self.undelivered.get() {
            Some(undelivered) => contain(|| undelivered(value)),
            None if mem::needs_drop::<T>() => contain(|| drop(value)),
            None => {}
        }
    }

    /// Serves waiting operations, after an operation on the ring that saw the ring go slow.
    #[cold]
    #[inline(never)]
    pub(crate) fn rebalance(&self) {
        let mut effects = DeferredEffects::new();
        loop {
            let mut core = self.core.lock.lock();
            if !core.is_slow() {
                return;
            }
            core.rebalance(&self.ring, &mut effects);
            core.leave(&self.ring, &self.core.hint);
            drop(core);
            let again = mem::take(&mut effects.again);
            self.follow(&mut effects);
            if !again {
                return;
            }
        }
    }

    /// Closes the channel. True if it was open.
    pub(crate) fn close(&self, reason: Option<Arc<str>>) -> bool {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        let closed = core.close(&self.ring, reason, &mut effects);
        self.leave(core, &mut effects);
        closed
    }

    /// Closes the channel after its last receiver was dropped.
    pub(crate) fn abandon(&self) {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        core.abandon(&self.ring, &mut effects);
        if self.ring.ready_locked() == RingOutcome::Busy {
            // A send between claim and publication drains its value itself, once it sees the flag.
            heavy();
            core.rebalance(&self.ring, &mut effects);
        }
        self.leave(core, &mut effects);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.core.lock.lock().is_closed()
    }

    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.core.lock.lock().reason().cloned()
    }

    pub(crate) fn len(&self) -> usize {
        if matches!(self.kind, Kind::Bounded) && self.ring.is_fast() {
            return self.ring.len();
        }
        self.core.lock.lock().len(&self.ring)
    }

    #[inline]
    pub(crate) fn count_send_failure(&self, cause: FailureCause) {
        self.send_failures.count(cause);
    }

    #[inline]
    pub(crate) fn count_receive_failure(&self, cause: FailureCause) {
        self.receive_failures.count(cause);
    }

    /// Whether the channel weighs its values.
    #[inline]
    pub(crate) fn weighs(&self) -> bool {
        self.weigh.is_some()
    }

    /// The weight of a value, if the channel weighs its values.
    #[inline]
    pub(crate) fn weight(&self, value: &T) -> Option<u64> {
        self.weigh.as_ref().map(|weigh| weigh(value))
    }

    /// The weight of a send's value.
    ///
    /// # Safety
    ///
    /// A send's slot holds its value.
    #[inline]
    pub(crate) unsafe fn weigh<D: Direction>(&self, slot: *const T) -> u64 {
        // SAFETY: the caller's promise.
        if D::SENDS { self.weight(unsafe { &*slot }).unwrap_or(0) } else { 0 }
    }

    /// Counts an operation that was matched, or completed under the locks of a select.
    #[inline]
    pub(crate) fn count_matched<D: Direction>(&self, weight: u64) {
        if D::SENDS {
            self.count_sent(weight);
        }
    }

    /// Counts the weight of a value that was accepted.
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

    /// As [`Self::count_received`], before the value is returned. If its weight panics, the value
    /// was not received: it is undelivered.
    ///
    /// # Safety
    ///
    /// The slot holds a value; if this unwinds, the value has been moved out.
    #[inline]
    pub(crate) unsafe fn count_returned(&self, slot: *mut T) {
        if self.weighs() {
            // SAFETY: the caller's promise.
            unsafe {
                or_undelivered(slot, |it| self.count_weight_received(it), |it| self.discard(it));
            }
        }
    }

    /// Takes back the count of a value that was counted as received and was not.
    pub(crate) fn uncount_received(&self, value: &T) {
        if let Some(weight) = self.weight(value) {
            self.bytes_received.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    /// A send that found no room saw the channel full, though it may not have taken the lock.
    fn high_water(&self, seen: u64) -> usize {
        let seen = usize::try_from(seen).unwrap_or(usize::MAX);
        if self.suspends() && self.send_failures.read().would_block > 0 {
            return seen.max(self.ring.capacity());
        }
        seen
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut core = self.core.lock.lock();
        core.note_len(&self.ring);
        let (pushed, popped) = (self.ring.pushed(), self.ring.popped());
        let counts = core.counts;
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
            len: core.len(&self.ring),
            high_water: self.high_water(counts.high_water),
            senders_waiting: core.senders.len(),
            receivers_waiting: core.receivers.len(),
            closed: core.is_closed(),
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
            first_operation: core.span.map(|span| span.first),
            last_operation: core.span.map(|span| span.last),
            taken_at: Instant::now(),
        }
    }
}

/// Weighs a value that is about to be returned to its receiver. If that panics, the value is passed
/// to `discard`, and the panic continues.
///
/// # Safety
///
/// The slot holds a value; if this unwinds, the value has been moved out.
pub(crate) unsafe fn or_undelivered<T>(
    slot: *mut T,
    weigh: impl FnOnce(&T),
    discard: impl FnOnce(T),
) {
    // SAFETY: the caller's promise.
    let weighed = panic::catch_unwind(AssertUnwindSafe(|| weigh(unsafe { &*slot })));
    if let Err(payload) = weighed {
        // SAFETY: as above; moved out once.
        discard(unsafe { slot.read() });
        panic::resume_unwind(payload);
    }
}

impl<T> Drop for Channel<T> {
    fn drop(&mut self) {
        // Both sides are gone, and the last receiver has drained the channel. A value that a send
        // published after that is still here.
        self.abandon();
    }
}

/// The cause of a failed operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureCause {
    WouldBlock,
    TimedOut,
    Closed,
    Cancelled,
}

impl From<StopReason> for FailureCause {
    fn from(stop: StopReason) -> Self {
        match stop {
            StopReason::TimedOut => Self::TimedOut,
            StopReason::Cancelled => Self::Cancelled,
        }
    }
}
