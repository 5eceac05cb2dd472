// SPDX-License-Identifier: BSD-3-Clause
//! Counters of a channel: exact counts, and rates between two of them.
//!
//! Successful operations are not counted one by one: the ring's positions and the counts of the
//! core under its lock already give their number. Failed operations are counted one by one.

use std::time::{Duration, Instant};

use crate::channel::{FailureCause, Kind};
use crate::sync::{AtomicU64, Ordering};

/// A channel at one moment. See [`Sender::snapshot`](crate::Sender::snapshot).
///
/// Once no operation is in flight, `sends = receives + len + undelivered`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The kind of the channel.
    pub kind: Kind,
    /// The capacity in values; `None` if there is no limit.
    pub capacity: Option<usize>,
    /// The number of values held.
    pub len: usize,
    /// The largest number of values held. Exact with `timing`; otherwise the largest number seen by
    /// snapshots and by operations that had to wait, went past the ring or found the channel full.
    pub high_water: usize,
    /// Sends in the wait queue. Those of a [`Select`](crate::Select) stay there between its waits.
    pub senders_waiting: usize,
    /// Receives in the wait queue, likewise.
    pub receivers_waiting: usize,
    /// Whether it is closed.
    pub closed: bool,
    /// Values accepted.
    pub sends: u64,
    /// Values received.
    pub receives: u64,
    /// Bytes accepted: the size of the type per value, or the results of the channel's `weigh`.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Sends that failed.
    pub send_failures: Failures,
    /// Receives that failed.
    pub receive_failures: Failures,
    /// Values replaced by a newer one before they were received.
    pub conflated: u64,
    /// Values dropped by the overflow policy.
    pub dropped: u64,
    /// Values accepted that no receiver got or will get: conflated, dropped, or left at the end.
    pub undelivered: u64,
    /// Values handed from a sender straight to a receiver on a rendezvous channel.
    pub matches: u64,
    /// When the first operation happened, if the channel was made with `timing`.
    pub first_operation: Option<Instant>,
    /// When the last operation happened, if the channel was made with `timing`.
    pub last_operation: Option<Instant>,
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
}

impl Failures {
    /// The sum of all causes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.would_block + self.timed_out + self.closed + self.cancelled
    }
}

#[derive(Debug, Default)]
pub(crate) struct FailureCounters {
    would_block: AtomicU64,
    timed_out: AtomicU64,
    closed: AtomicU64,
    cancelled: AtomicU64,
}

impl FailureCounters {
    #[cold]
    pub(crate) fn count(&self, cause: FailureCause) {
        let counter = match cause {
            FailureCause::WouldBlock => &self.would_block,
            FailureCause::TimedOut => &self.timed_out,
            FailureCause::Closed => &self.closed,
            FailureCause::Cancelled => &self.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Failures {
        Failures {
            would_block: self.would_block.load(Ordering::Relaxed),
            timed_out: self.timed_out.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
        }
    }
}

/// The operations between two snapshots, and their number per second. See [`rate`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rate {
    /// The time between the two snapshots.
    pub interval: Duration,
    /// Values accepted.
    pub sends: u64,
    /// Values received.
    pub receives: u64,
    /// Failed sends, of any cause.
    pub send_failures: u64,
    /// Failed receives, of any cause.
    pub receive_failures: u64,
    /// Values accepted per second.
    pub sends_per_second: f64,
    /// Values received per second.
    pub receives_per_second: f64,
    /// Bytes accepted per second.
    pub bytes_sent_per_second: f64,
    /// Bytes received per second.
    pub bytes_received_per_second: f64,
}

/// The rate between two snapshots of one channel, the earlier one first. A count that is smaller in
/// the later one (two channels, or the wrong order) gives zero; so does an interval of zero.
#[must_use]
pub fn rate(earlier: &Snapshot, later: &Snapshot) -> Rate {
    let interval = later.taken_at.saturating_duration_since(earlier.taken_at);
    let seconds = interval.as_secs_f64();
    let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let sends = later.sends.saturating_sub(earlier.sends);
    let receives = later.receives.saturating_sub(earlier.receives);
    Rate {
        interval,
        sends,
        receives,
        send_failures: later.send_failures.total().saturating_sub(earlier.send_failures.total()),
        receive_failures: later
            .receive_failures
            .total()
            .saturating_sub(earlier.receive_failures.total()),
        sends_per_second: per_second(sends),
        receives_per_second: per_second(receives),
        bytes_sent_per_second: per_second(later.bytes_sent.saturating_sub(earlier.bytes_sent)),
        bytes_received_per_second: per_second(
            later.bytes_received.saturating_sub(earlier.bytes_received),
        ),
    }
}
