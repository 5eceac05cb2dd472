// SPDX-License-Identifier: BSD-3-Clause
//! The bytes that flows carry.
//!
//! Each byte is a function of the seed, the flow, the direction and its offset. So the receiver of
//! a byte knows its expected value, and a byte that is lost, repeated, reordered, changed or from
//! another flow is detected at its offset.
//!
//! The function: one word for each eight offsets, SplitMix64's output function (Steele, Lea and
//! Flood, 2014) of a stream's key plus the word's number. Two streams of one seed agree in a byte
//! only by chance, one time in 256.

use crate::contract::{FlowId, Secret};

/// Direction of a flow.
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
    /// The bytes that this flow carries in runs with this seed.
    #[must_use]
    pub const fn new(seed: u64, flow: FlowId, direction: Direction) -> Self {
        let stream = (flow.number() as u64) << 1 | matches!(direction, Direction::Response) as u64;
        Self { key: mix(mix(seed ^ GOLDEN).wrapping_add(stream.wrapping_mul(GOLDEN))) }
    }

    /// The bytes at eight offsets from `8 * number` on.
    #[inline]
    const fn word(self, number: u64) -> u64 {
        mix(self.key.wrapping_add(number.wrapping_mul(GOLDEN)))
    }

    /// Calls `each` with the eight bytes from `offset` on, then with the next eight, and so on.
    #[inline]
    fn words<T>(self, offset: u64, places: impl Iterator<Item = T>, mut each: impl FnMut(T, u64)) {
        let (number, bits) = (offset / 8, 8 * (offset % 8));
        if bits == 0 {
            for (place, number) in places.zip(number..) {
                each(place, self.word(number));
            }
            return;
        }
        let mut word = self.word(number);
        for (place, next) in places.zip(number + 1..) {
            let next = self.word(next);
            each(place, word >> bits | next << (64 - bits));
            word = next;
        }
    }

    /// Calls `each` with every window of eight bytes within the first `bytes` bytes; the first byte
    /// is in the lowest bits.
    pub(crate) fn windows(self, bytes: u64, mut each: impl FnMut(u64)) {
        let Some(last) = bytes.checked_sub(8) else { return };
        let mut word = self.word(0);
        each(word);
        for number in 1..=last.div_ceil(8) {
            let next = self.word(number);
            let here = (last + 8 - 8 * number).min(8) as u32;
            (1..=here).for_each(|at| {
                each(word.unbounded_shr(8 * at) | next.unbounded_shl(64 - 8 * at));
            });
            word = next;
        }
    }

    /// The byte at an offset.
    #[must_use]
    #[inline]
    pub const fn byte(self, offset: u64) -> u8 {
        (self.word(offset / 8) >> (8 * (offset % 8))) as u8
    }

    /// Fills `into` with the bytes from `offset` on.
    pub fn fill(self, offset: u64, into: &mut [u8]) {
        let behind = offset + into.len() as u64;
        let (words, rest) = into.as_chunks_mut();
        self.words(offset, words.iter_mut(), |place, word| *place = word.to_le_bytes());
        if rest.is_empty() {
            return;
        }
        match into.last_chunk_mut() {
            // Overlaps the last word with the one before, in place of a loop over the rest.
            Some(last) => {
                self.words(behind - 8, [last].into_iter(), |last, word| *last = word.to_le_bytes());
            }
            None => {
                for (place, at) in into.iter_mut().zip(offset..) {
                    *place = self.byte(at);
                }
            }
        }
    }

    /// Offset of the first difference between `bytes` and the expected bytes from `offset` on.
    /// `None`: they are equal.
    #[must_use]
    pub fn mismatch(self, offset: u64, bytes: &[u8]) -> Option<u64> {
        // Compares a trailing partial word together with the bytes before it.
        let Some(last) = bytes.last_chunk() else { return self.first_other(offset, bytes) };
        let behind = offset + bytes.len() as u64;
        let mut others = 0;
        let mut look = |place: &[u8; 8], word| others |= u64::from_le_bytes(*place) ^ word;
        let (words, _) = bytes.as_chunks();
        self.words(offset, words.iter(), &mut look);
        self.words(behind - 8, [last].into_iter(), &mut look);
        if others == 0 { None } else { self.first_other(offset, bytes) }
    }

    #[cold]
    fn first_other(self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut places = (offset..).zip(bytes);
        places.find(|(at, byte)| **byte != self.byte(*at)).map(|(at, _)| at)
    }
}

/// The domain of keys, which separates them from payload.
const KEYS: u64 = 0x006b_6579_0000_0000;

/// The key of a flow in runs with this seed.
#[must_use]
pub const fn key(seed: u64, flow: FlowId) -> Secret {
    let first = mix(mix(seed ^ KEYS).wrapping_add((flow.number() as u64).wrapping_mul(GOLDEN)));
    let both = (first as u128) << 64 | mix(first ^ GOLDEN) as u128;
    Secret::new(both.to_le_bytes())
}

/// The identity of the adapters in runs with this seed.
#[must_use]
pub const fn identity(seed: u64) -> Secret {
    key(seed, FlowId::new(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_their_own() {
        let mut keys = std::collections::HashSet::new();
        for seed in 0..20 {
            assert!(keys.insert(identity(seed)));
            for flow in 1..20 {
                assert!(keys.insert(key(seed, FlowId::new(flow))));
                assert_eq!(key(seed, FlowId::new(flow)), key(seed, FlowId::new(flow)));
            }
        }
        assert_eq!(format!("{:?}", identity(7)), "(hidden)");
    }

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
        // Shifted by one: a byte was lost, or repeated.
        assert!(pattern.mismatch(6, &bytes).is_some_and(|at| at < 12));
        assert!(pattern.mismatch(4, &bytes).is_some_and(|at| at < 12));
    }

    #[test]
    fn windows_are_all_eight_bytes_in_a_row() {
        let pattern = Pattern::new(7, FLOW, Direction::Request);
        let mut all = [0; 40];
        pattern.fill(0, &mut all);
        for bytes in 0..=all.len() {
            let mut found = Vec::new();
            pattern.windows(bytes as u64, |window| found.push(window.to_le_bytes().to_vec()));
            let expected: Vec<_> = all[..bytes].windows(8).map(<[u8]>::to_vec).collect();
            assert_eq!(found, expected, "{bytes}");
        }
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
