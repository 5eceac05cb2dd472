// SPDX-License-Identifier: BSD-3-Clause
//! Exponential backoff with jitter: how long to wait before another attempt.
//!
//! After `n` failures in a row the bound of the wait is `first · factorⁿ⁻¹`, at most `max`; the
//! wait is the bound minus a random part of it, at most `jitter`.

use std::time::Duration;

use fastrand::Rng;

/// The minimum wait: a server that ends each connection at once is not retried in a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// The backoff between attempts, and the maximum number of attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// The wait before the first attempt after a loss. At least 1 ms.
    pub first: Duration,
    /// The maximum wait. A value below `first` is treated as `first`.
    pub max: Duration,
    /// The factor between consecutive waits. At least 1.
    pub factor: f64,
    /// The random part of each wait, from 0 (none) to 1 (all).
    pub jitter: f64,
    /// The consecutive failures after which it gives up. The loss of a connection counts as the
    /// first: with 1 it never reconnects. `None`: it never gives up.
    pub attempts_max: Option<u32>,
    /// The seed of the random parts; the same seed gives the same waits. `None`: a random seed.
    pub seed: Option<u64>,
}

impl Default for Backoff {
    /// From 20 ms to 5 s, doubling, with a jitter of one half, without end.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(20),
            max: Duration::from_secs(5),
            factor: 2.0,
            jitter: 0.5,
            attempts_max: None,
            seed: None,
        }
    }
}

impl Backoff {
    /// The waits after the first, second, third consecutive failure, and so on.
    #[must_use]
    pub fn delays(&self) -> Delays {
        let rng = self.seed.map_or_else(Rng::new, Rng::with_seed);
        Delays { backoff: self.clone(), rng, failures: 0, bound: None }
    }
}

/// The waits of a [`Backoff`], one per failure, until it gives up.
#[derive(Debug, Clone)]
pub struct Delays {
    backoff: Backoff,
    rng: Rng,
    failures: u32,
    /// The bound of the last wait.
    bound: Option<Duration>,
}

impl Delays {
    /// An attempt succeeded: the next failure counts as the first.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.bound = None;
    }

    /// Consecutive failures.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        if self.backoff.attempts_max.is_some_and(|max| self.failures >= max) {
            return None;
        }
        let first = self.backoff.first.max(WAIT_MIN);
        let max = self.backoff.max.max(first);
        let bound = match self.bound {
            None => first,
            Some(last) => {
                let longer = last.as_secs_f64() * self.backoff.factor.max(1.0);
                Duration::try_from_secs_f64(longer).map_or(max, |longer| longer.clamp(last, max))
            }
        };
        self.bound = Some(bound);
        // NaN is treated as no jitter.
        let jitter = Some(self.backoff.jitter).filter(|jitter| !jitter.is_nan()).unwrap_or(0.0);
        let jitter = jitter.clamp(0.0, 1.0);
        Some(bound.mul_f64(1.0 - jitter * self.rng.f64()).clamp(WAIT_MIN, bound))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backoffs() -> impl Strategy<Value = Backoff> {
        let odd = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), 0.0..4.0];
        let durations = (0..2_000_u64, prop_oneof![0..60_000_u64, Just(u64::MAX)]);
        (durations, odd.clone(), odd, prop::option::of(0..40_u32), any::<u64>()).prop_map(
            |((first, max), factor, jitter, attempts_max, seed)| Backoff {
                first: Duration::from_millis(first),
                max: Duration::from_millis(max),
                factor,
                jitter,
                attempts_max,
                seed: Some(seed),
            },
        )
    }

    proptest! {
        #[test]
        fn waits_are_bounded_grow_and_depend_only_on_the_seed(backoff in backoffs()) {
            let waits: Vec<_> = backoff.delays().take(64).collect();
            let tried = backoff.attempts_max.map_or(64, |max| max.saturating_sub(1) as usize);
            prop_assert_eq!(waits.len(), tried);
            let mut bound = backoff.first.max(WAIT_MIN);
            let max = backoff.max.max(bound);
            for wait in &waits {
                prop_assert!((WAIT_MIN..=bound).contains(wait));
                if backoff.jitter.is_nan() || backoff.jitter <= 0.0 {
                    prop_assert_eq!(*wait, bound);
                }
                let longer = bound.as_secs_f64() * backoff.factor.max(1.0);
                bound = Duration::try_from_secs_f64(longer).map_or(max, |longer| longer.min(max));
            }
            prop_assert!(waits.iter().copied().eq(backoff.delays().take(64)));
        }

        #[test]
        fn a_success_resets_the_backoff(backoff in backoffs(), failures in 0..20_usize) {
            let backoff = Backoff { jitter: 0.0, attempts_max: None, ..backoff };
            let mut delays = backoff.delays();
            let first = delays.next();
            delays.by_ref().take(failures).for_each(drop);
            delays.reset();
            prop_assert_eq!((delays.next(), delays.failures()), (first, 1));
        }
    }
}
