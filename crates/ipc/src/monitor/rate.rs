// SPDX-License-Identifier: BSD-3-Clause
//! The one rate function, and figures derived from it: smoothed, peak.
//!
//! # The minimum interval
//!
//! A count and its time are not read atomically: between the two the reader may be preempted for a
//! scheduling quantum, about a millisecond on a busy machine. Two readings are off by twice that at
//! worst. Over 100 ms that is an error of 2 %, over 10 ms it would be 20 %, and over the
//! microseconds between two consecutive readings the figure would be meaningless. So
//! [`RATE_INTERVAL_MIN`] is 100 ms, and below it there is no rate.

use std::time::Duration;

/// The shortest interval for which a rate is computed.
pub const RATE_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The time constant of smoothed rates: after this time a step has reached 63 % of its height.
pub const SMOOTHING: Duration = Duration::from_secs(3);

/// A count, with the time at which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Nanoseconds of the watched process's monotonic clock.
    pub at_ns: u64,
    /// The count since the beginning.
    pub count: u64,
}

/// The rate per second between two readings of one count, the earlier first.
///
/// `None` if they are less than [`RATE_INTERVAL_MIN`] apart, in the wrong order, or if the count
/// decreased: it was restarted.
#[must_use]
pub fn rate(earlier: Reading, later: Reading) -> Option<f64> {
    let interval_ns = later.at_ns.checked_sub(earlier.at_ns)?;
    let count = later.count.checked_sub(earlier.count)?;
    (u128::from(interval_ns) >= RATE_INTERVAL_MIN.as_nanos())
        .then(|| count as f64 * 1e9 / interval_ns as f64)
}

/// The figures of a [`Meter`], per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Between the last two readings that were far enough apart.
    pub now: f64,
    /// Exponentially weighted over time, with the constant [`SMOOTHING`].
    pub smoothed: f64,
    /// The highest so far.
    pub peak: f64,
    /// From the first reading to the last.
    pub average: f64,
    /// The interval of `now`.
    pub interval: Duration,
}

/// One count, read repeatedly.
///
/// Readings that are too close are deferred: what was counted between them is part of the next
/// rate; nothing is lost and nothing is counted twice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Meter {
    first: Option<Reading>,
    earlier: Option<Reading>,
    rates: Option<Rates>,
}

impl Meter {
    /// Adds a reading. Returns new rates, or `None`: it was the first reading, too close to the
    /// previous one, or the count was restarted.
    pub fn read(&mut self, reading: Reading) -> Option<Rates> {
        let Some(earlier) = self.earlier else {
            self.first = Some(reading);
            self.earlier = Some(reading);
            return None;
        };
        if reading.count < earlier.count || reading.at_ns < earlier.at_ns {
            *self = Self { first: Some(reading), earlier: Some(reading), rates: None };
            return None;
        }
        let now = rate(earlier, reading)?;
        self.earlier = Some(reading);
        let interval = Duration::from_nanos(reading.at_ns - earlier.at_ns);
        let average = self.first.and_then(|first| rate(first, reading)).unwrap_or(now);
        let rates = match self.rates {
            None => Rates { now, smoothed: now, peak: now, average, interval },
            Some(before) => {
                // The weight of the new value: the same over one long interval as over many short
                // ones.
                let weight = 1.0 - (-interval.as_secs_f64() / SMOOTHING.as_secs_f64()).exp();
                let smoothed = before.smoothed + weight * (now - before.smoothed);
                Rates { now, smoothed, peak: before.peak.max(now), average, interval }
            }
        };
        self.rates = Some(rates);
        self.rates
    }

    /// The latest rates.
    #[must_use]
    pub fn rates(&self) -> Option<Rates> {
        self.rates
    }

    /// The amount counted between the first reading and the last one that produced a rate.
    #[must_use]
    pub fn counted(&self) -> u64 {
        match (self.first, self.earlier) {
            (Some(first), Some(last)) => last.count - first.count,
            _ => 0,
        }
    }

    /// Resets peak, average and smoothing, and continues from the last reading.
    pub fn clear(&mut self) {
        *self = Self { first: self.earlier, earlier: self.earlier, rates: None };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIN_NS: u64 = RATE_INTERVAL_MIN.as_nanos() as u64;

    fn at(at_ns: u64, count: u64) -> Reading {
        Reading { at_ns, count }
    }

    #[test]
    fn the_bound_is_exact() {
        assert_eq!(rate(at(7, 0), at(7 + MIN_NS - 1, 1_000_000)), None);
        assert_eq!(rate(at(7, 0), at(7 + MIN_NS, 1_000_000)), Some(10_000_000.0));
        assert_eq!(rate(at(7, 0), at(7, 5)), None);
    }

    #[test]
    fn a_known_load_gives_known_rates() {
        let mut meter = Meter::default();
        assert_eq!(meter.read(at(0, 0)), None);
        let first = meter.read(at(1_000_000_000, 1000)).unwrap();
        assert_eq!((first.now, first.smoothed, first.peak, first.average), (1e3, 1e3, 1e3, 1e3));
        let second = meter.read(at(3_000_000_000, 1000)).unwrap();
        assert_eq!((second.now, second.peak), (0.0, 1000.0));
        assert!((second.average - 1000.0 / 3.0).abs() < 1e-9);
        // e^(-2/3) of the previous value.
        assert!((second.smoothed - 513.417).abs() < 1e-3, "{}", second.smoothed);
    }

    #[test]
    fn a_count_that_decreases_is_restarted() {
        let mut meter = Meter::default();
        meter.read(at(0, 0));
        meter.read(at(MIN_NS, 1000));
        assert_eq!(meter.read(at(2 * MIN_NS, 10)), None);
        assert_eq!(meter.rates(), None);
        assert_eq!(meter.read(at(3 * MIN_NS, 20)).unwrap().peak, 100.0);
    }

    #[test]
    fn clearing_resets_the_peak_but_not_the_position() {
        let mut meter = Meter::default();
        meter.read(at(0, 0));
        meter.read(at(MIN_NS, 1_000_000));
        meter.clear();
        assert_eq!(meter.read(at(2 * MIN_NS, 1_000_010)).unwrap().peak, 100.0);
    }

    proptest! {
        #[test]
        fn a_rate_is_computed_exactly_for_intervals_that_are_long_enough(
            a in 0_u64..4 * MIN_NS, b in 0_u64..4 * MIN_NS, c: u32, d: u32,
        ) {
            let made = rate(at(a, c.into()), at(b, d.into()));
            let may = b >= a && b - a >= MIN_NS && d >= c;
            prop_assert_eq!(made.is_some(), may);
            if let Some(made) = made {
                let counted = made * (b - a) as f64 / 1e9;
                prop_assert!((counted - f64::from(d - c)).abs() <= 1e-6 * f64::from(d).max(1.0));
            }
        }

        #[test]
        fn whatever_the_steps_nothing_is_lost_or_counted_twice(
            steps in prop::collection::vec((0_u64..3 * MIN_NS, 0_u64..10_000), 1..60),
        ) {
            let mut meter = Meter::default();
            meter.read(at(0, 0));
            let (mut now, mut count, mut made, mut seen) = (0, 0, 0.0, 0);
            for (ns, more) in steps {
                (now, count) = (now + ns, count + more);
                if let Some(rates) = meter.read(at(now, count)) {
                    prop_assert!(rates.interval >= RATE_INTERVAL_MIN);
                    prop_assert!(rates.peak >= rates.now && rates.peak >= rates.smoothed);
                    prop_assert!(rates.peak >= rates.average * (1.0 - 1e-12));
                    made += rates.now * rates.interval.as_secs_f64();
                    seen = count;
                }
            }
            prop_assert!((made - seen as f64).abs() <= 1e-6 * (seen as f64).max(1.0));
            prop_assert_eq!(meter.counted(), seen);
        }

        #[test]
        fn smoothing_does_not_depend_on_the_number_of_readings(
            pieces in 1_u64..20, level in 0.0_f64..1e9, seconds in 2_u64..10,
        ) {
            // From a level to silence: read once, or in steps.
            let second = 1_000_000_000;
            let high = level as u64;
            let (mut once, mut often) = (Meter::default(), Meter::default());
            for meter in [&mut once, &mut often] {
                meter.read(at(0, 0));
                meter.read(at(second, high));
            }
            let end = second + seconds * second;
            once.read(at(end, high));
            for piece in 1..=pieces {
                often.read(at(second + seconds * second * piece / pieces, high));
            }
            let (a, b) = (once.rates().unwrap().smoothed, often.rates().unwrap().smoothed);
            prop_assert!((a - b).abs() <= 1e-6 * level.max(1.0), "{} {}", a, b);
        }
    }
}
