// SPDX-License-Identifier: BSD-3-Clause
//! Failures are told where they belong.

use super::catalogue::Id;
use super::flow::{Expected, Flow, Offer, Pass, Side};
use super::lifecycle::name;
use super::robustness::is_loose;
use super::tally::{Fact, Value};
use crate::contract::{ErrorClass, FlowState};
use crate::fault::FaultKinds;
use crate::trace::{Place, Said};

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if flow.sides.iter().any(|side| side.is_opened) {
        // It might have been broken off by an adapter, and was looked at if it was.
        pass.tally.holds(Id::NotByItself);
    }
    let id = match flow.expected {
        Expected::TargetFails => Id::TargetFails,
        Expected::TargetResets => Id::TargetResets,
        Expected::SourceResets => Id::SourceResets,
        Expected::Closed | Expected::Any => return,
    };
    let expected = flow.expected.state();
    if !is_loose(pass, flow) {
        pass.tally.check(id, expected == Some(state), move || {
            let expected = Value::Named(expected.map_or("over", FlowState::name));
            Fact::new("the state in which a flow ends", Value::Named(state.name()), expected)
        });
    }
}

#[inline]
pub(super) fn said(pass: &mut Pass<'_>, flow: &Flow, side: &Side, (place, said): (Place, Said)) {
    let fact = move |what, expected| {
        Fact::new(what, Value::Named(name(said)), Value::Named(expected)).by(place)
    };
    match (said, side.told) {
        (Said::Reset | Said::Failed, None) => {
            let may = flow.life.is_over()
                || pass.faults(flow).has_any(FaultKinds::BREAKS)
                || pass.run.is_session_over;
            pass.tally.check(Id::NotByItself, may, move || {
                fact("what it says of a flow that nobody broke off", "absent")
            });
        }
        (Said::Reset | Said::Failed, Some(told)) => {
            pass.tally.holds(Id::NotInOrder);
            pass.tally.check(Id::SameCause, name(said) == told, move || {
                fact("what it says of a flow that was broken off", told)
            });
        }
        (Said::HalfClosed | Said::Closed, Some(told)) => {
            let fact = fact("what it says of a flow that was broken off", told);
            pass.tally.breaks(Id::NotInOrder, fact);
        }
        (Said::HalfClosed | Said::Closed, None) => {}
    }
}

#[inline]
pub(super) fn took(pass: &mut Pass<'_>, offer: &Offer, place: Place) {
    match (offer.misplaced, offer.is_behind_end) {
        (Some(offset), false) => {
            let (found, expected) = (Value::Named("taken"), Value::Named("refused"));
            let fact = Fact::new("an offer that does not begin where it has to", found, expected);
            pass.tally.breaks(Id::RefusesMalformed, fact.by(place).at(offset));
        }
        (None, false) => pass.tally.holds(Id::TakesValid),
        (_, true) => {}
    }
}

pub(super) fn refused(pass: &mut Pass<'_>, offer: &Offer, place: Place, class: ErrorClass) {
    let fact = move |what, expected| {
        Fact::new(what, Value::Named(class.name()), Value::Named(expected)).by(place)
    };
    match (offer.misplaced, offer.is_behind_end) {
        (Some(offset), false) => {
            let is_so = class == ErrorClass::Malformed;
            pass.tally.check(Id::RefusesMalformed, is_so, move || {
                fact("the refusal of an offer that begins elsewhere", "malformed").at(offset)
            });
        }
        (None, false) => {
            let fact = fact("its answer to an offer", "no refusal");
            pass.tally.breaks(Id::TakesValid, fact);
        }
        (_, true) => {}
    }
}
