// SPDX-License-Identifier: BSD-3-Clause
//! A histogram of latencies: fixed size, no allocation when recording.
//!
//! Buckets are powers of two, each cut into 32 equal parts, as HdrHistogram does it: a value is off
//! by 3 % at most. Up to 32 ns every nanosecond has its own bucket.
//!
//! ```text
//!   value (ns)   0 … 31   32 … 63     64 … 127    128 … 255   …
//!   width        1        1           2           4
//!   group        0        1           2           3
//! ```

use std::time::Duration;

const PARTS: u64 = 32;
const PARTS_LOG2: u32 = PARTS.trailing_zeros();
const GROUPS: usize = (u64::BITS - PARTS_LOG2 + 1) as usize;

/// Counts of latencies.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Histogram {
    /// An empty one.
    pub(super) fn new() -> Self {
        let counts = vec![0; GROUPS * PARTS as usize].into_boxed_slice();
        Self { counts, total: 0, sum_ns: 0, max_ns: 0 }
    }

    /// Counts one latency.
    pub(super) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(index(ns)) {
            *count += 1;
        }
        self.total += 1;
        self.sum_ns += u128::from(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds the counts of another histogram.
    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The latency that `share` (0 to 1) of them do not exceed.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(i).min(self.max_ns));
            }
        }
        Duration::from_nanos(self.max_ns)
    }

    /// The arithmetic mean.
    pub(super) fn mean(&self) -> Duration {
        let mean = self.sum_ns.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The longest.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }
}

/// The bucket of a value.
fn index(ns: u64) -> usize {
    let group = (u64::BITS - ns.leading_zeros()).saturating_sub(PARTS_LOG2);
    let shift = group.saturating_sub(1);
    // In group 0 the value itself; above, the top bit is the group's and the next five choose.
    let part = if group == 0 { ns } else { (ns >> shift) - PARTS };
    group as usize * PARTS as usize + part as usize
}

/// The largest value in a bucket.
fn upper(index: usize) -> u64 {
    let (group, part) = (index as u64 / PARTS, index as u64 % PARTS);
    if group == 0 {
        return part;
    }
    let shift = group - 1;
    ((PARTS + part) << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_ends_at_most_a_32nd_above_it() {
        let mut value = 0_u64;
        while value < u64::MAX / 3 {
            let top = upper(index(value));
            assert!(top >= value, "{value}: bucket ends at {top}");
            assert!(top - value <= value / PARTS, "{value}: bucket ends at {top}");
            value = value + value / 7 + 1;
        }
        assert_eq!(upper(index(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_of_a_thousand_known_values() {
        let mut all = Histogram::new();
        let mut half = Histogram::new();
        for us in 1..=1000 {
            let into = if us % 2 == 0 { &mut all } else { &mut half };
            into.record(Duration::from_micros(us));
        }
        all.merge(&half);
        for (share, us) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let got = all.quantile(share).as_secs_f64() * 1e6;
            assert!((got - us).abs() <= us / 31.0, "{share}: {got} µs instead of {us}");
        }
        assert_eq!(all.max(), Duration::from_millis(1));
        assert_eq!(all.mean(), Duration::from_nanos(500_500));
    }

    #[test]
    fn nothing_recorded_is_zero() {
        let none = Histogram::new();
        assert_eq!((none.quantile(0.99), none.mean()), (Duration::ZERO, Duration::ZERO));
    }
}
