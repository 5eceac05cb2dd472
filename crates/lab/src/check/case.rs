// SPDX-License-Identifier: BSD-3-Clause
//! One run of a check: made, repeated, with each flow alone, listened to, and examined.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use super::Make;
use super::listen::{Said, listen};
use crate::adversary::Features;
use crate::carrier::Carrier;
use crate::choice::{Choices, Scheduler};
use crate::config::Config;
use crate::contract::{FlowId, Limits, Manifest};
use crate::fault::FaultPlan;
use crate::hygiene::{Canary, Search, Text, TextKind};
use crate::pattern::{Direction, Pattern};
use crate::rules::{Examined, Examiner, Finding, Marks};
use crate::saboteur::Witness;
use crate::source::{End, FlowPlan, GAP_BYTES, STRAY_BYTES};
use crate::target::Behaviour;
use crate::trace::{Place, Trace, TraceHash};
use crate::world::{self, Setup};

/// Bytes at the start of what a flow carries for which texts are searched.
const CANARY_BYTES_MAX: u64 = 64;
/// Events of a run that are shown, for what is shown to be searched.
const SHOWN_EVENTS_MAX: usize = 2048;

/// What a run is made of, but for the adapters.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) config: Config,
    pub(crate) plans: Vec<FlowPlan>,
    pub(crate) behaviour: Behaviour,
    pub(crate) window_bytes: u64,
    pub(crate) carrier: Carrier,
    pub(crate) faults: FaultPlan,
    pub(crate) limits: Limits,
    pub(crate) scheduler: Scheduler,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) trace: Trace,
    pub(crate) hash: TraceHash,
    pub(crate) marks: Marks,
    pub(crate) findings: Vec<Finding>,
    pub(crate) features: Features,
}

/// What both claim, ingress first.
pub(crate) fn manifests(make: Make<'_>, limits: Limits) -> [Manifest; 2] {
    let (ingress, egress) = make(limits);
    [ingress.manifest(), egress.manifest()]
}

impl Case {
    /// A saboteur's.
    pub(crate) fn of_witness(witness: &Witness) -> Self {
        Self {
            config: witness.config(),
            plans: witness.plans(),
            behaviour: witness.behaviour,
            window_bytes: witness.window_bytes,
            carrier: witness.carrier,
            faults: witness.faults,
            limits: witness.limits,
            scheduler: Scheduler::Random,
        }
    }

    fn setup(&self, plans: Vec<FlowPlan>) -> Setup<'_> {
        let Self { config, behaviour, window_bytes, carrier, faults, .. } = self;
        Setup {
            config,
            plans,
            behaviour: *behaviour,
            window_bytes: *window_bytes,
            carrier: *carrier,
            faults: *faults,
        }
    }

    fn trace(&self, make: Make<'_>, setup: &Setup<'_>, said: &Rc<RefCell<Said>>) -> Trace {
        let mut trace = Trace::new(self.config.max_events);
        let mut choices = Choices::scheduled(self.config.deterministic_seed, self.scheduler);
        let factory = || listen(make(self.limits), said);
        world::run_with(setup, &factory, &mut choices, &mut trace);
        trace
    }

    /// Runs it, once more, and each flow alone if there is more than one and no fault strikes.
    pub(crate) fn examine(&self, make: Make<'_>, examiner: &mut Examiner) -> Seen {
        let said = Rc::<RefCell<Said>>::default();
        let setup = self.setup(self.plans.clone());
        let pair = make(self.limits);
        let claimed = || [pair.0.manifest(), pair.1.manifest()];
        let before = claimed();
        let trace = self.trace(make, &setup, &said);
        let unheard = Rc::default();
        let again = self.trace(make, &setup, &unheard).hash();
        let alone = self.faults.is_none() && self.plans.len() > 1;
        let alone: Option<Vec<_>> = alone.then(|| {
            let one = |plan: &FlowPlan| FlowPlan { flow: FlowId::new(1), ..plan.clone() };
            let run = |plan| self.trace(make, &self.setup(vec![one(plan)]), &unheard);
            self.plans.iter().map(run).collect()
        });
        let after = claimed();

        let said = said.borrow();
        let shown = shown(&trace);
        let mut texts = said.texts();
        texts.push(Text { kind: TextKind::Report, place: Place::Network, text: &shown });
        let search = Search::new(&self.canaries());
        let mut examined = Examined::new(&trace, &setup, before.each_ref());
        examined.solo = alone.as_deref();
        examined.again = Some(again);
        examined.claimed_after = Some(after.each_ref());
        examined.texts = &texts;
        examined.search = Some(&search);
        let marks = examiner.examine(&examined);
        let findings = match marks.broken {
            0 => Vec::new(),
            _ => examiner.examination().findings().cloned().collect(),
        };
        let features = Features::of(&trace, self.plans.len());
        Seen { hash: trace.hash(), marks, findings, features, trace }
    }

    /// What one of the flows carries, which the seed decides: who tells payload tells any flow's.
    fn canaries(&self) -> Vec<Canary> {
        let seed = self.config.deterministic_seed;
        let count = self.plans.len().max(1) as u64;
        let Some(plan) = self.plans.get((seed % count) as usize) else { return Vec::new() };
        let part = |direction, from: u64, bytes: u64| {
            let mut part = vec![0; bytes as usize];
            Pattern::new(seed, plan.flow, direction).fill(from, &mut part);
            Canary { name: "payload", bytes: part }
        };
        let bytes = plan.bytes();
        let mut canaries = vec![part(Direction::Request, 0, bytes.min(CANARY_BYTES_MAX))];
        match plan.end {
            End::LateWrite => canaries.push(part(Direction::Request, bytes, STRAY_BYTES)),
            End::Malformed => {
                canaries.push(part(Direction::Request, bytes + GAP_BYTES, STRAY_BYTES));
            }
            End::Final | End::HalfClose | End::Reset => {}
        }
        if !self.behaviour.is_echo() {
            canaries.push(part(Direction::Response, 0, CANARY_BYTES_MAX / 2));
        }
        canaries
    }
}

/// A trace as people are shown it.
fn shown(trace: &Trace) -> String {
    let mut text = String::new();
    for event in trace.events().iter().take(SHOWN_EVENTS_MAX) {
        // A string takes everything.
        let _taken = writeln!(text, "{} {} {:?}", event.tick.0, event.flow, event.what);
    }
    text
}
