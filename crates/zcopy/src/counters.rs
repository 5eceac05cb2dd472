// SPDX-License-Identifier: BSD-3-Clause
//! What goes through a channel of descriptors, counted exactly.
//!
//! A channel counts each operation once, by what it came to ([`Event::of_send`],
//! [`Event::of_recv`]). What only a backend sees (a copy instead of a descriptor, a descriptor that
//! moved past the channel) the backend counts, with the same events.
//!
//! # Invariants
//!
//! 1. Once nothing moves, `sent = received + in flight + undelivered`.
//! 2. An operation that failed is counted in `failures` of its side, once, by its cause.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::failure::Failure;

/// Something that happened to a descriptor. The numbers are those of `enum kc_zcopy_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[non_exhaustive]
pub enum Event {
    /// It was accepted.
    Sent = 0,
    /// It was received.
    Received = 1,
    /// Its bytes were copied instead, because there are few.
    FallbackSmall = 2,
    /// Its bytes were copied instead, for want of room.
    FallbackCapacity = 3,
    /// Its operation was cancelled.
    Cancelled = 4,
    /// Its send found the channel open and was ended by its closing.
    AbortedClose = 5,
}

/// A side of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Of those who send.
    Sending,
    /// Of those who receive.
    Receiving,
}

/// The counters of a channel of descriptors.
#[derive(Debug, Default)]
pub struct Counters {
    sent: CachePadded<Moved>,
    received: CachePadded<Moved>,
    fallback_small: AtomicU64,
    fallback_capacity: AtomicU64,
    cancelled: AtomicU64,
    aborted_close: AtomicU64,
    undelivered: AtomicU64,
    failed_sends: Failed,
    failed_receives: Failed,
}

#[derive(Debug, Default)]
struct Moved {
    count: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Failed {
    would_block: AtomicU64,
    timed_out: AtomicU64,
    closed: AtomicU64,
    cancelled: AtomicU64,
    other: AtomicU64,
}

/// Operations of one side that failed, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FailureCounts {
    /// Would have had to wait.
    pub would_block: u64,
    /// Waited until the deadline.
    pub timed_out: u64,
    /// Found the channel closed, or were ended by that.
    pub closed: u64,
    /// Cancelled by a token.
    pub cancelled: u64,
    /// Refused, not supported, or for the backend's own reason.
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
    /// Bytes that the accepted ones name.
    pub bytes_sent: u64,
    /// Bytes that the received ones name.
    pub bytes_received: u64,
    /// See [`Event::FallbackSmall`].
    pub fallback_small: u64,
    /// See [`Event::FallbackCapacity`].
    pub fallback_capacity: u64,
    /// Operations of either side that were cancelled.
    pub cancelled: u64,
    /// See [`Event::AbortedClose`].
    pub aborted_close: u64,
    /// Descriptors accepted that nobody received or will.
    pub undelivered: u64,
    /// Sends that failed.
    pub failed_sends: FailureCounts,
    /// Receives that failed.
    pub failed_receives: FailureCounts,
}

impl Event {
    /// What a send came to that found the channel open, or not.
    #[must_use]
    pub fn of_send(answer: Result<(), Failure>, was_open: bool) -> Option<Self> {
        match answer {
            Ok(()) => Some(Self::Sent),
            Err(Failure::Cancelled) => Some(Self::Cancelled),
            Err(Failure::Closed) if was_open => Some(Self::AbortedClose),
            Err(_) => None,
        }
    }

    /// What a receive came to.
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
    /// Counts an event, of a descriptor of so many bytes.
    #[inline]
    pub fn count(&self, event: Event, bytes: u64) {
        match event {
            Event::Sent => self.sent.happened(bytes),
            Event::Received => self.received.happened(bytes),
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

    /// Counts a descriptor that was accepted and that nobody will receive.
    pub fn lost(&self) {
        one(&self.undelivered);
    }

    /// What was counted so far.
    #[must_use]
    pub fn snapshot(&self) -> CounterSnapshot {
        CounterSnapshot {
            sent: read(&self.sent.count),
            received: read(&self.received.count),
            bytes_sent: read(&self.sent.bytes),
            bytes_received: read(&self.received.bytes),
            fallback_small: read(&self.fallback_small),
            fallback_capacity: read(&self.fallback_capacity),
            cancelled: read(&self.cancelled),
            aborted_close: read(&self.aborted_close),
            undelivered: read(&self.undelivered),
            failed_sends: self.failed_sends.snapshot(),
            failed_receives: self.failed_receives.snapshot(),
        }
    }

    /// Counts what a send came to, and hands it on.
    #[inline]
    pub fn sending(
        &self,
        bytes: usize,
        answer: Result<(), Failure>,
        was_open: bool,
    ) -> Result<(), Failure> {
        if let Some(event) = Event::of_send(answer, was_open) {
            self.count(event, bytes as u64);
        }
        answer.inspect_err(|failure| self.failed(Side::Sending, *failure))
    }

    /// Counts what a receive came to, and hands it on.
    #[inline]
    pub fn receiving<T>(
        &self,
        answer: Result<T, Failure>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T, Failure> {
        if let Some(event) = Event::of_recv(&answer) {
            self.count(event, answer.as_ref().map_or(0, bytes) as u64);
        }
        answer.inspect_err(|failure| self.failed(Side::Receiving, *failure))
    }
}

impl Moved {
    #[inline]
    fn happened(&self, bytes: u64) {
        one(&self.count);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Failed {
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
