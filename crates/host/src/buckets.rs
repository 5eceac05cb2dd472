// SPDX-License-Identifier: BSD-3-Clause
//! Log-linear buckets for durations, for histograms whose percentiles are exact to 1.6 %.
//!
//! Each power of two of nanoseconds is cut into 32 buckets of one width (as in G. Tene's HDR
//! histogram). A bucket stands for its middle, which is at most a 64th of its lower end away from any
//! duration in it. Up to 64 ns each nanosecond has a bucket of its own.
//!
//! ```text
//!   duration (ns)   1 … 32   33 … 64   65 … 128   129 … 256   …   up to 2^42, 73 minutes
//!   width           1        1         2          4
//! ```
//!
//! A bucket's upper end belongs to it, so that each power of two of nanoseconds is the end of one.

use crate::counters::Latency;

const PARTS: u64 = 32;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
const REACH_BITS: u32 = 42;

/// How many buckets there are. The last one also takes what is longer.
pub const COUNT: usize = ((REACH_BITS - PARTS_BITS + 1) as usize) << PARTS_BITS;

/// The bucket of a duration in nanoseconds.
#[inline]
#[must_use]
pub fn of(nanos: u64) -> usize {
    let value = nanos.saturating_sub(1).min((1 << REACH_BITS) - 1);
    let group = (u64::BITS - (value >> PARTS_BITS).leading_zeros()) as usize;
    let shift = group.saturating_sub(1);
    // In the first group the value itself; above, its top bit is the group's and the next five choose.
    (shift << PARTS_BITS) + (value >> shift) as usize
}

/// The longest duration in a bucket, in nanoseconds; that of the last one has none.
#[must_use]
pub const fn upper_nanos(bucket: usize) -> u64 {
    let (group, part) = (bucket as u64 >> PARTS_BITS, bucket as u64 & (PARTS - 1));
    match group {
        0 => part + 1,
        group => (PARTS + part + 1) << (group - 1),
    }
}

/// The duration that a bucket stands for, in seconds.
fn middle_seconds(bucket: usize) -> f64 {
    let upper = upper_nanos(bucket);
    let lower = bucket.checked_sub(1).map_or(0, upper_nanos) + 1;
    (lower + upper) as f64 / 2e9
}

impl Latency {
    /// A distribution from how many durations were in each bucket, and their sum. `bounds` are the
    /// upper bounds of [`Latency::buckets`] in nanoseconds, each the end of a bucket.
    pub(crate) fn of_buckets(
        counts: impl Iterator<Item = u64>,
        bounds: impl Iterator<Item = u64>,
        sum_nanos: u64,
    ) -> Self {
        let counts: Vec<u64> = counts.take(COUNT).collect();
        let (mut below, mut at) = (0, 0);
        let mut up_to = |bound: u64| {
            while let Some(count) = counts.get(at).filter(|_| upper_nanos(at) <= bound) {
                below += count;
                at += 1;
            }
            below
        };
        let mut buckets: Vec<_> = bounds.map(|bound| (bound as f64 / 1e9, up_to(bound))).collect();
        let count = counts.iter().sum();
        buckets.push((f64::INFINITY, count));
        let sum_seconds = sum_nanos as f64 / 1e9;
        Self { buckets, count, sum_seconds, parts: parts(counts) }
    }
}

/// Of each bucket that has any: its middle in seconds, and how many.
pub fn parts(counts: impl IntoIterator<Item = u64>) -> Vec<(f64, u64)> {
    let counted = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
    counted.map(|(bucket, count)| (middle_seconds(bucket), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_whose_middle_is_within_a_64th() {
        let mut nanos = 1;
        while nanos < 1 << REACH_BITS {
            for nanos in [nanos - 1, nanos, nanos + 1] {
                let bucket = of(nanos);
                let lower = bucket.checked_sub(1).map_or(0, upper_nanos);
                assert!(nanos <= upper_nanos(bucket) && (nanos > lower || nanos == 0), "{nanos}");
                let off = (middle_seconds(bucket) * 1e9 - nanos as f64).abs();
                assert!(nanos == 0 || off <= nanos as f64 / 64.0, "{nanos}: {off} off");
            }
            nanos += nanos / 9 + 1;
        }
        assert_eq!(of(u64::MAX), COUNT - 1);
        for bits in 5..=REACH_BITS {
            assert_eq!(upper_nanos(of(1 << bits)), 1 << bits, "a power of two is a bucket's end");
        }
    }

    #[test]
    fn percentiles_of_known_durations_are_within_their_error() {
        for unit in [1, 30, 1000, 777_777] {
            let mut counts = vec![0; COUNT];
            (1..=1000).for_each(|n: u64| counts[of(n * unit)] += 1);
            let seen = Latency::of_buckets(counts.into_iter(), [1 << 20].into_iter(), 0);
            assert_eq!(seen.count, 1000);
            for (share, rank) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
                let exact = (rank * unit) as f64 / 1e9;
                let shown = seen.quantile(share).unwrap();
                assert!((shown - exact).abs() <= exact * 0.03, "{share}: {shown}, not {exact}");
            }
        }
    }
}
