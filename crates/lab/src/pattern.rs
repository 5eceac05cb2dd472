// SPDX-License-Identifier: BSD-3-Clause
//! The bytes that flows carry.
//!
//! Each byte is a function of the seed, the flow, the direction and its offset. So whoever receives
//! bytes knows which they have to be, and a byte that is lost, repeated, out of order, changed or
//! another flow's is recognised where it stands.
//!
//! The function: a word of eight bytes for each eight offsets, SplitMix64's output function (Steele,
//! Lea and Flood, 2014) of a key for the stream plus the word's number. Within the keys of one seed
//! two streams agree in a byte by chance only, one time in 256.

use crate::contract::FlowId;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the source to the target.
    Request,
    /// From the target to the sink.
    Response,
}

/// The bytes of one flow in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    key: u64,
}

/// SplitMix64's increment: 2⁶⁴ divided by the golden ratio, made odd.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function: a bijection that changes half of the bits for each that changes.
#[inline]
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Pattern {
    /// The bytes that this flow carries in runs of this seed.
    #[must_use]
    pub const fn new(seed: u64, flow: FlowId, direction: Direction) -> Self {
        let stream = (flow.number() as u64) << 1 | matches!(direction, Direction::Response) as u64;
        Self { key: mix(mix(seed ^ GOLDEN).wrapping_add(stream.wrapping_mul(GOLDEN))) }
    }

    #[inline]
    const fn word(self, number: u64) -> [u8; 8] {
        mix(self.key.wrapping_add(number.wrapping_mul(GOLDEN))).to_le_bytes()
    }

    /// The byte at an offset.
    #[must_use]
    pub fn byte(self, offset: u64) -> u8 {
        (u64::from_le_bytes(self.word(offset / 8)) >> (8 * (offset % 8))) as u8
    }

    /// Writes the bytes from an offset on.
    pub fn fill(self, offset: u64, into: &mut [u8]) {
        self.each_word(offset, into.len(), |at, word| {
            if let Some(part) = into.get_mut(at..at + word.len()) {
                part.copy_from_slice(word);
            }
            true
        });
    }

    /// Where `bytes`, which should be those from an offset on, are others. `None`: nowhere.
    #[must_use]
    pub fn mismatch(self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut wrong = None;
        self.each_word(offset, bytes.len(), |at, word| {
            let found = bytes.get(at..at + word.len()).unwrap_or_default();
            if found == word {
                return true;
            }
            let first = found.iter().zip(word).position(|(found, expected)| found != expected);
            wrong = Some(offset + (at + first.unwrap_or(0)) as u64);
            false
        });
        wrong
    }

    /// Calls `each` with the place of each word, or part of one, among the bytes, and its bytes,
    /// until it says no.
    #[inline]
    fn each_word(self, offset: u64, length: usize, mut each: impl FnMut(usize, &[u8]) -> bool) {
        let mut at = 0;
        while at < length {
            let from = offset + at as u64;
            let skipped = (from % 8) as usize;
            let word = self.word(from / 8);
            let end = (skipped + length - at).min(8);
            let part = word.get(skipped..end).unwrap_or_default();
            if !each(at, part) {
                return;
            }
            at += end - skipped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: FlowId = FlowId::new(3);

    #[test]
    fn the_bytes_do_not_depend_on_how_they_are_asked_for() {
        let pattern = Pattern::new(7, FLOW, Direction::Request);
        let mut all = [0; 100];
        pattern.fill(0, &mut all);
        for from in 0..20 {
            for to in from..100 {
                let mut part = vec![0; to - from];
                pattern.fill(from as u64, &mut part);
                assert_eq!(part, all[from..to]);
                assert_eq!(pattern.mismatch(from as u64, &all[from..to]), None);
            }
            assert_eq!(pattern.byte(from as u64), all[from]);
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_stands() {
        let pattern = Pattern::new(7, FLOW, Direction::Request);
        let mut bytes = [0; 64];
        pattern.fill(5, &mut bytes);
        for at in 0..64 {
            let mut wrong = bytes;
            wrong[at] ^= 0x40;
            assert_eq!(pattern.mismatch(5, &wrong), Some(5 + at as u64));
        }
        // Shifted by one: lost, or repeated.
        assert!(pattern.mismatch(6, &bytes).is_some_and(|at| at < 12));
        assert!(pattern.mismatch(4, &bytes).is_some_and(|at| at < 12));
    }

    #[test]
    fn flows_directions_and_seeds_carry_other_bytes() {
        let mut starts = std::collections::HashSet::new();
        for seed in 0..20 {
            for flow in 1..20 {
                for direction in [Direction::Request, Direction::Response] {
                    let mut start = [0; 16];
                    Pattern::new(seed, FlowId::new(flow), direction).fill(0, &mut start);
                    assert!(starts.insert(start));
                }
            }
        }
    }
}
