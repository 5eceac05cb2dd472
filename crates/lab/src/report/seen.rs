// SPDX-License-Identifier: BSD-3-Clause
//! What is kept of a run's trace for a report: how much happened, and what happened last before a
//! rule was broken.

use std::collections::BTreeSet;

use crate::contract::FlowId;
use crate::replay::what;
use crate::trace::{ByteBucket, Event, FaultKind, Part, Place, Trace, What};

use super::parts::{EventReport, FaultReport, SizeReport};

/// Events that are shown of the flow that a failure is about, at most, and as many of all flows.
pub const EVENTS_SHOWN_MAX: usize = 12;

/// How much happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Size {
    events: u64,
    ticks: u64,
    /// Bytes that came out, at the ingress adapter and at the egress adapter.
    bytes: [u64; 2],
    faults: Vec<(FaultKind, u64)>,
}

impl Size {
    pub(crate) fn of(trace: &Trace) -> Self {
        let events = trace.events();
        let mut size = Self { events: events.len() as u64, ..Self::default() };
        size.ticks = events.last().map_or(0, |event| event.tick.0);
        for event in events {
            match event.what {
                What::Out { place: place @ (Place::Ingress | Place::Egress), bytes, .. } => {
                    if let Some(sum) = size.bytes.get_mut(place as usize) {
                        *sum += bytes;
                    }
                }
                What::Fault(kind) => match size.faults.iter_mut().find(|(one, _)| *one == kind) {
                    Some((_, count)) => *count += 1,
                    None => size.faults.push((kind, 1)),
                },
                _ => {}
            }
        }
        size.faults.sort_unstable();
        size
    }

    pub(super) fn report(&self) -> SizeReport {
        let [ingress, egress] = self.bytes.map(|bytes| ByteBucket::of(bytes).name());
        SizeReport {
            events: self.events,
            ticks: self.ticks,
            bytes_ingress: ingress,
            bytes_egress: egress,
        }
    }

    pub(super) fn faults(&self) -> Vec<FaultReport> {
        let report =
            |(kind, count): &(FaultKind, u64)| FaultReport { kind: kind.name(), times: *count };
        self.faults.iter().map(report).collect()
    }
}

/// The last events until one of a flow: so many of the flow and of the run as a whole, and so many of
/// all flows.
pub(crate) fn last_events(trace: &Trace, flow: FlowId, until: usize) -> Vec<EventReport> {
    let before = trace.events().iter().enumerate().take(until.saturating_add(1));
    let of_flow = |(_, event): &(usize, &Event)| event.flow == flow || event.flow == FlowId::new(0);
    let last = before.clone().rev().take(EVENTS_SHOWN_MAX).map(|(at, _)| at);
    let of_flow = before.rev().filter(of_flow).take(EVENTS_SHOWN_MAX).map(|(at, _)| at);
    let places: BTreeSet<usize> = last.chain(of_flow).collect();
    let event = |at: usize| trace.events().get(at).map(|event| EventReport::of(at, event));
    places.into_iter().filter_map(event).collect()
}

impl EventReport {
    fn of(at: usize, event: &Event) -> Self {
        Self {
            event: at,
            tick: event.tick.0,
            flow: event.flow.number(),
            kind: kind(&event.what),
            place: place(&event.what),
            said: what(&event.what),
        }
    }
}

/// The kinds of events, as reports have them.
pub const EVENT_KINDS: [&str; 12] = [
    "call", "refused", "offer", "took", "out", "said", "held", "crossed", "state", "stall",
    "fault", "wrong",
];

const fn kind(what: &What) -> &'static str {
    match what {
        What::Called { refused: None, .. } => "call",
        What::Called { refused: Some(_), .. } | What::OfferRefused { .. } => "refused",
        What::Offered { .. } => "offer",
        What::Took { .. } => "took",
        What::Out { .. } => "out",
        What::Said { .. } => "said",
        What::Holds { .. } => "held",
        What::Crossed { .. }
        | What::Answered { .. }
        | What::Stream { .. }
        | What::StreamOver { .. } => "crossed",
        What::Moved { .. } | What::Finished => "state",
        What::Stalled | What::Resumed => "stall",
        What::Fault(_) | What::Unblocked | What::Calm => "fault",
        What::OutBeyondRoom { .. }
        | What::OutOnNoFlow { .. }
        | What::OtherByte { .. }
        | What::Changed { .. }
        | What::OutOfPlace { .. }
        | What::SessionError { .. }
        | What::Illegal { .. }
        | What::Stuck { .. }
        | What::OutOfSteps
        | What::Waits { .. }
        | What::SessionKeeps { .. }
        | What::SessionCall { is_right: false, .. }
        | What::Left { .. } => "wrong",
        What::SessionCall { .. } => "call",
    }
}

const fn place(what: &What) -> &'static str {
    let place = match what {
        What::Called { place, .. }
        | What::Offered { place, .. }
        | What::Took { place, .. }
        | What::OfferRefused { place, .. }
        | What::Out { place, .. }
        | What::OutBeyondRoom { place, .. }
        | What::OutOnNoFlow { place, .. }
        | What::OtherByte { place, .. }
        | What::OutOfPlace { place, .. }
        | What::Said { place, .. }
        | What::Holds { place, .. }
        | What::Illegal { place, .. }
        | What::Waits { place }
        | What::Left { place, .. } => *place,
        What::Stalled | What::Resumed | What::Changed { part: Part::Source, .. } => {
            return "source";
        }
        What::Answered { .. } | What::Changed { part: Part::Target, .. } => return "target",
        What::Moved { .. } | What::Stuck { .. } => return "flow",
        What::Finished | What::OutOfSteps | What::Calm | What::Fault(_) | What::Unblocked => {
            return "run";
        }
        What::Stream { .. }
        | What::StreamOver { .. }
        | What::Crossed { .. }
        | What::Changed { part: Part::Session | Part::Carrier, .. }
        | What::SessionKeeps { .. }
        | What::SessionCall { .. }
        | What::SessionError { .. } => Place::Network,
        What::Changed { part: Part::Boundary | Part::Sink, .. } => Place::Egress,
    };
    match place {
        Place::Ingress => "ingress",
        Place::Egress => "egress",
        Place::Network => "network",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Tick;
    use crate::replay::steps;

    fn trace(flows: &[u32]) -> Trace {
        let mut trace = Trace::new(1000);
        for (at, flow) in flows.iter().enumerate() {
            trace.push(Tick(at as u64), FlowId::new(*flow), What::Stalled);
        }
        trace
    }

    fn places(trace: &Trace, flow: u32, until: usize) -> Vec<usize> {
        let events = last_events(trace, FlowId::new(flow), until);
        events.iter().map(|event| event.event).collect()
    }

    #[test]
    fn the_last_events_are_those_of_the_flow_and_those_of_all() {
        let flows: Vec<u32> = (0..100).map(|at| if at < 30 { 1 } else { 2 }).collect();
        let expected: Vec<_> = (18..30).chain(49..61).collect();
        assert_eq!(places(&trace(&flows), 1, 60), expected);
    }

    #[test]
    fn what_is_behind_the_end_has_the_end() {
        assert_eq!(places(&trace(&[1; 5]), 1, 5), [0, 1, 2, 3, 4]);
        assert_eq!(places(&trace(&[1; 5]), 1, usize::MAX), [0, 1, 2, 3, 4]);
        assert!(places(&trace(&[]), 1, 0).is_empty());
    }

    #[test]
    fn an_event_is_the_line_that_a_replay_shows() {
        let trace = trace(&[0, 7]);
        for (event, step) in last_events(&trace, FlowId::new(7), 1).iter().zip(steps(&trace)) {
            assert_eq!(event.line(), step);
        }
    }

    #[test]
    fn sizes_count() {
        let mut trace = trace(&[1, 1]);
        let flow = FlowId::new(1);
        let out = |place, bytes| What::Out { place, sequence: 1, offset: 0, bytes, is_final: true };
        trace.push(Tick(7), flow, out(Place::Egress, 70_000));
        trace.push(Tick(8), flow, What::Fault(FaultKind::Drop));
        trace.push(Tick(9), flow, What::Fault(FaultKind::Drop));
        let size = Size::of(&trace);
        let report = size.report();
        assert_eq!((report.events, report.ticks), (5, 9));
        assert_eq!((report.bytes_ingress, report.bytes_egress), ("0", "more"));
        assert_eq!(size.faults()[0].kind, "drop");
        assert_eq!(size.faults()[0].times, 2);
    }
}
