// SPDX-License-Identifier: BSD-3-Clause
//! Flows are independent of each other.

use super::Examined;
use super::catalogue::Id;
use super::flow::{Expected, Flow, Pass, Side, place_of};
use super::recorder::{Value, Violation};
use super::robustness::is_loose;
use crate::contract::FlowState;
use crate::fault::BLOCKED_MS_MAX;
use crate::pattern::Direction;
use crate::trace::{EventKind, Stage, Trace};

/// An adapter reported or put out something of a flow.
#[inline]
pub(super) fn out(pass: &mut Pass<'_>, side: &Side, place: Stage) {
    pass.recorder.check(Id::OwnFlows, side.is_opened, move || never_opened(place));
    if pass.another_waits() {
        pass.recorder.holds(Id::OthersGoOn);
    }
}

/// An event of a flow that is not in the plan.
pub(super) fn stray(pass: &mut Pass<'_>, what: &EventKind) {
    if let Some(place) = place_of(what) {
        pass.recorder.breaks(Id::OwnFlows, never_opened(place));
    }
}

const fn never_opened(place: Stage) -> Violation {
    let (found, expected) = (Value::Named("one that it never opened"), Value::Named("its own"));
    Violation::new("the flow of which it puts something out", found, expected).by(place)
}

#[inline]
pub(super) fn stream(pass: &mut Pass<'_>, flows: &[Flow], stream: u32) {
    let at = (pass.recorder.mark.flow.number() as usize).wrapping_sub(1);
    let has_one = flows.get(at).is_some_and(|flow| flow.has_stream);
    // Numbers mostly increase: then no flow has it.
    let is_new = stream > pass.run.last_stream || flows.iter().all(|flow| flow.stream != stream);
    pass.recorder.check(Id::OwnStream, is_new && !has_one, move || {
        let (found, expected) = (Value::Is(stream.into()), Value::Named("unused by other flows"));
        Violation::new("the number of its stream", found, expected)
    });
}

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    let is_other = pass.run.first_broken.is_some_and(|first| first != flow.id);
    if is_other && flow.expected == Expected::Closed && !is_loose(pass, flow) {
        pass.recorder.check(Id::OthersEnd, state == FlowState::Closed, move || {
            let (found, expected) = (Value::Named(state.name()), Value::Named("closed"));
            Violation::new("the end of a flow, after another was reset,", found, expected)
        });
    }
}

/// A flow that makes no progress, though it was not stalled itself, while another one is.
pub(super) fn finished(pass: &mut Pass<'_>, flow: &Flow) {
    if flow.is_stuck && flow.stalled.is_none() && !flow.life.is_over() && pass.run.stalled > 0 {
        let (found, expected) = (Value::Named(flow.life.name()), Value::Named("over"));
        let violation = Violation::new("a flow, while another is stalled,", found, expected);
        pass.recorder.breaks(Id::OthersGoOn, violation);
    }
}

/// The sink takes of a flow again. If it was blocked for the maximum time, the others had all that
/// time to end.
#[cold]
pub(super) fn unblocked(pass: &mut Pass<'_>, flows: &[Flow]) {
    let Some((id, since)) = pass.run.blocked.take() else { return };
    let waited = pass.recorder.mark.tick.0.saturating_sub(since.0);
    let Some(blocked) = flows.iter().find(|flow| flow.id == id) else { return };
    if waited < BLOCKED_MS_MAX || takes_room_of_others(pass, blocked) {
        return;
    }
    for flow in flows.iter().filter(|flow| flow.id != id) {
        if let Some(place) = waits_at(flow).filter(|_| !is_loose(pass, flow)) {
            pass.recorder.mark.flow = flow.id;
            let (found, expected) = (Value::Named(flow.life.name()), Value::Named("over"));
            let violation =
                Violation::new("a flow, while the sink took nothing of another,", found, expected);
            pass.recorder.breaks(Id::OthersGoOn, violation.by(place));
        }
    }
    pass.recorder.mark.flow = id;
}

/// The blocked flow holds so much of an adapter's room that no other flow fits completely.
fn takes_room_of_others(pass: &Pass<'_>, blocked: &Flow) -> bool {
    pass.run.limits.iter().zip(&blocked.sides).any(|(limits, side)| {
        let room = limits.buffered_bytes_max.saturating_sub(side.held());
        room < limits.flow_buffered_bytes_max.min(limits.buffered_bytes_max)
    })
}

/// The adapter that keeps a flow from its end: the last one that holds something of it.
fn waits_at(flow: &Flow) -> Option<Stage> {
    let [ingress, egress] = &flow.sides;
    if !ingress.is_opened {
        return None;
    }
    let is_pending = egress.notified.is_some() && !egress.is_over && !egress.is_closed;
    match () {
        () if flow.life.is_over() && !is_pending => None,
        () if is_pending || egress.held() > 0 || ingress.held() == 0 => Some(Stage::Egress),
        () => Some(Stage::Ingress),
    }
}

/// The visible behaviour of a flow, independent of time and of chunk borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shape {
    state: FlowState,
    taken: u64,
    request: u64,
    sunk: u64,
    said: [u8; 2],
}

impl Shape {
    fn of(flow: &Flow) -> Self {
        let ([ingress, egress], [request, _]) = (&flow.sides, flow.crossed);
        let shape = Self {
            state: flow.life,
            taken: ingress.taken,
            request,
            sunk: egress.out,
            said: [ingress.said, egress.said],
        };
        shape.settled()
    }

    fn alone(trace: &Trace) -> Self {
        let mut shape = Self::default();
        let [ingress, egress] = &mut shape.said;
        for event in trace.events().iter().filter(|event| event.flow.number() > 0) {
            match event.what {
                EventKind::Moved { state } => shape.state = state,
                EventKind::Took { place: Stage::Ingress, bytes } => shape.taken += bytes,
                EventKind::Crossed { direction: Direction::Request, bytes } => {
                    shape.request += bytes
                }
                EventKind::Out { place: Stage::Egress, bytes, .. } => shape.sunk += bytes,
                EventKind::Signalled { place: Stage::Ingress, said } => *ingress |= 1 << said as u8,
                EventKind::Signalled { place: Stage::Egress, said } => *egress |= 1 << said as u8,
                _ => {}
            }
        }
        shape.settled()
    }

    /// How much a flow carried before its reset depends on time.
    const fn settled(mut self) -> Self {
        if !matches!(self.state, FlowState::Closed) {
            (self.request, self.sunk) = (0, 0);
        }
        self
    }

    /// The difference.
    fn other(&self, alone: &Self) -> Option<Violation> {
        let numbers = [
            ("what was taken of its source", self.taken, alone.taken),
            ("what its target has had", self.request, alone.request),
            ("what its sink has had", self.sunk, alone.sunk),
        ];
        let number = numbers.into_iter().find(|(_, found, alone)| found != alone);
        let number = number
            .map(|(what, found, alone)| Violation::new(what, Value::Is(found), Value::Is(alone)));
        if self.state != alone.state {
            let (found, expected) = (self.state.name(), alone.state.name());
            let (found, expected) = (Value::Named(found), Value::Named(expected));
            return Some(Violation::new("the state in which it ends", found, expected));
        }
        let said = || {
            let (found, expected) = (Value::Named("another"), Value::Named("as it is alone"));
            Violation::new("what an adapter says of it", found, expected)
        };
        number.or_else(|| (self.said != alone.said).then(said))
    }
}

pub(super) fn compare_with_solo(pass: &mut Pass<'_>, flows: &[Flow], examined: &Examined<'_>) {
    if flows.len() < 2 || !pass.run.all_faults.is_empty() {
        return;
    }
    for (flow, solo) in flows.iter().zip(examined.solo.unwrap_or_default()) {
        // A flow for which there was no room cannot be compared.
        if flow.expected == Expected::Any {
            continue;
        }
        pass.recorder.mark.flow = flow.id;
        match Shape::of(flow).other(&Shape::alone(solo)) {
            Some(violation) => pass.recorder.breaks(Id::AsAlone, violation),
            None => pass.recorder.holds(Id::AsAlone),
        }
    }
}
