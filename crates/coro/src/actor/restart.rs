// SPDX-License-Identifier: BSD-3-Clause
//! The restart policy of an actor that failed.
//!
//! Each actor is restarted by itself (one for one). The delay doubles with every restart within the
//! window, up to a bound; when the window is full, the actor fails for good. Restarts that have
//! left the window do not count any more, neither for the limit nor for the delay.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The restart policy of an actor that failed. Times are by the runtime's clock.
///
/// ```
/// use std::time::Duration;
///
/// use becket_coro::actor::Restart;
///
/// // Up to 3 times a minute; after 10, 20 and 40 ms.
/// let restart = Restart::new()
///     .limit(3, Duration::from_secs(60))
///     .backoff(Duration::from_millis(10), Duration::from_secs(1));
/// # drop(restart);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Restart {
    restarts_max: u32,
    within: Duration,
    delay_first: Duration,
    delay_max: Duration,
}

impl Restart {
    /// Up to 5 restarts a minute; after 100 ms at first, 10 s at most.
    pub const fn new() -> Self {
        Self {
            restarts_max: 5,
            within: Duration::from_secs(60),
            delay_first: Duration::from_millis(100),
            delay_max: Duration::from_secs(10),
        }
    }

    /// At most that many restarts in that time; the failure after them is final.
    pub const fn limit(mut self, restarts_max: u32, within: Duration) -> Self {
        self.restarts_max = restarts_max;
        self.within = within;
        self
    }

    /// The delay before the first restart, and the longest: it doubles in between.
    pub const fn backoff(mut self, delay_first: Duration, delay_max: Duration) -> Self {
        self.delay_first = delay_first;
        self.delay_max = delay_max;
        self
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self::new()
    }
}

/// The restarts of one actor.
#[derive(Debug)]
pub(super) struct History {
    policy: Restart,
    /// The last failures, oldest first: as many as the window may hold.
    failures: VecDeque<Instant>,
}

impl History {
    pub(super) const fn new(policy: Restart) -> Self {
        Self { policy, failures: VecDeque::new() }
    }

    /// Records a failure: the delay before the restart, or `None` if the failure is final.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let Restart { restarts_max, within, delay_first, delay_max } = self.policy;
        while self
            .failures
            .front()
            .is_some_and(|failure| now.saturating_duration_since(*failure) >= within)
        {
            self.failures.pop_front();
        }
        let before = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        if before >= restarts_max {
            return None;
        }
        self.failures.push_back(now);
        let factor = 1_u32.checked_shl(before).unwrap_or(u32::MAX);
        Some(delay_first.saturating_mul(factor).min(delay_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_delay_doubles_up_to_its_bound_and_the_window_limits_and_forgets() {
        let policy = Restart::new().limit(4, 60 * SECOND).backoff(SECOND, 3 * SECOND);
        let mut history = History::new(policy);
        let start = Instant::now();
        let at = |seconds: u32| start + seconds * SECOND;
        assert_eq!(history.failed(at(0)), Some(SECOND));
        assert_eq!(history.failed(at(10)), Some(2 * SECOND));
        assert_eq!(history.failed(at(20)), Some(3 * SECOND));
        assert_eq!(history.failed(at(30)), Some(3 * SECOND));
        assert_eq!(history.failed(at(59)), None);
        assert_eq!(history.failed(at(60)), Some(3 * SECOND), "the first has left the window");
        assert_eq!(history.failed(at(61)), None);
        assert_eq!(history.failed(at(1000)), Some(SECOND), "all is forgotten");
    }

    #[test]
    fn no_restart_is_a_limit_too_and_many_do_not_overflow() {
        let now = Instant::now();
        let never = Restart::new().limit(0, SECOND);
        assert_eq!(History::new(never).failed(now), None);
        let many = Restart::new().limit(100, SECOND).backoff(SECOND, Duration::MAX);
        let mut history = History::new(many);
        for _ in 0..99 {
            history.failed(now);
        }
        assert!(history.failed(now) > Some(1_000_000 * SECOND));
    }
}
