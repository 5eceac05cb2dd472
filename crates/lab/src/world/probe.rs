// SPDX-License-Identifier: BSD-3-Clause
//! Bytes compared at every boundary, so that the part that changed them is named.
//!
//! ```text
//!   source ─► ingress ─► session ═══ link ══ session ─► target      1 what the source offers
//!      1         2          └────── 3 ──────┘              4        2 what the ingress adapter puts out
//!                                                                   3 what comes out of the session
//!   sink ◄── egress ◄─ [waits] ◄─ session ═══ link ══ session ◄─┘   4 what the target answers
//!    7         6          5         └────── 3 ──────┘               5 what the egress adapter is offered
//! ```
//!
//! Each byte is a function of seed, flow and offset, so a comparison needs no copy of it. The first
//! boundary with a wrong byte of a flow names the part before it. An adapter is named by
//! [`EventKind::OtherByte`]; every other part by [`EventKind::Changed`], once for each flow and
//! direction, and then no adapter behind it is judged by the bytes.
//!
//! Between the sessions the bytes of a stream are kept a second time, and the frames of other links
//! are identified by a checksum, so that a frame that the link changed can be distinguished from one
//! that a session wrote wrongly. If faults may change what the network carries, this is not checked.
//!
//! # Invariants
//!
//! 1. The progress of the sink is counted here a second time, so that an error of the sink is
//!    detected.
//! 2. The offers of the source are compared with the seed of the configuration, not with the
//!    source's own state: the first and the last bytes of each offer.

use std::borrow::Cow;

use super::Parts;
use super::planted::{self, Planted};
use crate::contract::{Chunk, FlowId};
use crate::pattern::{Direction, Pattern};
use crate::trace::{EventKind, Part};

/// Number of bytes at each end of an offer that are compared.
const ENDS_BYTES: usize = 8;

/// The state of a flow at the boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Probed {
    /// Wrong bytes were seen, in the request and in the response.
    is_other: [bool; 2],
    /// Bytes of the response that came out of the session.
    came: u64,
    /// Bytes that the egress adapter put out.
    sunk: u64,
}

impl Parts<'_> {
    /// Records that bytes of a direction are wrong behind this part; once.
    #[cold]
    #[inline(never)]
    fn changed(&mut self, id: FlowId, way: Direction, part: Part, offset: u64) {
        if !self.is_changed(id, way) {
            self.say(id, EventKind::Changed { part, offset });
        }
        self.is_other(id, way);
    }

    /// Marks a direction as wrong from here on.
    pub(super) fn is_other(&mut self, id: FlowId, way: Direction) {
        let is_echo = self.case.behaviour.is_echo();
        let Some(flow) = self.flow(id) else { return };
        let [request, answer] = &mut flow.probed.is_other;
        match way {
            Direction::Request => (*request, *answer) = (true, *answer | is_echo),
            Direction::Response => *answer = true,
        }
    }

    fn is_changed(&self, id: FlowId, way: Direction) -> bool {
        let is_other = self.known(id).map(|flow| flow.probed.is_other);
        is_other.is_some_and(|is_other| is_other.get(way as usize) == Some(&true))
    }

    /// Boundary 1: the source offers these bytes.
    pub(super) fn probe_source(&mut self, id: FlowId, offset: u64, bytes: &[u8]) {
        let pattern = Pattern::new(self.case.config.deterministic_seed, id, Direction::Request);
        let first = bytes.get(..bytes.len().min(ENDS_BYTES)).unwrap_or_default();
        let behind = bytes.len().saturating_sub(ENDS_BYTES);
        let last = bytes.get(behind..).unwrap_or_default();
        let other = pattern.mismatch(offset, first);
        let other = other.or_else(|| pattern.mismatch(offset + behind as u64, last));
        if let Some(offset) = other {
            self.changed(id, Direction::Request, Part::Source, offset);
        }
    }

    /// Boundary 3, at the server: whether the bytes for the target are unchanged.
    pub(super) fn probe_request(&mut self, id: FlowId, other: Option<u64>) {
        if let Some(offset) = other {
            let part = if self.up.is_changed() { Part::Link } else { Part::Session };
            self.changed(id, Direction::Request, part, offset);
        }
    }

    /// Boundary 4: the target responds with this.
    pub(super) fn probe_answer(&mut self, id: FlowId, offset: u64, bytes: &[u8]) {
        self.probe(id, offset, bytes, Part::Target);
    }

    /// Boundary 3, at the client: this arrived for the sink.
    pub(super) fn probe_arrival(&mut self, id: FlowId, bytes: &[u8]) {
        let Some(flow) = self.flow(id) else { return };
        let offset = flow.probed.came;
        flow.probed.came += bytes.len() as u64;
        let part = if self.down.is_changed() { Part::Link } else { Part::Session };
        self.probe(id, offset, bytes, part);
    }

    /// Boundary 5: the egress adapter is offered this.
    pub(super) fn probe_offer(&mut self, id: FlowId, offset: u64, bytes: &[u8]) {
        self.probe(id, offset, bytes, Part::Boundary);
    }

    /// Boundary 6: the egress adapter put this out, and the sink reports a wrong byte. True: the
    /// sink is wrong.
    pub(super) fn probe_sink(&mut self, id: FlowId, bytes: &[u8], other: Option<u64>) -> bool {
        let Some(flow) = self.flow(id) else { return false };
        let offset = flow.probed.sunk;
        flow.probed.sunk += bytes.len() as u64;
        let Some(said) = other else { return false };
        let is_right = self.other(id, offset, bytes).is_none();
        if is_right {
            self.changed(id, Direction::Response, Part::Sink, said);
        } else {
            self.is_other(id, Direction::Response);
        }
        is_right
    }

    fn probe(&mut self, id: FlowId, offset: u64, bytes: &[u8], part: Part) {
        if let Some(offset) = self.other(id, offset, bytes) {
            self.changed(id, Direction::Response, part, offset);
        }
    }

    /// Offset of the first wrong byte of the response.
    fn other(&mut self, id: FlowId, offset: u64, bytes: &[u8]) -> Option<u64> {
        let is_echo = self.case.behaviour.is_echo();
        let flow = self.flow(id)?;
        let carried = if is_echo { &mut flow.request } else { &mut flow.response };
        carried.mismatch(offset, bytes)
    }
}

/// Parts that are made wrong on purpose.
impl Parts<'_> {
    /// A chunk as the source offers it.
    pub(super) fn as_planted(&mut self, mut chunk: Chunk) -> Chunk {
        if planted::is(Planted::SourceSequence) {
            chunk.sequence += 1;
        }
        if planted::is(Planted::SourceSeed)
            && let Some(flow) = self.flow(chunk.flow)
        {
            flow.request.of_other_seed(chunk.flow);
        }
        chunk
    }

    /// This arrived for the sink, and waits for the egress adapter.
    pub(super) fn arrives(&mut self, id: FlowId, body: &[u8]) {
        let turned = |is_it| {
            let turn = |body: &[u8]| body.iter().rev().copied().collect::<Vec<_>>();
            if is_it { Cow::Owned(turn(body)) } else { Cow::Borrowed(body) }
        };
        let came = turned(planted::is(Planted::Session));
        self.probe_arrival(id, &came);
        let waits = if planted::is(Planted::Boundary) { turned(true) } else { came };
        if let Some(flow) = self.flow(id) {
            flow.arrived.push(&waits);
        }
    }
}

/// Checksums of the frames in flight.
#[derive(Debug, Default)]
pub(super) struct Frames {
    under_way: std::collections::VecDeque<u64>,
    is_changed: bool,
    /// Faults may change frames: nothing is checked.
    is_off: bool,
}

impl Frames {
    /// Removes all frames.
    pub(super) fn renew(&mut self, is_off: bool) {
        let Self { under_way, is_changed, is_off: off } = self;
        under_way.clear();
        (*is_changed, *off) = (false, is_off);
    }

    /// The checksum of a frame, if it is needed.
    pub(super) fn sum(&self, frame: &[u8]) -> u64 {
        if self.is_off { 0 } else { checksum(frame) }
    }

    /// Records a frame that was written, by its checksum.
    pub(super) fn put(&mut self, sum: u64) {
        if !self.is_off {
            self.under_way.push_back(sum);
        }
    }

    /// Records a frame that arrived. Links may reorder frames.
    #[cold]
    #[inline(never)]
    pub(super) fn came(&mut self, frame: &[u8]) {
        if self.is_off {
            return;
        }
        let sum = checksum(frame);
        if self.under_way.front() == Some(&sum) {
            self.under_way.pop_front();
            return;
        }
        match self.under_way.iter().position(|one| *one == sum) {
            Some(place) => {
                self.under_way.remove(place);
            }
            None => self.is_changed = true,
        }
    }

    /// Whether a frame arrived that was never written.
    pub(super) const fn is_changed(&self) -> bool {
        self.is_changed
    }
}

/// FNV-1a (Fowler, Noll and Vo, 1991), by words.
fn checksum(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let (words, rest) = bytes.as_chunks();
    let step = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(PRIME);
    let sum = words.iter().fold(0, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_never_put_in_is_seen_and_one_that_passes_others_is_not() {
        let mut frames = Frames::default();
        for frame in [&b"head one"[..], b"head twelve bytes", b"head"] {
            frames.put(checksum(frame));
        }
        frames.came(b"head twelve bytes");
        frames.came(b"head one");
        frames.came(b"head");
        assert!(!frames.is_changed() && frames.under_way.is_empty());
        frames.put(checksum(b"head twelve bytes"));
        frames.came(b"head twelve bytez");
        assert!(frames.is_changed());
        frames.renew(true);
        frames.came(b"head never");
        assert!(!frames.is_changed());
    }
}
