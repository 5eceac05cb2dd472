// SPDX-License-Identifier: BSD-3-Clause
//! becket-lab: a run, a check, a shrunk failure.

use becket_lab::adapters::{HEALTHY, MemoryEgressAdapter, MemoryIngressAdapter, Pair};
use becket_lab::check::{self, Mode, Options};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{Adapter, FlowState, Limits, Manifest};
use becket_lab::fault::FaultPlan;
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::rules::{Examined, Examiner};
use becket_lab::shrink::{Candidate, Failed, shrink};
use becket_lab::source::Source;
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, EventKind, Trace};
use becket_lab::world::{self, Arena};

use super::rows::OURS;
use crate::error::{BenchError, check};

const LIMITS: Limits =
    Limits { flows_max: 64, buffered_bytes_max: 1 << 20, flow_buffered_bytes_max: 64 << 10 };
const WINDOW_BYTES: u64 = 64 << 10;
/// The default configuration has 16.
const FLOWS_MAX: u32 = 64;

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Bare,
    /// It is examined.
    Checked,
    /// It is examined, and its trace is hashed.
    Hashed,
    /// As checked, without the memory of the runs before.
    Anew,
}

/// Makes runs, each of a new seed.
pub(super) struct Runs {
    kind: Kind,
    flows: u32,
    case: Case,
    arena: Arena,
    adapters: (MemoryIngressAdapter, MemoryEgressAdapter),
    manifests: [Manifest; 2],
    examiner: Examiner,
    trace: Trace,
}

impl Runs {
    pub(super) fn new(kind: Kind, flows: u32) -> Self {
        let mut config = Config::default();
        if flows > config.max_flows {
            config.max_flows = FLOWS_MAX;
        }
        let adapters = (MemoryIngressAdapter::new(LIMITS), MemoryEgressAdapter::new(LIMITS));
        let manifests = [adapters.0.manifest(), adapters.1.manifest()];
        let trace = Trace::new(config.max_events);
        let (arena, examiner) = (Arena::new(), Examiner::new());
        let case = Case {
            config,
            plans: Vec::new(),
            behaviour: Behaviour::Echo,
            window_bytes: WINDOW_BYTES,
            link: Link::Stream,
            faults: FaultPlan::NONE,
        };
        Self { kind, flows, case, arena, adapters, manifests, examiner, trace }
    }

    /// So many runs. What a run that was not examined left is looked at behind them.
    pub(super) fn run(&mut self, runs: u64) -> Result<(), BenchError> {
        let mut hashed = 0_u64;
        for _ in 0..runs {
            let config = &mut self.case.config;
            config.deterministic_seed += 1;
            let seed = config.deterministic_seed;
            if self.kind == Kind::Anew {
                self.arena = Arena::new();
                self.trace = Trace::new(config.max_events);
                self.adapters =
                    (MemoryIngressAdapter::new(LIMITS), MemoryEgressAdapter::new(LIMITS));
            }
            self.case.plans = Source::SmallBurst.plan(config, self.flows);
            let (ingress, egress) = &mut self.adapters;
            ingress.renew();
            egress.renew();
            self.trace.clear();
            let mut choices = Choices::seeded(seed);
            self.arena.run(&self.case, (ingress, egress), &mut choices, &mut self.trace);
            if self.kind != Kind::Bare {
                let examined = Examined::new(&self.trace, &self.case, self.manifests.each_ref());
                check(OURS, "rules broken", 0, self.examiner.examine(&examined).broken)?;
            }
            if self.kind == Kind::Hashed {
                hashed += u64::from(self.trace.hash() != Trace::default().hash());
            }
        }
        if self.kind == Kind::Hashed {
            check(OURS, "hashes", runs, hashed)?;
        }
        let ended = self.trace.events().iter();
        let ended =
            ended.filter(|event| event.what == EventKind::Moved { state: FlowState::Closed });
        check(OURS, "flows that ended in order", self.flows as usize, ended.count())
    }
}

/// A check of the memory adapters.
pub(super) fn check_all(mode: Mode, jobs: usize) -> Result<(), BenchError> {
    let make = |limits| -> Pair { HEALTHY.first().map_or_else(memory, |it| (it.make)(limits)) };
    let report = check::run(&Options { mode, jobs, ..Options::quick("local-adapter", &make) });
    let is_healthy = !["fail", "non-strict", "nondeterministic"].contains(&report.verdict);
    check(OURS, "a check of healthy adapters", true, is_healthy)
}

fn memory() -> Pair {
    let ingress = Box::new(MemoryIngressAdapter::new(LIMITS));
    (ingress, Box::new(MemoryEgressAdapter::new(LIMITS)))
}

/// A failure that was found, to be made small.
pub(super) struct Failure(Candidate);

impl Failure {
    /// The first seed with a reset beside a half-closed flow.
    pub(super) fn find() -> Result<Self, BenchError> {
        let found = (0..500).find_map(|seed| {
            let config =
                Config { deterministic_seed: seed, max_chunk_bytes: 4 << 10, ..Config::default() };
            let case = Case {
                plans: Source::MixedFlow.plan(&config, 8),
                config,
                behaviour: Behaviour::JitteryResponse,
                window_bytes: 1000,
                link: Link::Stream,
                faults: FaultPlan::NONE,
            };
            let (trace, choices) = run(&case, Choices::seeded(seed).recording());
            let recording = choices.into_recording();
            is_reset_beside(trace.events()).then_some(Candidate { case, recording })
        });
        found.map(Self).ok_or_else(|| BenchError::host(OURS, "no seed fails"))
    }

    /// Makes it small.
    pub(super) fn shrink(&self) -> Result<(), BenchError> {
        let fails = |it: &Candidate| {
            let (trace, choices) = run(&it.case, Choices::replayed(it.recording.clone()));
            let (events, asked) = (trace.events().len(), choices.asked());
            is_reset_beside(trace.events()).then_some(Failed { events, asked })
        };
        let shrunk = shrink(self.0.clone(), 20_000, fails, |_| ());
        let flows = shrunk.map(|shrunk| (shrunk.is_minimal, shrunk.candidate.case.plans.len()));
        check(OURS, "flows of the smallest failure", Some((true, 2)), flows)
    }
}

fn run(case: &Case, mut choices: Choices) -> (Trace, Choices) {
    let mut trace = Trace::new(case.config.max_events);
    let (mut ingress, mut egress) =
        (MemoryIngressAdapter::new(LIMITS), MemoryEgressAdapter::new(LIMITS));
    world::run(case, (&mut ingress, &mut egress), &mut choices, &mut trace);
    (trace, choices)
}

fn is_reset_beside(events: &[Event]) -> bool {
    let mut half_closed = Vec::new();
    events.iter().any(|event| {
        let EventKind::Moved { state } = event.what else { return false };
        half_closed.retain(|flow| *flow != event.flow);
        if state == FlowState::HalfClosed {
            half_closed.push(event.flow);
        }
        state == FlowState::Reset && !half_closed.is_empty()
    })
}
