// SPDX-License-Identifier: BSD-3-Clause
//! Stream ids: how a plugin names a call.
//!
//! ```text
//!   63      62                    20 19            0
//!   │ local │ generation (43 bits)  │ index (20)   │   a slot of the call table
//!   │ 1     │ sequence (43 bits)    │ thread (20)  │   a call that only its own thread may answer
//! ```
//!
//! A slot's generation starts at a random number and grows with each use, so that a stale id never
//! comes back and a random one does not fit. The owner is not in the id: the slot knows it.

/// Bits of the index.
pub(crate) const INDEX_BITS: u32 = 20;
/// The generation's bits, in place at 0.
pub(crate) const GENERATION_MASK: u64 = (1 << 43) - 1;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const LOCAL: u64 = 1 << 63;

/// The id of the call in slot `index` at this generation.
#[inline]
pub(crate) const fn of_slot(index: u32, generation: u64) -> u64 {
    ((generation & GENERATION_MASK) << INDEX_BITS) | (index as u64 & INDEX_MASK)
}

/// The id of a call that is answered on its own thread or not at all.
#[inline]
pub(crate) const fn local(thread: u32, sequence: u64) -> u64 {
    LOCAL | of_slot(thread, sequence)
}

/// The slot's index and generation, or `None` for a local id.
#[inline]
pub(crate) const fn split(sid: u64) -> Option<(u32, u64)> {
    if sid & LOCAL != 0 {
        return None;
    }
    Some(((sid & INDEX_MASK) as u32, sid >> INDEX_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_splits_into_what_it_was_made_of() {
        for (index, generation) in [(0, 1), (1_048_575, GENERATION_MASK), (77, 1 << 40)] {
            assert_eq!(split(of_slot(index, generation)), Some((index, generation)));
        }
        assert_eq!(split(local(3, 9)), None);
        assert_ne!(local(3, 9), local(3, 10));
    }
}
