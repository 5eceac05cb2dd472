// SPDX-License-Identifier: BSD-3-Clause
//! Which of two failures is the smaller one.

use super::Candidate;
use crate::carrier::Carrier;
use crate::contract::Class;
use crate::source::End;
use crate::target::Behaviour;

/// How large a failure is: what a person has to read comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Events of the trace.
    pub events: usize,
    /// Answers that are not 0: where the run departs from the plainest.
    pub departures: usize,
    /// Flows.
    pub flows: usize,
    /// Chunks of all flows.
    pub chunks: usize,
    /// What is not plain about the case: its target and carrier, ends, classes, moments, faults.
    pub oddities: u64,
    /// Bytes of all flows.
    pub bytes: u64,
    /// Answers, up to the last that is not 0.
    pub answers: usize,
    /// Their sum.
    pub sum: u64,
    /// What is put in from outside, see [`Candidate::inputs`].
    pub inputs: usize,
}

/// A window that is plain.
pub(super) const WINDOW_BYTES: u64 = 64 << 10;

/// From plain to odd. One that is not here is odder than all of them.
const BEHAVIOURS: [Behaviour; 11] = [
    Behaviour::Discard,
    Behaviour::Echo,
    Behaviour::FixedResponse,
    Behaviour::ErrorResponse,
    Behaviour::ResetMidstream,
    Behaviour::SlowResponse,
    Behaviour::ChunkedResponse,
    Behaviour::JitteryResponse,
    Behaviour::DripResponse,
    Behaviour::UnpromptedResponse,
    Behaviour::LargeObject,
];

/// The plainer ones, from plain to odd.
pub(super) fn plainer(behaviour: Behaviour) -> impl Iterator<Item = Behaviour> {
    BEHAVIOURS.into_iter().take_while(move |other| *other != behaviour)
}

/// The plainer ones; one that changes less is plainer.
pub(super) fn plainer_carriers(carrier: Carrier) -> impl Iterator<Item = Carrier> {
    Carrier::ALL.into_iter().take_while(move |other| *other != carrier)
}

impl Candidate {
    /// How much is put into the run from outside, which is what a person does to see the failure:
    /// flows that are opened, chunks that are offered, ends that are more than a final chunk, faults
    /// that may strike, and moments at which who goes next, or how much, is not the plainest choice.
    /// What adapters, sessions and network do by themselves follows from it, and is not counted: the
    /// plainest flow of one chunk has 2, and some twenty events in its trace.
    #[must_use]
    pub fn inputs(&self) -> usize {
        let Self { case, recording } = self;
        let ends = case.plans.iter().filter(|plan| plan.end != End::Final).count();
        let chunks: usize = case.plans.iter().map(|plan| plan.chunks.len()).sum();
        let faults = if case.faults.is_none() { 0 } else { case.faults.budget as usize };
        let departures = recording.iter().filter(|answer| **answer != 0).count();
        case.plans.len() + chunks + ends + faults + departures
    }
}

impl Size {
    pub(super) fn of(candidate: &Candidate, events: usize) -> Self {
        let Candidate { case, recording } = candidate;
        let plans = &case.plans;
        let chunks = || plans.iter().flat_map(|plan| &plan.chunks);
        let ticks =
            chunks().map(|chunk| chunk.at.0).chain(plans.iter().map(|plan| plan.opens_at.0));
        let odd = plans.iter().map(|plan| {
            u64::from(plan.end != End::Final) + u64::from(plan.class != Class::default())
        });
        let oddities = [
            plainer(case.behaviour).count() as u64,
            u64::from(case.window_bytes != WINDOW_BYTES),
            plainer_carriers(case.carrier).count() as u64,
            case.faults.kinds.iter().count() as u64,
            case.faults.budget.into(),
            case.faults.from.0,
            case.faults.until.0,
        ];
        Self {
            events,
            departures: recording.iter().filter(|answer| **answer != 0).count(),
            flows: plans.len(),
            chunks: chunks().count(),
            oddities: oddities.into_iter().chain(odd).chain(ticks).fold(0, u64::saturating_add),
            bytes: chunks().map(|chunk| chunk.bytes).fold(0, u64::saturating_add),
            answers: recording.len(),
            sum: recording.iter().map(|answer| u64::from(*answer)).sum(),
            inputs: candidate.inputs(),
        }
    }
}
