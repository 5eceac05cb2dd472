// SPDX-License-Identifier: BSD-3-Clause
//! Flows begin and end correctly.

use super::catalogue::Id;
use super::flow::{Expected, Flow, Offer, Pass, Side};
use super::recorder::{Value, Violation};
use super::robustness::is_loose;
use crate::contract::{Capability, ErrorClass, FlowEvent, FlowState};
use crate::trace::{Call, OutletEvent, Stage};

#[inline]
pub(super) fn called(
    pass: &mut Pass<'_>,
    side: &Side,
    place: Stage,
    (call, refused): (Call, Option<ErrorClass>),
) {
    match call {
        Call::Open => opens(pass, place, refused),
        Call::Close if side.is_opened => {
            pass.recorder.check(Id::CloseTaken, refused.is_none(), move || {
                refusal("its answer to a close", refused).by(place)
            });
        }
        Call::Reset if side.is_over || side.is_closed => {
            let may = refused == Some(ErrorClass::Unsupported)
                && !pass.run.claims(place, Capability::FlowReset);
            pass.recorder.check(Id::CloseTaken, refused.is_none() || may, move || {
                refusal("its answer to a reset of a flow that is over", refused).by(place)
            });
        }
        Call::Close | Call::Reset | Call::HalfClose => {}
    }
}

fn refusal(what: &'static str, refused: Option<ErrorClass>) -> Violation {
    let found = refused.map_or("nothing wrong", ErrorClass::name);
    Violation::new(what, Value::Named(found), Value::Named("no refusal"))
}

fn opens(pass: &mut Pass<'_>, place: Stage, refused: Option<ErrorClass>) {
    let at = place as usize;
    let carries = pass.run.all(place).occupied;
    let most = pass.run.limits.get(at).map_or(0, |limits| limits.flows_max);
    match refused {
        None => pass.recorder.holds(Id::Opens),
        Some(ErrorClass::TooManyFlows) => {
            let may = carries >= most || pass.run.is_crashed;
            pass.recorder.check(Id::Opens, may, move || {
                let (found, expected) = (Value::Is(carries.into()), Value::AtLeast(most.into()));
                Violation::new("the number of flows with which it is full", found, expected)
                    .by(place)
            });
        }
        refused => {
            let violation = refusal("its answer to a new flow", refused).by(place);
            pass.recorder.breaks(Id::Opens, violation);
        }
    }
}

#[inline]
pub(super) fn took(pass: &mut Pass<'_>, offer: &Offer, place: Stage) {
    if offer.is_behind_end {
        let (found, expected) = (Value::Named("taken"), Value::Named("refused"));
        let violation = Violation::new("an offer behind the end", found, expected).by(place);
        pass.recorder.breaks(Id::RefusesBehindEnd, violation);
    }
}

pub(super) fn refused(pass: &mut Pass<'_>, offer: &Offer, place: Stage, class: ErrorClass) {
    if offer.is_behind_end {
        let is_so = matches!(class, ErrorClass::Closed | ErrorClass::UnknownFlow);
        pass.recorder.check(Id::RefusesBehindEnd, is_so, move || {
            let (found, expected) = (Value::Named(class.name()), Value::Named("closed"));
            Violation::new("the refusal of an offer behind the end", found, expected).by(place)
        });
    }
}

#[inline]
pub(super) fn out(pass: &mut Pass<'_>, side: &Side, place: Stage) {
    nothing_more(pass, side, place, side.is_closed || side.is_over);
}

/// Output that nothing takes, because the flow or the direction is over.
pub(super) fn out_on_no_flow(pass: &mut Pass<'_>, flow: &Flow, side: &Side, place: Stage) {
    let is_over = side.is_closed || side.is_over || flow.life.is_over();
    if side.is_opened {
        nothing_more(pass, side, place, is_over);
    }
}

fn nothing_more(pass: &mut Pass<'_>, side: &Side, place: Stage, is_over: bool) {
    let violation = |what| {
        let (found, expected) = (Value::Named("there"), Value::Named("absent"));
        Violation::new(what, found, expected).by(place).at(side.out)
    };
    if is_over {
        let violation = violation("a chunk of a flow that is over");
        pass.recorder.breaks(Id::NothingWhenOver, violation);
    } else if side.is_finished {
        let violation = violation("a chunk behind the end of its direction");
        pass.recorder.breaks(Id::NothingBehindEnd, violation);
    }
}

#[inline]
pub(super) fn said(pass: &mut Pass<'_>, side: &Side, place: Stage, said: OutletEvent) {
    if side.is_closed {
        let (found, expected) = (Value::Named(name(said)), Value::Named("absent"));
        let violation =
            Violation::new("what it says of a flow that it closed", found, expected).by(place);
        return pass.recorder.breaks(Id::NothingWhenOver, violation);
    }
    let is_twice = side.is_over || said == OutletEvent::HalfClosed && side.is_finished;
    pass.recorder.check(Id::EndOnce, !is_twice, move || {
        let (found, expected) = (Value::Named(name(said)), Value::Named("absent"));
        Violation::new("what it says behind the end", found, expected).by(place)
    });
    if matches!(said, OutletEvent::HalfClosed | OutletEvent::Closed) {
        pass.recorder.check(Id::EndGiven, side.is_ended, move || {
            let (found, expected) = (Value::Named("open"), Value::Named("ended"));
            Violation::new("the direction whose end it says", found, expected)
                .by(place)
                .at(side.out)
        });
        // Output can only follow an end after there is one.
        pass.recorder.holds(Id::NothingBehindEnd);
    }
}

pub(super) const fn name(said: OutletEvent) -> &'static str {
    match said {
        OutletEvent::HalfClosed => "half-closed",
        OutletEvent::Reset => "reset",
        OutletEvent::Failed => "failed",
        OutletEvent::Closed => "closed",
    }
}

#[inline]
pub(super) fn moved(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    let from = flow.life;
    pass.recorder.check(Id::Arrows, has_arrow(from, state), move || {
        let (found, expected) = (Value::Named(state.name()), Value::After(from.name()));
        Violation::new("the next state of a flow", found, expected)
    });
}

pub(super) fn illegal(pass: &mut Pass<'_>, state: FlowState, event: FlowEvent) {
    let (found, expected) = (Value::Named(event.name()), Value::After(state.name()));
    let violation = Violation::new("what happened to a flow", found, expected);
    pass.recorder.breaks(Id::Arrows, violation);
}

const fn has_arrow(from: FlowState, to: FlowState) -> bool {
    use FlowState::{Closed, Draining, Failed, HalfClosed, New, Open, Opening, Reset};
    const fn any(states: &[FlowState]) -> u8 {
        let (mut bits, mut rest) = (1 << Reset as u8 | 1 << Failed as u8, states);
        while let [state, others @ ..] = rest {
            bits |= 1 << *state as u8;
            rest = others;
        }
        bits
    }
    // A bit table: the states of flows are unpredictable for branches.
    let after = match from {
        New => const { any(&[Opening]) },
        Opening => const { any(&[Open]) },
        Open => const { any(&[HalfClosed, Draining, Closed]) },
        HalfClosed => const { any(&[Draining, Closed]) },
        Draining => const { any(&[Closed]) },
        Closed | Reset | Failed => 0,
    };
    after >> to as u8 & 1 != 0
}

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if state.is_over() && flow.sides.iter().any(|side| side.is_opened) {
        pass.recorder.holds(Id::NothingWhenOver);
    }
    if flow.expected == Expected::Closed && !is_loose(pass, flow) {
        pass.recorder.check(Id::EndsInOrder, state == FlowState::Closed, move || {
            let (found, expected) = (Value::Named(state.name()), Value::Named("closed"));
            Violation::new("the state in which a flow ends", found, expected)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Lifecycle;

    /// The arrows are those of [`Lifecycle`].
    #[test]
    fn arrows_are_those_of_the_drawing() {
        const EVENTS: [FlowEvent; 7] = [
            FlowEvent::Open,
            FlowEvent::Opened,
            FlowEvent::HalfClose,
            FlowEvent::Drain,
            FlowEvent::Close,
            FlowEvent::Reset,
            FlowEvent::Fail,
        ];
        let mut found = std::collections::HashSet::new();
        let mut walk = vec![Lifecycle::default()];
        while let Some(life) = walk.pop() {
            for event in EVENTS {
                let mut next = life;
                let is_arrow = next.apply(event).is_ok() && next != life;
                if is_arrow && found.insert((life.state(), next.state())) {
                    walk.push(next);
                }
            }
        }
        let states = || {
            found
                .iter()
                .flat_map(|(from, to)| [*from, *to])
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(states().len(), 8);
        for from in states() {
            for to in states() {
                assert_eq!(has_arrow(from, to), found.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
    }
}
