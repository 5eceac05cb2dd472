// SPDX-License-Identifier: BSD-3-Clause
//! The pass over the events: each is passed to the families that examine its kind, and then updates
//! the state of the flow.

use super::catalogue::{CATALOGUE, Id};
use super::flow::{Expected, Flow, Offer, Pass, Put, Run, Side};
use super::recorder::{Recorder, RuleSets};
use super::{
    Examination, Examined, backpressure, determinism, errors, honesty, hygiene, integrity,
    isolation, lifecycle, liveness, resources, robustness,
};
use crate::contract::{Capabilities, Capability, FlowId, FlowState};
use crate::fault::FaultKinds;
use crate::pattern::Direction;
use crate::trace::{Call, Event, EventKind, FaultKind, OutletEvent, Stage};

/// Examines runs, one after another, and reuses its memory.
#[derive(Debug, Default)]
pub struct Examiner {
    flows: Vec<Flow>,
    recorder: Recorder,
    /// The latest claims of the adapters, and the rules that apply to them.
    claimed: Option<([Capabilities; 2], u128)>,
}

impl Examiner {
    /// An examiner without state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Examines a run. Its results are kept until the next run.
    pub fn examine(&mut self, examined: &Examined<'_>) -> RuleSets {
        let mut run = Run::new(examined);
        let Self { flows, recorder, claimed } = self;
        let known = claimed.filter(|(claimed, _)| *claimed == run.capabilities);
        let (_, applicable) =
            *claimed.insert(known.unwrap_or_else(|| (run.capabilities, applicable(&run))));
        recorder.clear(applicable);
        flows.clear();
        flows.extend(examined.plans.iter().map(|plan| Flow::new(plan, examined.behaviour)));
        let mut pass = Pass { run: &mut run, recorder };
        for event in examined.trace.events() {
            (pass.recorder.mark.flow, pass.recorder.mark.tick) = (event.flow, event.tick);
            take(&mut pass, flows, event);
            pass.recorder.mark.event += 1;
        }
        pass.recorder.mark.flow = FlowId::new(0);
        finish(&mut pass, flows, examined);
        recorder.rule_sets
    }

    /// The rule sets of the latest run.
    #[must_use]
    pub const fn rule_sets(&self) -> RuleSets {
        self.recorder.rule_sets
    }

    /// All outcomes of the latest run.
    #[must_use]
    pub fn examination(&self) -> Examination {
        let outcomes = CATALOGUE.iter().enumerate();
        let outcomes = outcomes.map(|(at, rule)| (rule, self.recorder.outcome(at))).collect();
        Examination { outcomes }
    }
}

/// The rules about capabilities that the adapters claim, and those that need none.
fn applicable(run: &Run) -> u128 {
    let [ingress, egress] = run.capabilities;
    let is_applicable = |(_, rule): &(usize, &super::Rule)| {
        rule.needs.is_none_or(|needed| ingress.has(needed) || egress.has(needed))
    };
    let rules = CATALOGUE.iter().enumerate().filter(is_applicable);
    let all = rules.fold(0, |all, (at, _)| all | 1_u128 << at);
    let both = ingress.and(egress);
    // What both claim, neither must refuse.
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
    // One arm per kind: the code after it is compiled for that kind alone.
    match *what {
        EventKind::Called { place, .. } => of_side(pass, flows, place, what),
        // Nothing is examined or counted before the result of the offer is known.
        EventKind::Offered { place, .. } => {
            if let Some(flow) = planned(pass, flows, what) {
                update(pass, flow, place, what);
            }
        }
        EventKind::Took { place, .. } => of_side(pass, flows, place, what),
        EventKind::Out { place, .. } => {
            if pass.run.has_classes {
                honesty::out(pass, flows, place);
            }
            of_side(pass, flows, place, what);
        }
        EventKind::Signalled { place, .. } => of_side(pass, flows, place, what),
        EventKind::OfferRefused { place, .. }
        | EventKind::OutBeyondRoom { place, .. }
        | EventKind::OutOnNoFlow { place, .. } => of_side(pass, flows, place, what),
        EventKind::Moved { .. } => of_flow(pass, flows, what),
        EventKind::Crossed { .. } => of_flow(pass, flows, what),
        EventKind::Answered { .. } => of_flow(pass, flows, what),
        EventKind::Stream { stream } => {
            isolation::stream(pass, flows, stream);
            of_flow(pass, flows, what);
        }
        EventKind::StreamOver { .. } => {}
        _ => rarely(pass, flows, what),
    }
}

/// The flow of this event, if it is in the plan.
#[inline(always)]
fn planned<'f>(
    pass: &mut Pass<'_>,
    flows: &'f mut [Flow],
    what: &EventKind,
) -> Option<&'f mut Flow> {
    let at = (pass.recorder.mark.flow.number() as usize).wrapping_sub(1);
    let flow = flows.get_mut(at);
    if flow.is_none() {
        isolation::stray(pass, what);
    }
    flow
}

#[cold]
fn rarely(pass: &mut Pass<'_>, flows: &mut [Flow], what: &EventKind) {
    if let EventKind::Unblocked = what {
        isolation::unblocked(pass, flows);
        backpressure::unblocked(pass, flows);
    }
    of_flow(pass, flows, what);
}

/// An event of an adapter and a flow.
#[inline(always)]
fn of_side(pass: &mut Pass<'_>, flows: &mut [Flow], place: Stage, what: &EventKind) {
    let Some(flow) = planned(pass, flows, what) else { return };
    let Some(before) = flow.side(place).map(Counts::of) else { return };
    if !flow.is_crashed() {
        check_side(pass, flow, place, what);
    }
    update(pass, flow, place, what);
    if let EventKind::Signalled { said: OutletEvent::HalfClosed, .. } = what {
        // The account of the adapter is unchanged.
        return;
    }
    if let Some(after) = flow.side(place).map(Counts::of) {
        account(pass, place, before, after);
    }
    if let EventKind::Took { .. } = what {
        resources::took(pass, flow, place);
    }
}

/// The share of a flow in the account of its adapter.
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

/// Examines an event of an adapter against the state before it.
#[inline(always)]
fn check_side(pass: &mut Pass<'_>, flow: &Flow, place: Stage, what: &EventKind) {
    let Some(side) = flow.side(place) else { return };
    match *what {
        EventKind::Called { call, refused, .. } => {
            lifecycle::called(pass, side, place, (call, refused));
            honesty::called(pass, side, place, (call, refused));
            resources::called(pass, place, (call, refused));
        }
        EventKind::Took { bytes, .. } => {
            if let Some(offer) = &side.offer {
                lifecycle::took(pass, offer, place);
                backpressure::took(pass, flow, place, (offer, bytes));
                errors::took(pass, offer, place);
            }
        }
        EventKind::OfferRefused { class, .. } => {
            if let Some(offer) = &side.offer {
                lifecycle::refused(pass, offer, place, class);
                errors::refused(pass, offer, place, class);
            }
        }
        EventKind::Out { sequence, offset, bytes, is_final, .. } => {
            let put = Put { place, sequence, offset, bytes, is_final };
            integrity::out(pass, side, &put);
            lifecycle::out(pass, side, place);
            isolation::out(pass, side, place);
            backpressure::out(pass, flow, &put);
        }
        EventKind::OutBeyondRoom { bytes, room, .. } => {
            backpressure::out_beyond_room(pass, place, bytes, room);
        }
        EventKind::OutOnNoFlow { .. } => {
            isolation::out(pass, side, place);
            lifecycle::out_on_no_flow(pass, flow, side, place);
        }
        EventKind::Signalled { said, .. } => {
            isolation::out(pass, side, place);
            lifecycle::said(pass, side, place, said);
            integrity::said(pass, side, place, said);
            errors::said(pass, flow, side, (place, said));
        }
        _ => {}
    }
}

/// Updates the state with an event of an adapter.
#[inline(always)]
fn update(pass: &Pass<'_>, flow: &mut Flow, place: Stage, what: &EventKind) {
    let is_over = flow.life.is_over();
    let has_failed = flow.life == FlowState::Failed;
    let claims_half_close = pass.run.claims(place, Capability::FlowHalfClose);
    let Some(side) = flow.side_mut(place) else { return };
    let mut is_excused = false;
    match *what {
        EventKind::Called { call: Call::Open, refused, .. } => {
            side.is_opened |= refused.is_none();
            is_excused = refused.is_some();
        }
        EventKind::Called { call: Call::HalfClose, refused, .. } => {
            side.is_ended |= refused.is_none();
            is_excused = refused.is_some() && !claims_half_close;
        }
        EventKind::Called { call: Call::Reset, refused: None, .. } => {
            side.notified = Some(if has_failed { "failed" } else { "reset" });
        }
        EventKind::Called { call: Call::Close, refused: None, .. } => side.is_closed = true,
        EventKind::Offered { offset, bytes, is_final, .. } => {
            let misplaced = (offset != side.taken).then_some(offset);
            let is_behind_end = side.is_ended || is_over || !side.occupies();
            side.offer = Some(Offer { bytes, is_final, misplaced, is_behind_end });
        }
        EventKind::Took { bytes, .. } => {
            if let Some(offer) = side.offer.take() {
                side.taken += bytes.min(offer.bytes);
                side.is_ended |= bytes >= offer.bytes && offer.is_final;
            }
        }
        EventKind::OfferRefused { .. } => {
            if let Some(offer) = side.offer.take() {
                is_excused = offer.misplaced.is_some();
            }
        }
        EventKind::Out { bytes, .. } => {
            side.out += bytes;
            side.chunks += 1;
        }
        EventKind::Signalled { said, .. } => {
            side.said |= 1 << said as u8;
            match said {
                OutletEvent::HalfClosed => side.is_finished = true,
                OutletEvent::Reset | OutletEvent::Failed | OutletEvent::Closed => {
                    side.is_over = true
                }
            }
        }
        _ => {}
    }
    if is_excused {
        flow.expected = Expected::Any;
    }
}

/// Applies a change of a flow to the account of its adapter.
#[inline]
fn account(pass: &mut Pass<'_>, place: Stage, before: Counts, after: Counts) {
    if before == after {
        return;
    }
    let (at, tick) = (place as usize, pass.recorder.mark.tick);
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

/// An event of a flow that no adapter caused.
#[inline(always)]
fn of_flow(pass: &mut Pass<'_>, flows: &mut [Flow], what: &EventKind) {
    let Some(flow) = planned(pass, flows, what) else { return };
    match *what {
        EventKind::OtherByte { place, .. } => {
            integrity::other_byte(pass, flow, what);
            robustness::other_byte(pass, flow, what);
            flow.is_other_at_target |= place == Stage::Network;
        }
        EventKind::Changed { part, offset } => {
            integrity::changed(pass, flow, part, offset);
            flow.is_changed = true;
        }
        EventKind::Stream { stream } => {
            pass.run.last_stream = pass.run.last_stream.max(stream);
            (flow.has_stream, flow.stream) = (true, stream);
        }
        EventKind::Crossed { direction, bytes } => {
            if let Some(crossed) = flow.crossed.get_mut(direction as usize) {
                *crossed += bytes;
            }
            integrity::crossed(pass, flow, direction);
            if direction == Direction::Request && bytes > 0 && !pass.is_network_broken(flow) {
                pass.recorder.holds(Id::AtTarget);
            }
        }
        EventKind::Answered { bytes, .. } => {
            flow.answered += bytes;
            backpressure::answered(pass, flow);
        }
        EventKind::Moved { state } => {
            lifecycle::moved(pass, flow, state);
            let before = std::mem::replace(&mut flow.life, state);
            if state.is_over() && !before.is_over() {
                ends(pass, flow, state);
            }
        }
        EventKind::Illegal { state, event, .. } => lifecycle::illegal(pass, state, event),
        EventKind::Stalled => {
            if flow.stalled.replace(pass.recorder.mark.tick).is_none() {
                pass.run.stalled += 1;
            }
            backpressure::stalled(pass, flow);
        }
        EventKind::Resumed => {
            backpressure::resumed(pass, flow);
            pass.run.stalled -= u32::from(flow.stalled.take().is_some());
        }
        EventKind::Fault(kind) => {
            flow.faults = flow.faults.with(kind);
            if kind == FaultKind::HalfClose && flow.expected == Expected::SourceResets {
                // It ends before that.
                flow.expected = Expected::Any;
            }
            if kind == FaultKind::BlockedConsumer {
                pass.run.blocked = Some((flow.id, pass.recorder.mark.tick));
            }
            pass.run.all_faults = pass.run.all_faults.with(kind);
        }
        EventKind::Stuck { state } => {
            flow.is_stuck = true;
            liveness::stuck(pass, flow, state);
            if !state.is_over() {
                ends(pass, flow, state);
            }
        }
        _ => {}
    }
}

/// The flow is over, or will never begin.
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

/// An event of the whole run.
fn of_run(pass: &mut Pass<'_>, flows: &mut [Flow], what: &EventKind) {
    match *what {
        EventKind::Holds { place, bytes } => {
            resources::holds(pass, place, bytes);
            if let Some(all) = pass.run.adapters.get_mut(place as usize) {
                all.reported_max = all.reported_max.max(bytes);
            }
        }
        EventKind::SessionError { code, .. } => {
            robustness::session_error(pass, code);
            pass.run.is_session_over = true;
        }
        EventKind::Fault(kind) => {
            let faults = FaultKinds::only(kind);
            pass.run.all_faults = pass.run.all_faults.and(faults);
            match kind {
                FaultKind::Crash => crash(pass.run, flows),
                _ => pass.run.faults = pass.run.faults.and(faults),
            }
        }
        EventKind::FaultsCleared => {
            pass.run.cleared = pass.run.cleared.or(Some(pass.recorder.mark.tick))
        }
        EventKind::OutOfSteps => liveness::out_of_steps(pass),
        EventKind::Left { place, bytes } => resources::left(pass, place, bytes),
        EventKind::Waits { place } => resources::waits(pass, place),
        EventKind::SessionKeeps { kept, amount, .. } => {
            resources::session_keeps(pass, kept, amount)
        }
        EventKind::SessionCall { call, is_right, .. } => integrity::besides(pass, call, is_right),
        EventKind::Finished => pass.run.is_finished = true,
        _ => {}
    }
}

/// An adapter crashed: the flows that it may have known have no obligations any more.
fn crash(run: &mut Run, flows: &mut [Flow]) {
    for flow in flows {
        let is_known = flow.sides.iter().any(|side| side.is_opened);
        match is_known {
            true => flow.faults = flow.faults.with(FaultKind::Crash),
            false => flow.is_after_crash = true,
        }
    }
    // From here on the contents of the adapters are unknown.
    run.is_crashed = true;
}

fn finish(pass: &mut Pass<'_>, flows: &[Flow], examined: &Examined<'_>) {
    let marked = pass.recorder.mark;
    if pass.run.is_finished {
        for flow in flows {
            pass.recorder.mark.flow = flow.id;
            liveness::finished(pass, flow);
            integrity::finished(pass, flow);
            isolation::finished(pass, flow);
            backpressure::finished(pass, flow);
        }
        pass.recorder.mark = marked;
    }
    liveness::run_finished(pass, examined);
    robustness::run_finished(pass, flows);
    resources::run_finished(pass, flows);
    honesty::run_finished(pass, examined);
    hygiene::run_finished(pass, examined);
    determinism::run_finished(pass, examined);
    isolation::compare_with_solo(pass, flows, examined);
}
