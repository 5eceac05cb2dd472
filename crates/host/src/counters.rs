// SPDX-License-Identifier: BSD-3-Clause
//! Exact counters that cost a plain load and store.
//!
//! A plugin has one shard a thread. A running thread has an index that no other has, so it is the
//! only writer of its shard and needs no read-modify-write; a reader adds the shards up. Threads
//! with an index beyond the array share one shard and pay for it, as do signal handlers.

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use crate::buckets;
use crate::observer::Observer;
use crate::thread::{self, ThreadRecord};

/// Threads with a shard of their own.
const SHARDS_MAX: usize = 256;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    Calls,
    Ok,
    AnsweredWithError,
    RefusedByHandle,
    DeadlineExceeded,
    Cancelled,
    NotAnswered,
    FailedUnloaded,
    FailedCrashed,
    PluginFailed,
    QuotaRefused,
    ResourceRefused,
    LeasesParked,
    NotifiesRefused,
    StreamsRefused,
    Notifies,
    StreamsOpened,
    StreamsEnded,
    FramesOut,
    FramesIn,
    BytesIn,
    BytesOut,
    AnswersUnknown,
    AnswersLate,
    AnswersForeign,
    AnswersInvalid,
    Backpressure,
    FramesUnannounced,
    Blocked,
    Revoked,
    LogDropped,
    Reloads,
    ReloadFailures,
    LatencyNanos,
    Last,
}

impl Count {
    /// Whether an observer is notified of it: those that nothing but the host that runs the plugin
    /// can count.
    fn is_reported(self) -> bool {
        matches!(
            self,
            Self::ResourceRefused
                | Self::LeasesParked
                | Self::NotifiesRefused
                | Self::AnswersUnknown
                | Self::AnswersLate
                | Self::AnswersForeign
                | Self::AnswersInvalid
                | Self::Backpressure
                | Self::FramesUnannounced
                | Self::Blocked
                | Self::Revoked
        )
    }
}

const COUNTS: usize = Count::Last as usize;

/// Bounds of the buckets that metrics show: powers of two of nanoseconds, beside one without.
const BOUND_BITS: std::ops::Range<u32> = 8..37;

#[repr(align(128))]
struct Shard {
    counts: [AtomicU64; COUNTS],
    latency: [AtomicU64; buckets::COUNT],
    /// Calls answered inside `handle`.
    sampled: AtomicU64,
}

impl Shard {
    const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; COUNTS],
            latency: [const { AtomicU64::new(0) }; buckets::COUNT],
            sampled: AtomicU64::new(0),
        }
    }
}

/// The counters of one plugin.
pub(crate) struct Counters {
    own: Box<[AtomicPtr<Shard>]>,
    shared: Shard,
    /// Is notified of the counts in [`ReportedCounts`](crate::ReportedCounts).
    observer: Option<Arc<dyn Observer>>,
}

impl Counters {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self {
            own: (0..SHARDS_MAX).map(|_| AtomicPtr::new(ptr::null_mut())).collect(),
            shared: Shard::new(),
            observer,
        }
    }

    /// Adds `n`, on behalf of the calling thread.
    pub(crate) fn add(&self, count: Count, n: u64) {
        self.of(thread::current()).add(count, n);
        if count.is_reported() {
            self.notify();
        }
    }

    /// Notifies the observer, if there is one.
    pub(crate) fn notify(&self) {
        if let Some(observer) = &self.observer {
            observer.counts_changed();
        }
    }

    /// Adds one.
    pub(crate) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    /// Adds one on behalf of a signal handler: it takes no memory, as `malloc` may be what was interrupted, and writes to
    /// no shard that the thread itself may be in the middle of writing to.
    pub(crate) fn one_of_handler(&self, count: Count) {
        Tally { shard: &self.shared, own: false }.one(count);
    }

    /// The counters of the calling thread, whose record this is, looked up once for several.
    #[inline]
    pub(crate) fn of(&self, record: &ThreadRecord) -> Tally<'_> {
        let Some(place) = self.own.get(record.index as usize) else {
            return Tally { shard: &self.shared, own: false };
        };
        // SAFETY: null, or a shard that lives as long as `self`.
        match unsafe { place.load(Ordering::Acquire).as_ref() } {
            Some(shard) => Tally { shard, own: true },
            None => Tally { shard: make(place), own: true },
        }
    }

    /// The sum over all threads.
    pub(crate) fn get(&self, count: Count) -> u64 {
        self.sum(|shard| shard.counts.get(count as usize))
    }

    /// The latencies of all threads.
    pub(crate) fn latencies(&self) -> Latency {
        let counts = (0..buckets::COUNT).map(|at| self.sum(|shard| shard.latency.get(at)));
        let bounds = BOUND_BITS.map(|bits| 1 << bits);
        Latency::of_buckets(counts, bounds, self.get(Count::LatencyNanos))
    }

    fn sum(&self, of: impl Fn(&Shard) -> Option<&AtomicU64>) -> u64 {
        self.own
            .iter()
            // SAFETY: null, or a shard that lives as long as `self`.
            .filter_map(|shard| unsafe { shard.load(Ordering::Acquire).as_ref() })
            .chain([&self.shared])
            .filter_map(of)
            // A plugin in another process reports any numbers: as each cell, the sum begins anew.
            .fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }
}

/// One thread's counters of one plugin.
#[derive(Clone, Copy)]
pub(crate) struct Tally<'a> {
    shard: &'a Shard,
    /// This thread is the shard's only writer.
    own: bool,
}

impl Tally<'_> {
    /// Adds `n`.
    #[inline]
    pub(crate) fn add(self, count: Count, n: u64) {
        if let Some(cell) = self.shard.counts.get(count as usize) {
            add(cell, n, self.own);
        }
    }

    /// Adds one.
    #[inline]
    pub(crate) fn one(self, count: Count) {
        self.add(count, 1);
    }

    /// How many calls this one stands for if it is timed; 0: do not time it. A thread's first 64 of
    /// a plugin are timed one by one, then one in 64, since reading the clock twice costs more than
    /// a call.
    #[inline]
    pub(crate) fn sample_weight(self) -> u32 {
        let count = self.shard.sampled.load(Ordering::Relaxed);
        self.shard.sampled.store(count.wrapping_add(1), Ordering::Relaxed);
        if count >= 64 && !count.is_multiple_of(64) {
            return 0;
        }
        if count < 64 { 1 } else { 64 }
    }

    /// Records the latency of a call that was timed.
    #[inline]
    pub(crate) fn took(self, took: Option<(Duration, u32)>) {
        if let Some((latency, weight)) = took {
            self.latency(latency, weight);
        }
    }

    /// Adds a call's bytes, of which most calls have none in one direction.
    #[inline]
    pub(crate) fn bytes(self, count: Count, n: u64) {
        if n > 0 {
            self.add(count, n);
        }
    }

    /// Records a latency that stands for `weight` calls.
    pub(crate) fn latency(self, latency: Duration, weight: u32) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(cell) = self.shard.latency.get(buckets::of(nanos)) {
            add(cell, u64::from(weight), self.own);
        }
        self.add(Count::LatencyNanos, nanos.saturating_mul(u64::from(weight)));
    }
}

#[cold]
fn make(place: &AtomicPtr<Shard>) -> &Shard {
    let shard = Box::into_raw(Box::new(Shard::new()));
    place.store(shard, Ordering::Release);
    // SAFETY: just made; freed only in `Drop` of the counters that `place` borrows from. Only the
    // thread with this index gets here, so no shard of another thread was overwritten.
    unsafe { &*shard }
}

#[inline]
fn add(cell: &AtomicU64, n: u64, own: bool) {
    if own {
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    } else {
        cell.fetch_add(n, Ordering::Relaxed);
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        for place in &mut self.own {
            let shard = *place.get_mut();
            if !shard.is_null() {
                // SAFETY: made by `make` from a box, and it cannot be reached without `self`.
                drop(unsafe { Box::from_raw(shard) });
            }
        }
    }
}

/// A distribution of durations in seconds. In a histogram that a plugin registered: of its values,
/// in the plugin's own unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Upper bounds in seconds, each with how many durations do not exceed it. The last bound is
    /// infinite.
    pub buckets: Vec<(f64, u64)>,
    /// How many durations; calls answered inside `handle` are sampled, one standing for 64.
    pub count: u64,
    /// Their sum in seconds.
    pub sum_seconds: f64,
    /// The same in narrow buckets, of those that have any: a duration in seconds that is at most
    /// 1.6 % off, and how many were there. Empty in a histogram that a plugin registered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(f64, u64)>,
}

impl Latency {
    /// What the share `q` (0 to 1) of all durations does not exceed, in seconds: from the narrow
    /// buckets if there are any, at most 1.6 % off; else the bound of a bucket.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut below = 0;
        let part = self.parts.iter().find(|(_, count)| {
            below += count;
            below >= rank
        });
        let found = part.or_else(|| self.buckets.iter().find(|(_, count)| *count >= rank))?;
        Some(found.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_many_threads_add_up_also_when_threads_are_reused() {
        let counters = Counters::new(None);
        for _ in 0..4 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..1000).for_each(|_| counters.one(Count::Calls)));
                }
            });
        }
        assert_eq!(counters.get(Count::Calls), 16_000);
        assert_eq!(counters.get(Count::Ok), 0);
    }

    #[test]
    fn what_a_signal_handler_counts_takes_no_memory() {
        let counters = Counters::new(None);
        counters.one_of_handler(Count::AnswersInvalid);
        assert_eq!(counters.get(Count::AnswersInvalid), 1);
        assert!(counters.own.iter().all(|shard| shard.load(Ordering::Relaxed).is_null()));
    }

    #[test]
    fn buckets_hold_what_their_bound_says() {
        let counters = Counters::new(None);
        for nanos in [0, 256, 257, 1000, 1 << 40] {
            counters.of(thread::current()).latency(Duration::from_nanos(nanos), 1);
        }
        let latency = counters.latencies();
        assert_eq!(latency.count, 5);
        assert_eq!(latency.buckets[0], (256e-9, 2));
        assert_eq!(latency.buckets[1], (512e-9, 3));
        assert_eq!(latency.buckets[2], (1024e-9, 4));
        assert_eq!(latency.buckets.len(), 30);
        assert_eq!(latency.buckets[28], ((1_u64 << 36) as f64 / 1e9, 4));
        assert_eq!(latency.buckets[29], (f64::INFINITY, 5));
        let median = latency.quantile(0.5).unwrap();
        assert!((median - 257e-9).abs() < 257e-9 * 0.016, "{median}");
    }
}
