// SPDX-License-Identifier: BSD-3-Clause
//! A connection's counters of blocks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Blocks of a connection, over all its channels, as seen by this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Blocks sent as descriptors.
    pub sent: u64,
    /// Blocks sent as bytes.
    pub copied: u64,
    /// The bytes of those.
    pub copied_bytes: u64,
    /// Blocks that the peer holds now.
    pub lent: u64,
    /// Blocks that arrived as descriptors.
    pub received: u64,
    /// The peer's blocks that this side holds now, or has not released yet.
    pub held: u64,
    /// The peer's regions that were mapped.
    pub mapped: u64,
    /// The peer's regions that were not mapped: beyond the budget, without a memfd, or refused by
    /// the system.
    pub unmapped: u64,
}

#[derive(Debug, Default)]
pub(super) struct BlockCounters {
    sent: AtomicU64,
    copied: AtomicU64,
    copied_bytes: AtomicU64,
    lent: AtomicU64,
    received: AtomicU64,
    pub(super) held: AtomicU64,
    mapped: AtomicU64,
    unmapped: AtomicU64,
}

/// Written only under the connection's lock, except `held`.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl BlockCounters {
    pub(super) fn lent(&self, now: usize) {
        add(&self.sent, 1);
        self.lent.store(now as u64, Ordering::Relaxed);
    }

    pub(super) fn back(&self, now: usize) {
        self.lent.store(now as u64, Ordering::Relaxed);
    }

    pub(super) fn copied(&self, bytes: usize) {
        add(&self.copied, 1);
        add(&self.copied_bytes, bytes as u64);
    }

    pub(super) fn is_holding(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    pub(super) fn received(&self) {
        add(&self.received, 1);
    }

    pub(super) fn region(&self, is_mapped: bool) {
        add(if is_mapped { &self.mapped } else { &self.unmapped }, 1);
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent: of(&self.sent),
            copied: of(&self.copied),
            copied_bytes: of(&self.copied_bytes),
            lent: of(&self.lent),
            received: of(&self.received),
            held: of(&self.held),
            mapped: of(&self.mapped),
            unmapped: of(&self.unmapped),
        }
    }
}
