// SPDX-License-Identifier: BSD-3-Clause
//! The plan of the source of one flow, chunk by chunk.

use strum::{IntoStaticStr, VariantArray};

use crate::contract::{Class, FlowId, Tick};

/// How the source of a flow ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum End {
    /// Its last chunk is final.
    Final,
    /// A half-close after its last chunk.
    HalfClose,
    /// A reset after its last chunk.
    Reset,
    /// Its last chunk is final; then it offers [`STRAY_BYTES`] more, which must be refused.
    LateWrite,
    /// After its last chunk it offers [`STRAY_BYTES`] with an offset that skips [`GAP_BYTES`]. They
    /// must be refused, and the flow has failed.
    Malformed,
}

/// Length of a chunk that may not be taken, in bytes.
pub const STRAY_BYTES: u64 = 16;
/// Bytes that the offset of a malformed chunk skips.
pub const GAP_BYTES: u64 = 7;

impl End {
    /// Whether the last chunk is final.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::LateWrite)
    }
}

/// A planned chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The earliest tick.
    pub at: Tick,
    /// Length in bytes.
    pub bytes: u64,
}

/// The plan of the source of one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowPlan {
    /// The flow.
    pub flow: FlowId,
    /// Its priority class.
    pub class: Class,
    /// When it opens; not before the previous flow with its number is over.
    pub opens_at: Tick,
    /// Its chunks, in order of their ticks.
    pub chunks: Vec<Planned>,
    /// How it ends.
    pub end: End,
}

impl FlowPlan {
    /// Total number of bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// A flow before the maximum length of chunks is applied.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    pub(super) class: Class,
    /// The tick at which it opens and offers its first chunk.
    pub(super) opens_at: u64,
    /// Ticks between chunks.
    pub(super) every: u64,
    /// Its chunks, of any length, without their ticks.
    pub(super) chunks: Vec<Planned>,
    pub(super) end: End,
}

impl Sketch {
    /// One chunk of this length at once, and the end.
    pub(super) fn of(bytes: u64) -> Self {
        let (class, end) = (Class::Normal, End::Final);
        Self { class, opens_at: 0, every: 0, chunks: of_lengths([bytes]), end }
    }

    /// The plan of the flow with this number. No chunk is longer than `longest`.
    pub(super) fn plan(self, number: u32, longest: u64) -> FlowPlan {
        let Self { class, opens_at, every, mut chunks, end } = self;
        for (at, chunk) in (0..).zip(&mut chunks) {
            chunk.at = Tick(opens_at.saturating_add(every.saturating_mul(at)));
            chunk.bytes = chunk.bytes.min(longest);
        }
        FlowPlan { flow: FlowId::new(number), class, opens_at: Tick(opens_at), chunks, end }
    }
}

/// Chunks of these lengths, for a sketch.
pub(super) fn of_lengths(lengths: impl IntoIterator<Item = u64>) -> Vec<Planned> {
    lengths.into_iter().map(|bytes| Planned { at: Tick(0), bytes }).collect()
}
