// SPDX-License-Identifier: BSD-3-Clause
//! The counters of a channel of descriptors, exact.
//!
//! A channel counts each operation once, by its outcome ([`Event::of_send`], [`Event::of_recv`]).
//! The channel of `becket_chan` behind `zref` counts its own operations; only their bytes are
//! counted here. Events that only a backend observes (a copy instead of a descriptor, a descriptor
//! that bypassed the channel) are counted by the backend, with the same events.
//!
//! Transfers are counted in [shards](crate::shard): a thread that has one of its own adds to it by a
//! plain load and store.
//!
//! # Invariants
//!
//! 1. Once no operation is in progress, `sent = received + in flight + undelivered`.
//! 2. An operation that failed is counted once in its side's failures, by cause.

use std::sync::atomic::{AtomicU64, Ordering};

use becket_chan::{Failures, Snapshot};
use crossbeam_utils::CachePadded;

use crate::failure::Failure;
use crate::shard::{self, SHARDS};

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

/// What counts an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountedBy {
    /// The channel of `becket_chan` behind `zref`; bytes and [`Event::AbortedClose`] are counted
    /// here.
    Zref,
    /// The link.
    Link,
    /// These counters alone.
    Channel,
}

/// The counters of a channel of descriptors.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    shards: [CachePadded<Shard>; SHARDS],
    fallback_small: AtomicU64,
    fallback_capacity: AtomicU64,
    cancelled: AtomicU64,
    aborted_close: AtomicU64,
    undelivered: AtomicU64,
    /// Descriptors that were taken out of `zref`'s channel when it was detached. That channel
    /// counts them as received.
    drained: AtomicU64,
    failed_sends: FailureCounters,
    failed_receives: FailureCounters,
}

#[derive(Debug, Default)]
struct Shard {
    sent: TransferCounter,
    received: TransferCounter,
}

#[derive(Debug, Default)]
struct TransferCounter {
    /// Transfers, without those through `zref`.
    count: AtomicU64,
    bytes: AtomicU64,
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
    pub(crate) fn count(&self, event: Event, bytes: u64) {
        match event {
            Event::Sent => self.transferred(|shard| &shard.sent, 1, bytes),
            Event::Received => self.transferred(|shard| &shard.received, 1, bytes),
            Event::FallbackSmall => one(&self.fallback_small),
            Event::FallbackCapacity => one(&self.fallback_capacity),
            Event::Cancelled => one(&self.cancelled),
            Event::AbortedClose => one(&self.aborted_close),
        }
    }

    /// Counts the bytes of a descriptor that `zref` accepted.
    #[inline]
    pub(crate) fn sent_bytes(&self, bytes: usize) {
        self.transferred(|shard| &shard.sent, 0, bytes as u64);
    }

    /// Counts the bytes of a descriptor that was received through `zref`.
    #[inline]
    pub(crate) fn received_bytes(&self, bytes: usize) {
        self.transferred(|shard| &shard.received, 0, bytes as u64);
    }

    /// Counts a descriptor that was accepted and will not be received.
    pub(crate) fn lost(&self) {
        one(&self.undelivered);
    }

    /// Counts a descriptor that was taken out of `zref`'s channel and is undelivered.
    pub(crate) fn drained(&self) {
        one(&self.drained);
    }

    /// Counts the part of a send's outcome that `by` does not count.
    #[inline]
    pub(crate) fn sending(
        &self,
        bytes: usize,
        answer: Result<(), Failure>,
        was_open: bool,
        by: CountedBy,
    ) {
        match (answer, by) {
            (Ok(()), CountedBy::Zref) => self.sent_bytes(bytes),
            (Ok(()), CountedBy::Channel) => self.count(Event::Sent, bytes as u64),
            (Err(failure), _) => self.send_failed(failure, was_open, by),
            (Ok(()), CountedBy::Link) => {}
        }
    }

    /// Counts the part of a receive's outcome that `by` does not count. `answer`: on success, the
    /// bytes received.
    #[inline]
    pub(crate) fn receiving(&self, answer: Result<usize, Failure>, by: CountedBy) {
        match (answer, by) {
            (Ok(bytes), CountedBy::Zref) => self.received_bytes(bytes),
            (Ok(bytes), CountedBy::Channel) => self.count(Event::Received, bytes as u64),
            (Err(failure), _) => self.recv_failed(failure, by),
            (Ok(_), CountedBy::Link) => {}
        }
    }

    #[cold]
    fn send_failed(&self, failure: Failure, was_open: bool, by: CountedBy) {
        let event = Event::of_send(Err(failure), was_open);
        match (by, event) {
            (CountedBy::Link, _) => {}
            (CountedBy::Zref, Some(Event::AbortedClose)) => one(&self.aborted_close),
            (CountedBy::Zref, _) => {}
            (CountedBy::Channel, event) => {
                if let Some(event) = event {
                    self.count(event, 0);
                }
                self.failed_sends.count(failure);
            }
        }
    }

    #[cold]
    fn recv_failed(&self, failure: Failure, by: CountedBy) {
        if by == CountedBy::Channel {
            if let Some(event) = Event::of_recv::<()>(&Err(failure)) {
                self.count(event, 0);
            }
            self.failed_receives.count(failure);
        }
    }

    /// Adds to a counter in the calling thread's shard.
    #[inline]
    fn transferred(
        &self,
        counter: impl Fn(&Shard) -> &TransferCounter,
        transfers: u64,
        bytes: u64,
    ) {
        match shard::own().and_then(|number| self.shards.get(number)) {
            Some(shard) => counter(shard).add_alone(transfers, bytes),
            None => self.transferred_apart(counter, transfers, bytes),
        }
    }

    /// As [`Self::transferred`], in a shard of several threads, or as a thread's first transfer.
    #[cold]
    fn transferred_apart(
        &self,
        counter: impl Fn(&Shard) -> &TransferCounter,
        transfers: u64,
        bytes: u64,
    ) {
        let (number, is_own) = shard::any();
        let Some(shard) = self.shards.get(number) else { return };
        if is_own {
            counter(shard).add_alone(transfers, bytes);
        } else {
            counter(shard).add(transfers, bytes);
        }
    }

    /// The current counts, with those of `zref`'s channel.
    pub(crate) fn snapshot(&self, zref: Option<&Snapshot>) -> CounterSnapshot {
        let all = |side: fn(&Shard) -> &TransferCounter,
                   field: fn(&TransferCounter) -> &AtomicU64| {
            let sum =
                |all: u64, shard: &CachePadded<Shard>| all.wrapping_add(read(field(side(shard))));
            self.shards.iter().fold(0, sum)
        };
        let mut counts = CounterSnapshot {
            sent: all(|shard| &shard.sent, |transfers| &transfers.count),
            received: all(|shard| &shard.received, |transfers| &transfers.count),
            bytes_sent: all(|shard| &shard.sent, |transfers| &transfers.bytes),
            bytes_received: all(|shard| &shard.received, |transfers| &transfers.bytes),
            fallback_small: read(&self.fallback_small),
            fallback_capacity: read(&self.fallback_capacity),
            cancelled: read(&self.cancelled),
            aborted_close: read(&self.aborted_close),
            undelivered: read(&self.undelivered),
            failed_sends: self.failed_sends.snapshot(),
            failed_receives: self.failed_receives.snapshot(),
        };
        if let Some(zref) = zref {
            counts.sent += zref.sends;
            counts.received += zref.receives.saturating_sub(read(&self.drained));
            counts.cancelled += zref.send_failures.cancelled + zref.receive_failures.cancelled;
            counts.failed_sends.add(&zref.send_failures);
            counts.failed_receives.add(&zref.receive_failures);
        }
        counts
    }
}

impl TransferCounter {
    /// Adds in the shard of the calling thread alone (the invariant of `shard`).
    #[inline]
    fn add_alone(&self, transfers: u64, bytes: u64) {
        let add = |counter: &AtomicU64, more: u64| {
            counter.store(read(counter).wrapping_add(more), Ordering::Relaxed);
        };
        if transfers > 0 {
            add(&self.count, transfers);
        }
        add(&self.bytes, bytes);
    }

    /// Adds in a shard of several threads.
    fn add(&self, transfers: u64, bytes: u64) {
        if transfers > 0 {
            self.count.fetch_add(transfers, Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl FailureCounts {
    fn add(&mut self, failures: &Failures) {
        self.would_block += failures.would_block;
        self.timed_out += failures.timed_out;
        self.closed += failures.closed;
        self.cancelled += failures.cancelled;
    }
}

impl FailureCounters {
    fn count(&self, failure: Failure) {
        one(match failure {
            Failure::WouldBlock => &self.would_block,
            Failure::TimedOut => &self.timed_out,
            Failure::Closed => &self.closed,
            Failure::Cancelled => &self.cancelled,
            _ => &self.other,
        });
    }

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

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::shard::OWN_SHARDS;

    /// More threads than there are shards of their own, and later ones that take over the shards
    /// of those that have ended.
    #[test]
    fn threads_count_exactly() {
        let counters = Arc::new(Counters::default());
        let each = if cfg!(miri) { 20 } else { 10_000 };
        let long = 1 << 40;
        let count = move |counters: &Counters| {
            for bytes in 0..each {
                counters.count(Event::Sent, bytes);
                counters.sent_bytes(long);
                counters.count(Event::Received, 1);
                counters.received_bytes(2);
            }
            shard::any().0
        };
        let spawn = || {
            let counters = counters.clone();
            thread::spawn(move || count(&counters))
        };
        let at_once = 2 * SHARDS - OWN_SHARDS;
        let all: Vec<_> = (0..at_once).map(|_| spawn()).collect();
        all.into_iter().for_each(|one| assert!(one.join().unwrap() < SHARDS));
        // One at a time: each finds the number that the one before has returned.
        let one_by_one = 2 * OWN_SHARDS;
        (0..one_by_one).for_each(|_| assert!(spawn().join().unwrap() < OWN_SHARDS));
        let threads = (at_once + one_by_one) as u64;
        let snapshot = counters.snapshot(None);
        assert_eq!((snapshot.sent, snapshot.received), (threads * each, threads * each));
        let bytes_sent = threads * (each * (each - 1) / 2 + each * long as u64);
        let bytes_received = threads * 3 * each;
        assert_eq!((snapshot.bytes_sent, snapshot.bytes_received), (bytes_sent, bytes_received));
    }
}
