// SPDX-License-Identifier: BSD-3-Clause
//! Faults do not do more harm than they have to.
//!
//! | faults | the flow that they struck |
//! |---|---|
//! | to what the network carries | ends in any way, but never in order with something missing |
//! | a reset, a cancellation | is over |
//! | a crash | is over, if it was open; nothing else is asked of it |
//! | all others | ends as it would have |

use super::catalogue::Id;
use super::flow::{Expected, Flow, Pass};
use super::tally::{Fact, Value};
use crate::contract::FlowState;
use crate::fault::FaultKinds;
use crate::trace::{FaultKind, Place, What};

/// How the flow ends says nothing: it may have been broken off by a fault, or with the session.
#[inline]
pub(super) fn is_loose(pass: &Pass<'_>, flow: &Flow) -> bool {
    let breaks = FaultKinds::NETWORK.and(FaultKinds::BREAKS).with(FaultKind::Crash);
    pass.run.is_session_over || pass.faults(flow).has_any(breaks)
}

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    let faults = pass.faults(flow);
    if let Some(expected) = flow.expected.state()
        && !is_loose(pass, flow)
    {
        let fact = || {
            let (found, expected) = (Value::Named(state.name()), Value::Named(expected.name()));
            Fact::new("the state in which a flow ends", found, expected)
        };
        if !faults.without(FaultKind::HalfClose).is_empty() {
            pass.tally.check(Id::Survives, state == expected, fact);
        }
        if flow.is_after_crash {
            pass.tally.check(Id::AfterCrash, state == expected, fact);
        }
    }
    if faults.has_any(FaultKinds::NETWORK) && !flow.is_crashed() && state == FlowState::Closed {
        reports(pass, flow);
    }
}

/// The flow ended in order, though the network broke something: then it was repaired.
fn reports(pass: &mut Pass<'_>, flow: &Flow) {
    let [_, egress] = &flow.sides;
    let is_cut_short = pass.faults(flow).has(FaultKind::HalfClose);
    let expected = match pass.run.is_echo {
        true if !is_cut_short => flow.planned,
        _ => flow.answered,
    };
    pass.tally.check(Id::Reports, egress.out == expected, move || {
        let (found, expected) = (Value::Is(egress.out), Value::Is(expected));
        Fact::new("what the sink has of a flow that ends in order", found, expected).at(egress.out)
    });
}

/// The sink was given a byte that is another, and the network had a fault.
pub(super) fn other_byte(pass: &mut Pass<'_>, flow: &Flow, what: &What) {
    let What::OtherByte { place: Place::Egress, offset } = *what else { return };
    if pass.is_network_broken(flow) {
        let expected = Value::Named("that of its flow at this offset");
        let fact = Fact::new("a byte that the sink was given", Value::Named("another"), expected);
        pass.tally.breaks(Id::Reports, fact.at(offset));
    }
}

pub(super) fn session_error(pass: &mut Pass<'_>, code: u16) {
    // The same error may end the other side too.
    let may = pass.run.all_faults.has_any(FaultKinds::NETWORK) || pass.run.is_session_over;
    if may {
        pass.tally.holds(Id::Reports);
    }
    pass.tally.check(Id::SessionHolds, may, move || {
        let (found, expected) = (Value::Is(code.into()), Value::Named("absent"));
        Fact::new("the code by which the session ends", found, expected)
    });
}

pub(super) fn run_finished(pass: &mut Pass<'_>, flows: &[Flow]) {
    if flows.iter().any(|flow| flow.has_stream) {
        pass.tally.holds(Id::SessionHolds);
    }
    for flow in flows.iter().filter(|_| pass.run.is_finished) {
        pass.tally.mark.flow = flow.id;
        let is_left = flow.is_crashed() || flow.expected == Expected::Any;
        if flow.faults.has_any(FaultKinds::BREAKS) && !is_left {
            let is_over = flow.life.is_over() && !flow.is_stuck;
            pass.tally.check(Id::GivenUp, is_over, move || {
                let (found, expected) = (Value::Named(flow.life.name()), Value::Named("over"));
                Fact::new("a flow that was given up", found, expected)
            });
        }
    }
}
