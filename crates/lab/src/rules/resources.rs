// SPDX-License-Identifier: BSD-3-Clause
//! Memory and numbers stay within what is declared.

use super::catalogue::Id;
use super::flow::{Flow, Pass};
use super::tally::{Fact, Value};
use crate::contract::{ErrorClass, FlowId, Limits};
use crate::trace::{Call, Kept, Place};

fn limits(pass: &Pass<'_>, place: Place) -> Option<Limits> {
    pass.run.limits.get(place as usize).copied()
}

/// An adapter says how many bytes it holds.
#[inline]
pub(super) fn holds(pass: &mut Pass<'_>, place: Place, bytes: u64) {
    let Some(most) = limits(pass, place).map(|limits| limits.buffered_bytes_max) else { return };
    pass.tally.check(Id::ToldWithin, bytes <= most, move || {
        Fact::new("what it says that it holds", Value::Is(bytes), Value::AtMost(most)).by(place)
    });
}

/// What it took and has not put out, with this event.
#[inline]
pub(super) fn took(pass: &mut Pass<'_>, flow: &Flow, place: Place) {
    let Some(limits) = limits(pass, place) else { return };
    if flow.is_crashed() {
        return;
    }
    let of_flow = flow.side(place).map_or(0, |side| side.held());
    let most = limits.flow_buffered_bytes_max;
    pass.tally.check(Id::FlowWithin, of_flow <= most, move || {
        Fact::new("what it holds of one flow", Value::Is(of_flow), Value::AtMost(most)).by(place)
    });
    if pass.run.is_crashed {
        return;
    }
    let of_all = pass.run.all(place).held;
    let most = limits.buffered_bytes_max;
    pass.tally.check(Id::AllWithin, of_all <= most, move || {
        Fact::new("what it holds of all flows", Value::Is(of_all), Value::AtMost(most)).by(place)
    });
}

#[inline]
pub(super) fn called(
    pass: &mut Pass<'_>,
    place: Place,
    (call, refused): (Call, Option<ErrorClass>),
) {
    let (Call::Open, Some(limits)) = (call, limits(pass, place)) else { return };
    let open = pass.run.all(place).surely_occupied;
    if open >= limits.flows_max && !pass.run.is_crashed {
        pass.tally.check(Id::FlowsWithin, refused.is_some(), move || {
            let (found, expected) =
                (Value::Is(u64::from(open) + 1), Value::AtMost(limits.flows_max.into()));
            Fact::new("the number of flows that it carries", found, expected).by(place)
        });
    }
}

pub(super) fn left(pass: &mut Pass<'_>, place: Place, bytes: u64) {
    if pass.run.is_crashed {
        return;
    }
    let fact = Fact::new("what it holds of flows that are over", Value::Is(bytes), Value::Is(0));
    pass.tally.breaks(Id::NothingLeft, fact.by(place));
}

/// A session keeps something though every flow is over.
pub(super) fn session_keeps(pass: &mut Pass<'_>, kept: Kept, amount: u64) {
    let fact = Fact::new(kept.name(), Value::Is(amount), Value::Is(0));
    pass.tally.breaks(Id::SessionsIdle, fact);
}

/// An adapter waits for a later time though every flow is over.
pub(super) fn waits(pass: &mut Pass<'_>, place: Place) {
    if pass.run.is_crashed {
        return;
    }
    let (found, expected) = (Value::Named("set"), Value::Named("none"));
    pass.tally.breaks(Id::NothingAwaited, Fact::new("its deadline", found, expected).by(place));
}

pub(super) fn run_finished(pass: &mut Pass<'_>, flows: &[Flow]) {
    pass.tally.mark.flow = FlowId::new(0);
    let are_over = flows.iter().all(|flow| flow.life.is_over() && !flow.is_stuck);
    let was_used = pass.run.adapters.iter().any(|all| all.held_max > 0);
    if pass.run.is_finished && are_over && was_used {
        pass.tally.holds(Id::NothingLeft);
        pass.tally.holds(Id::NothingAwaited);
        if !pass.run.is_session_over && flows.iter().any(|flow| flow.has_stream) {
            pass.tally.holds(Id::SessionsIdle);
        }
    }
    if pass.run.is_crashed {
        return;
    }
    for (all, place) in pass.run.adapters.into_iter().zip([Place::Ingress, Place::Egress]) {
        let (told, held) = (all.told_max, all.held_max);
        if held > 0 {
            pass.tally.check(Id::ToldAll, told >= held, move || {
                let (found, expected) = (Value::Is(told), Value::AtLeast(held));
                Fact::new("what it said at most that it holds", found, expected).by(place)
            });
        }
    }
}
