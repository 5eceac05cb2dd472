// SPDX-License-Identifier: BSD-3-Clause
//! The reference count of a block: one word.
//!
//! ```text
//!   bit  63        48 47             24 23              0
//!       ┌────────────┬─────────────────┬─────────────────┐
//!       │ generation │ in descriptors  │ references      │
//!       └────────────┴─────────────────┴─────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. `references` counts leases, blocks and descriptors that carry a reference; `in descriptors`
//!    counts only the latter.
//! 2. A claim moves one reference from a descriptor to a block, by one compare-and-swap that
//!    expects the generation that the descriptor names: of copies of one descriptor one is claimed,
//!    the other claims are refused.
//! 3. The step to zero references gives its caller exclusive use of the block, and increments the
//!    generation.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

const COUNT: u64 = (1 << 24) - 1;
const LENT_SHIFT: u32 = 24;
const GENERATION_SHIFT: u32 = 48;
const LENT: u64 = 1 << LENT_SHIFT;

#[derive(Debug, Default)]
pub(super) struct RefCount(AtomicU64);

impl RefCount {
    /// The first reference, to a block that was taken off the free list.
    pub(super) fn begin(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        debug_assert_eq!(
            before & (COUNT | COUNT << LENT_SHIFT),
            0,
            "a free block has no references"
        );
    }

    /// Adds a reference. The caller holds one.
    pub(super) fn add(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if before & COUNT > COUNT / 2 {
            // As `Arc` does: millions of clones were leaked.
            process::abort();
        }
    }

    /// Releases a reference. True: it was the last one.
    pub(super) fn release(&self) -> bool {
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

    /// Moves a reference into a descriptor. Returns its generation; `None` if the count is
    /// exhausted.
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

    /// Moves a reference from a descriptor to a block. False: that generation has none.
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
    fn of_several_copies_of_a_descriptor_one_is_claimed() {
        let refs = RefCount::default();
        refs.begin();
        let generation = refs.lend().unwrap();
        assert!(!refs.claim(generation.wrapping_add(1)));
        assert!(refs.claim(generation));
        assert!(!refs.claim(generation));
        assert!(refs.release());
        assert!(!refs.claim(generation));
    }

    #[test]
    fn a_generation_ends_with_the_last_reference() {
        let refs = RefCount::default();
        for life in 0..=u32::from(u16::MAX) + 2 {
            refs.begin();
            refs.add();
            assert_eq!(refs.lend(), Some(life as u16));
            assert!(refs.claim(life as u16));
            assert!(!refs.release());
            assert!(refs.release());
            if cfg!(miri) && life > 3 {
                return;
            }
        }
    }
}
