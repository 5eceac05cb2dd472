// SPDX-License-Identifier: BSD-3-Clause
//! Metrics that a plugin registers itself. They belong to the plugin, not to one load of it, so a
//! reload goes on counting.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
};

use becket_abi::{BK_METRIC_COUNTER, BK_METRIC_GAUGE, BK_METRIC_HISTOGRAM, BK_METRIC_UNKNOWN};
use serde::Serialize;

use crate::{
    counters::Latency,
    observer::{MetricChange, Observer},
    reentry::Mutex,
};

/// Upper bounds of a plugin's histogram: half-decades from 10^-6 to 10^6.
const BOUNDS: [f64; 25] = [
    1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
    100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6,
];

/// Bytes of a metric's name and of its help line.
const NAME_BYTES_MAX: usize = 128;
const HELP_BYTES_MAX: usize = 1024;

/// One metric of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metric {
    /// Letters, digits and underscores.
    pub name: String,
    /// One line on what it means.
    pub help: String,
    /// Its value.
    pub value: MetricValue,
}

/// A metric's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MetricValue {
    /// It only grows.
    Counter(u64),
    /// It was set to this last.
    Gauge(f64),
    /// How often which values were recorded.
    Histogram(Latency),
}

struct Cell {
    name: String,
    help: String,
    kind: u32,
    /// A counter's value, a gauge's bits, or the histogram's sum as bits.
    value: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

/// All metrics of one plugin; bounded by the number of cells it is made with.
pub(crate) struct Metrics {
    cells: Box<[OnceLock<Cell>]>,
    ids: Mutex<HashMap<String, u32>>,
    observer: Option<Arc<dyn Observer>>,
    /// The observer was notified, and has not looked since.
    is_notified: AtomicBool,
}

impl Metrics {
    pub(crate) fn new(metrics_max: u32, observer: Option<Arc<dyn Observer>>) -> Self {
        let cells = (0..metrics_max).map(|_| OnceLock::new()).collect();
        Self { cells, ids: Mutex::default(), observer, is_notified: AtomicBool::new(false) }
    }

    /// The id of a metric, made on first use; [`BK_METRIC_UNKNOWN`] if it cannot be had.
    pub(crate) fn register(&self, kind: u32, name: &str, help: &str) -> u32 {
        if !is_name(name) || help.len() > HELP_BYTES_MAX || kind > BK_METRIC_HISTOGRAM {
            return BK_METRIC_UNKNOWN;
        }
        let mut ids = self.ids.lock();
        if let Some(&id) = ids.get(name) {
            let same = self.cell(id).is_some_and(|cell| cell.kind == kind);
            return if same { id } else { BK_METRIC_UNKNOWN };
        }
        let id = ids.len() as u32;
        let Some(place) = self.cells.get(id as usize) else { return BK_METRIC_UNKNOWN };
        let buckets = if kind == BK_METRIC_HISTOGRAM { BOUNDS.len() + 1 } else { 0 };
        place.get_or_init(|| Cell {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            value: AtomicU64::new(0),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
        });
        ids.insert(name.to_owned(), id);
        drop(ids);
        self.changed();
        id
    }

    /// Adds to a counter; false if `id` is none.
    pub(crate) fn add(&self, id: u32, delta: u64) -> bool {
        let Some(cell) = self.of_kind(id, BK_METRIC_COUNTER) else { return false };
        cell.value.fetch_add(delta, Ordering::Relaxed);
        self.changed();
        true
    }

    /// Sets a gauge; false if `id` is none.
    pub(crate) fn set(&self, id: u32, value: f64) -> bool {
        let Some(cell) = self.of_kind(id, BK_METRIC_GAUGE) else { return false };
        cell.value.store(value.to_bits(), Ordering::Relaxed);
        self.changed();
        true
    }

    /// Records in a histogram; false if `id` is none or the value is no number.
    pub(crate) fn record(&self, id: u32, value: f64) -> bool {
        let Some(cell) = self.of_kind(id, BK_METRIC_HISTOGRAM) else { return false };
        if value.is_nan() {
            return false;
        }
        cell.record(value, &[(value, 1)]);
        self.changed();
        true
    }

    /// Adds what was counted in another process to the metric of this name, which is made on first
    /// use; false if it cannot be had, or a value is no number.
    pub(crate) fn merge(&self, name: &str, help: &str, change: MetricChange<'_>) -> bool {
        match change {
            MetricChange::Counter(added) => {
                self.add(self.register(BK_METRIC_COUNTER, name, help), added)
            }
            MetricChange::Gauge(value) => {
                self.set(self.register(BK_METRIC_GAUGE, name, help), value)
            }
            MetricChange::Histogram { sum, recorded } => {
                let id = self.register(BK_METRIC_HISTOGRAM, name, help);
                let Some(cell) = self.of_kind(id, BK_METRIC_HISTOGRAM) else { return false };
                if sum.is_nan() || recorded.iter().any(|(value, _)| value.is_nan()) {
                    return false;
                }
                cell.record(sum, recorded);
                self.changed();
                true
            }
        }
    }

    /// Notifies the observer, if there is one that has not been.
    #[inline]
    fn changed(&self) {
        if let Some(observer) = &self.observer {
            // Either this sees that the flag was cleared, or `take_changes`, which clears it and then
            // reads, sees the change.
            fence(Ordering::SeqCst);
            if !self.is_notified.load(Ordering::Relaxed)
                && !self.is_notified.swap(true, Ordering::AcqRel)
            {
                observer.metrics_changed();
            }
        }
    }

    /// As [`Self::snapshot`]; the observer is notified of what changes from now on.
    pub(crate) fn take_changes(&self) -> Vec<Metric> {
        self.is_notified.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.snapshot()
    }

    /// Every metric with its value, in the order of registration.
    pub(crate) fn snapshot(&self) -> Vec<Metric> {
        self.cells.iter().map_while(OnceLock::get).map(Cell::read).collect()
    }

    fn cell(&self, id: u32) -> Option<&Cell> {
        self.cells.get(id as usize)?.get()
    }

    fn of_kind(&self, id: u32, kind: u32) -> Option<&Cell> {
        self.cell(id).filter(|cell| cell.kind == kind)
    }
}

impl Cell {
    /// Adds values to a histogram, and `sum` to their sum.
    fn record(&self, sum: f64, recorded: &[(f64, u64)]) {
        for (value, times) in recorded {
            let at = BOUNDS.partition_point(|bound| bound < value);
            if let Some(bucket) = self.buckets.get(at) {
                bucket.fetch_add(*times, Ordering::Relaxed);
            }
        }
        let add = |bits: u64| Some((f64::from_bits(bits) + sum).to_bits());
        let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn read(&self) -> Metric {
        let raw = self.value.load(Ordering::Relaxed);
        let value = match self.kind {
            BK_METRIC_COUNTER => MetricValue::Counter(raw),
            BK_METRIC_GAUGE => MetricValue::Gauge(f64::from_bits(raw)),
            _ => {
                let mut count = 0;
                let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
                let buckets = bounds
                    .zip(&self.buckets)
                    .map(|(bound, bucket)| {
                        // A plugin in another process reports any numbers.
                        count = u64::saturating_add(count, bucket.load(Ordering::Relaxed));
                        (bound, count)
                    })
                    .collect();
                let sum_seconds = f64::from_bits(raw);
                let parts = Vec::new();
                MetricValue::Histogram(Latency { buckets, count, sum_seconds, parts })
            }
        };
        Metric { name: self.name.clone(), help: self.help.clone(), value }
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= NAME_BYTES_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_metric_and_kinds_do_not_mix() {
        let metrics = Metrics::new(2, None);
        let calls = metrics.register(BK_METRIC_COUNTER, "calls", "how many");
        assert_eq!(metrics.register(BK_METRIC_COUNTER, "calls", ""), calls);
        assert_eq!(metrics.register(BK_METRIC_GAUGE, "calls", ""), BK_METRIC_UNKNOWN);
        assert_eq!(metrics.register(BK_METRIC_GAUGE, "bad name", ""), BK_METRIC_UNKNOWN);
        let sizes = metrics.register(BK_METRIC_HISTOGRAM, "sizes", "");
        assert_eq!(metrics.register(BK_METRIC_GAUGE, "one_too_many", ""), BK_METRIC_UNKNOWN);

        assert!(metrics.add(calls, 3));
        assert!(!metrics.set(calls, 1.0));
        assert!(!metrics.add(99, 1));
        assert!(metrics.record(sizes, 2.0) && metrics.record(sizes, 1e9));
        assert!(!metrics.record(sizes, f64::NAN));

        let snapshot = metrics.snapshot();
        assert_eq!(snapshot[0].value, MetricValue::Counter(3));
        let MetricValue::Histogram(sizes) = &snapshot[1].value else { panic!("{snapshot:?}") };
        assert_eq!((sizes.count, sizes.sum_seconds), (2, 2.0 + 1e9));
        assert_eq!(sizes.buckets.last(), Some(&(f64::INFINITY, 2)));
        assert!(sizes.buckets.contains(&(3.0, 1)));
    }

    #[test]
    fn what_was_counted_elsewhere_is_added() {
        let metrics = Metrics::new(3, None);
        for _ in 0..2 {
            assert!(metrics.merge("calls", "how many", MetricChange::Counter(2)));
            assert!(metrics.merge("depth", "", MetricChange::Gauge(7.0)));
            let recorded = &[(1.0, 3), (f64::INFINITY, 1)];
            assert!(metrics.merge("sizes", "", MetricChange::Histogram { sum: 5.0, recorded }));
        }
        assert!(!metrics.merge("calls", "", MetricChange::Gauge(1.0)));
        assert!(!metrics.merge("one_too_many", "", MetricChange::Counter(1)));
        let nan = MetricChange::Histogram { sum: f64::NAN, recorded: &[] };
        assert!(!metrics.merge("sizes", "", nan));
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot[0].value, MetricValue::Counter(4));
        assert_eq!(snapshot[1].value, MetricValue::Gauge(7.0));
        let MetricValue::Histogram(sizes) = &snapshot[2].value else { panic!("{snapshot:?}") };
        assert_eq!((sizes.count, sizes.sum_seconds), (8, 10.0));
        assert!(sizes.buckets.contains(&(1.0, 6)));
    }

    #[derive(Debug, Default)]
    struct Notified(AtomicU64);

    impl Observer for Notified {
        fn log_level_max(&self) -> u32 {
            0
        }

        fn log(&self, _level: u32, _from: &str, _message: &str) {}

        fn watchdog(&self, _: u32, _: &str) {}

        fn counts_changed(&self) {}

        fn metrics_changed(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_observer_is_notified_once_until_it_looks() {
        let notified = Arc::new(Notified::default());
        let metrics = Metrics::new(1, Some(notified.clone()));
        let calls = metrics.register(BK_METRIC_COUNTER, "calls", "");
        for round in 1..=3 {
            assert!(metrics.add(calls, 1) && metrics.add(calls, 1));
            assert_eq!(notified.0.load(Ordering::Relaxed), round);
            assert_eq!(metrics.take_changes()[0].value, MetricValue::Counter(2 * round));
        }
    }
}
