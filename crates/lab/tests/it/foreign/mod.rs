// SPDX-License-Identifier: BSD-3-Clause
//! Adapters that were written elsewhere, behind bridges: what was found is in docs/src/lab/foreign.md.
//!
//! | file | holds |
//! |---|---|
//! | `channels` | channels of four crates |
//! | `streams` | pipes of bytes, a codec |
//! | `muxer` | a multiplexer, with all flows in one connection |
//!
//! What is found is stated here: a test fails when an adapter breaks another rule than it is known to,
//! and when it does not break that one any more.

mod channels;
mod muxer;
mod streams;

use becket_lab::contract::Limits;

/// Bytes that a flow may hold.
fn flow_bytes(limits: Limits) -> usize {
    limits.flow_buffered_bytes_max as usize
}

/// So long that a flow holds no more than its limit, of a channel that holds so many items: two are
/// beside it.
fn item_bytes_max(limits: Limits, items: usize) -> usize {
    (flow_bytes(limits) / (items + 2)).max(1)
}
