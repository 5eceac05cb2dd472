// SPDX-License-Identifier: BSD-3-Clause
//! The parts of a run's trace in a report: its size, and the last events before a violation.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::FlowId;
use crate::replay::what;
use crate::trace::{Event, EventKind, FaultKind, Part, Stage, Trace, byte_bucket};

use super::parts::{EventReport, FaultReport, SizeReport};

/// Maximum number of events that are shown of the flow of a failure, and of all flows.
pub const EVENTS_SHOWN_MAX: usize = 12;

/// The size of a run, and the faults that were injected in it.
pub(crate) fn size_of(trace: &Trace) -> (SizeReport, Vec<FaultReport>) {
    let events = trace.events();
    let (mut bytes, mut faults) = ([0; 2], BTreeMap::<FaultKind, u64>::new());
    for event in events {
        match event.what {
            EventKind::Out { place, bytes: out, .. } => {
                if let Some(sum) = bytes.get_mut(place as usize) {
                    *sum += out;
                }
            }
            EventKind::Fault(kind) => *faults.entry(kind).or_default() += 1,
            _ => {}
        }
    }
    let [bytes_ingress, bytes_egress] = bytes.map(byte_bucket);
    let ticks = events.last().map_or(0, |event| event.tick.0);
    let size = SizeReport { events: events.len() as u64, ticks, bytes_ingress, bytes_egress };
    let faults = faults.into_iter().map(|(kind, times)| FaultReport { kind: kind.name(), times });
    (size, faults.collect())
}

/// The last events before `until`: of the flow and of the run as a whole, and of all flows.
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

/// The kinds of events in reports.
pub const EVENT_KINDS: [&str; 12] = [
    "call", "refused", "offer", "took", "out", "said", "held", "crossed", "state", "stall",
    "fault", "wrong",
];

const fn kind(what: &EventKind) -> &'static str {
    match what {
        EventKind::Called { refused: None, .. } => "call",
        EventKind::Called { refused: Some(_), .. } | EventKind::OfferRefused { .. } => "refused",
        EventKind::Offered { .. } => "offer",
        EventKind::Took { .. } => "took",
        EventKind::Out { .. } => "out",
        EventKind::Signalled { .. } => "said",
        EventKind::Holds { .. } => "held",
        EventKind::Crossed { .. }
        | EventKind::Answered { .. }
        | EventKind::Stream { .. }
        | EventKind::StreamOver { .. } => "crossed",
        EventKind::Moved { .. } | EventKind::Finished => "state",
        EventKind::Stalled | EventKind::Resumed => "stall",
        EventKind::Fault(_) | EventKind::Unblocked | EventKind::FaultsCleared => "fault",
        EventKind::OutBeyondRoom { .. }
        | EventKind::OutOnNoFlow { .. }
        | EventKind::OtherByte { .. }
        | EventKind::Changed { .. }
        | EventKind::OutOfPlace { .. }
        | EventKind::SessionError { .. }
        | EventKind::Illegal { .. }
        | EventKind::Stuck { .. }
        | EventKind::OutOfSteps
        | EventKind::Waits { .. }
        | EventKind::SessionKeeps { .. }
        | EventKind::SessionCall { is_right: false, .. }
        | EventKind::Left { .. } => "wrong",
        EventKind::SessionCall { .. } => "call",
    }
}

const fn place(what: &EventKind) -> &'static str {
    let place = match what {
        EventKind::Called { place, .. }
        | EventKind::Offered { place, .. }
        | EventKind::Took { place, .. }
        | EventKind::OfferRefused { place, .. }
        | EventKind::Out { place, .. }
        | EventKind::OutBeyondRoom { place, .. }
        | EventKind::OutOnNoFlow { place, .. }
        | EventKind::OtherByte { place, .. }
        | EventKind::OutOfPlace { place, .. }
        | EventKind::Signalled { place, .. }
        | EventKind::Holds { place, .. }
        | EventKind::Illegal { place, .. }
        | EventKind::Waits { place }
        | EventKind::Left { place, .. } => *place,
        EventKind::Stalled | EventKind::Resumed | EventKind::Changed { part: Part::Source, .. } => {
            return "source";
        }
        EventKind::Answered { .. } | EventKind::Changed { part: Part::Target, .. } => {
            return "target";
        }
        EventKind::Moved { .. } | EventKind::Stuck { .. } => return "flow",
        EventKind::Finished
        | EventKind::OutOfSteps
        | EventKind::FaultsCleared
        | EventKind::Fault(_)
        | EventKind::Unblocked => {
            return "run";
        }
        EventKind::Stream { .. }
        | EventKind::StreamOver { .. }
        | EventKind::Crossed { .. }
        | EventKind::Changed { part: Part::Session | Part::Link, .. }
        | EventKind::SessionKeeps { .. }
        | EventKind::SessionCall { .. }
        | EventKind::SessionError { .. } => Stage::Network,
        EventKind::Changed { part: Part::Boundary | Part::Sink, .. } => Stage::Egress,
    };
    match place {
        Stage::Ingress => "ingress",
        Stage::Egress => "egress",
        Stage::Network => "network",
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
            trace.push(Tick(at as u64), FlowId::new(*flow), EventKind::Stalled);
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
        let out =
            |place, bytes| EventKind::Out { place, sequence: 1, offset: 0, bytes, is_final: true };
        trace.push(Tick(7), flow, out(Stage::Egress, 70_000));
        trace.push(Tick(8), flow, EventKind::Fault(FaultKind::Drop));
        trace.push(Tick(9), flow, EventKind::Fault(FaultKind::Drop));
        let (size, faults) = size_of(&trace);
        assert_eq!((size.events, size.ticks), (5, 9));
        assert_eq!((size.bytes_ingress, size.bytes_egress), ("0", "more"));
        assert_eq!(faults, [FaultReport { kind: "drop", times: 2 }]);
    }
}
