// SPDX-License-Identifier: BSD-3-Clause
//! Exact counts of the operations of a process on one channel.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::error::{RecvError, SendError};

/// The operations of this process on a channel since it was opened, by its handles and their
/// clones. Each operation is counted once, when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Values that the server, or a receiver, has accepted.
    pub sends: u64,
    /// Values received: acknowledged.
    pub receives: u64,
    /// Bytes accepted.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Sends that failed.
    pub send_failures: Failures,
    /// Receives that failed.
    pub receive_failures: Failures,
    /// Messages that the server delivered here again, after another attempt or receiver.
    pub redeliveries: u64,
    /// Repeated sends that the server recognised, and repeated messages that were recognised here.
    pub duplicates: u64,
    /// Messages requeued: their receive gave up, or their delivery was dropped.
    pub requeued: u64,
    /// Messages held here for longer than `ack_wait`, which the server delivers again.
    pub expired: u64,
    /// When this snapshot was taken.
    pub taken_at: Instant,
}

/// Failed operations of one side, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Failures {
    /// Would have had to wait.
    pub would_block: u64,
    /// The deadline passed.
    pub timed_out: u64,
    /// The channel was closed.
    pub closed: u64,
    /// The token was cancelled.
    pub cancelled: u64,
    /// The server does not accept the value.
    pub unsupported: u64,
    /// The outcome is not known: no answer, or a send that was dropped while it was in flight.
    pub unknown: u64,
}

impl Failures {
    /// The sum of all causes.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.would_block
            + self.timed_out
            + self.closed
            + self.cancelled
            + self.unsupported
            + self.unknown
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    sends: AtomicU64,
    receives: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    send_failures: FailureCounters,
    receive_failures: FailureCounters,
    redeliveries: AtomicU64,
    duplicates: AtomicU64,
    requeued: AtomicU64,
    expired: AtomicU64,
}

#[derive(Debug, Default)]
struct FailureCounters {
    would_block: AtomicU64,
    timed_out: AtomicU64,
    closed: AtomicU64,
    cancelled: AtomicU64,
    unsupported: AtomicU64,
    unknown: AtomicU64,
}

impl Counters {
    /// Counts a send by its result.
    pub(crate) fn sent(&self, bytes: usize, result: &Result<(), SendError>) {
        let failures = &self.send_failures;
        add(match result {
            Ok(()) => {
                self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
                &self.sends
            }
            Err(SendError::Closed { .. }) => &failures.closed,
            Err(SendError::TimedOut(_)) => &failures.timed_out,
            Err(SendError::Cancelled(_)) => &failures.cancelled,
            Err(SendError::WouldBlock(_)) => &failures.would_block,
            Err(SendError::Unsupported { .. }) => &failures.unsupported,
            Err(SendError::Unknown(_)) => &failures.unknown,
        });
    }

    /// Counts a send that was dropped while it was in flight.
    pub(crate) fn abandoned(&self) {
        add(&self.send_failures.unknown);
    }

    /// Counts a value that was received.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
        add(&self.receives);
    }

    /// Counts a receive that failed.
    pub(crate) fn not_received(&self, error: &RecvError) {
        let failures = &self.receive_failures;
        add(match error {
            RecvError::Closed { .. } => &failures.closed,
            RecvError::TimedOut => &failures.timed_out,
            RecvError::Cancelled => &failures.cancelled,
            RecvError::WouldBlock => &failures.would_block,
            RecvError::Unsupported => &failures.unsupported,
        });
    }

    pub(crate) fn redelivered(&self) {
        add(&self.redeliveries);
    }

    pub(crate) fn duplicate(&self) {
        add(&self.duplicates);
    }

    pub(crate) fn requeued(&self) {
        add(&self.requeued);
    }

    pub(crate) fn expired(&self) {
        add(&self.expired);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            sends: read(&self.sends),
            receives: read(&self.receives),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            send_failures: self.send_failures.read(),
            receive_failures: self.receive_failures.read(),
            redeliveries: read(&self.redeliveries),
            duplicates: read(&self.duplicates),
            requeued: read(&self.requeued),
            expired: read(&self.expired),
            taken_at: Instant::now(),
        }
    }
}

impl FailureCounters {
    fn read(&self) -> Failures {
        Failures {
            would_block: read(&self.would_block),
            timed_out: read(&self.timed_out),
            closed: read(&self.closed),
            cancelled: read(&self.cancelled),
            unsupported: read(&self.unsupported),
            unknown: read(&self.unknown),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
