// SPDX-License-Identifier: BSD-3-Clause
//! A set of numbers with false positives and without false negatives: a Bloom filter with one hash.

use crate::pattern::GOLDEN;

#[derive(Debug)]
pub(super) struct Filter {
    /// One bit for each value of the hash.
    words: Vec<u64>,
    bits: u32,
}

impl Filter {
    /// A filter of 2 to the power of `bits` bits; `bits` is from 6 to 63.
    pub(super) fn new(bits: u32) -> Self {
        Self { words: vec![0; 1 << (bits - u64::BITS.ilog2())], bits }
    }

    pub(super) fn add(&mut self, number: u64) {
        let (word, bit) = self.place(number);
        if let Some(word) = self.words.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    pub(super) fn may_have(&self, number: u64) -> bool {
        let (word, bit) = self.place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The index of the word, and the bit in it.
    #[inline]
    fn place(&self, number: u64) -> (usize, u64) {
        let hash = number.wrapping_mul(GOLDEN) >> (u64::BITS - self.bits);
        ((hash / 64) as usize, 1 << (hash % 64))
    }
}
