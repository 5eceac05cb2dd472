// SPDX-License-Identifier: BSD-3-Clause
//! When a worker that has ended is started again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The first and the longest pause before a worker is started again.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(250)];
/// A worker that ran for so long is started again after the first pause.
const STEADY: Duration = Duration::from_millis(500);
/// How long a worker that has ended too often stays down before one more attempt.
const RETRY: Duration = Duration::from_secs(30);

/// How often a worker is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Attempts within [`Self::within_ms`]; a worker that ends once more stays down until a reload, or until
    /// one more attempt after 30 s.
    pub attempts_max: u32,
    /// The time within which attempts are counted.
    pub within_ms: u64,
}

impl Default for Restart {
    fn default() -> Self {
        Self { attempts_max: 20, within_ms: 10_000 }
    }
}

/// The attempts of one worker.
pub(crate) struct Attempts {
    policy: Restart,
    recent: VecDeque<Instant>,
    pause: Duration,
    /// It was down: it stays so if it ends again within the time.
    is_last: bool,
}

/// What comes after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The worker is started after this pause.
    Start(Duration),
    /// It stays down for so long.
    Fail(Duration),
}

impl Attempts {
    pub(crate) fn new(policy: Restart) -> Self {
        Self { policy, recent: VecDeque::new(), pause: PAUSES[0], is_last: false }
    }

    /// A worker that took calls for this long has ended.
    pub(crate) fn ended(&mut self, now: Instant, ran: Duration) -> Next {
        let within = Duration::from_millis(self.policy.within_ms);
        if ran >= STEADY {
            self.pause = PAUSES[0];
        }
        if ran >= within {
            self.is_last = false;
        }
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= within) {
            self.recent.pop_front();
        }
        if self.is_last || self.recent.len() >= self.policy.attempts_max as usize {
            self.recent.clear();
            self.is_last = true;
            return Next::Fail(RETRY);
        }
        self.recent.push_back(now);
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSES[1]);
        Next::Start(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPTS: Restart = Restart { attempts_max: 3, within_ms: 1000 };

    #[test]
    fn pauses_grow_and_too_many_attempts_are_the_last() {
        let (mut attempts, now) = (Attempts::new(ATTEMPTS), Instant::now());
        for pause in [1, 2, 4] {
            let next = attempts.ended(now, Duration::ZERO);
            assert_eq!(next, Next::Start(Duration::from_millis(pause)));
        }
        assert_eq!(attempts.ended(now, Duration::ZERO), Next::Fail(RETRY));
        // One attempt more, and it holds.
        let later = now + RETRY;
        assert_eq!(attempts.ended(later, Duration::ZERO), Next::Fail(RETRY));
        let within = Duration::from_millis(ATTEMPTS.within_ms);
        assert_eq!(attempts.ended(later + within, within), Next::Start(PAUSES[0]));
    }

    #[test]
    fn a_worker_that_ends_now_and_then_is_always_started_at_once() {
        let (mut attempts, mut now) = (Attempts::new(Restart::default()), Instant::now());
        for _ in 0..1000 {
            now += Duration::from_secs(1);
            let next = attempts.ended(now, Duration::from_millis(900));
            assert_eq!(next, Next::Start(PAUSES[0]));
        }
    }

    #[test]
    fn without_attempts_the_first_end_is_the_last() {
        let policy = Restart { attempts_max: 0, ..ATTEMPTS };
        let next = Attempts::new(policy).ended(Instant::now(), Duration::ZERO);
        assert_eq!(next, Next::Fail(RETRY));
    }

    /// The limit is reached before the longest pauses keep the attempts apart.
    #[test]
    fn a_worker_that_always_crashes_stays_down() {
        let (mut attempts, mut now) = (Attempts::new(Restart::default()), Instant::now());
        for _ in 0..=Restart::default().attempts_max {
            match attempts.ended(now, Duration::ZERO) {
                Next::Start(pause) => now += pause,
                Next::Fail(_) => return,
            }
        }
        panic!("it is started again for ever");
    }
}
