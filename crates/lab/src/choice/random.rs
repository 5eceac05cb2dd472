// SPDX-License-Identifier: BSD-3-Clause
//! Numbers from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
//!
//! It is written here and not taken from a library: the numbers that a seed gives are a guarantee
//! of this crate, and must not change with a dependency.

use crate::pattern::{GOLDEN, mix};

/// A sequence of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent sequence for each name, derived from the seed.
    #[must_use]
    pub const fn fork(&self, name: u64) -> Self {
        Self { state: mix(self.state ^ mix(name.wrapping_add(GOLDEN))) }
    }

    /// The next number.
    #[inline]
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number below `bound`. If the bound is 0 or 1, it is 0 and the sequence does not advance.
    /// For callers that cannot know beforehand whether there is a choice.
    #[inline]
    pub(super) const fn below_if_any(&mut self, bound: u32) -> u32 {
        let before = self.state;
        let answer = self.below(bound);
        let asked = (bound > 1) as u64;
        self.state = before.wrapping_add(GOLDEN * asked);
        answer
    }

    /// A number below `bound`; 0 if the bound is 0. For bounds below 2³² the numbers are equally
    /// likely to within one part in 2³².
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        // Lemire's multiplication (2019), without the rejection.
        (((self.next() >> 32) * bound as u64) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The reference program's first numbers for the seed 1234567.
        let mut random = Random::new(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn numbers_are_below_their_bound_and_all_come() {
        let mut random = Random::new(5);
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[random.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|times| (850..1150).contains(times)), "{seen:?}");
        assert_eq!((random.below(1), random.below(0)), (0, 0));
    }

    #[test]
    fn forks_are_their_own() {
        let random = Random::new(5);
        assert_ne!(random.fork(1).next(), random.fork(2).next());
        assert_eq!(random.fork(1).next(), random.fork(1).next());
    }
}
