// SPDX-License-Identifier: BSD-3-Clause
//! What is known of one flow, on all sides.

use std::collections::VecDeque;

use becket_wire::StreamId;
use bytes::Bytes;

use crate::contract::{Cause, FlowId, Lifecycle, Tick};
use crate::pattern::{Direction, Pattern};
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

/// What the target has of a flow.
#[derive(Debug, Default)]
pub(super) struct Targeted {
    /// It knows the flow by this.
    pub(super) stream: Option<StreamId>,
    pub(super) taken: u64,
    /// What is to be given back as it came.
    pub(super) echoes: VecDeque<Bytes>,
    /// The request is over, since then.
    pub(super) asked: Option<Tick>,
    pub(super) answer: Option<Answer>,
    /// Chunks of the answer that were sent, and bytes.
    pub(super) chunk: usize,
    pub(super) part: u64,
    pub(super) sent: u64,
    pub(super) is_done: bool,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) id: FlowId,
    pub(super) life: Lifecycle,
    pub(super) stream: Option<StreamId>,
    pub(super) request: Pattern,
    pub(super) response: Pattern,
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
    pub(super) arrived: VecDeque<Bytes>,
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
}

impl Flow {
    pub(super) fn new(seed: u64, plan: &FlowPlan) -> Self {
        let id = plan.flow;
        Self {
            id,
            life: Lifecycle::default(),
            stream: None,
            request: Pattern::new(seed, id, Direction::Request),
            response: Pattern::new(seed, id, Direction::Response),
            is_open: false,
            opens_at: plan.opens_at,
            source: Sent::default(),
            is_stalled: false,
            offers: false,
            entered: Expected::default(),
            arrived: VecDeque::new(),
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
        }
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
