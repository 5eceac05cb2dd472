// SPDX-License-Identifier: BSD-3-Clause
//! Numbers from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
//!
//! Written here and not taken from a library: what a seed gives is a promise of this crate's, and
//! must not change with a dependency.

use crate::pattern::{GOLDEN, mix};

/// Numbers from a seed.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Another sequence for each name, decided by the seed.
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

    /// A number below `bound`; 0 if the bound is 0 or 1, and then it is as if nobody had asked. For
    /// who cannot foresee whether there is something to choose from: neither does this.
    #[inline]
    pub(super) const fn below_if_any(&mut self, bound: u32) -> u32 {
        let before = self.state;
        let answer = self.below(bound);
        let asked = (bound > 1) as u64;
        self.state = before.wrapping_add(GOLDEN * asked);
        answer
    }

    /// A number below `bound`; 0 if the bound is. Of bounds below 2³² each number is as likely as the
    /// others to one part in 2³².
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
