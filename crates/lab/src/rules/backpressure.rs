// SPDX-License-Identifier: BSD-3-Clause
//! No side sends more than the other one takes.

use super::catalogue::Id;
use super::flow::{Flow, Offer, Pass, Put};
use super::recorder::{Value, Violation};
use crate::contract::Capability;
use crate::trace::{FaultKind, Stage};

/// Maximum time from when an adapter holds nothing until it asks for more, and from when it may put
/// out again until it does, in ticks.
const GOES_ON_MS: u64 = 64;

#[inline]
pub(super) fn out(pass: &mut Pass<'_>, flow: &Flow, put: &Put) {
    if put.bytes == 0 {
        return;
    }
    pass.recorder.holds(Id::Room);
    if put.place == Stage::Egress && pass.run.unblocked.is_some() {
        goes_on(pass, flow);
    }
    if put.place == Stage::Ingress && !pass.is_network_broken(flow) {
        let ([ingress, _], [up, _]) = (&flow.sides, flow.crossed);
        window(pass, (ingress.out + put.bytes).saturating_sub(up));
    }
}

pub(super) fn out_beyond_room(pass: &mut Pass<'_>, place: Stage, bytes: u64, room: u64) {
    let (found, expected) = (Value::Is(bytes), Value::AtMost(room));
    let violation = Violation::new("the length of a chunk", found, expected).by(place);
    pass.recorder.breaks(Id::Room, violation);
}

#[inline]
pub(super) fn answered(pass: &mut Pass<'_>, flow: &Flow) {
    let [_, egress] = &flow.sides;
    if !pass.is_network_broken(flow) && !flow.is_crashed() {
        window(pass, flow.answered.saturating_sub(egress.taken));
    }
}

#[inline]
fn window(pass: &mut Pass<'_>, under_way: u64) {
    let window = pass.run.window_bytes;
    pass.recorder.check(Id::Window, under_way <= window, move || {
        Violation::new("what is under way", Value::Is(under_way), Value::AtMost(window))
    });
}

#[inline]
pub(super) fn took(pass: &mut Pass<'_>, flow: &Flow, place: Stage, (offer, bytes): (&Offer, u64)) {
    pass.recorder.check(Id::NoMoreThanOffered, bytes <= offer.bytes, move || {
        let (found, expected) = (Value::Is(bytes), Value::AtMost(offer.bytes));
        Violation::new("what it took", found, expected).by(place)
    });
    let is_empty = pass.run.all(place).held == 0;
    let is_asked = offer.bytes > 0 && offer.misplaced.is_none() && !offer.is_behind_end;
    // The behaviour of its sink does not affect an empty adapter.
    let faults = pass.faults(flow).without(FaultKind::BlockedConsumer);
    if is_empty && is_asked && faults.is_empty() {
        pass.recorder.check(Id::TakesSome, bytes > 0, move || {
            let violation =
                Violation::new("what it took, holding nothing,", Value::Is(0), Value::AtLeast(1));
            violation.by(place)
        });
    }
}

/// An offer of a source was refused.
pub(super) fn stalled(pass: &mut Pass<'_>, flow: &Flow) {
    let claims = |place| pass.run.claims(place, Capability::FlowBackpressure);
    if !claims(Stage::Ingress) || !claims(Stage::Egress) || !pass.run.is_echo {
        return;
    }
    // A target that ended early takes all input, and returns nothing of it.
    if flow.faults.has(FaultKind::HalfClose) {
        return;
    }
    // The sink has all output so far; a flow that was reset holds nothing.
    let [ingress, egress] = &flow.sides;
    let of_adapters = pass.run.limits.map(|limits| limits.flow_buffered_bytes_max);
    let windows = pass.run.window_bytes.saturating_mul(2);
    let most = of_adapters.into_iter().fold(windows, u64::saturating_add);
    let between = ingress.taken.saturating_sub(egress.out);
    pass.recorder.check(Id::Between, between <= most, move || {
        Violation::new("what lies between source and sink", Value::Is(between), Value::AtMost(most))
    });
}

pub(super) fn resumed(pass: &mut Pass<'_>, flow: &Flow) {
    let place = Stage::Ingress;
    let empty = pass.run.all(place).empty_since;
    if !pass.run.claims(place, Capability::FlowBackpressure) || flow.is_crashed() {
        return;
    }
    // While it holds something it may have a reason.
    let Some((empty, stalled)) = empty.zip(flow.stalled) else { return };
    let waited = pass.recorder.mark.tick.0.saturating_sub(empty.max(stalled).0);
    pass.recorder.check(Id::AsksAgain, waited <= GOES_ON_MS, move || {
        let (found, expected) = (Value::Is(waited), Value::AtMost(GOES_ON_MS));
        Violation::new("the time until it asks again", found, expected).by(place)
    });
}

/// The sink takes bytes of a flow again.
#[cold]
pub(super) fn unblocked(pass: &mut Pass<'_>, flows: &[Flow]) {
    let mark = pass.recorder.mark;
    if let Some((before, _)) = pass.run.unblocked
        && let Some(flow) = flows.iter().find(|flow| flow.id == before)
    {
        pass.recorder.mark.flow = before;
        goes_on(pass, flow);
        pass.recorder.mark = mark;
    }
    let flow = flows.iter().find(|flow| flow.id == mark.flow);
    pass.run.unblocked = flow.filter(|flow| owes(pass, flow)).map(|flow| (flow.id, mark.tick));
}

/// The egress adapter holds bytes of this flow, and no fault affects it besides the blocked sink.
fn owes(pass: &Pass<'_>, flow: &Flow) -> bool {
    let [_, egress] = &flow.sides;
    let faults = pass.faults(flow).without(FaultKind::BlockedConsumer);
    egress.held() > 0 && faults.is_empty()
}

/// The egress adapter puts out something of a flow, or its time for that is over.
#[cold]
fn goes_on(pass: &mut Pass<'_>, flow: &Flow) {
    let of_flow = pass.run.unblocked.take_if(|(waiting, _)| *waiting == flow.id);
    let Some((_, since)) = of_flow.filter(|_| owes(pass, flow)) else { return };
    let waited = pass.recorder.mark.tick.0.saturating_sub(since.0);
    pass.recorder.check(Id::GoesOn, waited <= GOES_ON_MS, move || {
        let (found, expected) = (Value::Is(waited), Value::AtMost(GOES_ON_MS));
        let violation = Violation::new("the time until it puts out again", found, expected);
        violation.by(Stage::Egress)
    });
}

pub(super) fn finished(pass: &mut Pass<'_>, flow: &Flow) {
    if pass.run.unblocked.is_some() {
        goes_on(pass, flow);
    }
    let place = Stage::Ingress;
    let is_waiting = flow.stalled.is_some() && !flow.is_crashed();
    if is_waiting && pass.run.claims(place, Capability::FlowBackpressure) {
        let (found, expected) = (Value::Named("turned away"), Value::Named("asked for more"));
        let violation = Violation::new("the source at the end", found, expected).by(place);
        pass.recorder.breaks(Id::AsksAgain, violation);
    }
}
