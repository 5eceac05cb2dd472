// SPDX-License-Identifier: BSD-3-Clause
//! Bytes compared at every boundary, so that the part that changed them is named.
//!
//! ```text
//!   source ─► ingress ─► session ═ carrier ═ session ─► target      1 what the source offers
//!      1         2          └────── 3 ──────┘              4        2 what the ingress adapter puts out
//!                                                                   3 what comes out of the session
//!   sink ◄── egress ◄─ [waits] ◄─ session ═ carrier ═ session ◄─┘   4 what the target answers
//!    7         6          5         └────── 3 ──────┘               5 what the egress adapter is offered
//! ```
//!
//! Each byte is a function of seed, flow and offset, so a comparison needs no copy of it. The first
//! boundary at which the bytes of a flow are others names the part before it. Of an adapter that is said
//! by [`What::OtherByte`]; of every other part by [`What::Changed`], once for each flow and way, and then
//! no adapter behind it is judged by the bytes.
//!
//! Between the sessions frames are known by a checksum, so that one that the carrier changed is told from
//! one that a session wrote wrongly. Where the network is to be broken by faults, that is not looked at.
//!
//! # Invariants
//!
//! 1. How far the sink is, is counted here once more: a sink that is wrong about it is not believed.
//! 2. What the source offers is compared with what the seed of the configuration says, not with the
//!    source's own idea of it: its first bytes and its last, of each offer.

use std::borrow::Cow;

use super::Parts;
use super::planted::{self, Planted};
use crate::contract::{Chunk, FlowId};
use crate::pattern::{Direction, Pattern};
use crate::trace::{Part, What};

/// Bytes at both ends of an offer that are compared.
const ENDS_BYTES: usize = 8;

/// What the boundaries know of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Probed {
    /// Bytes were others already, of the request and of the answer.
    is_other: [bool; 2],
    /// Bytes of the answer that came out of the session.
    came: u64,
    /// Bytes that the egress adapter put out.
    sunk: u64,
}

impl Parts<'_> {
    /// Bytes of a direction are others, behind this part; said once.
    #[cold]
    #[inline(never)]
    fn changed(&mut self, id: FlowId, way: Direction, part: Part, offset: u64) {
        if !self.is_changed(id, way) {
            self.say(id, What::Changed { part, offset });
        }
        self.is_other(id, way);
    }

    /// Bytes are others from here on, whoever changed them.
    pub(super) fn is_other(&mut self, id: FlowId, way: Direction) {
        let is_echo = self.setup.behaviour.is_echo();
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
        let pattern = Pattern::new(self.setup.config.deterministic_seed, id, Direction::Request);
        let first = bytes.get(..bytes.len().min(ENDS_BYTES)).unwrap_or_default();
        let behind = bytes.len().saturating_sub(ENDS_BYTES);
        let last = bytes.get(behind..).unwrap_or_default();
        let other = pattern.mismatch(offset, first);
        let other = other.or_else(|| pattern.mismatch(offset + behind as u64, last));
        if let Some(offset) = other {
            self.changed(id, Direction::Request, Part::Source, offset);
        }
    }

    /// Boundary 3, at the server: whether what came for the target is as it was put in.
    pub(super) fn probe_request(&mut self, id: FlowId, other: Option<u64>) {
        if let Some(offset) = other {
            let part = if self.up.is_changed() { Part::Carrier } else { Part::Session };
            self.changed(id, Direction::Request, part, offset);
        }
    }

    /// Boundary 4: the target answers with this.
    pub(super) fn probe_answer(&mut self, id: FlowId, offset: u64, bytes: &[u8]) {
        self.probe(id, offset, bytes, Part::Target);
    }

    /// Boundary 3, at the client: this came for the sink.
    pub(super) fn probe_arrival(&mut self, id: FlowId, bytes: &[u8]) {
        let Some(flow) = self.flow(id) else { return };
        let offset = flow.probed.came;
        flow.probed.came += bytes.len() as u64;
        let part = if self.down.is_changed() { Part::Carrier } else { Part::Session };
        self.probe(id, offset, bytes, part);
    }

    /// Boundary 5: the egress adapter is offered this.
    pub(super) fn probe_offer(&mut self, id: FlowId, offset: u64, bytes: &[u8]) {
        self.probe(id, offset, bytes, Part::Boundary);
    }

    /// Boundary 6: the egress adapter put this out, and the sink says that a byte is another. True: the
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

    /// Where bytes of the answer are others.
    fn other(&mut self, id: FlowId, offset: u64, bytes: &[u8]) -> Option<u64> {
        let is_echo = self.setup.behaviour.is_echo();
        let flow = self.flow(id)?;
        let carried = if is_echo { &mut flow.request } else { &mut flow.response };
        carried.mismatch(offset, bytes)
    }
}

/// Parts that are wrong on purpose.
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

    /// This came for the sink, and waits for the egress adapter.
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

/// Frames that are under way, by their checksums.
#[derive(Debug, Default)]
pub(super) struct Frames {
    under_way: std::collections::VecDeque<u64>,
    is_changed: bool,
    /// Faults are to change them: nothing is looked at.
    is_off: bool,
}

impl Frames {
    /// None is under way.
    pub(super) fn renew(&mut self, is_off: bool) {
        let Self { under_way, is_changed, is_off: off } = self;
        under_way.clear();
        (*is_changed, *off) = (false, is_off);
    }

    /// One was put in.
    #[inline]
    pub(super) fn put(&mut self, head: &[u8], body: &[u8]) {
        if !self.is_off {
            self.under_way.push_back(checksum(checksum(0, head), body));
        }
    }

    /// One came out. Carriers may let one pass others.
    #[inline]
    pub(super) fn came(&mut self, head: &[u8], body: &[u8]) {
        if self.is_off {
            return;
        }
        let sum = checksum(checksum(0, head), body);
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

    /// One came out that was never put in.
    pub(super) const fn is_changed(&self) -> bool {
        self.is_changed
    }
}

/// FNV-1a (Fowler, Noll and Vo, 1991), by words.
fn checksum(sum: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let (words, rest) = bytes.as_chunks();
    let step = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(PRIME);
    let sum = words.iter().fold(sum, |sum, word| step(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_never_put_in_is_seen_and_one_that_passes_others_is_not() {
        let mut frames = Frames::default();
        for body in [&b"one"[..], b"twelve bytes", b""] {
            frames.put(b"head", body);
        }
        frames.came(b"head", b"twelve bytes");
        frames.came(b"head", b"one");
        frames.came(b"head", b"");
        assert!(!frames.is_changed() && frames.under_way.is_empty());
        frames.put(b"head", b"twelve bytes");
        frames.came(b"head", b"twelve bytez");
        assert!(frames.is_changed());
        frames.renew(true);
        frames.came(b"head", b"never");
        assert!(!frames.is_changed());
    }
}
