// SPDX-License-Identifier: BSD-3-Clause
//! Memory and counts stay within the declared limits.

use super::catalogue::Id;
use super::flow::{Flow, Pass};
use super::recorder::{Value, Violation};
use crate::contract::{ErrorClass, FlowId, Limits};
use crate::trace::{Call, Kept, Stage};

fn limits(pass: &Pass<'_>, place: Stage) -> Option<Limits> {
    pass.run.limits.get(place as usize).copied()
}

/// An adapter reports how many bytes it holds.
#[inline]
pub(super) fn holds(pass: &mut Pass<'_>, place: Stage, bytes: u64) {
    let Some(most) = limits(pass, place).map(|limits| limits.buffered_bytes_max) else { return };
    pass.recorder.check(Id::ToldWithin, bytes <= most, move || {
        Violation::new("what it says that it holds", Value::Is(bytes), Value::AtMost(most))
            .by(place)
    });
}

/// Bytes that it took and has not put out, including this event.
#[inline]
pub(super) fn took(pass: &mut Pass<'_>, flow: &Flow, place: Stage) {
    let Some(limits) = limits(pass, place) else { return };
    if flow.is_crashed() {
        return;
    }
    let of_flow = flow.side(place).map_or(0, |side| side.held());
    let most = limits.flow_buffered_bytes_max;
    pass.recorder.check(Id::FlowWithin, of_flow <= most, move || {
        Violation::new("what it holds of one flow", Value::Is(of_flow), Value::AtMost(most))
            .by(place)
    });
    if pass.run.is_crashed {
        return;
    }
    let of_all = pass.run.all(place).held;
    let most = limits.buffered_bytes_max;
    pass.recorder.check(Id::AllWithin, of_all <= most, move || {
        Violation::new("what it holds of all flows", Value::Is(of_all), Value::AtMost(most))
            .by(place)
    });
}

#[inline]
pub(super) fn called(
    pass: &mut Pass<'_>,
    place: Stage,
    (call, refused): (Call, Option<ErrorClass>),
) {
    let (Call::Open, Some(limits)) = (call, limits(pass, place)) else { return };
    let open = pass.run.all(place).surely_occupied;
    if open >= limits.flows_max && !pass.run.is_crashed {
        pass.recorder.check(Id::FlowsWithin, refused.is_some(), move || {
            let (found, expected) =
                (Value::Is(u64::from(open) + 1), Value::AtMost(limits.flows_max.into()));
            Violation::new("the number of flows that it carries", found, expected).by(place)
        });
    }
}

pub(super) fn left(pass: &mut Pass<'_>, place: Stage, bytes: u64) {
    if pass.run.is_crashed {
        return;
    }
    let violation =
        Violation::new("what it holds of flows that are over", Value::Is(bytes), Value::Is(0));
    pass.recorder.breaks(Id::NothingLeft, violation.by(place));
}

/// A session keeps something though every flow is over.
pub(super) fn session_keeps(pass: &mut Pass<'_>, kept: Kept, amount: u64) {
    let violation = Violation::new(kept.name(), Value::Is(amount), Value::Is(0));
    pass.recorder.breaks(Id::SessionsIdle, violation);
}

/// An adapter waits for a later time though every flow is over.
pub(super) fn waits(pass: &mut Pass<'_>, place: Stage) {
    if pass.run.is_crashed {
        return;
    }
    let (found, expected) = (Value::Named("set"), Value::Named("none"));
    pass.recorder
        .breaks(Id::NothingAwaited, Violation::new("its deadline", found, expected).by(place));
}

pub(super) fn run_finished(pass: &mut Pass<'_>, flows: &[Flow]) {
    pass.recorder.mark.flow = FlowId::new(0);
    let are_over = flows.iter().all(|flow| flow.life.is_over() && !flow.is_stuck);
    let was_used = pass.run.adapters.iter().any(|all| all.held_max > 0);
    if pass.run.is_finished && are_over && was_used {
        pass.recorder.holds(Id::NothingLeft);
        pass.recorder.holds(Id::NothingAwaited);
        if !pass.run.is_session_over && flows.iter().any(|flow| flow.has_stream) {
            pass.recorder.holds(Id::SessionsIdle);
        }
    }
    if pass.run.is_crashed {
        return;
    }
    for (all, place) in pass.run.adapters.into_iter().zip([Stage::Ingress, Stage::Egress]) {
        let (reported, held) = (all.reported_max, all.held_max);
        if held > 0 {
            pass.recorder.check(Id::ReportedAll, reported >= held, move || {
                let (found, expected) = (Value::Is(reported), Value::AtLeast(held));
                Violation::new("what it said at most that it holds", found, expected).by(place)
            });
        }
    }
}
