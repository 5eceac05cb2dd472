// SPDX-License-Identifier: BSD-3-Clause
//! An envelope: a body with a number and a checksum.
//!
//! ```text
//!   byte  0        8        16       20
//!         ┌────────┬────────┬────────┬──── ─ ─
//!         │ check  │ number │ length │ body
//!         └────────┴────────┴────────┴──── ─ ─
//!           u64      u64      u32
//! ```
//!
//! Little-endian. The checksum covers everything after it; a single changed bit always changes it,
//! because each word enters by a bijection. An ack is an envelope without a body: its number is
//! that of the next envelope that is expected.

use crate::pattern::{GOLDEN, mix};

const HEAD_BYTES: usize = 20;
const CHECK_BYTES: usize = 8;

pub(super) fn seal(number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(&[0; CHECK_BYTES]);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(body);
    if let Some((place, rest)) = bytes.split_first_chunk_mut() {
        *place = check(rest).to_le_bytes();
    }
    bytes
}

/// Its number and its body; `None`: it was modified.
pub(super) fn open(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (sum, rest) = bytes.split_first_chunk()?;
    let (number, behind) = rest.split_first_chunk()?;
    let (length, body) = behind.split_first_chunk()?;
    let is_whole = u32::from_le_bytes(*length) as usize == body.len();
    let is_so = u64::from_le_bytes(*sum) == check(rest);
    (is_whole && is_so).then(|| (u64::from_le_bytes(*number), body))
}

fn check(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks();
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let start = mix(GOLDEN ^ bytes.len() as u64);
    let words = words.iter().chain([&last]);
    words.fold(start, |sum, word| mix(sum ^ u64::from_le_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_as_it_was_sealed_is_recognised() {
        for length in [0, 1, 7, 8, 100] {
            let body: Vec<u8> = (0..length).collect();
            let sealed = seal(77, &body);
            assert_eq!(open(&sealed), Some((77, &body[..])));
            for bit in 0..sealed.len() * 8 {
                let mut other = sealed.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&other), None, "bit {bit}");
            }
            for end in 0..sealed.len() {
                assert_eq!(open(&sealed[..end]), None);
            }
        }
    }
}
