// SPDX-License-Identifier: BSD-3-Clause
//! A run, and how one thing of it is made wrong.

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{Capability, ErrorClass, FlowId, FlowState, Limits, Manifest, Tick};
use becket_lab::fault::FaultPlan;
use becket_lab::hygiene::{Canary, Search, Text, TextKind};
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::rules::{Examination, Examined, examine};
use becket_lab::source::{FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Call, Event, EventKind, FaultKind, OutletEvent, Stage, Trace};
use becket_lab::world;

pub(crate) const IN: Stage = Stage::Ingress;
pub(crate) const OUT: Stage = Stage::Egress;

/// A run, and what is said about it. A case changes one of it.
pub(crate) struct Run {
    pub(crate) source: Source,
    pub(crate) behaviour: Behaviour,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) events: Vec<Event>,
    pub(crate) manifests: [Manifest; 2],
    pub(crate) after: [Manifest; 2],
    pub(crate) again: [bool; 2],
    pub(crate) texts: [(TextKind, Stage, String); 4],
}

pub(crate) const SECRET: [u8; 16] = *b"\x93q\x07\xfeZ8\x11\xc4R\x9d\xe2/k\xb0\x1aF";

pub(crate) fn healthy() -> &'static Healthy {
    HEALTHY.iter().find(|pair| pair.name == "memory").expect("there is one")
}

impl Run {
    pub(crate) fn of(source: Source, behaviour: Behaviour, buffer: u64) -> Self {
        let config = Config { deterministic_seed: 5, ..Config::default() };
        let limits = Limits {
            flows_max: 16,
            buffered_bytes_max: 4 * buffer,
            flow_buffered_bytes_max: buffer,
        };
        let trace = trace(&case(&config, behaviour, source.plan(&config, 4)), limits);
        let (ingress, egress) = (healthy().make)(limits);
        let manifests = [ingress.manifest(), egress.manifest()];
        let texts = [
            (TextKind::Summary, IN, ingress.summary()),
            (TextKind::Error, OUT, "flow 1 takes nothing more".to_owned()),
            (TextKind::Debug, OUT, "Adapter { flows: 0 }".to_owned()),
            (TextKind::Report, Stage::Network, "all is well".to_owned()),
        ];
        let after = manifests.clone();
        let (events, again) = (trace.events().to_vec(), [true; 2]);
        Self { source, behaviour, config, limits, events, manifests, after, again, texts }
    }

    pub(crate) fn examine(&self) -> Examination {
        let plans = self.source.plan(&self.config, 4);
        let alone = |plan: &FlowPlan| {
            let plan = FlowPlan { flow: FlowId::new(1), ..plan.clone() };
            trace(&case(&self.config, self.behaviour, vec![plan]), self.limits)
        };
        let alone: Vec<_> = plans.iter().map(alone).collect();
        let mut trace = Trace::new(1 << 16);
        for event in &self.events {
            trace.push(event.tick, event.flow, event.what);
        }
        let other = Trace::new(1).hash();
        let [again, fresh_process] = self.again.map(|same| if same { trace.hash() } else { other });
        let search = Search::new(&[Canary { name: "payload", bytes: SECRET.to_vec() }]);
        let text = |(kind, place, text): &'_ (TextKind, Stage, String)| Text {
            kind: *kind,
            place: *place,
            text: text.clone().leak(),
        };
        let texts: Vec<_> = self.texts.iter().map(text).collect();
        let case = case(&self.config, self.behaviour, plans);
        let mut examined = Examined::new(&trace, &case, self.manifests.each_ref());
        examined.solo = Some(&alone);
        (examined.again, examined.fresh_process) = (Some(again), Some(fresh_process));
        examined.claimed_after = Some(self.after.each_ref());
        (examined.texts, examined.search) = (&texts, Some(&search));
        examine(&examined)
    }

    /// The number of the first event that is so.
    pub(crate) fn first(&self, is_so: impl Fn(u32, &EventKind) -> bool) -> usize {
        let position = self.events.iter().position(|it| is_so(it.flow.number(), &it.what));
        position.expect("it happens in a healthy run")
    }

    pub(crate) fn edit(
        &mut self,
        is_so: impl Fn(u32, &EventKind) -> bool,
        edit: impl Fn(&mut EventKind),
    ) {
        let at = self.first(is_so);
        edit(&mut self.events[at].what);
    }

    pub(crate) fn remove(&mut self, is_so: impl Fn(u32, &EventKind) -> bool) {
        let at = self.first(is_so);
        self.events.remove(at);
    }

    /// Puts something behind the first event that is so, at the same moment.
    pub(crate) fn insert(
        &mut self,
        is_so: impl Fn(u32, &EventKind) -> bool,
        flow: u32,
        what: EventKind,
    ) {
        let at = self.first(is_so);
        let tick = self.events[at].tick;
        self.events.insert(at + 1, Event { tick, flow: FlowId::new(flow), what });
    }

    pub(crate) fn begin_with(&mut self, flow: u32, what: EventKind) {
        self.events.insert(0, Event { tick: Tick(0), flow: FlowId::new(flow), what });
    }

    /// Everything from an event on happens later.
    pub(crate) fn delay(&mut self, from: usize, ms: u64) {
        for event in &mut self.events[from..] {
            event.tick = event.tick.after(ms);
        }
    }

    pub(crate) fn forget(&mut self, side: usize, capability: Capability) {
        let manifest = &mut self.manifests[side];
        manifest.capabilities = manifest.capabilities.without(capability);
    }
}

/// The sink takes nothing of flow 1, and takes of it again; what comes behind that does so later.
/// Where the sink takes again.
pub(crate) fn blocks(run: &mut Run, ms: u64) -> usize {
    let blocked = EventKind::Fault(FaultKind::BlockedConsumer);
    let is_it =
        |flow, what: &EventKind| flow == 1 && matches!(what, EventKind::Took { place: OUT, .. });
    run.insert(is_it, 1, blocked);
    run.insert(|_, what| *what == blocked, 1, EventKind::Unblocked);
    let at = run.first(|_, what| *what == EventKind::Unblocked);
    run.delay(at + 1, ms);
    at
}

pub(crate) fn case(config: &Config, behaviour: Behaviour, plans: Vec<FlowPlan>) -> Case {
    let (link, faults) = (Link::Stream, FaultPlan::NONE);
    Case { config: config.clone(), plans, behaviour, window_bytes: 64 << 10, link, faults }
}

pub(crate) fn trace(case: &Case, limits: Limits) -> Trace {
    let mut trace = Trace::new(1 << 16);
    let (mut ingress, mut egress) = (healthy().make)(limits);
    let mut choices = Choices::seeded(case.config.deterministic_seed);
    world::run(case, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    trace
}

pub(crate) fn is_out(what: &EventKind, at: Stage) -> bool {
    matches!(what, EventKind::Out { place, bytes, .. } if *place == at && *bytes > 0)
}

pub(crate) fn is_said(what: &EventKind, at: Stage, expected: OutletEvent) -> bool {
    *what == EventKind::Signalled { place: at, said: expected }
}

pub(crate) fn is_moved(what: &EventKind, to: FlowState) -> bool {
    *what == EventKind::Moved { state: to }
}

pub(crate) fn is_called(what: &EventKind, at: Stage, expected: Call) -> bool {
    matches!(what, EventKind::Called { place, call, .. } if *place == at && *call == expected)
}

pub(crate) const fn is_took(what: &EventKind) -> bool {
    matches!(what, EventKind::Took { bytes, .. } if *bytes > 0)
}

pub(crate) fn is_finished(_: u32, what: &EventKind) -> bool {
    *what == EventKind::Finished
}

pub(crate) fn out_bytes(what: &mut EventKind, change: impl Fn(u64) -> u64) {
    match what {
        EventKind::Out { bytes, .. }
        | EventKind::Took { bytes, .. }
        | EventKind::Crossed { bytes, .. } => {
            *bytes = change(*bytes);
        }
        _ => panic!("nothing was carried"),
    }
}

pub(crate) fn refuse(what: &mut EventKind, class: ErrorClass) {
    match what {
        EventKind::Called { refused, .. } => *refused = Some(class),
        EventKind::Took { place, .. } => *what = EventKind::OfferRefused { place: *place, class },
        _ => panic!("nothing was asked"),
    }
}
