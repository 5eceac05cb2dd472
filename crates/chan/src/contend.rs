// SPDX-License-Identifier: BSD-3-Clause
//! Backoff after a lost race for an index word.
//!
//! A word that two CPUs change alternately moves between their caches for each operation, and the
//! slot's line with it: some hundreds of nanoseconds for an operation that takes five while one CPU
//! owns the line. So the loser leaves the word to the winner for a run of operations; the pause
//! grows with the frequency of lost races. The frequency follows from the positions at which races
//! were lost, so an operation that loses none pays nothing. Nothing is held meanwhile: a pause
//! delays no other operation.
//!
//! Source: exponential backoff as in Anderson, *The performance of spin lock alternatives*, 1990;
//! the pause is kept from operation to operation, and time is measured in the word's positions.

use crate::park;
use crate::ring::SLOW;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The shortest pause after a lost race for a word, in steps of a fraction of a nanosecond.
const PAUSE_MIN: u32 = 16;
/// The longest pause: some microseconds.
const PAUSE_MAX: u32 = 8192;
/// In operations on the word: two races lost within as many double the pause.
const OFTEN: u64 = 128;
/// After this many operations without a lost race, the pause is the shortest again.
const SELDOM: u64 = 16 * 1024;

/// Recently lost races for the two words.
pub(crate) struct Races {
    pub(crate) head: Race,
    pub(crate) tail: Race,
}

impl Races {
    pub(crate) fn new() -> Self {
        Self { head: Race::new(), tail: Race::new() }
    }
}

/// The backoff of the loser of a race for one word.
pub(crate) struct Race {
    lost_at: AtomicU64,
    pause: AtomicU32,
}

impl Race {
    fn new() -> Self {
        Self { lost_at: AtomicU64::new(0), pause: AtomicU32::new(PAUSE_MIN) }
    }

    /// Backs off after the race for `word` was lost, when it was `now`. Returns the word after the
    /// pause.
    #[cold]
    #[inline(never)]
    pub(crate) fn lost(&self, word: &AtomicU64, now: u64) -> u64 {
        if now & SLOW != 0 {
            return now;
        }
        let position = now >> 1;
        let since = position.wrapping_sub(self.lost_at.load(Ordering::Relaxed));
        self.lost_at.store(position, Ordering::Relaxed);
        let pause = match since {
            ..OFTEN => 2 * self.pause.load(Ordering::Relaxed),
            OFTEN..SELDOM => self.pause.load(Ordering::Relaxed),
            _ => PAUSE_MIN,
        };
        let pause = pause.clamp(PAUSE_MIN, PAUSE_MAX);
        self.pause.store(pause, Ordering::Relaxed);
        park::relax(pause);
        word.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    #[test]
    fn races_that_are_lost_often_make_the_pause_long_and_one_seldom_lost_short() {
        let (race, word) = (Race::new(), AtomicU64::new(0));
        let lost = |position: u64| {
            race.lost(&word, position << 1);
            race.pause.load(Ordering::Relaxed)
        };
        let pauses: Vec<_> = (1..20).map(|n| lost(10 * n)).collect();
        assert!(pauses.is_sorted() && pauses.ends_with(&[PAUSE_MAX]), "{pauses:?}");
        assert_eq!(lost(190 + OFTEN), PAUSE_MAX, "often enough to stay as it is");
        assert_eq!(lost(190 + OFTEN + SELDOM), PAUSE_MIN);
    }

    #[test]
    fn a_word_that_went_slow_is_not_waited_for() {
        let (race, word) = (Race::new(), AtomicU64::new(0));
        assert_eq!(race.lost(&word, 40 | SLOW), 40 | SLOW);
        assert_eq!(race.pause.load(Ordering::Relaxed), PAUSE_MIN);
    }
}
