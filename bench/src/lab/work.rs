// SPDX-License-Identifier: BSD-3-Clause
//! The bytes of a run's flows, for the sides that do not make them themselves.

use crate::error::{BenchError, check};

/// How many bytes a flow has, as the lab's source has it.
pub(super) fn length(seed: u64, flow: u32) -> usize {
    64 + (seed.wrapping_add(u64::from(flow)) % 32) as usize
}

/// Each byte is decided by the seed, the flow and where it stands.
pub(super) fn byte(seed: u64, flow: u32, at: usize) -> u8 {
    let word = seed ^ u64::from(flow).rotate_left(32) ^ (at as u64 / 8);
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) >> (8 * (at % 8))) as u8
}

pub(super) fn bytes(seed: u64, flow: u32) -> Vec<u8> {
    (0..length(seed, flow)).map(|at| byte(seed, flow, at)).collect()
}

/// Whether they are what the flow has from an offset on.
pub(super) fn are_right(seed: u64, flow: u32, offset: usize, bytes: &[u8]) -> bool {
    let is_right = |(at, found): (usize, &u8)| *found == byte(seed, flow, offset + at);
    offset + bytes.len() <= length(seed, flow) && bytes.iter().enumerate().all(is_right)
}

/// All flows of these seeds were carried there and back.
pub(super) fn check_bytes(
    host: &'static str,
    seeds: std::ops::Range<u64>,
    flows: u32,
    bytes: u64,
) -> Result<(), BenchError> {
    let of_run = |seed| (0..flows).map(|flow| 2 * length(seed, flow) as u64).sum::<u64>();
    check(host, "bytes that were right", seeds.map(of_run).sum(), bytes)
}
