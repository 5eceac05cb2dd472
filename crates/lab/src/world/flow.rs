// SPDX-License-Identifier: BSD-3-Clause
//! The state of one flow, on all sides.

use becket_wire::StreamId;

use super::elements::{Elements, Lent};
use super::probe::Probed;
use crate::contract::{Cause, FlowId, Lifecycle, Secret, Tick};
use crate::pattern::{self, Direction, Pattern};
use crate::source::FlowPlan;
use crate::target::Answer;

/// How the end of a flow is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It ended in order: both adapters remove it.
    CloseBoth,
    /// It was reset: the ingress adapter removes it, and the sink is notified.
    TellSink,
}

/// The progress of a source in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sent {
    /// Index of the next chunk.
    pub(super) chunk: usize,
    /// Bytes of it that were taken.
    pub(super) part: u64,
    /// Bytes that were taken in total.
    pub(super) offset: u64,
    /// Everything was taken, including the end.
    pub(super) is_done: bool,
}

/// The expected next output at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) sequence: u64,
    pub(super) offset: u64,
    /// The end was put out.
    pub(super) is_over: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self { sequence: 1, offset: 0, is_over: false }
    }
}

/// Number of bytes at the start of a flow that are kept, per direction.
const KNOWN_BYTES_MAX: usize = 4 << 10;

/// The bytes that a flow carries in one direction. They are compared several times; the first ones
/// are computed once.
#[derive(Debug)]
pub(super) struct Carried {
    pattern: Pattern,
    known: Vec<u8>,
}

impl Carried {
    /// In this memory.
    #[inline]
    fn new(seed: u64, flow: FlowId, direction: Direction, mut known: Vec<u8>) -> Self {
        known.clear();
        Self { pattern: Pattern::new(seed, flow, direction), known }
    }

    /// Changes to the bytes of another seed, for a source that is made wrong.
    pub(super) fn of_other_seed(&mut self, flow: FlowId) {
        self.pattern = Pattern::new(u64::MAX, flow, Direction::Request);
        self.known.clear();
    }

    /// The bytes at this range, if they are kept.
    #[inline]
    fn known(&mut self, offset: u64, bytes: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset).ok()?;
        let to = from.checked_add(bytes)?;
        if to > self.known.len() && !self.learn(to) {
            return None;
        }
        self.known.get(from..to)
    }

    /// Computes the bytes up to this offset. False: so many are not kept.
    #[inline(never)]
    fn learn(&mut self, to: usize) -> bool {
        if to > KNOWN_BYTES_MAX {
            return false;
        }
        let before = self.known.len();
        // Whole words, so that the next range starts at a word.
        self.known.resize(to.next_multiple_of(8), 0);
        self.pattern.fill(before as u64, self.known.get_mut(before..).unwrap_or_default());
        true
    }

    /// The bytes at this range, if they are kept, for reading while the rest of the world is
    /// changed. Until they are [taken back](Self::take_back) none may be used.
    pub(super) fn lend(&mut self, offset: u64, bytes: usize) -> Option<Lent> {
        self.known(offset, bytes)?;
        let from = usize::try_from(offset).ok()?;
        Some(Lent::new(std::mem::take(&mut self.known), from..from + bytes))
    }

    /// Takes back what was lent.
    pub(super) fn take_back(&mut self, lent: Lent) {
        self.known = lent.into_bytes();
    }

    /// Writes the bytes from an offset on.
    pub(super) fn fill(&mut self, offset: u64, into: &mut [u8]) {
        match self.known(offset, into.len()) {
            Some(known) => into.copy_from_slice(known),
            None => self.pattern.fill(offset, into),
        }
    }

    /// Offset of the first difference between `bytes` and the expected bytes from `offset` on.
    /// `None`: they are equal.
    #[inline]
    pub(super) fn mismatch(&mut self, offset: u64, bytes: &[u8]) -> Option<u64> {
        if self.known(offset, bytes.len()) == Some(bytes) {
            return None;
        }
        self.pattern.mismatch(offset, bytes)
    }
}

/// The state of a flow at the target.
#[derive(Debug, Default)]
pub(super) struct Targeted {
    /// Its stream.
    pub(super) stream: Option<StreamId>,
    pub(super) taken: u64,
    /// Elements to be echoed.
    pub(super) echoes: Elements,
    /// When the request ended.
    pub(super) asked: Option<Tick>,
    pub(super) answer: Option<Answer>,
    /// Chunks of the response that were sent, and bytes.
    pub(super) chunk: usize,
    pub(super) part: u64,
    pub(super) sent: u64,
    pub(super) is_done: bool,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) id: FlowId,
    /// The key that authenticates its opener.
    pub(super) key: Secret,
    pub(super) life: Lifecycle,
    pub(super) stream: Option<StreamId>,
    pub(super) request: Carried,
    pub(super) response: Carried,
    /// The adapters and the session know it.
    pub(super) is_open: bool,
    pub(super) opens_at: Tick,
    pub(super) source: Sent,
    /// The ingress adapter took less than it was offered, and has reported no room since.
    pub(super) is_stalled: bool,
    /// Queued for an offer.
    pub(super) offers: bool,
    /// Output of the ingress adapter.
    pub(super) entered: Expected,
    /// Elements that arrived and were not taken, and how much of the first one was.
    pub(super) arrived: Elements,
    pub(super) arrived_part: usize,
    /// The response has ended: nothing follows what arrived.
    pub(super) is_answered: bool,
    /// Offers to the egress adapter.
    pub(super) handed: Expected,
    pub(super) egress_is_full: bool,
    /// Queued for an offer to the egress adapter.
    pub(super) accepts: bool,
    /// Output at the sink.
    pub(super) sunk: Expected,
    /// The source reset it: the ingress adapter must report that, unless it cannot.
    pub(super) broken_by_source: bool,
    /// The cause of its reset.
    pub(super) broken: Option<Cause>,
    /// The adapters that knew it and crashed.
    pub(super) lost: [bool; 2],
    /// Its end was handled everywhere.
    pub(super) is_ended: bool,
    /// The sink knows that it is over.
    pub(super) sink_knows: bool,
    pub(super) target: Targeted,
    /// Queued for its target.
    pub(super) answers: bool,
    /// Results of the comparisons at the boundaries.
    pub(super) probed: Probed,
}

/// The buffers of a flow.
#[derive(Default)]
struct Memory {
    /// Of the bytes of its request and of its response.
    known: [Vec<u8>; 2],
    /// Of what arrived, and of what is to be echoed.
    elements: [Elements; 2],
}

impl Flow {
    pub(super) fn new(seed: u64, plan: &FlowPlan) -> Self {
        Self::with(seed, plan, Memory::default())
    }

    #[inline]
    fn with(seed: u64, plan: &FlowPlan, memory: Memory) -> Self {
        let id = plan.flow;
        let Memory { known: [request, response], elements: [mut arrived, mut echoes] } = memory;
        arrived.clear();
        echoes.clear();
        Self {
            id,
            key: pattern::key(seed, id),
            life: Lifecycle::default(),
            stream: None,
            request: Carried::new(seed, id, Direction::Request, request),
            response: Carried::new(seed, id, Direction::Response, response),
            is_open: false,
            opens_at: plan.opens_at,
            source: Sent::default(),
            is_stalled: false,
            offers: false,
            entered: Expected::default(),
            arrived,
            arrived_part: 0,
            is_answered: false,
            handed: Expected::default(),
            egress_is_full: false,
            accepts: false,
            sunk: Expected::default(),
            broken_by_source: false,
            broken: None,
            lost: [false; 2],
            is_ended: false,
            sink_knows: false,
            target: Targeted { echoes, ..Targeted::default() },
            answers: false,
            probed: Probed::default(),
        }
    }

    /// Becomes a new flow, and keeps its memory: the buffers, and nothing else of it.
    pub(super) fn renew(&mut self, seed: u64, plan: &FlowPlan) {
        use std::mem::take;
        let memory = Memory {
            known: [take(&mut self.request.known), take(&mut self.response.known)],
            elements: [take(&mut self.arrived), take(&mut self.target.echoes)],
        };
        *self = Self::with(seed, plan, memory);
    }

    /// It is over on all sides.
    pub(super) const fn is_settled(&self) -> bool {
        self.life.state().is_over() && self.sink_knows && self.is_ended
    }

    /// How its end must be handled, if it has ended and was not handled yet.
    pub(super) fn ending(&self) -> Option<Ending> {
        if self.is_ended {
            return None;
        }
        if self.broken.is_some() {
            return Some(Ending::TellSink);
        }
        (self.entered.is_over && self.sunk.is_over).then_some(Ending::CloseBoth)
    }
}
