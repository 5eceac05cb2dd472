// SPDX-License-Identifier: BSD-3-Clause
//! The pass over the events: each goes to the families that look at its kind, and then into what is
//! known of the flow.

use super::catalogue::{CATALOGUE, Id};
use super::flow::{Expected, Flow, Offer, Pass, Put, Run, Side};
use super::tally::{Marks, Tally};
use super::{
    Examination, Examined, backpressure, determinism, errors, honesty, hygiene, integrity,
    isolation, lifecycle, liveness, resources, robustness,
};
use crate::contract::{Capabilities, Capability, FlowId, FlowState};
use crate::fault::FaultKinds;
use crate::pattern::Direction;
use crate::trace::{Call, Event, FaultKind, Place, Said, What};

/// Examines runs, one after another, with the memory of those before.
#[derive(Debug, Default)]
pub struct Examiner {
    flows: Vec<Flow>,
    tally: Tally,
    /// What the adapters claimed last, and the rules that are applicable then.
    claimed: Option<([Capabilities; 2], u128)>,
}

impl Examiner {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Examines a run. What is to be said of it stays until the next.
    pub fn examine(&mut self, examined: &Examined<'_>) -> Marks {
        let mut run = Run::new(examined);
        let Self { flows, tally, claimed } = self;
        let known = claimed.filter(|(claimed, _)| *claimed == run.capabilities);
        let (_, applicable) =
            *claimed.insert(known.unwrap_or_else(|| (run.capabilities, applicable(&run))));
        tally.clear(applicable);
        flows.clear();
        flows.extend(examined.plans.iter().map(|plan| Flow::new(plan, examined.behaviour)));
        let mut pass = Pass { run: &mut run, tally };
        for event in examined.trace.events() {
            (pass.tally.mark.flow, pass.tally.mark.tick) = (event.flow, event.tick);
            take(&mut pass, flows, event);
            pass.tally.mark.event += 1;
        }
        pass.tally.mark.flow = FlowId::new(0);
        finish(&mut pass, flows, examined);
        tally.marks
    }

    /// Which rules had occasion in the run that was examined last, and which were broken.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        self.tally.marks
    }

    /// Everything that is to be said of the run that was examined last.
    #[must_use]
    pub fn examination(&self) -> Examination {
        let outcomes = CATALOGUE.iter().enumerate();
        let outcomes = outcomes.map(|(at, rule)| (rule, self.tally.outcome(at))).collect();
        Examination { outcomes }
    }
}

/// The rules that are about something that the adapters claim, or about nothing of that kind.
fn applicable(run: &Run) -> u128 {
    let [ingress, egress] = run.capabilities;
    let is_applicable = |(_, rule): &(usize, &super::Rule)| {
        rule.needs.is_none_or(|needed| ingress.has(needed) || egress.has(needed))
    };
    let rules = CATALOGUE.iter().enumerate().filter(is_applicable);
    let all = rules.fold(0, |all, (at, _)| all | 1_u128 << at);
    let both = ingress.and(egress);
    // What both claim nobody has to refuse.
    let refusals = [
        (Capability::FlowHalfClose, Id::HalfCloseUnclaimed),
        (Capability::FlowReset, Id::ResetUnclaimed),
    ];
    let claimed = refusals.iter().filter(|(capability, _)| both.has(*capability));
    claimed.fold(all, |all, (_, id)| all & !id.bit())
}

#[inline]
fn take(pass: &mut Pass<'_>, flows: &mut [Flow], event: &Event) {
    let what = &event.what;
    if event.flow.number() == 0 {
        return of_run(pass, flows, what);
    }
    // An arm for each kind: everything behind it is compiled for that kind alone.
    match *what {
        What::Called { place, .. } => of_side(pass, flows, place, what),
        // Nothing is looked at, and nothing counted, before it is known what came of it.
        What::Offered { place, .. } => {
            if let Some(flow) = planned(pass, flows, what) {
                update(pass, flow, place, what);
            }
        }
        What::Took { place, .. } => of_side(pass, flows, place, what),
        What::Out { place, .. } => {
            if pass.run.has_classes {
                honesty::out(pass, flows, place);
            }
            of_side(pass, flows, place, what);
        }
        What::Said { place, .. } => of_side(pass, flows, place, what),
        What::OfferRefused { place, .. }
        | What::OutBeyondRoom { place, .. }
        | What::OutOnNoFlow { place, .. } => of_side(pass, flows, place, what),
        What::Moved { .. } => of_flow(pass, flows, what),
        What::Crossed { .. } => of_flow(pass, flows, what),
        What::Answered { .. } => of_flow(pass, flows, what),
        What::Stream { stream } => {
            isolation::stream(pass, flows, stream);
            of_flow(pass, flows, what);
        }
        What::StreamOver { .. } => {}
        _ => rarely(pass, flows, what),
    }
}

/// The flow of this event, if it is one that is planned.
#[inline(always)]
fn planned<'f>(pass: &mut Pass<'_>, flows: &'f mut [Flow], what: &What) -> Option<&'f mut Flow> {
    let at = (pass.tally.mark.flow.number() as usize).wrapping_sub(1);
    let flow = flows.get_mut(at);
    if flow.is_none() {
        isolation::stray(pass, what);
    }
    flow
}

#[cold]
fn rarely(pass: &mut Pass<'_>, flows: &mut [Flow], what: &What) {
    if let What::Unblocked = what {
        isolation::unblocked(pass, flows);
        backpressure::unblocked(pass, flows);
    }
    of_flow(pass, flows, what);
}

/// An adapter did something with a flow.
#[inline(always)]
fn of_side(pass: &mut Pass<'_>, flows: &mut [Flow], place: Place, what: &What) {
    let Some(flow) = planned(pass, flows, what) else { return };
    let Some(before) = flow.side(place).map(Counts::of) else { return };
    if !flow.is_crashed() {
        check_side(pass, flow, place, what);
    }
    update(pass, flow, place, what);
    if let What::Said { said: Said::HalfClosed, .. } = what {
        // The adapter as a whole has of the flow what it had.
        return;
    }
    if let Some(after) = flow.side(place).map(Counts::of) {
        account(pass, place, before, after);
    }
    if let What::Took { .. } = what {
        resources::took(pass, flow, place);
    }
}

/// What a flow is to the adapter as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    held: u64,
    out: u64,
    occupies: bool,
    surely: bool,
}

impl Counts {
    #[inline]
    const fn of(side: &Side) -> Self {
        let (held, out) = (side.held(), side.out);
        Self { held, out, occupies: side.occupies(), surely: side.surely_occupies() }
    }
}

/// What an adapter did is looked at, as things were before.
#[inline(always)]
fn check_side(pass: &mut Pass<'_>, flow: &Flow, place: Place, what: &What) {
    let Some(side) = flow.side(place) else { return };
    match *what {
        What::Called { call, refused, .. } => {
            lifecycle::called(pass, side, place, (call, refused));
            honesty::called(pass, side, place, (call, refused));
            resources::called(pass, place, (call, refused));
        }
        What::Took { bytes, .. } => {
            if let Some(offer) = &side.offer {
                lifecycle::took(pass, offer, place);
                backpressure::took(pass, flow, place, (offer, bytes));
                errors::took(pass, offer, place);
            }
        }
        What::OfferRefused { class, .. } => {
            if let Some(offer) = &side.offer {
                lifecycle::refused(pass, offer, place, class);
                errors::refused(pass, offer, place, class);
            }
        }
        What::Out { sequence, offset, bytes, is_final, .. } => {
            let put = Put { place, sequence, offset, bytes, is_final };
            integrity::out(pass, side, &put);
            lifecycle::out(pass, side, place);
            isolation::out(pass, side, place);
            backpressure::out(pass, flow, &put);
        }
        What::OutBeyondRoom { bytes, room, .. } => {
            backpressure::out_beyond_room(pass, place, bytes, room);
        }
        What::OutOnNoFlow { .. } => {
            isolation::out(pass, side, place);
            lifecycle::out_on_no_flow(pass, flow, side, place);
        }
        What::Said { said, .. } => {
            isolation::out(pass, side, place);
            lifecycle::said(pass, side, place, said);
            integrity::said(pass, side, place, said);
            errors::said(pass, flow, side, (place, said));
        }
        _ => {}
    }
}

/// What an adapter did becomes what is known.
#[inline(always)]
fn update(pass: &Pass<'_>, flow: &mut Flow, place: Place, what: &What) {
    let is_over = flow.life.is_over();
    let has_failed = flow.life == FlowState::Failed;
    let claims_half_close = pass.run.claims(place, Capability::FlowHalfClose);
    let Some(side) = flow.side_mut(place) else { return };
    let mut is_excused = false;
    match *what {
        What::Called { call: Call::Open, refused, .. } => {
            side.is_opened |= refused.is_none();
            is_excused = refused.is_some();
        }
        What::Called { call: Call::HalfClose, refused, .. } => {
            side.is_ended |= refused.is_none();
            is_excused = refused.is_some() && !claims_half_close;
        }
        What::Called { call: Call::Reset, refused: None, .. } => {
            side.told = Some(if has_failed { "failed" } else { "reset" });
        }
        What::Called { call: Call::Close, refused: None, .. } => side.is_closed = true,
        What::Offered { offset, bytes, is_final, .. } => {
            let misplaced = (offset != side.taken).then_some(offset);
            let is_behind_end = side.is_ended || is_over || !side.occupies();
            side.offer = Some(Offer { bytes, is_final, misplaced, is_behind_end });
        }
        What::Took { bytes, .. } => {
            if let Some(offer) = side.offer.take() {
                side.taken += bytes.min(offer.bytes);
                side.is_ended |= bytes >= offer.bytes && offer.is_final;
            }
        }
        What::OfferRefused { .. } => {
            if let Some(offer) = side.offer.take() {
                is_excused = offer.misplaced.is_some();
            }
        }
        What::Out { bytes, .. } => {
            side.out += bytes;
            side.chunks += 1;
        }
        What::Said { said, .. } => {
            side.said |= 1 << said as u8;
            match said {
                Said::HalfClosed => side.is_finished = true,
                Said::Reset | Said::Failed | Said::Closed => side.is_over = true,
            }
        }
        _ => {}
    }
    if is_excused {
        flow.expected = Expected::Any;
    }
}

/// What a change of a flow is to the adapter as a whole.
#[inline]
fn account(pass: &mut Pass<'_>, place: Place, before: Counts, after: Counts) {
    if before == after {
        return;
    }
    let (at, tick) = (place as usize, pass.tally.mark.tick);
    let Some(all) = pass.run.adapters.get_mut(at) else { return };
    let change =
        |count: u32, before, after| (count + u32::from(after)).saturating_sub(u32::from(before));
    all.occupied = change(all.occupied, before.occupies, after.occupies);
    all.surely_occupied = change(all.surely_occupied, before.surely, after.surely);
    all.out += after.out - before.out;
    all.held = (all.held + after.held).saturating_sub(before.held);
    all.held_max = all.held_max.max(all.held);
    all.empty_since = if all.held > 0 { None } else { all.empty_since.or(Some(tick)) };
}

/// Something happened to a flow that no adapter did.
#[inline(always)]
fn of_flow(pass: &mut Pass<'_>, flows: &mut [Flow], what: &What) {
    let Some(flow) = planned(pass, flows, what) else { return };
    match *what {
        What::OtherByte { place, .. } => {
            integrity::other_byte(pass, flow, what);
            robustness::other_byte(pass, flow, what);
            flow.is_other_at_target |= place == Place::Network;
        }
        What::Changed { part, offset } => {
            integrity::changed(pass, flow, part, offset);
            flow.is_changed = true;
        }
        What::Stream { stream } => {
            pass.run.last_stream = pass.run.last_stream.max(stream);
            (flow.has_stream, flow.stream) = (true, stream);
        }
        What::Crossed { direction, bytes } => {
            if let Some(crossed) = flow.crossed.get_mut(direction as usize) {
                *crossed += bytes;
            }
            integrity::crossed(pass, flow, direction);
            if direction == Direction::Request && bytes > 0 && !pass.is_network_broken(flow) {
                pass.tally.holds(Id::AtTarget);
            }
        }
        What::Answered { bytes, .. } => {
            flow.answered += bytes;
            backpressure::answered(pass, flow);
        }
        What::Moved { state } => {
            lifecycle::moved(pass, flow, state);
            let before = std::mem::replace(&mut flow.life, state);
            if state.is_over() && !before.is_over() {
                ends(pass, flow, state);
            }
        }
        What::Illegal { state, event, .. } => lifecycle::illegal(pass, state, event),
        What::Stalled => {
            if flow.stalled.replace(pass.tally.mark.tick).is_none() {
                pass.run.stalled += 1;
            }
            backpressure::stalled(pass, flow);
        }
        What::Resumed => {
            backpressure::resumed(pass, flow);
            pass.run.stalled -= u32::from(flow.stalled.take().is_some());
        }
        What::Fault(kind) => {
            flow.faults = flow.faults.with(kind);
            if kind == FaultKind::HalfClose && flow.expected == Expected::SourceResets {
                // It ends before it comes to that.
                flow.expected = Expected::Any;
            }
            if kind == FaultKind::BlockedConsumer {
                pass.run.blocked = Some((flow.id, pass.tally.mark.tick));
            }
            pass.run.all_faults = pass.run.all_faults.with(kind);
        }
        What::Stuck { state } => {
            flow.is_stuck = true;
            liveness::stuck(pass, flow, state);
            if !state.is_over() {
                ends(pass, flow, state);
            }
        }
        _ => {}
    }
}

/// The flow is over, or never will be.
fn ends(pass: &mut Pass<'_>, flow: &mut Flow, state: FlowState) {
    if !flow.has_stream && state == FlowState::Failed {
        // The session had no stream for it, or an adapter no room.
        flow.expected = Expected::Any;
    }
    lifecycle::ends(pass, flow, state);
    integrity::ends(pass, flow, state);
    isolation::ends(pass, flow, state);
    errors::ends(pass, flow, state);
    liveness::ends(pass, flow, state);
    robustness::ends(pass, flow, state);
    if matches!(state, FlowState::Reset | FlowState::Failed) {
        pass.run.first_broken = pass.run.first_broken.or(Some(flow.id));
    }
    if state.is_over() {
        pass.run.stalled -= u32::from(flow.stalled.take().is_some());
    }
}

/// Something happened to the run.
fn of_run(pass: &mut Pass<'_>, flows: &mut [Flow], what: &What) {
    match *what {
        What::Holds { place, bytes } => {
            resources::holds(pass, place, bytes);
            if let Some(all) = pass.run.adapters.get_mut(place as usize) {
                all.told_max = all.told_max.max(bytes);
            }
        }
        What::SessionError { code, .. } => {
            robustness::session_error(pass, code);
            pass.run.is_session_over = true;
        }
        What::Fault(kind) => {
            let faults = FaultKinds::only(kind);
            pass.run.all_faults = pass.run.all_faults.and(faults);
            match kind {
                FaultKind::Crash => crash(pass.run, flows),
                _ => pass.run.faults = pass.run.faults.and(faults),
            }
        }
        What::Calm => pass.run.calm = pass.run.calm.or(Some(pass.tally.mark.tick)),
        What::OutOfSteps => liveness::out_of_steps(pass),
        What::Left { place, bytes } => resources::left(pass, place, bytes),
        What::Waits { place } => resources::waits(pass, place),
        What::SessionKeeps { kept, amount, .. } => resources::session_keeps(pass, kept, amount),
        What::SessionCall { call, is_right, .. } => integrity::besides(pass, call, is_right),
        What::Finished => pass.run.is_finished = true,
        _ => {}
    }
}

/// An adapter was thrown away: of the flows that it may have known nothing is asked any more.
fn crash(run: &mut Run, flows: &mut [Flow]) {
    for flow in flows {
        let is_known = flow.sides.iter().any(|side| side.is_opened);
        match is_known {
            true => flow.faults = flow.faults.with(FaultKind::Crash),
            false => flow.is_after_crash = true,
        }
    }
    // From here on nobody knows what the adapters hold.
    run.is_crashed = true;
}

fn finish(pass: &mut Pass<'_>, flows: &[Flow], examined: &Examined<'_>) {
    let marked = pass.tally.mark;
    if pass.run.is_finished {
        for flow in flows {
            pass.tally.mark.flow = flow.id;
            liveness::finished(pass, flow);
            integrity::finished(pass, flow);
            isolation::finished(pass, flow);
            backpressure::finished(pass, flow);
        }
        pass.tally.mark = marked;
    }
    liveness::run_finished(pass, examined);
    robustness::run_finished(pass, flows);
    resources::run_finished(pass, flows);
    honesty::run_finished(pass, examined);
    hygiene::run_finished(pass, examined);
    determinism::run_finished(pass, examined);
    isolation::compare_with_solo(pass, flows, examined);
}
