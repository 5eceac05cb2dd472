// SPDX-License-Identifier: BSD-3-Clause
//! The counters of a channel of descriptors, exact.
//!
//! A channel counts each operation once, by its outcome ([`Event::of_send`], [`Event::of_recv`]).
//! Events that only a backend observes (a copy instead of a descriptor, a descriptor that bypassed
//! the channel) are counted by the backend, with the same events.
//!
//! Transfers are counted in shards, each used by a few threads, so that threads do not contend for
//! one counter. A shard packs count and bytes into one word, so that an operation costs one
//! addition:
//!
//! ```text
//!   bit  63                        24 23            0
//!       ┌────────────────────────────┬───────────────┐    moved to two wide words by the thread
//!       │ bytes                      │ count         │    that finds one half-full
//!       └────────────────────────────┴───────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. Once no operation is in progress, `sent = received + in flight + undelivered`.
//! 2. An operation that failed is counted once in its side's failures, by cause.
//! 3. No field of a packed word overflows: descriptors of [`PACKED_BYTES_MAX`] bytes or more go to
//!    the wide words directly, and between half-full and full there is room for two thousand
//!    concurrent threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::failure::Failure;

/// An event of a descriptor. The numbers are those of `enum kc_zcopy_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Event {
    /// It was accepted.
    Sent = 0,
    /// It was received.
    Received = 1,
    /// Its bytes were copied instead, because they are few.
    FallbackSmall = 2,
    /// Its bytes were copied instead, because no block was free.
    FallbackCapacity = 3,
    /// Its operation was cancelled.
    Cancelled = 4,
    /// Its send began while the channel was open and ended because the channel was closed.
    AbortedClose = 5,
}

/// A side of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Of the senders.
    Sending,
    /// Of the receivers.
    Receiving,
}

/// The counters of a channel of descriptors.
#[derive(Debug, Default)]
pub struct Counters {
    shards: [CachePadded<Shard>; SHARDS],
    fallback_small: AtomicU64,
    fallback_capacity: AtomicU64,
    cancelled: AtomicU64,
    aborted_close: AtomicU64,
    undelivered: AtomicU64,
    failed_sends: FailureCounters,
    failed_receives: FailureCounters,
}

/// The number of shards.
const SHARDS: usize = 8;
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
/// A word with one of these bits set has a half-full field.
const HALF: u64 = 1 << 63 | 1 << (COUNT_BITS - 1);
/// Descriptors of this many bytes or more are not packed.
const PACKED_BYTES_MAX: u64 = 1 << 28;

#[derive(Debug, Default)]
struct Shard {
    sent: TransferCounter,
    received: TransferCounter,
}

#[derive(Debug, Default)]
struct TransferCounter {
    packed: AtomicU64,
    count: AtomicU64,
    bytes: AtomicU64,
}

thread_local! {
    /// The calling thread's shard.
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[derive(Debug, Default)]
struct FailureCounters {
    would_block: AtomicU64,
    timed_out: AtomicU64,
    closed: AtomicU64,
    cancelled: AtomicU64,
    other: AtomicU64,
}

/// Failed operations of one side, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FailureCounts {
    /// The operation would have blocked.
    pub would_block: u64,
    /// The deadline passed.
    pub timed_out: u64,
    /// The channel was closed before or during the operation.
    pub closed: u64,
    /// Cancelled by a token.
    pub cancelled: u64,
    /// Refused, unsupported, or failed with a code of the backend.
    pub other: u64,
}

/// Counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CounterSnapshot {
    /// Descriptors accepted.
    pub sent: u64,
    /// Descriptors received.
    pub received: u64,
    /// Bytes that the accepted descriptors name.
    pub bytes_sent: u64,
    /// Bytes that the received descriptors name.
    pub bytes_received: u64,
    /// See [`Event::FallbackSmall`].
    pub fallback_small: u64,
    /// See [`Event::FallbackCapacity`].
    pub fallback_capacity: u64,
    /// Operations of either side that were cancelled.
    pub cancelled: u64,
    /// See [`Event::AbortedClose`].
    pub aborted_close: u64,
    /// Descriptors that were accepted and not received, and never will be.
    pub undelivered: u64,
    /// Sends that failed.
    pub failed_sends: FailureCounts,
    /// Receives that failed.
    pub failed_receives: FailureCounts,
}

impl Event {
    /// The event of a send's outcome; `was_open`: whether the channel was open when the send began.
    #[must_use]
    pub fn of_send(answer: Result<(), Failure>, was_open: bool) -> Option<Self> {
        match answer {
            Ok(()) => Some(Self::Sent),
            Err(Failure::Cancelled) => Some(Self::Cancelled),
            Err(Failure::Closed) if was_open => Some(Self::AbortedClose),
            Err(_) => None,
        }
    }

    /// The event of a receive's outcome.
    #[must_use]
    pub fn of_recv<T>(answer: &Result<T, Failure>) -> Option<Self> {
        match answer {
            Ok(_) => Some(Self::Received),
            Err(Failure::Cancelled) => Some(Self::Cancelled),
            Err(_) => None,
        }
    }

    /// The event of a number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        use Event::*;
        [Sent, Received, FallbackSmall, FallbackCapacity, Cancelled, AbortedClose]
            .into_iter()
            .find(|event| *event as i32 == number)
    }
}

impl Counters {
    /// Counts an event of a descriptor that names `bytes` bytes.
    #[inline]
    pub fn count(&self, event: Event, bytes: u64) {
        match event {
            Event::Sent => self.shard().sent.count(bytes),
            Event::Received => self.shard().received.count(bytes),
            Event::FallbackSmall => one(&self.fallback_small),
            Event::FallbackCapacity => one(&self.fallback_capacity),
            Event::Cancelled => one(&self.cancelled),
            Event::AbortedClose => one(&self.aborted_close),
        }
    }

    /// Counts an operation that failed.
    #[cold]
    pub fn failed(&self, side: Side, failure: Failure) {
        let failed = match side {
            Side::Sending => &self.failed_sends,
            Side::Receiving => &self.failed_receives,
        };
        one(match failure {
            Failure::WouldBlock => &failed.would_block,
            Failure::TimedOut => &failed.timed_out,
            Failure::Closed => &failed.closed,
            Failure::Cancelled => &failed.cancelled,
            _ => &failed.other,
        });
    }

    /// Counts a descriptor that was accepted and will not be received.
    pub fn lost(&self) {
        one(&self.undelivered);
    }

    /// The calling thread's shard.
    #[inline]
    fn shard(&self) -> &Shard {
        let at = SHARD.try_with(Cell::get).unwrap_or(0);
        let at = if at == usize::MAX { assign_shard() } else { at };
        let [first, ..] = &self.shards;
        self.shards.get(at).unwrap_or(first)
    }

    /// The current counts.
    #[must_use]
    pub fn snapshot(&self) -> CounterSnapshot {
        let all = |side: fn(&Shard) -> &TransferCounter| {
            self.shards.iter().map(|shard| side(shard).read()).fold((0, 0), |all, one| {
                let add = |all: u64, one: u64| all.wrapping_add(one);
                (add(all.0, one.0), add(all.1, one.1))
            })
        };
        let ((sent, bytes_sent), (received, bytes_received)) =
            (all(|shard| &shard.sent), all(|shard| &shard.received));
        CounterSnapshot {
            sent,
            received,
            bytes_sent,
            bytes_received,
            fallback_small: read(&self.fallback_small),
            fallback_capacity: read(&self.fallback_capacity),
            cancelled: read(&self.cancelled),
            aborted_close: read(&self.aborted_close),
            undelivered: read(&self.undelivered),
            failed_sends: self.failed_sends.snapshot(),
            failed_receives: self.failed_receives.snapshot(),
        }
    }

    /// Counts the outcome of a send, and returns it.
    ///
    /// # Errors
    ///
    /// The outcome's own.
    #[inline]
    pub fn sending(
        &self,
        bytes: usize,
        answer: Result<(), Failure>,
        was_open: bool,
    ) -> Result<(), Failure> {
        match answer {
            Ok(()) => {
                self.count(Event::Sent, bytes as u64);
                Ok(())
            }
            Err(failure) => Err(self.send_failed(failure, was_open)),
        }
    }

    /// Counts the outcome of a receive.
    #[inline]
    pub fn receiving<T>(&self, answer: Result<&T, Failure>, bytes: impl FnOnce(&T) -> usize) {
        match answer {
            Ok(value) => self.count(Event::Received, bytes(value) as u64),
            Err(failure) => self.recv_failed(failure),
        }
    }

    #[cold]
    fn send_failed(&self, failure: Failure, was_open: bool) -> Failure {
        if let Some(event) = Event::of_send(Err(failure), was_open) {
            self.count(event, 0);
        }
        self.failed(Side::Sending, failure);
        failure
    }

    #[cold]
    fn recv_failed(&self, failure: Failure) {
        if let Some(event) = Event::of_recv::<()>(&Err(failure)) {
            self.count(event, 0);
        }
        self.failed(Side::Receiving, failure);
    }
}

impl TransferCounter {
    #[inline]
    fn count(&self, bytes: u64) {
        if bytes >= PACKED_BYTES_MAX {
            return self.add(1, bytes);
        }
        let before = self.packed.fetch_add(bytes << COUNT_BITS | 1, Ordering::Relaxed);
        if before & HALF != 0 {
            self.unpack();
        }
    }

    /// Moves the packed counts to the wide words.
    #[cold]
    fn unpack(&self) {
        let packed = self.packed.swap(0, Ordering::Relaxed);
        self.add(packed & COUNT, packed >> COUNT_BITS);
    }

    fn add(&self, count: u64, bytes: u64) {
        self.count.fetch_add(count, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Count and bytes.
    fn read(&self) -> (u64, u64) {
        let packed = read(&self.packed);
        let (count, bytes) = (packed & COUNT, packed >> COUNT_BITS);
        (read(&self.count).wrapping_add(count), read(&self.bytes).wrapping_add(bytes))
    }
}

impl FailureCounters {
    fn snapshot(&self) -> FailureCounts {
        FailureCounts {
            would_block: read(&self.would_block),
            timed_out: read(&self.timed_out),
            closed: read(&self.closed),
            cancelled: read(&self.cancelled),
            other: read(&self.other),
        }
    }
}

#[cold]
fn assign_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let at = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    // A thread whose locals are being destroyed has no shard of its own: it uses the first one.
    let _kept = SHARD.try_with(|shard| shard.set(at));
    at
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_full_word_is_unpacked_and_nothing_is_lost() {
        let (counters, mut bytes) = (Counters::default(), 0);
        let lengths = [1, PACKED_BYTES_MAX - 1, PACKED_BYTES_MAX, 1 << 40, 77];
        let rounds = if cfg!(miri) { 50 } else { 20_000 };
        for round in 0..rounds {
            for length in lengths {
                counters.count(Event::Sent, length + round % 2);
                bytes += length + round % 2;
            }
        }
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.sent, snapshot.bytes_sent), (rounds * 5, bytes));
        assert_eq!((snapshot.received, snapshot.bytes_received), (0, 0));
    }

    #[test]
    fn a_half_full_count_is_unpacked() {
        let counters = Counters::default();
        let shard = counters.shard();
        shard.received.packed.store((1 << (COUNT_BITS - 1)) - 1, Ordering::Relaxed);
        for _ in 0..3 {
            counters.count(Event::Received, 10);
        }
        let count = (1 << (COUNT_BITS - 1)) - 1 + 3;
        assert_eq!(shard.received.read(), (count, 30));
        assert!(shard.received.packed.load(Ordering::Relaxed) & COUNT < 3, "moved");
    }

    #[test]
    fn threads_count_exactly() {
        let counters = Counters::default();
        let each = if cfg!(miri) { 20 } else { 10_000 };
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for bytes in 0..each {
                        counters.count(Event::Sent, bytes);
                        counters.count(Event::Received, 1);
                    }
                });
            }
        });
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.sent, snapshot.received), (12 * each, 12 * each));
        assert_eq!(
            (snapshot.bytes_sent, snapshot.bytes_received),
            (6 * each * (each - 1), 12 * each)
        );
    }
}
