// SPDX-License-Identifier: BSD-3-Clause
//! Who has a block: one word.
//!
//! ```text
//!   bit  63        48 47             24 23              0
//!       ┌────────────┬─────────────────┬─────────────────┐
//!       │ generation │ lent            │ shares          │
//!       └────────────┴─────────────────┴─────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. `shares` counts leases, blocks and descriptors that carry one; `lent` counts the latter.
//! 2. A claim turns one lent share into a block's, in one step from the generation that the
//!    descriptor names: of copies of one descriptor one claims, the others are refused.
//! 3. Whoever takes the step to no shares has the block alone; that step moves the generation on.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

const COUNT: u64 = (1 << 24) - 1;
const LENT_SHIFT: u32 = 24;
const GENERATION_SHIFT: u32 = 48;
const LENT: u64 = 1 << LENT_SHIFT;

#[derive(Debug, Default)]
pub(super) struct Shares(AtomicU64);

impl Shares {
    /// The block came off the free list: one share.
    pub(super) fn begin(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        debug_assert_eq!(before & (COUNT | COUNT << LENT_SHIFT), 0, "a free block has no shares");
    }

    /// One share more, for who has one.
    pub(super) fn add(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if before & COUNT > COUNT / 2 {
            // As `Arc` does: clones that are never dropped, by the million.
            process::abort();
        }
    }

    /// One share less. True: it was the last one.
    pub(super) fn let_go(&self) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let last = word & COUNT == 1;
            let next = if last { (word >> GENERATION_SHIFT).wrapping_add(1) } else { 0 };
            let next = if last { next << GENERATION_SHIFT } else { word - 1 };
            match self.step(word, next) {
                Ok(_) => return last,
                Err(now) => word = now,
            }
        }
    }

    /// A share goes into a descriptor. Its generation; `None` if too many are there already.
    pub(super) fn lend(&self) -> Option<u16> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word >> LENT_SHIFT & COUNT == COUNT {
                return None;
            }
            match self.step(word, word + LENT) {
                Ok(_) => return Some((word >> GENERATION_SHIFT) as u16),
                Err(now) => word = now,
            }
        }
    }

    /// A descriptor's share becomes a block's. False: there is none of that generation.
    pub(super) fn claim(&self, generation: u16) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let same = (word >> GENERATION_SHIFT) as u16 == generation;
            if !same || word >> LENT_SHIFT & COUNT == 0 {
                return false;
            }
            match self.step(word, word - LENT) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    fn step(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.0.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_copies_of_a_descriptor_one_claims() {
        let shares = Shares::default();
        shares.begin();
        let generation = shares.lend().unwrap();
        assert!(!shares.claim(generation.wrapping_add(1)));
        assert!(shares.claim(generation));
        assert!(!shares.claim(generation));
        assert!(shares.let_go());
        assert!(!shares.claim(generation));
    }

    #[test]
    fn a_generation_ends_with_the_last_share() {
        let shares = Shares::default();
        for life in 0..=u32::from(u16::MAX) + 2 {
            shares.begin();
            shares.add();
            assert_eq!(shares.lend(), Some(life as u16));
            assert!(shares.claim(life as u16));
            assert!(!shares.let_go());
            assert!(shares.let_go());
            if cfg!(miri) && life > 3 {
                return;
            }
        }
    }
}
