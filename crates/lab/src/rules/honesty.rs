// SPDX-License-Identifier: BSD-3-Clause
//! Claimed capabilities work, others are refused.

use super::Examined;
use super::catalogue::Id;
use super::flow::{Flow, Pass, Side};
use super::recorder::{Value, Violation};
use crate::contract::{Capability, Class, ErrorClass, FlowId, FlowState};
use crate::trace::{Call, Stage};

#[inline]
pub(super) fn called(
    pass: &mut Pass<'_>,
    side: &Side,
    place: Stage,
    (call, refused): (Call, Option<ErrorClass>),
) {
    let (capability, works, refuses) = match call {
        Call::HalfClose => (Capability::FlowHalfClose, Id::HalfCloses, Id::HalfCloseUnclaimed),
        Call::Reset => (Capability::FlowReset, Id::Resets, Id::ResetUnclaimed),
        Call::Open | Call::Close => return,
    };
    let is_ended = call == Call::HalfClose && side.is_ended;
    if !side.occupies() || is_ended {
        return;
    }
    let found = Value::Named(refused.map_or("no refusal", ErrorClass::name));
    if pass.run.claims(place, capability) {
        pass.recorder.check(works, refused.is_none(), move || {
            let expected = Value::Named("no refusal");
            Violation::new("its answer to what it claims", found, expected).by(place)
        });
    } else {
        pass.recorder.check(refuses, refused == Some(ErrorClass::Unsupported), move || {
            let expected = Value::Named(ErrorClass::Unsupported.name());
            Violation::new("its answer to what it does not claim", found, expected).by(place)
        });
    }
}

/// Bytes of a flow are put out: checks that no more urgent flow had bytes that could have been.
#[inline]
pub(super) fn out(pass: &mut Pass<'_>, flows: &[Flow], place: Stage) {
    let is_claimed = pass.run.claims(place, Capability::FlowPriority);
    if !is_claimed || !pass.run.all_faults.is_empty() {
        return;
    }
    let at = (pass.recorder.mark.flow.number() as usize).wrapping_sub(1);
    let Some(class) = flows.get(at).map(|flow| flow.class) else { return };
    let other = match class {
        Class::Interactive => Class::Bulk,
        Class::Bulk => Class::Interactive,
        Class::Normal => return,
    };
    let run = &*pass.run;
    let out = run.all(place).out;
    let waits = |flow: &&Flow| {
        flow.class == other
            && flow.side(place).is_some_and(|side| {
                // Whatever was granted, there is room for its next byte.
                let has_credit = side.out < run.window_bytes && side.chunks < CHUNKS;
                let is_open = matches!(
                    flow.life,
                    FlowState::Open | FlowState::HalfClosed | FlowState::Draining
                );
                let has_room = has_credit && out < run.session_bytes;
                side.held() > 0 && is_open && (place == Stage::Egress || has_room)
            })
    };
    let Some(waiting) = flows.iter().find(waits) else { return };
    let held = waiting.side(place).map_or(0, Side::held);
    pass.recorder.check(Id::UrgentFirst, class == Class::Interactive, move || {
        let violation = Violation::new("what waits behind bulk", Value::Is(held), Value::Is(0));
        violation.by(place)
    });
}

/// Chunks of a flow that may be in flight, whatever was granted meanwhile.
const CHUNKS: u64 = 32;

pub(super) fn run_finished(pass: &mut Pass<'_>, examined: &Examined<'_>) {
    pass.recorder.mark.flow = FlowId::new(0);
    let ways =
        [(Stage::Ingress, Capability::AdapterIngress), (Stage::Egress, Capability::AdapterEgress)];
    for (place, way) in ways {
        pass.recorder.check(Id::Ways, pass.run.claims(place, way), move || {
            let (found, expected) = (Value::Named("nothing of it"), Value::Named(way.name()));
            Violation::new("what it claims of its way", found, expected).by(place)
        });
    }
    let Some(after) = examined.claimed_after else { return };
    let before = [examined.ingress, examined.egress];
    for ((before, after), (place, _)) in before.into_iter().zip(after).zip(ways) {
        pass.recorder.check(Id::SameManifest, before == after, move || {
            let (found, expected) = (Value::Named("another"), Value::Named("the same"));
            Violation::new("its manifest after the run", found, expected).by(place)
        });
    }
}
