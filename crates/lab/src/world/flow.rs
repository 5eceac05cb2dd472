// SPDX-License-Identifier: BSD-3-Clause
//! What is known of one flow, on all sides.

use becket_wire::StreamId;

use super::elements::{Elements, Lent};
use super::probe::Probed;
use crate::contract::{Cause, FlowId, Hidden, Lifecycle, Tick};
use crate::pattern::{self, Direction, Pattern};
use crate::source::FlowPlan;
use crate::target::Answer;

/// What is to be done about a flow that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Both adapters forget it: it ended in order.
    CloseBoth,
    /// It was broken off: the ingress adapter forgets it, the sink is told.
    TellSink,
}

/// Where a source is in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sent {
    /// The chunk that is next.
    pub(super) chunk: usize,
    /// Bytes of it that were taken.
    pub(super) part: u64,
    /// Bytes that were taken of all.
    pub(super) offset: u64,
    /// Everything was given, and the end.
    pub(super) is_done: bool,
}

/// What is expected next of those who put bytes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) sequence: u64,
    pub(super) offset: u64,
    /// Its end came.
    pub(super) is_over: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self { sequence: 1, offset: 0, is_over: false }
    }
}

/// So many bytes of a flow from its beginning on are kept as they have to be, each way.
const KNOWN_BYTES_MAX: usize = 4 << 10;

/// The bytes that a flow carries one way. They are looked at several times; the first ones are worked
/// out once.
#[derive(Debug)]
pub(super) struct Carried {
    pattern: Pattern,
    known: Vec<u8>,
}

impl Carried {
    fn new(seed: u64, flow: FlowId, direction: Direction) -> Self {
        Self { pattern: Pattern::new(seed, flow, direction), known: Vec::new() }
    }

    /// Those of another flow, with the memory of these.
    fn renew(&mut self, seed: u64, flow: FlowId, direction: Direction) {
        self.pattern = Pattern::new(seed, flow, direction);
        self.known.clear();
    }

    /// Those of another seed, for a source that is wrong on purpose.
    pub(super) fn of_other_seed(&mut self, flow: FlowId) {
        self.pattern = Pattern::new(u64::MAX, flow, Direction::Request);
        self.known.clear();
    }

    /// The bytes there, if they are among those that are kept.
    fn known(&mut self, offset: u64, bytes: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset).ok()?;
        let to = from.checked_add(bytes).filter(|to| *to <= KNOWN_BYTES_MAX)?;
        let before = self.known.len();
        if to > before {
            // Whole words, so that the next ones begin with one.
            self.known.resize(to.next_multiple_of(8), 0);
            self.pattern.fill(before as u64, self.known.get_mut(before..)?);
        }
        self.known.get(from..to)
    }

    /// So many bytes from an offset on, if they are among those that are kept, which can be read
    /// while the rest of the world is changed. Until they are [taken back](Self::take_back) none are
    /// looked at.
    pub(super) fn lend(&mut self, offset: u64, bytes: usize) -> Option<Lent> {
        self.known(offset, bytes)?;
        let from = usize::try_from(offset).ok()?;
        Some(Lent::new(std::mem::take(&mut self.known), from..from + bytes))
    }

    /// What was lent.
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

    /// Where `bytes`, which should be those from an offset on, are others. `None`: nowhere.
    pub(super) fn mismatch(&mut self, offset: u64, bytes: &[u8]) -> Option<u64> {
        if self.known(offset, bytes.len()) == Some(bytes) {
            return None;
        }
        self.pattern.mismatch(offset, bytes)
    }
}

/// What the target has of a flow.
#[derive(Debug, Default)]
pub(super) struct Targeted {
    /// It knows the flow by this.
    pub(super) stream: Option<StreamId>,
    pub(super) taken: u64,
    /// What is to be given back as it came.
    pub(super) echoes: Elements,
    /// The request is over, since then.
    pub(super) asked: Option<Tick>,
    pub(super) answer: Option<Answer>,
    /// Chunks of the answer that were sent, and bytes.
    pub(super) chunk: usize,
    pub(super) part: u64,
    pub(super) sent: u64,
    pub(super) is_done: bool,
}

impl Targeted {
    /// Nothing, with the memory of before.
    fn renew(&mut self) {
        let Self { stream, taken, echoes, asked, answer, chunk, part, sent, is_done } = self;
        (*stream, *asked, *answer) = (None, None, None);
        (*taken, *part, *sent, *chunk) = (0, 0, 0, 0);
        *is_done = false;
        echoes.clear();
    }
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) id: FlowId,
    /// By which whoever opens it has proved who that is.
    pub(super) key: Hidden,
    pub(super) life: Lifecycle,
    pub(super) stream: Option<StreamId>,
    pub(super) request: Carried,
    pub(super) response: Carried,
    /// The adapters and the session know it.
    pub(super) is_open: bool,
    pub(super) opens_at: Tick,
    pub(super) source: Sent,
    /// The ingress adapter took less than it was offered, and has not said that it has room.
    pub(super) is_stalled: bool,
    /// In the line of those who offer.
    pub(super) offers: bool,
    /// What the ingress adapter put out.
    pub(super) entered: Expected,
    /// What came back and was not taken: elements, and how much of the first was.
    pub(super) arrived: Elements,
    pub(super) arrived_part: usize,
    /// The response is over: nothing comes behind what arrived.
    pub(super) is_answered: bool,
    /// What was offered to the egress adapter.
    pub(super) handed: Expected,
    pub(super) egress_is_full: bool,
    /// In the line of those for whom something came.
    pub(super) accepts: bool,
    /// What the sink has.
    pub(super) sunk: Expected,
    /// The source broke it off: the ingress adapter says so, unless it cannot.
    pub(super) broken_by_source: bool,
    /// How it was broken off.
    pub(super) broken: Option<Cause>,
    /// The adapters that knew it and crashed.
    pub(super) lost: [bool; 2],
    /// It was ended everywhere.
    pub(super) is_ended: bool,
    /// The sink knows that it is over.
    pub(super) sink_knows: bool,
    pub(super) target: Targeted,
    /// In the line of those whose target has something.
    pub(super) answers: bool,
    /// What was seen of its bytes at the boundaries.
    pub(super) probed: Probed,
}

impl Flow {
    pub(super) fn new(seed: u64, plan: &FlowPlan) -> Self {
        let id = plan.flow;
        Self {
            id,
            key: pattern::key(seed, id),
            life: Lifecycle::default(),
            stream: None,
            request: Carried::new(seed, id, Direction::Request),
            response: Carried::new(seed, id, Direction::Response),
            is_open: false,
            opens_at: plan.opens_at,
            source: Sent::default(),
            is_stalled: false,
            offers: false,
            entered: Expected::default(),
            arrived: Elements::default(),
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
            target: Targeted::default(),
            answers: false,
            probed: Probed::default(),
        }
    }

    /// As a new one, with the memory of before.
    pub(super) fn renew(&mut self, seed: u64, plan: &FlowPlan) {
        // Every field by its name: none can be forgotten.
        let Self {
            id,
            key,
            life,
            stream,
            request,
            response,
            is_open,
            opens_at,
            source,
            is_stalled,
            offers,
            entered,
            arrived,
            arrived_part,
            is_answered,
            handed,
            egress_is_full,
            accepts,
            sunk,
            broken_by_source,
            broken,
            lost,
            is_ended,
            sink_knows,
            target,
            answers,
            probed,
        } = self;
        *id = plan.flow;
        *key = pattern::key(seed, plan.flow);
        *life = Lifecycle::default();
        *stream = None;
        request.renew(seed, plan.flow, Direction::Request);
        response.renew(seed, plan.flow, Direction::Response);
        *opens_at = plan.opens_at;
        *source = Sent::default();
        for expected in [entered, handed, sunk] {
            *expected = Expected::default();
        }
        arrived.clear();
        *arrived_part = 0;
        *broken = None;
        *lost = [false; 2];
        *probed = Probed::default();
        for flag in [is_open, is_stalled, offers, is_answered, egress_is_full, accepts] {
            *flag = false;
        }
        for flag in [broken_by_source, is_ended, sink_knows, answers] {
            *flag = false;
        }
        target.renew();
    }

    /// It is over, and everybody knows.
    pub(super) const fn is_settled(&self) -> bool {
        self.life.state().is_over() && self.sink_knows && self.is_ended
    }

    /// What is to be done about its end, if it has ended and nobody did.
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
