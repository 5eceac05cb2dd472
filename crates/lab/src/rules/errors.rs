// SPDX-License-Identifier: BSD-3-Clause
//! Failures are reported on their own flow.

use super::catalogue::Id;
use super::flow::{Expected, Flow, Offer, Pass, Side};
use super::lifecycle::name;
use super::recorder::{Value, Violation};
use super::robustness::is_loose;
use crate::contract::{ErrorClass, FlowState};
use crate::fault::FaultKinds;
use crate::trace::{OutletEvent, Stage};

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if flow.sides.iter().any(|side| side.is_opened) {
        // An adapter might have reset it; if so, that was examined.
        pass.recorder.holds(Id::NotByItself);
    }
    let id = match flow.expected {
        Expected::TargetFails => Id::TargetFails,
        Expected::TargetResets => Id::TargetResets,
        Expected::SourceResets => Id::SourceResets,
        Expected::Closed | Expected::Any => return,
    };
    let expected = flow.expected.state();
    if !is_loose(pass, flow) {
        pass.recorder.check(id, expected == Some(state), move || {
            let expected = Value::Named(expected.map_or("over", FlowState::name));
            Violation::new("the state in which a flow ends", Value::Named(state.name()), expected)
        });
    }
}

#[inline]
pub(super) fn said(
    pass: &mut Pass<'_>,
    flow: &Flow,
    side: &Side,
    (place, said): (Stage, OutletEvent),
) {
    let violation = move |what, expected| {
        Violation::new(what, Value::Named(name(said)), Value::Named(expected)).by(place)
    };
    match (said, side.notified) {
        (OutletEvent::Reset | OutletEvent::Failed, None) => {
            let may = flow.life.is_over()
                || pass.faults(flow).has_any(FaultKinds::BREAKS)
                || pass.run.is_session_over;
            pass.recorder.check(Id::NotByItself, may, move || {
                violation("what it says of a flow without a reset", "absent")
            });
        }
        (OutletEvent::Reset | OutletEvent::Failed, Some(notified)) => {
            pass.recorder.holds(Id::NotInOrder);
            pass.recorder.check(Id::SameCause, name(said) == notified, move || {
                violation("what it says of a flow that was reset", notified)
            });
        }
        (OutletEvent::HalfClosed | OutletEvent::Closed, Some(notified)) => {
            let violation = violation("what it says of a flow that was reset", notified);
            pass.recorder.breaks(Id::NotInOrder, violation);
        }
        (OutletEvent::HalfClosed | OutletEvent::Closed, None) => {}
    }
}

#[inline]
pub(super) fn took(pass: &mut Pass<'_>, offer: &Offer, place: Stage) {
    match (offer.misplaced, offer.is_behind_end) {
        (Some(offset), false) => {
            let (found, expected) = (Value::Named("taken"), Value::Named("refused"));
            let violation =
                Violation::new("an offer that does not begin where it has to", found, expected);
            pass.recorder.breaks(Id::RefusesMalformed, violation.by(place).at(offset));
        }
        (None, false) => pass.recorder.holds(Id::TakesValid),
        (_, true) => {}
    }
}

pub(super) fn refused(pass: &mut Pass<'_>, offer: &Offer, place: Stage, class: ErrorClass) {
    let violation = move |what, expected| {
        Violation::new(what, Value::Named(class.name()), Value::Named(expected)).by(place)
    };
    match (offer.misplaced, offer.is_behind_end) {
        (Some(offset), false) => {
            let is_so = class == ErrorClass::Malformed;
            pass.recorder.check(Id::RefusesMalformed, is_so, move || {
                violation("the refusal of an offer that begins elsewhere", "malformed").at(offset)
            });
        }
        (None, false) => {
            let violation = violation("its answer to an offer", "no refusal");
            pass.recorder.breaks(Id::TakesValid, violation);
        }
        (_, true) => {}
    }
}
