// SPDX-License-Identifier: BSD-3-Clause
//! Bytes arrive unchanged, in order, once.

use super::catalogue::Id;
use super::flow::{Flow, Pass, Put, Side};
use super::recorder::{Value, Violation};
use crate::contract::FlowState;
use crate::pattern::Direction;
use crate::trace::{EventKind, FaultKind, OutletEvent, Part, SessionCall, Stage};

#[inline]
pub(super) fn out(pass: &mut Pass<'_>, side: &Side, put: &Put) {
    let Put { place, sequence, offset, bytes, is_final } = *put;
    let violation = move |what, found, expected: Value| {
        Violation::new(what, Value::Is(found), expected).by(place).at(offset)
    };
    pass.recorder.check(Id::Numbered, sequence == side.chunks + 1, move || {
        violation("the number of a chunk", sequence, Value::Is(side.chunks + 1))
    });
    pass.recorder.check(Id::InPlace, offset == side.out, move || {
        violation("the offset of a chunk", offset, Value::Is(side.out))
    });
    if bytes > 0 {
        pass.recorder.holds(Id::ByteAsGiven);
        let out = side.out.saturating_add(bytes);
        pass.recorder.check(Id::NoMore, out <= side.taken, move || {
            let expected = Value::AtMost(side.taken);
            violation("what was put out of what was taken", out, expected)
        });
    }
    pass.recorder.check(Id::NotEmpty, bytes > 0 || is_final, move || {
        violation("the length of a chunk that is not final", 0, Value::AtLeast(1))
    });
}

/// A byte that was put out, or that reached the target, is wrong.
pub(super) fn other_byte(pass: &mut Pass<'_>, flow: &Flow, what: &EventKind) {
    let EventKind::OtherByte { place, offset } = *what else { return };
    if pass.is_network_broken(flow) || flow.is_crashed() || flow.is_changed {
        return;
    }
    let expected = Value::Named("that of its flow at this offset");
    let violation = Violation::new("a byte", Value::Named("another"), expected).at(offset);
    match place {
        Stage::Network => pass.recorder.breaks(Id::AtTarget, violation),
        // It was already wrong when it came back from the target.
        Stage::Egress if flow.is_other_at_target && pass.run.is_echo => {}
        place => pass.recorder.breaks(Id::ByteAsGiven, violation.by(place)),
    }
}

/// A part other than an adapter changed a byte.
pub(super) fn changed(pass: &mut Pass<'_>, flow: &Flow, part: Part, offset: u64) {
    if pass.is_network_broken(flow) || flow.is_crashed() {
        return;
    }
    let (what, expected) = ("the part that changed a byte", Value::Named("none"));
    pass.recorder
        .breaks(Id::Network, Violation::new(what, Value::Named(part.name()), expected).at(offset));
}

#[inline]
pub(super) fn said(pass: &mut Pass<'_>, side: &Side, place: Stage, said: OutletEvent) {
    if matches!(said, OutletEvent::HalfClosed | OutletEvent::Closed) {
        pass.recorder.check(Id::NoLess, side.out >= side.taken, move || {
            let (found, expected) = (Value::Is(side.out), Value::Is(side.taken));
            Violation::new("what was put out before the end", found, expected)
                .by(place)
                .at(side.out)
        });
    }
}

#[inline]
pub(super) fn crossed(pass: &mut Pass<'_>, flow: &Flow, direction: Direction) {
    if pass.is_network_broken(flow) {
        return;
    }
    let [ingress, _] = &flow.sides;
    let put_in = match direction {
        Direction::Request => ingress.out,
        Direction::Response => flow.answered,
    };
    let came = flow.crossed.get(direction as usize).copied().unwrap_or(0);
    pass.recorder.check(Id::Network, came <= put_in, move || {
        Violation::new("what crossed the network", Value::Is(came), Value::AtMost(put_in))
    });
}

/// The response may end before the request: then the flow can end while the last bytes of the
/// request are in flight.
fn may_end_early(pass: &Pass<'_>, flow: &Flow) -> bool {
    pass.run.is_unprompted || pass.faults(flow).has(FaultKind::HalfClose)
}

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if state == FlowState::Closed && !may_end_early(pass, flow) {
        ended(pass, flow);
    }
}

/// The run is over: nothing is in flight any more.
pub(super) fn finished(pass: &mut Pass<'_>, flow: &Flow) {
    if flow.life == FlowState::Closed && may_end_early(pass, flow) {
        ended(pass, flow);
    }
}

fn ended(pass: &mut Pass<'_>, flow: &Flow) {
    if pass.is_network_broken(flow) || flow.is_crashed() {
        return;
    }
    let ([ingress, egress], [up, down]) = (&flow.sides, flow.crossed);
    // A source that was cut short had no more than was taken, an echo no more than was returned.
    let is_cut_short = pass.faults(flow).has(FaultKind::HalfClose);
    let request = match is_cut_short {
        true => ingress.taken,
        false => flow.planned,
    };
    let answer = if pass.run.is_echo && !is_cut_short { request } else { flow.answered };
    pass.recorder.check(Id::WholeRequest, up == request, move || {
        Violation::new("what the target has had", Value::Is(up), Value::Is(request)).at(up)
    });
    pass.recorder.check(Id::WholeAnswer, egress.out == answer, move || {
        let (found, expected) = (Value::Is(egress.out), Value::Is(answer));
        Violation::new("what the sink has had", found, expected).at(egress.out)
    });
    if !egress.is_ended {
        // It reported the flow as over while the rest of the response was in flight.
        return;
    }
    let (came, put_in) = (up + down, ingress.out + flow.answered);
    pass.recorder.check(Id::Network, came == put_in, move || {
        let (found, expected) = (Value::Is(came), Value::Is(put_in));
        Violation::new("what crossed the network, both ways", found, expected)
    });
}

/// A session executed a call besides those for flows.
pub(super) fn besides(pass: &mut Pass<'_>, call: SessionCall, is_right: bool) {
    let violation = || {
        let (found, expected) = (Value::Named("another"), Value::Named("what was said"));
        Violation { place: Some(Stage::Network), ..Violation::new(call.name(), found, expected) }
    };
    pass.recorder.check(Id::Besides, is_right, violation);
}
