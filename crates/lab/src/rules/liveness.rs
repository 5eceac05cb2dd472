// SPDX-License-Identifier: BSD-3-Clause
//! Everything ends.

use super::Examined;
use super::catalogue::Id;
use super::flow::{Flow, Pass};
use super::recorder::{Value, Violation};
use crate::contract::{Capability, FlowState};
use crate::fault::CLEARED_MS_MAX;
use crate::trace::Stage;

pub(super) fn stuck(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if !state.is_over() {
        return never_ends(pass, state);
    }
    // Without reset, an adapter only receives a close for a flow that was reset, and puts out
    // nothing then.
    let is_broken = matches!(state, FlowState::Reset | FlowState::Failed);
    let is_excused = is_broken && !pass.run.claims(Stage::Egress, Capability::FlowReset);
    if !flow.is_crashed() && !is_excused {
        let (found, expected) = (Value::Named("waiting"), Value::Named("notified"));
        let violation = Violation::new("the sink of a flow that is over", found, expected);
        pass.recorder.breaks(Id::SinkKnows, violation.by(Stage::Egress));
    }
}

fn never_ends(pass: &mut Pass<'_>, state: FlowState) {
    let (found, expected) = (Value::Named(state.name()), Value::Named("over"));
    let violation =
        Violation::new("the state of a flow when nothing moves any more", found, expected);
    pass.recorder.breaks(Id::Ends, violation);
}

pub(super) fn ends(pass: &mut Pass<'_>, _: &Flow, state: FlowState) {
    if !state.is_over() {
        return;
    }
    pass.recorder.holds(Id::Ends);
    let Some(cleared) = pass.run.cleared else { return };
    let after = pass.recorder.mark.tick.0.saturating_sub(cleared.0);
    pass.recorder.check(Id::EndsWhenCleared, after <= CLEARED_MS_MAX, move || {
        Violation::new(
            "the time from the last fault to the end",
            Value::Is(after),
            Value::AtMost(CLEARED_MS_MAX),
        )
    });
}

/// The run is over, and its trace is complete.
pub(super) fn finished(pass: &mut Pass<'_>, flow: &Flow) {
    if !flow.life.is_over() {
        if !flow.is_stuck {
            never_ends(pass, flow.life);
        }
        if pass.run.cleared.is_some() {
            let (found, expected) = (Value::Named(flow.life.name()), Value::Named("over"));
            let violation = Violation::new("a flow long after the last fault", found, expected);
            pass.recorder.breaks(Id::EndsWhenCleared, violation);
        }
    } else if flow.has_stream && !flow.is_stuck {
        pass.recorder.holds(Id::SinkKnows);
    }
    if flow.is_crashed() {
        return;
    }
    for (side, place) in flow.sides.iter().zip([Stage::Ingress, Stage::Egress]) {
        let is_broken = matches!(flow.life, FlowState::Reset | FlowState::Failed);
        if side.is_ended && side.notified.is_none() && !is_broken {
            pass.recorder.check(Id::EndComesOut, side.is_finished || side.is_over, move || {
                let (found, expected) = (Value::Named("missing"), Value::Named("said"));
                let violation =
                    Violation::new("the end of a direction that was ended", found, expected);
                violation.by(place).at(side.out)
            });
        }
        if let Some(notified) = side.notified {
            pass.recorder.check(Id::BreakComesOut, side.is_over || side.is_closed, move || {
                let (found, expected) = (Value::Named("nothing"), Value::Named(notified));
                Violation::new("what it says of a flow that was reset", found, expected).by(place)
            });
        }
    }
}

pub(super) fn out_of_steps(pass: &mut Pass<'_>) {
    let (found, expected) = (Value::Named("asking to be polled"), Value::Named("at rest"));
    pass.recorder.breaks(Id::Rests, Violation::new("an adapter", found, expected));
}

pub(super) fn run_finished(pass: &mut Pass<'_>, examined: &Examined<'_>) {
    let most = u64::from(examined.config.max_events);
    let is_whole = !examined.trace.is_cut() && pass.run.is_finished;
    pass.recorder.check(Id::FewEvents, is_whole, move || {
        let found = Value::AtLeast(examined.trace.events().len() as u64);
        Violation::new("the number of events, without an end,", found, Value::AtMost(most))
    });
    if pass.run.is_finished {
        pass.recorder.holds(Id::Rests);
    }
}
