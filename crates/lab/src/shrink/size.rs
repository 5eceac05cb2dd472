// SPDX-License-Identifier: BSD-3-Clause
//! The order of failures by size.

use super::Candidate;
use crate::contract::Class;
use crate::link::Link;
use crate::source::End;
use crate::target::Behaviour;

/// The size of a failure: what a person has to read comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Events of the trace.
    pub events: usize,
    /// Answers that are not 0: deviations from the default schedule.
    pub deviations: usize,
    /// Flows.
    pub flows: usize,
    /// Chunks of all flows.
    pub chunks: usize,
    /// Measure of what is not simple about the case: its target and link, ends, classes, times,
    /// faults.
    pub oddities: u64,
    /// Bytes of all flows.
    pub bytes: u64,
    /// Answers, up to the last that is not 0.
    pub answers: usize,
    /// Their sum.
    pub sum: u64,
    /// Number of inputs, see [`Candidate::inputs`].
    pub inputs: usize,
}

/// The simple window, in bytes.
pub(super) const WINDOW_BYTES: u64 = 64 << 10;

/// From simple to complex. One that is not here is more complex than all of them.
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

/// Simpler behaviours, from simple to complex.
pub(super) fn plainer(behaviour: Behaviour) -> impl Iterator<Item = Behaviour> {
    BEHAVIOURS.into_iter().take_while(move |other| *other != behaviour)
}

/// Simpler links: those that change less.
pub(super) fn plainer_links(link: Link) -> impl Iterator<Item = Link> {
    Link::ALL.into_iter().take_while(move |other| *other != link)
}

impl Candidate {
    /// Number of inputs of the run, which a person reads to understand the failure: opened flows,
    /// offered chunks, ends other than a final chunk, faults that may be injected, and choices of a
    /// task or an amount that deviate from the default. The behaviour of adapters, sessions and
    /// network follows from them, and is not counted: the simplest flow of one chunk has 2, and
    /// some twenty events in its trace.
    #[must_use]
    pub fn inputs(&self) -> usize {
        let Self { case, recording } = self;
        let ends = case.plans.iter().filter(|plan| plan.end != End::Final).count();
        let chunks: usize = case.plans.iter().map(|plan| plan.chunks.len()).sum();
        let faults = if case.faults.is_none() { 0 } else { case.faults.budget as usize };
        let deviations = recording.iter().filter(|answer| **answer != 0).count();
        case.plans.len() + chunks + ends + faults + deviations
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
            plainer_links(case.link).count() as u64,
            case.faults.kinds.iter().count() as u64,
            case.faults.budget.into(),
            case.faults.from.0,
            case.faults.until.0,
        ];
        Self {
            events,
            deviations: recording.iter().filter(|answer| **answer != 0).count(),
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
