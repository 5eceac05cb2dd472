// SPDX-License-Identifier: BSD-3-Clause
//! Flows begin and end as they should.

use super::catalogue::Id;
use super::flow::{Expected, Flow, Offer, Pass, Side};
use super::robustness::is_loose;
use super::tally::{Fact, Value};
use crate::contract::{Capability, ErrorClass, FlowEvent, FlowState};
use crate::trace::{Call, Place, Said};

#[inline]
pub(super) fn called(
    pass: &mut Pass<'_>,
    side: &Side,
    place: Place,
    (call, refused): (Call, Option<ErrorClass>),
) {
    match call {
        Call::Open => opens(pass, place, refused),
        Call::Close if side.is_opened => {
            pass.tally.check(Id::CloseTaken, refused.is_none(), move || {
                refusal("its answer to a close", refused).by(place)
            });
        }
        Call::Reset if side.is_over || side.is_closed => {
            let may = refused == Some(ErrorClass::Unsupported)
                && !pass.run.claims(place, Capability::FlowReset);
            pass.tally.check(Id::CloseTaken, refused.is_none() || may, move || {
                refusal("its answer to a reset of a flow that is over", refused).by(place)
            });
        }
        Call::Close | Call::Reset | Call::HalfClose => {}
    }
}

fn refusal(what: &'static str, refused: Option<ErrorClass>) -> Fact {
    let found = refused.map_or("nothing wrong", ErrorClass::name);
    Fact::new(what, Value::Named(found), Value::Named("no refusal"))
}

fn opens(pass: &mut Pass<'_>, place: Place, refused: Option<ErrorClass>) {
    let at = place as usize;
    let carries = pass.run.all(place).occupied;
    let most = pass.run.limits.get(at).map_or(0, |limits| limits.flows_max);
    match refused {
        None => pass.tally.holds(Id::Opens),
        Some(ErrorClass::TooManyFlows) => {
            let may = carries >= most || pass.run.is_crashed;
            pass.tally.check(Id::Opens, may, move || {
                let (found, expected) = (Value::Is(carries.into()), Value::AtLeast(most.into()));
                Fact::new("the number of flows with which it is full", found, expected).by(place)
            });
        }
        refused => {
            let fact = refusal("its answer to a new flow", refused).by(place);
            pass.tally.breaks(Id::Opens, fact);
        }
    }
}

#[inline]
pub(super) fn took(pass: &mut Pass<'_>, offer: &Offer, place: Place) {
    if offer.is_behind_end {
        let (found, expected) = (Value::Named("taken"), Value::Named("refused"));
        let fact = Fact::new("an offer behind the end", found, expected).by(place);
        pass.tally.breaks(Id::RefusesBehindEnd, fact);
    }
}

pub(super) fn refused(pass: &mut Pass<'_>, offer: &Offer, place: Place, class: ErrorClass) {
    if offer.is_behind_end {
        let is_so = matches!(class, ErrorClass::Closed | ErrorClass::UnknownFlow);
        pass.tally.check(Id::RefusesBehindEnd, is_so, move || {
            let (found, expected) = (Value::Named(class.name()), Value::Named("closed"));
            Fact::new("the refusal of an offer behind the end", found, expected).by(place)
        });
    }
}

#[inline]
pub(super) fn out(pass: &mut Pass<'_>, side: &Side, place: Place) {
    nothing_more(pass, side, place, side.is_closed || side.is_over);
}

/// Bytes came that nobody takes: because the flow is over, or because the direction is.
pub(super) fn out_on_no_flow(pass: &mut Pass<'_>, flow: &Flow, side: &Side, place: Place) {
    let is_over = side.is_closed || side.is_over || flow.life.is_over();
    if side.is_opened {
        nothing_more(pass, side, place, is_over);
    }
}

fn nothing_more(pass: &mut Pass<'_>, side: &Side, place: Place, is_over: bool) {
    let fact = |what| {
        let (found, expected) = (Value::Named("there"), Value::Named("absent"));
        Fact::new(what, found, expected).by(place).at(side.out)
    };
    if is_over {
        let fact = fact("a chunk of a flow that is over");
        pass.tally.breaks(Id::NothingWhenOver, fact);
    } else if side.is_finished {
        let fact = fact("a chunk behind the end of its direction");
        pass.tally.breaks(Id::NothingBehindEnd, fact);
    }
}

#[inline]
pub(super) fn said(pass: &mut Pass<'_>, side: &Side, place: Place, said: Said) {
    if side.is_closed {
        let (found, expected) = (Value::Named(name(said)), Value::Named("absent"));
        let fact = Fact::new("what it says of a flow that it closed", found, expected).by(place);
        return pass.tally.breaks(Id::NothingWhenOver, fact);
    }
    let is_twice = side.is_over || said == Said::HalfClosed && side.is_finished;
    pass.tally.check(Id::EndOnce, !is_twice, move || {
        let (found, expected) = (Value::Named(name(said)), Value::Named("absent"));
        Fact::new("what it says behind the end", found, expected).by(place)
    });
    if matches!(said, Said::HalfClosed | Said::Closed) {
        pass.tally.check(Id::EndGiven, side.is_ended, move || {
            let (found, expected) = (Value::Named("open"), Value::Named("ended"));
            Fact::new("the direction whose end it says", found, expected).by(place).at(side.out)
        });
        // Only behind an end something can come.
        pass.tally.holds(Id::NothingBehindEnd);
    }
}

pub(super) const fn name(said: Said) -> &'static str {
    match said {
        Said::HalfClosed => "half-closed",
        Said::Reset => "reset",
        Said::Failed => "failed",
        Said::Closed => "closed",
    }
}

#[inline]
pub(super) fn moved(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    let from = flow.life;
    pass.tally.check(Id::Arrows, has_arrow(from, state), move || {
        let (found, expected) = (Value::Named(state.name()), Value::After(from.name()));
        Fact::new("the next state of a flow", found, expected)
    });
}

pub(super) fn illegal(pass: &mut Pass<'_>, state: FlowState, event: FlowEvent) {
    let (found, expected) = (Value::Named(event.name()), Value::After(state.name()));
    let fact = Fact::new("what happened to a flow", found, expected);
    pass.tally.breaks(Id::Arrows, fact);
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
    // A table of bits: flows are in any state, and nothing is to be foreseen.
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
        pass.tally.holds(Id::NothingWhenOver);
    }
    if flow.expected == Expected::Closed && !is_loose(pass, flow) {
        pass.tally.check(Id::EndsInOrder, state == FlowState::Closed, move || {
            let (found, expected) = (Value::Named(state.name()), Value::Named("closed"));
            Fact::new("the state in which a flow ends", found, expected)
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
                let is_arrow = next.happens(event).is_ok() && next != life;
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
