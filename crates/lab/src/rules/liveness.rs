// SPDX-License-Identifier: BSD-3-Clause
//! Everything comes to its end.

use super::Examined;
use super::catalogue::Id;
use super::flow::{Flow, Pass};
use super::tally::{Fact, Value};
use crate::contract::{Capability, FlowState};
use crate::fault::CALM_MS;
use crate::trace::Place;

pub(super) fn stuck(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if !state.is_over() {
        return never_ends(pass, state);
    }
    // Who has no reset is only told to close a flow that was broken off, and puts out nothing then.
    let is_broken = matches!(state, FlowState::Reset | FlowState::Failed);
    let is_excused = is_broken && !pass.run.claims(Place::Egress, Capability::FlowReset);
    if !flow.is_crashed() && !is_excused {
        let (found, expected) = (Value::Named("waiting"), Value::Named("told"));
        let fact = Fact::new("the sink of a flow that is over", found, expected);
        pass.tally.breaks(Id::SinkKnows, fact.by(Place::Egress));
    }
}

fn never_ends(pass: &mut Pass<'_>, state: FlowState) {
    let (found, expected) = (Value::Named(state.name()), Value::Named("over"));
    let fact = Fact::new("the state of a flow when nothing moves any more", found, expected);
    pass.tally.breaks(Id::Ends, fact);
}

pub(super) fn ends(pass: &mut Pass<'_>, _: &Flow, state: FlowState) {
    if !state.is_over() {
        return;
    }
    pass.tally.holds(Id::Ends);
    let Some(calm) = pass.run.calm else { return };
    let after = pass.tally.mark.tick.0.saturating_sub(calm.0);
    pass.tally.check(Id::EndsWhenCalm, after <= CALM_MS, move || {
        Fact::new(
            "the time from the last fault to the end",
            Value::Is(after),
            Value::AtMost(CALM_MS),
        )
    });
}

/// The run is over, and all of it is in the trace.
pub(super) fn finished(pass: &mut Pass<'_>, flow: &Flow) {
    if !flow.life.is_over() {
        if !flow.is_stuck {
            never_ends(pass, flow.life);
        }
        if pass.run.calm.is_some() {
            let (found, expected) = (Value::Named(flow.life.name()), Value::Named("over"));
            let fact = Fact::new("a flow long after the last fault", found, expected);
            pass.tally.breaks(Id::EndsWhenCalm, fact);
        }
    } else if flow.has_stream && !flow.is_stuck {
        pass.tally.holds(Id::SinkKnows);
    }
    if flow.is_crashed() {
        return;
    }
    for (side, place) in flow.sides.iter().zip([Place::Ingress, Place::Egress]) {
        let is_broken = matches!(flow.life, FlowState::Reset | FlowState::Failed);
        if side.is_ended && side.told.is_none() && !is_broken {
            pass.tally.check(Id::EndComesOut, side.is_finished || side.is_over, move || {
                let (found, expected) = (Value::Named("missing"), Value::Named("said"));
                let fact = Fact::new("the end of a direction that was ended", found, expected);
                fact.by(place).at(side.out)
            });
        }
        if let Some(told) = side.told {
            pass.tally.check(Id::BreakComesOut, side.is_over || side.is_closed, move || {
                let (found, expected) = (Value::Named("nothing"), Value::Named(told));
                Fact::new("what it says of a flow that was broken off", found, expected).by(place)
            });
        }
    }
}

pub(super) fn out_of_steps(pass: &mut Pass<'_>) {
    let (found, expected) = (Value::Named("asking to be polled"), Value::Named("at rest"));
    pass.tally.breaks(Id::Rests, Fact::new("an adapter", found, expected));
}

pub(super) fn run_finished(pass: &mut Pass<'_>, examined: &Examined<'_>) {
    let most = u64::from(examined.config.max_events);
    let is_whole = !examined.trace.is_cut() && pass.run.is_finished;
    pass.tally.check(Id::FewEvents, is_whole, move || {
        let found = Value::AtLeast(examined.trace.events().len() as u64);
        Fact::new("the number of events, without an end,", found, Value::AtMost(most))
    });
    if pass.run.is_finished {
        pass.tally.holds(Id::Rests);
    }
}
