// SPDX-License-Identifier: BSD-3-Clause
//! What the source of one flow does, chunk by chunk.

use crate::contract::{Class, FlowId, Tick};

/// How a flow ends at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its last chunk is final.
    Final,
    /// By a half-close behind its last chunk.
    HalfClose,
    /// It is broken off behind its last chunk.
    Reset,
    /// Its last chunk is final; then it offers [`STRAY_BYTES`] more, which must be refused.
    LateWrite,
    /// Behind its last chunk it offers [`STRAY_BYTES`] whose offset leaves out [`GAP_BYTES`]. They must
    /// be refused, and the flow has failed.
    Malformed,
}

/// Bytes of a chunk that may not be taken.
pub const STRAY_BYTES: u64 = 16;
/// What the offset of a malformed chunk leaves out.
pub const GAP_BYTES: u64 = 7;

impl End {
    /// Whether the last chunk is final.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::LateWrite)
    }
}

/// A chunk that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Not before.
    pub at: Tick,
    /// How many bytes.
    pub bytes: u64,
}

/// What the source of one flow does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowPlan {
    /// Which flow.
    pub flow: FlowId,
    /// What it carries.
    pub class: Class,
    /// When it opens; not before the flow whose number it takes over is over.
    pub opens_at: Tick,
    /// Its chunks, in order of their ticks.
    pub chunks: Vec<Planned>,
    /// How it ends.
    pub end: End,
}

impl FlowPlan {
    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// A flow as a source has it in mind. It becomes a plan when it is known how long a chunk may be.
#[derive(Debug, Clone)]
pub(super) struct Sketch {
    pub(super) class: Class,
    /// The tick at which it opens and its first chunk comes.
    pub(super) opens_at: u64,
    /// Ticks from one chunk to the next.
    pub(super) every: u64,
    /// Its chunks, of any length, without their ticks.
    pub(super) chunks: Vec<Planned>,
    pub(super) end: End,
}

impl Sketch {
    /// One chunk of so many bytes at once, and the end.
    pub(super) fn of(bytes: u64) -> Self {
        let (class, end) = (Class::Normal, End::Final);
        Self { class, opens_at: 0, every: 0, chunks: of_lengths([bytes]), end }
    }

    /// The plan of the flow of this number. A chunk is never longer than the longest.
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
