// SPDX-License-Identifier: BSD-3-Clause
//! What an examination knows of a run and of its flows, event by event.

use super::Examined;
use super::tally::Tally;
use crate::contract::{Capabilities, Capability, Class, FlowId, FlowState, Limits, Tick};
use crate::fault::FaultKinds;
use crate::source::{End, FlowPlan};
use crate::target::Behaviour;
use crate::trace::{FaultKind, Place, What};

/// How a flow has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// In order.
    Closed,
    /// By the error of its target.
    TargetFails,
    /// Broken off by its target.
    TargetResets,
    /// Broken off by its source.
    SourceResets,
    /// It does not matter: something happened to it that need not.
    Any,
}

impl Expected {
    fn of(plan: &FlowPlan, behaviour: Behaviour) -> Self {
        match (plan.end, behaviour) {
            (End::Reset, _) => Self::SourceResets,
            // Its source breaks the rules: the flow fails, whatever the adapter does.
            (End::Malformed, _) => Self::Any,
            (_, Behaviour::ErrorResponse) => Self::TargetFails,
            (_, Behaviour::ResetMidstream) => Self::TargetResets,
            _ => Self::Closed,
        }
    }

    pub(super) const fn state(self) -> Option<FlowState> {
        match self {
            Self::Closed => Some(FlowState::Closed),
            Self::TargetFails => Some(FlowState::Failed),
            Self::TargetResets | Self::SourceResets => Some(FlowState::Reset),
            Self::Any => None,
        }
    }
}

/// Bytes that were offered, until it is known what came of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) bytes: u64,
    pub(super) is_final: bool,
    /// Where it begins, if that is not where it has to.
    pub(super) misplaced: Option<u64>,
    /// The direction was over.
    pub(super) is_behind_end: bool,
}

/// A chunk that was put out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put {
    pub(super) place: Place,
    pub(super) sequence: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) is_final: bool,
}

/// A flow at one adapter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    pub(super) is_opened: bool,
    pub(super) is_closed: bool,
    /// The adapter was told that it is broken off, and of what kind that was.
    pub(super) told: Option<&'static str>,
    /// Nothing more is given to it.
    pub(super) is_ended: bool,
    /// It said that nothing more comes out.
    pub(super) is_finished: bool,
    /// It said that the flow is over.
    pub(super) is_over: bool,
    pub(super) offer: Option<Offer>,
    pub(super) taken: u64,
    pub(super) out: u64,
    /// Chunks that were put out.
    pub(super) chunks: u64,
    /// What it said, a bit each.
    pub(super) said: u8,
}

impl Side {
    /// Bytes that it took, has not put out, and may still put out.
    pub(super) const fn held(&self) -> u64 {
        let is_gone = self.is_closed | self.is_over | self.told.is_some();
        if is_gone { 0 } else { self.taken.saturating_sub(self.out) }
    }

    /// It takes a place among those that an adapter carries, for all that is known.
    pub(super) const fn occupies(&self) -> bool {
        self.is_opened & !self.is_closed & !self.is_over
    }

    /// It surely does.
    pub(super) const fn surely_occupies(&self) -> bool {
        self.occupies() && self.told.is_none()
    }
}

/// A flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) id: FlowId,
    pub(super) class: Class,
    /// Bytes that its source has.
    pub(super) planned: u64,
    pub(super) expected: Expected,
    pub(super) life: FlowState,
    pub(super) sides: [Side; 2],
    /// Bytes that came across the network, to the target and back.
    pub(super) crossed: [u64; 2],
    /// Bytes that the target sent.
    pub(super) answered: u64,
    pub(super) faults: FaultKinds,
    /// Since when its source is turned away.
    pub(super) stalled: Option<Tick>,
    pub(super) has_stream: bool,
    pub(super) stream: u32,
    /// The target had a byte that it should not have.
    pub(super) is_other_at_target: bool,
    /// A part that is no adapter changed bytes: adapters are not judged by them.
    pub(super) is_changed: bool,
    /// An adapter was thrown away before the flow was opened.
    pub(super) is_after_crash: bool,
    pub(super) is_stuck: bool,
}

impl Flow {
    pub(super) fn new(plan: &FlowPlan, behaviour: Behaviour) -> Self {
        Self {
            id: plan.flow,
            class: plan.class,
            planned: plan.bytes(),
            expected: Expected::of(plan, behaviour),
            life: FlowState::New,
            sides: [Side::default(); 2],
            crossed: [0; 2],
            answered: 0,
            faults: FaultKinds::default(),
            stalled: None,
            has_stream: false,
            stream: 0,
            is_other_at_target: false,
            is_changed: false,
            is_after_crash: false,
            is_stuck: false,
        }
    }

    pub(super) fn side(&self, place: Place) -> Option<&Side> {
        self.sides.get(place as usize)
    }

    pub(super) fn side_mut(&mut self, place: Place) -> Option<&mut Side> {
        self.sides.get_mut(place as usize)
    }

    /// An adapter was thrown away that knew it: nothing is asked of it any more.
    pub(super) const fn is_crashed(&self) -> bool {
        self.faults.has(FaultKind::Crash)
    }
}

/// One of something for each adapter.
pub(super) type Both<T> = [T; 2];

/// What is known of an adapter, over all its flows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct All {
    /// Bytes that it took and has not put out, and how many it was at most.
    pub(super) held: u64,
    pub(super) held_max: u64,
    /// How many it said at most that it holds.
    pub(super) told_max: u64,
    /// Bytes that it put out.
    pub(super) out: u64,
    /// Since when it holds nothing.
    pub(super) empty_since: Option<Tick>,
    /// Flows that it carries, for all that is known, and surely.
    pub(super) occupied: u32,
    pub(super) surely_occupied: u32,
}

/// What is known of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) capabilities: Both<Capabilities>,
    pub(super) limits: Both<Limits>,
    pub(super) window_bytes: u64,
    /// Bytes that all flows together may have under way each way.
    pub(super) session_bytes: u64,
    pub(super) is_echo: bool,
    /// The target answers before it was asked.
    pub(super) is_unprompted: bool,
    /// Both urgent flows and others that may wait are planned.
    pub(super) has_classes: bool,
    /// Faults that struck the run, not a flow.
    pub(super) faults: FaultKinds,
    /// All faults.
    pub(super) all_faults: FaultKinds,
    pub(super) adapters: Both<All>,
    /// Flows that are stalled.
    pub(super) stalled: u32,
    /// The sink takes nothing of this flow, since then.
    pub(super) blocked: Option<(FlowId, Tick)>,
    /// The sink takes of this flow again, since then, and the egress adapter has put out nothing of
    /// what it holds.
    pub(super) unblocked: Option<(FlowId, Tick)>,
    /// The first that was broken off.
    pub(super) first_broken: Option<FlowId>,
    pub(super) calm: Option<Tick>,
    pub(super) last_stream: u32,
    pub(super) is_session_over: bool,
    pub(super) is_finished: bool,
    pub(super) is_crashed: bool,
}

impl Run {
    pub(super) fn new(examined: &Examined<'_>) -> Self {
        let manifests = [examined.ingress, examined.egress];
        let has = |class| examined.plans.iter().any(|plan| plan.class == class);
        Self {
            capabilities: manifests.map(|manifest| manifest.capabilities),
            limits: manifests.map(|manifest| manifest.limits),
            window_bytes: examined.window_bytes,
            session_bytes: examined.config.max_buffered_bytes,
            is_echo: examined.behaviour.is_echo(),
            is_unprompted: examined.behaviour.is_unprompted(),
            has_classes: has(Class::Interactive) && has(Class::Bulk),
            faults: FaultKinds::default(),
            all_faults: FaultKinds::default(),
            adapters: [All { empty_since: Some(Tick(0)), ..All::default() }; 2],
            stalled: 0,
            blocked: None,
            unblocked: None,
            first_broken: None,
            calm: None,
            last_stream: 0,
            is_session_over: false,
            is_finished: false,
            is_crashed: false,
        }
    }

    pub(super) fn all(&self, place: Place) -> All {
        self.adapters.get(place as usize).copied().unwrap_or_default()
    }

    pub(super) fn claims(&self, place: Place, capability: Capability) -> bool {
        self.capabilities.get(place as usize).is_some_and(|claimed| claimed.has(capability))
    }
}

/// What a family has at an event: the run, the rules, and where it stands.
pub(super) struct Pass<'a> {
    pub(super) run: &'a mut Run,
    pub(super) tally: &'a mut Tally,
}

impl Pass<'_> {
    /// Another flow than that of this event stands still, because of its sink or of its source.
    #[inline]
    pub(super) fn another_waits(&self) -> bool {
        self.run.stalled > 0
            || self.run.blocked.is_some_and(|(flow, _)| flow != self.tally.mark.flow)
    }

    /// The faults that struck a flow, or the run.
    pub(super) const fn faults(&self, flow: &Flow) -> FaultKinds {
        self.run.faults.and(flow.faults)
    }

    /// What was put in may be lost or changed on its way, and nobody is to blame for it.
    pub(super) const fn is_network_broken(&self, flow: &Flow) -> bool {
        self.faults(flow).has_any(FaultKinds::NETWORK)
    }
}

/// The adapter that did what an event tells.
#[inline]
pub(super) const fn place_of(what: &What) -> Option<Place> {
    match *what {
        What::Called { place, .. }
        | What::Offered { place, .. }
        | What::Took { place, .. }
        | What::OfferRefused { place, .. }
        | What::Out { place, .. }
        | What::OutBeyondRoom { place, .. }
        | What::OutOnNoFlow { place, .. }
        | What::Said { place, .. } => Some(place),
        _ => None,
    }
}
