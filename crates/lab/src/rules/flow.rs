// SPDX-License-Identifier: BSD-3-Clause
//! The state of an examination, updated event by event: the run, its adapters and its flows.

use super::Examined;
use super::recorder::Recorder;
use crate::contract::{Capabilities, Capability, Class, FlowId, FlowState, Limits, Tick};
use crate::fault::FaultKinds;
use crate::source::{End, FlowPlan};
use crate::target::Behaviour;
use crate::trace::{EventKind, FaultKind, Stage};

/// How a flow must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// In order.
    Closed,
    /// By an error of its target.
    TargetFails,
    /// Reset by its target.
    TargetResets,
    /// Reset by its source.
    SourceResets,
    /// In any way: something happened that leaves it open.
    Any,
}

impl Expected {
    fn of(plan: &FlowPlan, behaviour: Behaviour) -> Self {
        match (plan.end, behaviour) {
            (End::Reset, _) => Self::SourceResets,
            // Its source violates the rules: the flow fails, whatever the adapter does.
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

/// An offer, until its result is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) bytes: u64,
    pub(super) is_final: bool,
    /// Its offset, if that is not the expected one.
    pub(super) misplaced: Option<u64>,
    /// The direction had ended.
    pub(super) is_behind_end: bool,
}

/// An output chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put {
    pub(super) place: Stage,
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
    /// The adapter was notified of a reset, of this kind.
    pub(super) notified: Option<&'static str>,
    /// No more input is given to it.
    pub(super) is_ended: bool,
    /// It reported the end of its output.
    pub(super) is_finished: bool,
    /// It reported that the flow is over.
    pub(super) is_over: bool,
    pub(super) offer: Option<Offer>,
    pub(super) taken: u64,
    pub(super) out: u64,
    /// Output chunks.
    pub(super) chunks: u64,
    /// What it reported, one bit each.
    pub(super) said: u8,
}

impl Side {
    /// Bytes that it took, has not put out, and may still put out.
    pub(super) const fn held(&self) -> u64 {
        let is_gone = self.is_closed | self.is_over | self.notified.is_some();
        if is_gone { 0 } else { self.taken.saturating_sub(self.out) }
    }

    /// It may count towards the adapter's limit of flows.
    pub(super) const fn occupies(&self) -> bool {
        self.is_opened & !self.is_closed & !self.is_over
    }

    /// It certainly does.
    pub(super) const fn surely_occupies(&self) -> bool {
        self.occupies() && self.notified.is_none()
    }
}

/// A flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) id: FlowId,
    pub(super) class: Class,
    /// Bytes in the plan of its source.
    pub(super) planned: u64,
    pub(super) expected: Expected,
    pub(super) life: FlowState,
    pub(super) sides: [Side; 2],
    /// Bytes that crossed the network, to the target and back.
    pub(super) crossed: [u64; 2],
    /// Bytes that the target sent.
    pub(super) answered: u64,
    pub(super) faults: FaultKinds,
    /// Since when offers of its source are refused.
    pub(super) stalled: Option<Tick>,
    pub(super) has_stream: bool,
    pub(super) stream: u32,
    /// The target received a wrong byte.
    pub(super) is_other_at_target: bool,
    /// A part other than an adapter changed bytes: adapters are not judged by them.
    pub(super) is_changed: bool,
    /// An adapter crashed before the flow was opened.
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

    pub(super) fn side(&self, place: Stage) -> Option<&Side> {
        self.sides.get(place as usize)
    }

    pub(super) fn side_mut(&mut self, place: Stage) -> Option<&mut Side> {
        self.sides.get_mut(place as usize)
    }

    /// An adapter that knew it crashed: it has no obligations any more.
    pub(super) const fn is_crashed(&self) -> bool {
        self.faults.has(FaultKind::Crash)
    }
}

/// One value per adapter.
pub(super) type Both<T> = [T; 2];

/// The state of an adapter, over all its flows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct All {
    /// Bytes that it took and has not put out, and their maximum.
    pub(super) held: u64,
    pub(super) held_max: u64,
    /// The maximum number of bytes that it reported to hold.
    pub(super) reported_max: u64,
    /// Bytes that it put out.
    pub(super) out: u64,
    /// Since when it holds nothing.
    pub(super) empty_since: Option<Tick>,
    /// Flows that it carries: possibly, and certainly.
    pub(super) occupied: u32,
    pub(super) surely_occupied: u32,
}

/// The state of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) capabilities: Both<Capabilities>,
    pub(super) limits: Both<Limits>,
    pub(super) window_bytes: u64,
    /// Bytes of all flows together that may be in flight in each direction.
    pub(super) session_bytes: u64,
    pub(super) is_echo: bool,
    /// The target responds before the request.
    pub(super) is_unprompted: bool,
    /// Both urgent and other flows are planned.
    pub(super) has_classes: bool,
    /// Faults of the whole run.
    pub(super) faults: FaultKinds,
    /// All faults.
    pub(super) all_faults: FaultKinds,
    pub(super) adapters: Both<All>,
    /// Number of stalled flows.
    pub(super) stalled: u32,
    /// The flow of which the sink takes nothing, and since when.
    pub(super) blocked: Option<(FlowId, Tick)>,
    /// The flow of which the sink takes again, and since when; the egress adapter has put out
    /// nothing of it since.
    pub(super) unblocked: Option<(FlowId, Tick)>,
    /// The first flow that was reset.
    pub(super) first_broken: Option<FlowId>,
    pub(super) cleared: Option<Tick>,
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
            cleared: None,
            last_stream: 0,
            is_session_over: false,
            is_finished: false,
            is_crashed: false,
        }
    }

    pub(super) fn all(&self, place: Stage) -> All {
        self.adapters.get(place as usize).copied().unwrap_or_default()
    }

    pub(super) fn claims(&self, place: Stage, capability: Capability) -> bool {
        self.capabilities.get(place as usize).is_some_and(|claimed| claimed.has(capability))
    }
}

/// The input of a family at an event: the run, the rules, and the position.
pub(super) struct Pass<'a> {
    pub(super) run: &'a mut Run,
    pub(super) recorder: &'a mut Recorder,
}

impl Pass<'_> {
    /// Another flow makes no progress, because of its sink or of its source.
    #[inline]
    pub(super) fn another_waits(&self) -> bool {
        self.run.stalled > 0
            || self.run.blocked.is_some_and(|(flow, _)| flow != self.recorder.mark.flow)
    }

    /// The faults of a flow, or of the run.
    pub(super) const fn faults(&self, flow: &Flow) -> FaultKinds {
        self.run.faults.and(flow.faults)
    }

    /// The network may have lost or changed bytes, for which no part is to blame.
    pub(super) const fn is_network_broken(&self, flow: &Flow) -> bool {
        self.faults(flow).has_any(FaultKinds::NETWORK)
    }
}

/// The adapter that an event is about.
#[inline]
pub(super) const fn place_of(what: &EventKind) -> Option<Stage> {
    match *what {
        EventKind::Called { place, .. }
        | EventKind::Offered { place, .. }
        | EventKind::Took { place, .. }
        | EventKind::OfferRefused { place, .. }
        | EventKind::Out { place, .. }
        | EventKind::OutBeyondRoom { place, .. }
        | EventKind::OutOnNoFlow { place, .. }
        | EventKind::Signalled { place, .. } => Some(place),
        _ => None,
    }
}
