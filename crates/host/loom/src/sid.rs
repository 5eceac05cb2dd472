// SPDX-License-Identifier: BSD-3-Clause
//! As in `crates/host/src/sid.rs`: the generation of an id begins here.

pub(crate) const INDEX_BITS: u32 = 20;
/// Of the bits above the index.
pub(crate) const GENERATION_MASK: u64 = (1 << 43) - 1;
