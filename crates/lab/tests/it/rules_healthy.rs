// SPDX-License-Identifier: BSD-3-Clause
//! Healthy adapters break no rule, whatever the source, the target and the seed.

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{FlowId, Limits, Tick};
use becket_lab::fault::{FaultKinds, FaultPlan};
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::rules::{CATALOGUE, Examined, Examiner, RuleSets};
use becket_lab::source::{FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, FaultKind, Trace};
use becket_lab::world;

use crate::long::or_long;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
struct Made {
    source: Source,
    behaviour: Behaviour,
    seed: u64,
    flows: u32,
    buffer: u64,
    link: Link,
    faults: FaultPlan,
}

impl Made {
    fn of(source: Source, behaviour: Behaviour, seed: u64) -> Self {
        let (link, faults) = (Link::Stream, FaultPlan::NONE);
        Self { source, behaviour, seed, flows: 4, buffer: 64 << 10, link, faults }
    }

    fn is_large(&self) -> bool {
        self.source.is_long() || self.behaviour == Behaviour::LargeObject
    }

    fn config(&self) -> Config {
        Config {
            deterministic_seed: self.seed,
            max_events: 1 << 16,
            max_chunk_bytes: 16 << 10,
            max_buffered_bytes: 64 << 10,
            ..Config::default()
        }
    }

    fn limits(&self) -> Limits {
        let buffer = self.buffer;
        Limits { flows_max: 16, buffered_bytes_max: 4 * buffer, flow_buffered_bytes_max: buffer }
    }

    fn case(&self, config: &Config, plans: Vec<FlowPlan>) -> Case {
        let Self { behaviour, link, faults, .. } = *self;
        Case { config: config.clone(), plans, behaviour, window_bytes: 64 << 10, link, faults }
    }

    fn trace(&self, pair: &Healthy, case: &Case) -> Trace {
        let mut trace = Trace::new(case.config.max_events);
        let make = || (pair.make)(self.limits());
        world::run_with(case, &make, &mut Choices::seeded(self.seed), &mut trace);
        trace
    }

    /// Runs it, and looks for anything broken. With `solo`, each flow is run alone too.
    fn check(&self, pair: &Healthy, examiner: &mut Examiner, solo: bool) -> RuleSets {
        let config = self.config();
        let case = self.case(&config, self.source.plan(&config, self.flows));
        let trace = self.trace(pair, &case);
        let alone = |plan: &FlowPlan| {
            let plan = FlowPlan { flow: FlowId::new(1), ..plan.clone() };
            self.trace(pair, &self.case(&config, vec![plan]))
        };
        let alone: Vec<_> = case.plans.iter().filter(|_| solo).map(alone).collect();
        let (ingress, egress) = (pair.make)(self.limits());
        let manifests = [ingress.manifest(), egress.manifest()];
        let mut examined = Examined::new(&trace, &case, manifests.each_ref());
        examined.solo = solo.then_some(&alone[..]);
        examined.again = solo.then(|| self.trace(pair, &case).hash());
        examined.claimed_after = solo.then_some(manifests.each_ref());
        let rule_sets = examiner.examine(&examined);
        if rule_sets.broken != 0 {
            let examination = examiner.examination();
            let finding = examination.findings().next().unwrap();
            let events = trace.events();
            let from = finding.event.saturating_sub(25);
            let near = &events[from..(finding.event + 3).min(events.len())];
            let line =
                |event: &Event| format!("{} flow {}: {:?}\n", event.tick.0, event.flow, event.what);
            let near: String = near.iter().map(line).collect();
            panic!("{} {self:?}\n{finding:#?}\n{near}", pair.name);
        }
        rule_sets
    }
}

/// The rules that had no occasion.
fn idle(rule_sets: RuleSets) -> Vec<&'static str> {
    let bits = CATALOGUE.iter().enumerate();
    bits.filter(|(at, _)| rule_sets.exercised >> at & 1 == 0).map(|(_, rule)| rule.id).collect()
}

#[test]
fn no_rule_is_broken() {
    let (mut examiner, mut all) = (Examiner::new(), RuleSets::default());
    for pair in HEALTHY {
        for source in Source::ALL {
            for behaviour in Behaviour::ALL {
                for seed in 0..or_long(1, 3) {
                    for buffer in [7, 1000, 64 << 10] {
                        let made = Made { buffer, ..Made::of(source, behaviour, seed) };
                        if made.is_large() && (buffer == 7 || buffer == 1000 && seed > 0) {
                            continue;
                        }
                        all = all.join(made.check(pair, &mut examiner, seed == 0));
                    }
                }
            }
        }
    }
    println!("{:?}", idle(all));
}

#[test]
fn no_rule_is_broken_on_any_carrier_under_faults() {
    let (mut examiner, mut all) = (Examiner::new(), RuleSets::default());
    let mut number = 0;
    for pair in HEALTHY {
        for link in Link::ALL {
            for kind in FaultKind::ALL.map(Some).into_iter().chain([None]) {
                for seed in 0..or_long(2, 6) {
                    // All sources with all targets, in turn.
                    number += 1;
                    let source = Source::ALL[number % Source::ALL.len()];
                    let behaviour = Behaviour::ALL[number % Behaviour::ALL.len()];
                    let kinds = kind.map_or(FaultKinds::ALL, FaultKinds::only);
                    let faults = FaultPlan::new(kinds, 3, Tick(30));
                    let made = Made { link, faults, ..Made::of(source, behaviour, seed) };
                    all = all.join(made.check(pair, &mut examiner, false));
                }
            }
        }
    }
    println!("{:?}", idle(all));
}
