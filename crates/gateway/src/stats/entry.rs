// SPDX-License-Identifier: BSD-3-Clause
//! What is counted of one entry.
//!
//! ```text
//!   EntryStats   shard 0 │ … │ shard 7 │ shard 8 │ … │ shard 15    each on cache lines of its own
//!                   ▲             ▲         ▲▲
//!               thread 0      thread 7   8, 16, 24…       a request counts where it is; a reader adds up
//! ```
//!
//! The first threads that count have a shard each, in which they add without a locked instruction: a load and a store.
//! Those after them share the other shards.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use becket_host::{Latency, buckets};
use http::StatusCode;

use super::Counter;

/// Threads with a shard of their own, and shards that the other threads share.
const SHARDS: usize = 8;

thread_local! {
    /// The number of this thread among those that have counted; it is never given to another one.
    static NUMBER: Cell<usize> = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Cell::new(NEXT.fetch_add(1, Relaxed))
    };
}

/// The statuses that the gateway answers with, and those that filters and upstream servers mostly do; 0 counts every
/// other.
const CODES: [u16; 26] = [
    200, 101, 201, 204, 206, 301, 302, 304, 308, 400, 401, 403, 404, 405, 408, 413, 416, 426, 429,
    LEFT, 500, 501, 502, 503, 504, 0,
];

/// Counted for a request whose client left before it was answered. Never sent.
const LEFT: u16 = 499;

/// Upper bounds of the latency buckets, in microseconds: 1-2.5-5 from 50 µs to 10 s.
const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// The counters of one entry.
#[derive(Debug, Default)]
pub(crate) struct EntryStats([Shard; 2 * SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    started: Counter,
    finished: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    nanos: Counter,
    answers: [Counter; CODES.len()],
    buckets: [Counter; BOUNDS_US.len()],
    /// What took longer than the last bound.
    above: Counter,
    /// The same in narrow buckets, from the first on.
    parts: OnceLock<Box<[Counter]>>,
}

impl EntryStats {
    pub(crate) fn add_bytes_in(&self, bytes: usize) {
        if bytes > 0 {
            let here = self.here();
            here.add(&here.shard.bytes_in, bytes as u64);
        }
    }

    pub(crate) fn add_bytes_out(&self, bytes: usize) {
        if bytes > 0 {
            let here = self.here();
            here.add(&here.shard.bytes_out, bytes as u64);
        }
    }

    pub(crate) fn bytes_in(&self) -> u64 {
        self.sum(|shard| &shard.bytes_in)
    }

    pub(crate) fn bytes_out(&self) -> u64 {
        self.sum(|shard| &shard.bytes_out)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        // Finished first: a request that ends between the two is seen as in flight.
        let finished = self.sum(|shard| &shard.finished);
        self.sum(|shard| &shard.started).saturating_sub(finished)
    }

    pub(crate) fn answers(&self) -> impl Iterator<Item = (u16, u64)> + use<'_> {
        CODES.iter().enumerate().map(|(at, code)| {
            let counters = self.0.iter().filter_map(|shard| shard.answers.get(at));
            (*code, counters.map(Counter::get).sum())
        })
    }

    pub(crate) fn latency(&self) -> Latency {
        let mut count = 0;
        let mut bucket = |bound: f64, at: usize| {
            let counters = self.0.iter().map(|shard| shard.buckets.get(at).unwrap_or(&shard.above));
            count += counters.map(Counter::get).sum::<u64>();
            (bound, count)
        };
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY]);
        let buckets = bounds.enumerate().map(|(at, bound)| bucket(bound, at)).collect();
        let sum_seconds = self.sum(|shard| &shard.nanos) as f64 / 1e9;
        let parts: Vec<_> = self.0.iter().filter_map(|shard| shard.parts.get()).collect();
        let part =
            |at: usize| parts.iter().filter_map(|shard| shard.get(at)).map(Counter::get).sum();
        let parts = buckets::parts((0..buckets::COUNT).map(part));
        Latency { buckets, count, sum_seconds, parts }
    }

    fn record(&self, took: Duration) {
        let here = self.here();
        let shard = here.shard;
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Nearly every answer falls into one of the first few.
        let at =
            BOUNDS_US.iter().position(|bound| nanos <= *bound * 1000).unwrap_or(BOUNDS_US.len());
        here.add(shard.buckets.get(at).unwrap_or(&shard.above), 1);
        here.add(&shard.nanos, nanos);
        let parts =
            shard.parts.get_or_init(|| (0..buckets::COUNT).map(|_| Counter::default()).collect());
        if let Some(part) = parts.get(buckets::of(nanos)) {
            here.add(part, 1);
        }
    }

    fn count(&self, status: u16) {
        let at = CODES.iter().position(|code| *code == status).unwrap_or(CODES.len() - 1);
        let here = self.here();
        if let Some(counter) = here.shard.answers.get(at) {
            here.add(counter, 1);
        }
    }

    fn here(&self) -> Here<'_> {
        let [first, ..] = &self.0;
        let number = NUMBER.get();
        let is_alone = number < SHARDS;
        let at = if is_alone { number } else { SHARDS + number % SHARDS };
        Here { shard: self.0.get(at).unwrap_or(first), is_alone }
    }

    fn sum(&self, of: impl Fn(&Shard) -> &Counter) -> u64 {
        self.0.iter().map(|shard| of(shard).get()).sum()
    }
}

/// The shard in which the calling thread counts.
#[derive(Clone, Copy)]
struct Here<'a> {
    shard: &'a Shard,
    /// No other thread counts in it.
    is_alone: bool,
}

impl Here<'_> {
    /// Adds to a counter of this shard.
    fn add(self, counter: &Counter, delta: u64) {
        if self.is_alone { counter.add_alone(delta) } else { counter.add(delta) }
    }
}

/// One request, from the moment its headers were read to the last byte of its answer. It borrows
/// the counters; only one that outlives its handler, a stream's, owns a share of them.
#[derive(Debug)]
pub(crate) struct InFlight<S: Deref<Target = EntryStats>> {
    /// `None` once [`InFlight::outlive`] took over.
    stats: Option<S>,
    since: Instant,
    answered: bool,
}

impl<S: Deref<Target = EntryStats>> InFlight<S> {
    pub(crate) fn new(stats: S) -> Self {
        let here = stats.here();
        here.add(&here.shard.started, 1);
        Self { stats: Some(stats), since: Instant::now(), answered: false }
    }

    pub(crate) fn add_bytes_out(&self, bytes: usize) {
        if let Some(stats) = &self.stats {
            stats.add_bytes_out(bytes);
        }
    }

    /// The head of the answer is ready: its status and latency are counted.
    pub(crate) fn answer(&mut self, status: StatusCode) {
        self.answered = true;
        if let Some(stats) = &self.stats {
            stats.record(self.since.elapsed());
            stats.count(status.as_u16());
        }
    }
}

impl InFlight<&EntryStats> {
    /// The same request, beyond its handler. `stats` are those that it borrows.
    pub(crate) fn outlive(mut self, stats: &Arc<EntryStats>) -> InFlight<Arc<EntryStats>> {
        self.stats = None;
        InFlight { stats: Some(Arc::clone(stats)), since: self.since, answered: self.answered }
    }
}

impl<S: Deref<Target = EntryStats>> Drop for InFlight<S> {
    fn drop(&mut self) {
        if let Some(stats) = &self.stats {
            if !self.answered {
                stats.count(LEFT);
            }
            let here = stats.here();
            here.add(&here.shard.finished, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_flight_until_it_is_dropped() {
        let stats = Arc::new(EntryStats::default());
        let mut request = InFlight::new(&*stats);
        request.answer(StatusCode::OK);
        let request = request.outlive(&stats);
        assert_eq!(stats.in_flight(), 1);
        // It may end on another thread, in another shard.
        std::thread::spawn(move || drop(request)).join().unwrap();
        assert_eq!(stats.in_flight(), 0);
        drop(InFlight::new(&*stats));
        let answers: Vec<_> = stats.answers().filter(|(_, count)| *count > 0).collect();
        assert_eq!(answers, [(200, 1), (LEFT, 1)]);
        assert_eq!(stats.in_flight(), 0);
    }

    #[test]
    fn no_count_is_lost_whether_a_thread_counts_alone_or_with_others() {
        let stats = EntryStats::default();
        std::thread::scope(|scope| {
            for _ in 0..4 * SHARDS {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        InFlight::new(&stats).answer(StatusCode::OK);
                    }
                });
            }
        });
        let requests = 4000 * SHARDS as u64;
        assert_eq!(stats.answers().map(|(_, count)| count).sum::<u64>(), requests);
        assert_eq!((stats.latency().count, stats.in_flight()), (requests, 0));
    }

    #[test]
    fn latencies_are_cumulative_and_keep_what_is_above() {
        let stats = EntryStats::default();
        for us in [50, 51, 20_000_000] {
            stats.record(Duration::from_micros(us));
        }
        let seen = stats.latency();
        assert_eq!(seen.count, 3);
        assert_eq!(seen.buckets[0], (0.000_05, 1));
        assert_eq!(seen.buckets[1], (0.000_1, 2));
        assert_eq!(seen.buckets[BOUNDS_US.len() - 1].1, 2);
        assert_eq!(seen.buckets.last(), Some(&(f64::INFINITY, 3)));
        let longest = seen.quantile(1.0).unwrap();
        assert!((longest - 20.0).abs() < 20.0 * 0.016, "{longest}");
    }
}
