// SPDX-License-Identifier: BSD-3-Clause
//! Timers in crowds: a worker that sleeps until each of many timers spends more on its sleeps than
//! on the timers.
//!
//! A sleep and its end cost some microseconds of CPU, and a few coroutines at a time find neither
//! the caches warm nor enough successors to be prefetched. So while [`CROWD`] timers or more come
//! in each [`TOGETHER`], the worker does not end a sleep for one of them earlier than that after
//! the last look: they are at most that much late. Fewer timers are fired each at its instant. A
//! worker that is awake fires what is due in any case, and any other wake ends a sleep at once.

use std::cell::Cell;

/// The number of timers in [`TOGETHER`] from which they are a crowd.
const CROWD: u64 = 16;
/// The time from one look to the next while they are, in nanoseconds.
const TOGETHER: u64 = 500_000;

/// How many timers came lately.
pub(super) struct Crowd {
    /// The runtime's time at the last look.
    looked: Cell<u64>,
    /// The timers that had fired by then.
    fired: Cell<u64>,
    is_crowd: Cell<bool>,
}

impl Crowd {
    pub(super) const fn new() -> Self {
        Self { looked: Cell::new(0), fired: Cell::new(0), is_crowd: Cell::new(false) }
    }

    /// Until when a worker sleeps whose first timer is due at `bound`, if nothing else wakes it.
    /// `fired`: how many timers it has fired so far.
    pub(super) fn until(&self, bound: u64, now: u64, fired: u64) -> u64 {
        let passed = now.saturating_sub(self.looked.get());
        if passed >= TOGETHER {
            let came = fired.wrapping_sub(self.fired.get());
            self.is_crowd.set(came.saturating_mul(TOGETHER) >= passed.saturating_mul(CROWD));
            self.looked.set(now);
            self.fired.set(fired);
        }
        if self.is_crowd.get() { bound.max(self.looked.get() + TOGETHER) } else { bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timers at equal gaps; a sleep ends a little after its time. Returns the number of
    /// sleeps and the latest timer's delay.
    fn sleeps(count: u64, gap: u64) -> (u64, u64) {
        let crowd = Crowd::new();
        let (mut now, mut fired, mut sleeps, mut delay_max) = (0, 0, 0, 0);
        while fired < count {
            now = crowd.until((fired + 1) * gap, now, fired) + 1_000;
            sleeps += 1;
            while fired < count && (fired + 1) * gap <= now {
                fired += 1;
                delay_max = delay_max.max(now - fired * gap);
            }
        }
        (sleeps, delay_max)
    }

    #[test]
    fn few_timers_are_on_time() {
        let (count, gap) = (1_000, TOGETHER / (CROWD - 1));
        assert_eq!(sleeps(count, gap), (count, 1_000));
    }

    #[test]
    fn many_timers_share_their_sleeps_and_are_not_late_by_more() {
        let (count, gap) = (100_000, TOGETHER / (10 * CROWD));
        let (sleeps, delay_max) = sleeps(count, gap);
        let first = 10 * CROWD;
        assert!(sleeps <= first + count / (10 * CROWD), "{sleeps} sleeps");
        assert!(delay_max <= TOGETHER + 1_000, "{delay_max} ns late");
    }

    #[test]
    fn after_the_crowd_timers_are_on_time_again() {
        let crowd = Crowd::new();
        assert_eq!(crowd.until(TOGETHER, 0, 0), TOGETHER);
        let now = TOGETHER;
        assert_eq!(crowd.until(now + 1, now, CROWD), now + TOGETHER);
        // Woken by something else meanwhile: still a crowd.
        assert_eq!(crowd.until(now + 1, now + 1, CROWD + 1), now + TOGETHER);
        let now = now + TOGETHER;
        assert_eq!(crowd.until(now + 1, now, 2 * CROWD - 1), now + 1);
    }

    #[test]
    fn a_burst_after_a_long_time_is_no_crowd() {
        let crowd = Crowd::new();
        assert_eq!(crowd.until(21 * TOGETHER, 20 * TOGETHER, 10 * CROWD), 21 * TOGETHER);
    }
}
