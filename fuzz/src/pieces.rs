// SPDX-License-Identifier: BSD-3-Clause
//! Cutting bytes into pieces, by a number.

/// The pieces of `bytes`: 1 to 64 bytes each, as the seed has it; of seed 0 one piece.
pub(crate) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let wanted = if seed == 0 {
            rest.len()
        } else {
            // Xorshift: any sequence will do, if the same seed gives the same.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            1 + (state as usize & 63)
        };
        let (piece, after) = rest.split_at(wanted.min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// What came of it is as good either way: done, or refused.
pub(crate) fn either_way<T>(_: Result<T, becket_wire::Refused>) {}
