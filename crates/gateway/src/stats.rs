// SPDX-License-Identifier: BSD-3-Clause
//! What the gateway counts: requests by entry and status, connections, refusals by cause.
//!
//! # Invariants
//!
//! 1. Every request that found a route is counted once when it arrives and once when it is
//!    answered or given up, so `started - finished` is the number in flight.
//! 2. Labels are bounded: entries come from the plugins and the configuration, never from a
//!    client. Entries of plugins that do not describe themselves share one line, `*`.
//! 3. Counters survive a reload of routes and of plugins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use becket_host::Latency;
use http::StatusCode;
use parking_lot::Mutex;

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, delta: u64) {
        self.0.fetch_add(delta, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The gauge of things that are open now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed).try_into().unwrap_or(0)
    }
}

/// One open thing; gone from its gauge when dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Stats>, fn(&Stats) -> &Gauge);

impl Open {
    pub(crate) fn new(stats: &Arc<Stats>, gauge: fn(&Stats) -> &Gauge) -> Self {
        gauge(stats).0.fetch_add(1, Relaxed);
        Self(Arc::clone(stats), gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.1)(&self.0).0.fetch_sub(1, Relaxed);
    }
}

/// Everything counted.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections: Counter,
    pub(crate) websockets: Counter,
    pub(crate) websockets_open: Gauge,
    pub(crate) ws_messages_in: Counter,
    pub(crate) ws_messages_out: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Counter,
    refused: [Counter; Refusal::ALL.len()],
    entries: Mutex<BTreeMap<(String, String), Arc<EntryStats>>>,
}

impl Stats {
    /// The counters of one entry, the same ones for the same names.
    pub(crate) fn entry(&self, plugin: &str, entry: &str) -> Arc<EntryStats> {
        let mut entries = self.entries.lock();
        Arc::clone(entries.entry((plugin.to_owned(), entry.to_owned())).or_default())
    }

    /// All entries by `(plugin, entry)`, in order.
    pub(crate) fn entries(&self) -> Vec<((String, String), Arc<EntryStats>)> {
        self.entries.lock().iter().map(|(key, stats)| (key.clone(), Arc::clone(stats))).collect()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.entries.lock().values().map(|entry| entry.in_flight()).sum()
    }

    pub(crate) fn refuse(&self, cause: Refusal) {
        if let Some(counter) = self.refused.get(cause as usize) {
            counter.add(1);
        }
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        Refusal::ALL.iter().zip(&self.refused).map(|((_, name), counter)| (*name, counter.get()))
    }
}

/// Why the gateway refused before a plugin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Route,
    Method,
    Upgrade,
    BodyTooLarge,
    BodyTimeout,
    Header,
    HeaderTooLarge,
    HeaderTimeout,
    Malformed,
    Connections,
}

impl Refusal {
    /// Each cause with its name in metrics, in the order of the enum.
    const ALL: [(Self, &'static str); 10] = [
        (Self::Route, "route"),
        (Self::Method, "method"),
        (Self::Upgrade, "upgrade"),
        (Self::BodyTooLarge, "body_too_large"),
        (Self::BodyTimeout, "body_timeout"),
        (Self::Header, "header"),
        (Self::HeaderTooLarge, "header_too_large"),
        (Self::HeaderTimeout, "header_timeout"),
        (Self::Malformed, "malformed"),
        (Self::Connections, "connections"),
    ];
}

/// The statuses that the gateway itself answers with; anything else would be counted as 0.
const CODES: [u16; 13] = [101, 200, 400, 404, 408, 413, 426, CLIENT_LEFT, 501, 502, 503, 504, 0];

/// Counted for a request whose client left before it was answered. Never sent.
pub(crate) const CLIENT_LEFT: u16 = 499;

/// The counters of one entry.
#[derive(Debug, Default)]
pub(crate) struct EntryStats {
    started: Counter,
    finished: Counter,
    answers: [Counter; CODES.len()],
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    latency: Histogram,
}

impl EntryStats {
    pub(crate) fn in_flight(&self) -> u64 {
        // Finished first: a request that ends between the two loads is seen as in flight.
        let finished = self.finished.get();
        self.started.get().saturating_sub(finished)
    }

    pub(crate) fn answers(&self) -> impl Iterator<Item = (u16, u64)> + use<'_> {
        CODES.iter().zip(&self.answers).map(|(code, counter)| (*code, counter.get()))
    }

    pub(crate) fn latency(&self) -> Latency {
        self.latency.snapshot()
    }
}

/// One request, from the moment its headers were read to the last byte of its answer.
#[derive(Debug)]
pub(crate) struct InFlight {
    stats: Arc<EntryStats>,
    since: Instant,
    answered: bool,
}

impl InFlight {
    pub(crate) fn new(stats: Arc<EntryStats>) -> Self {
        stats.started.add(1);
        Self { stats, since: Instant::now(), answered: false }
    }

    pub(crate) fn stats(&self) -> &EntryStats {
        &self.stats
    }

    /// The head of the answer is ready: its status and latency are counted.
    pub(crate) fn answer(&mut self, status: StatusCode) {
        self.answered = true;
        self.stats.latency.record(self.since.elapsed());
        self.count(status.as_u16());
    }

    fn count(&self, status: u16) {
        let at = CODES.iter().position(|code| *code == status).unwrap_or(CODES.len() - 1);
        if let Some(counter) = self.stats.answers.get(at) {
            counter.add(1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.answered {
            self.count(CLIENT_LEFT);
        }
        self.stats.finished.add(1);
    }
}

/// Upper bounds of the latency buckets, in nanoseconds: 1-2.5-5 from 50 µs to 10 s.
const BOUNDS_NS: [u64; 17] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Counts by bucket, and what lies above the last bound.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [Counter; BOUNDS_NS.len()],
    above: Counter,
    sum_ns: Counter,
}

impl Histogram {
    fn record(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.buckets.get(at).unwrap_or(&self.above).add(1);
        self.sum_ns.add(ns);
    }

    fn snapshot(&self) -> Latency {
        let mut total = 0;
        let bounds = BOUNDS_NS.iter().map(|bound| *bound as f64 / 1e9).chain([f64::INFINITY]);
        let buckets = bounds
            .zip(self.buckets.iter().chain([&self.above]))
            .map(|(bound, counter)| {
                total += counter.get();
                (bound, total)
            })
            .collect();
        Latency { buckets, count: total, sum_seconds: self.sum_ns.get() as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_under_their_own_name() {
        let stats = Stats::default();
        for (at, (cause, name)) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
            stats.refuse(cause);
            assert!(stats.refused().any(|counted| counted == (name, 1)));
        }
    }

    #[test]
    fn a_request_is_in_flight_until_it_is_dropped() {
        let stats = Arc::new(EntryStats::default());
        let mut request = InFlight::new(Arc::clone(&stats));
        assert_eq!(stats.in_flight(), 1);
        request.answer(StatusCode::OK);
        assert_eq!(stats.in_flight(), 1);
        drop(request);
        assert_eq!(stats.in_flight(), 0);
        drop(InFlight::new(Arc::clone(&stats)));
        let answers: Vec<_> = stats.answers().filter(|(_, count)| *count > 0).collect();
        assert_eq!(answers, [(200, 1), (CLIENT_LEFT, 1)]);
    }

    #[test]
    fn a_histogram_is_cumulative_and_keeps_what_is_above() {
        let histogram = Histogram::default();
        for us in [50, 51, 20_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        let seen = histogram.snapshot();
        assert_eq!(seen.count, 3);
        assert_eq!(seen.buckets[0].1, 1);
        assert_eq!(seen.buckets[1].1, 2);
        assert_eq!(seen.buckets[BOUNDS_NS.len() - 1].1, 2);
        assert_eq!(seen.buckets.last(), Some(&(f64::INFINITY, 3)));
    }
}
