// SPDX-License-Identifier: BSD-3-Clause
//! Faults do no more harm than necessary.
//!
//! | faults | the affected flow |
//! |---|---|
//! | in what the network carries | ends in any way, but never in order with bytes missing |
//! | a reset, a cancellation | is over |
//! | a crash | is over, if it was open; it has no other obligations |
//! | all others | ends as it would have without them |

use super::catalogue::Id;
use super::flow::{Expected, Flow, Pass};
use super::recorder::{Value, Violation};
use crate::contract::FlowState;
use crate::fault::FaultKinds;
use crate::trace::{EventKind, FaultKind, Stage};

/// The end of the flow proves nothing: a fault may have reset it, or it ended with the session.
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
        let violation = || {
            let (found, expected) = (Value::Named(state.name()), Value::Named(expected.name()));
            Violation::new("the state in which a flow ends", found, expected)
        };
        if !faults.without(FaultKind::HalfClose).is_empty() {
            pass.recorder.check(Id::Survives, state == expected, violation);
        }
        if flow.is_after_crash {
            pass.recorder.check(Id::AfterCrash, state == expected, violation);
        }
    }
    if faults.has_any(FaultKinds::NETWORK) && !flow.is_crashed() && state == FlowState::Closed {
        reports(pass, flow);
    }
}

/// The flow ended in order, though the network had a fault: then it was repaired.
fn reports(pass: &mut Pass<'_>, flow: &Flow) {
    let [_, egress] = &flow.sides;
    let is_cut_short = pass.faults(flow).has(FaultKind::HalfClose);
    let expected = match pass.run.is_echo {
        true if !is_cut_short => flow.planned,
        _ => flow.answered,
    };
    pass.recorder.check(Id::Reports, egress.out == expected, move || {
        let (found, expected) = (Value::Is(egress.out), Value::Is(expected));
        Violation::new("what the sink has of a flow that ends in order", found, expected)
            .at(egress.out)
    });
}

/// The sink received a wrong byte, and the network had a fault.
pub(super) fn other_byte(pass: &mut Pass<'_>, flow: &Flow, what: &EventKind) {
    let EventKind::OtherByte { place: Stage::Egress, offset } = *what else { return };
    if pass.is_network_broken(flow) {
        let expected = Value::Named("that of its flow at this offset");
        let violation =
            Violation::new("a byte that the sink was given", Value::Named("another"), expected);
        pass.recorder.breaks(Id::Reports, violation.at(offset));
    }
}

pub(super) fn session_error(pass: &mut Pass<'_>, code: u16) {
    // The same error may end the other side too.
    let may = pass.run.all_faults.has_any(FaultKinds::NETWORK) || pass.run.is_session_over;
    if may {
        pass.recorder.holds(Id::Reports);
    }
    pass.recorder.check(Id::SessionHolds, may, move || {
        let (found, expected) = (Value::Is(code.into()), Value::Named("absent"));
        Violation::new("the code by which the session ends", found, expected)
    });
}

pub(super) fn run_finished(pass: &mut Pass<'_>, flows: &[Flow]) {
    if flows.iter().any(|flow| flow.has_stream) {
        pass.recorder.holds(Id::SessionHolds);
    }
    for flow in flows.iter().filter(|_| pass.run.is_finished) {
        pass.recorder.mark.flow = flow.id;
        let is_left = flow.is_crashed() || flow.expected == Expected::Any;
        if flow.faults.has_any(FaultKinds::BREAKS) && !is_left {
            let is_over = flow.life.is_over() && !flow.is_stuck;
            pass.recorder.check(Id::GivenUp, is_over, move || {
                let (found, expected) = (Value::Named(flow.life.name()), Value::Named("over"));
                Violation::new("a flow that was given up", found, expected)
            });
        }
    }
}
