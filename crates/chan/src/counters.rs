// SPDX-License-Identifier: BSD-3-Clause
//! What a channel has done: exact counts, and rates made of two of them.
//!
//! Successful operations are not counted: the ring's positions and what the gate counts under its
//! lock already say how many there were. Failed ones are counted one by one.

use std::time::{Duration, Instant};

use crate::channel::Cause;
use crate::gate::Kind;
use crate::sync::{AtomicU64, Ordering};

/// A channel at one moment. See [`Sender::snapshot`](crate::Sender::snapshot).
///
/// Once nothing moves, `sends = receives + len + undelivered`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What kind of channel it is.
    pub kind: Kind,
    /// How many values it may hold; `None` if there is no limit.
    pub capacity: Option<usize>,
    /// How many it holds.
    pub len: usize,
    /// The most it held. Exact with `timing`. Otherwise the most that was seen: by operations that
    /// had to wait, went past the ring or found the channel full, and by snapshots.
    pub high_water: usize,
    /// Sends in line. Those of a [`Select`](crate::Select) stay there between two of its waits.
    pub senders_waiting: usize,
    /// Receives in line, alike.
    pub receivers_waiting: usize,
    /// Whether it is closed.
    pub closed: bool,
    /// Values accepted.
    pub sends: u64,
    /// Values received.
    pub receives: u64,
    /// Bytes accepted: the type's size each, or what the channel's `weigh` said.
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
    /// Values accepted that nobody received or will: conflated, dropped, or left at the end.
    pub undelivered: u64,
    /// Values that went from a sender straight to a receiver on a rendezvous channel.
    pub matches: u64,
    /// When the first operation happened, if the channel was made with `timing`.
    pub first_operation: Option<Instant>,
    /// When the last operation happened, if the channel was made with `timing`.
    pub last_operation: Option<Instant>,
    /// When this was taken.
    pub taken_at: Instant,
}

/// Failed operations of one side, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Failures {
    /// Would have had to wait.
    pub would_block: u64,
    /// Waited until the deadline.
    pub timed_out: u64,
    /// Found the channel closed.
    pub closed: u64,
    /// Cancelled by a token.
    pub cancelled: u64,
}

impl Failures {
    /// All of them.
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
    pub(crate) fn count(&self, cause: Cause) {
        let counter = match cause {
            Cause::WouldBlock => &self.would_block,
            Cause::TimedOut => &self.timed_out,
            Cause::Closed => &self.closed,
            Cause::Cancelled => &self.cancelled,
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

/// What happened between two snapshots, for each second. See [`rate`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Rate {
    /// The time between the two.
    pub interval: Duration,
    /// Values accepted.
    pub sends: u64,
    /// Values received.
    pub receives: u64,
    /// Failed sends, of any cause.
    pub send_failures: u64,
    /// Failed receives, of any cause.
    pub receive_failures: u64,
    /// Values accepted in a second.
    pub sends_per_second: f64,
    /// Values received in a second.
    pub receives_per_second: f64,
    /// Bytes accepted in a second.
    pub bytes_sent_per_second: f64,
    /// Bytes received in a second.
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
