// SPDX-License-Identifier: BSD-3-Clause
//! The kill matrix: which rule finds which saboteur.
//!
//! Each saboteur has 20 runs of its witness. It is *killed* by the rules that are broken in any of
//! them, of those that judge adapters. `cargo test -p becket-lab --test kill -- --nocapture` prints
//! the matrix, and what each saboteur lacks in its list of expected rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod elsewhere;
mod listened;

use std::collections::{BTreeMap, BTreeSet};

use becket_lab::adapters::Pair;
use becket_lab::choice::Choices;
use becket_lab::contract::{FlowId, Limits, Manifest};
use becket_lab::hygiene::{Canary, Search, Text};
use becket_lab::pattern::{Direction, Pattern};
use becket_lab::rules::{CATALOGUE, Examined, Examiner, Subject};
use becket_lab::saboteur::{SABOTEURS, Saboteur, Shows, Witness};
use becket_lab::source::FlowPlan;
use becket_lab::trace::Trace;
use becket_lab::world::{self, Setup};

const SEEDS: u64 = 20;
/// Of these, so many with each flow alone too, and with a search of what is said.
const DEEP_SEEDS: u64 = 6;
/// Bytes of each request that nobody may repeat, with those that are offered behind its end.
const CANARY_BYTES: usize = 256;

/// Rules that were broken.
type Broken = BTreeSet<&'static str>;

fn manifests((ingress, egress): &Pair) -> [Manifest; 2] {
    [ingress.manifest(), egress.manifest()]
}

fn trace(make: fn(Limits) -> Pair, witness: &Witness, setup: &Setup<'_>) -> Trace {
    let mut trace = Trace::new(setup.config.max_events);
    let mut choices = Choices::seeded(witness.seed);
    world::run_with(setup, &|| make(witness.limits), &mut choices, &mut trace);
    trace
}

/// Whose runs are made: a saboteur's, with its own adapters or with healthy ones.
#[derive(Clone, Copy)]
struct Who<'a> {
    saboteur: &'a Saboteur,
    is_healthy: bool,
}

/// What breaks in one run: alone and again, as a check has it.
fn broken(who: Who<'_>, seed: u64, examiner: &mut Examiner) -> Broken {
    let Who { saboteur, is_healthy } = who;
    let make = if is_healthy { elsewhere::healthy } else { saboteur.make };
    let witness = &saboteur.witness.seed(seed);
    let config = witness.config();
    let setup = witness.setup(&config);
    let pair = make(witness.limits);
    let [before, after] = [0; 2].map(|_| manifests(&pair));
    let once = trace(make, witness, &setup);
    let again = trace(make, witness, &setup).hash();
    let alone = |plan: &FlowPlan| {
        let plans = vec![FlowPlan { flow: FlowId::new(1), ..plan.clone() }];
        trace(make, witness, &Setup { plans, ..witness.setup(&config) })
    };
    let is_deep = seed < DEEP_SEEDS;
    let is_alone = is_deep && witness.faults.is_none();
    let alone: Vec<_> = setup.plans.iter().filter(|_| is_alone).map(alone).collect();

    // A process for each run, and a search, take their time: those have one that show there.
    let is_elsewhere = saboteur.shows == Shows::InOtherProcess && seed == 1;
    let heard = match saboteur.shows {
        Shows::InTexts if is_deep => listened::texts(make, witness),
        _ => Vec::new(),
    };
    let texts: Vec<_> = heard
        .iter()
        .map(|heard| Text { kind: heard.kind, place: heard.place, text: &heard.text })
        .collect();
    let search = Search::new(&if texts.is_empty() { Vec::new() } else { payload(witness) });

    let mut examined = Examined::new(&once, &setup, before.each_ref());
    examined.solo = is_alone.then_some(&alone[..]);
    examined.again = Some(again);
    examined.elsewhere = is_elsewhere.then(|| elsewhere::hash(saboteur, is_healthy, seed));
    examined.claimed_after = Some(after.each_ref());
    examined.texts = &texts;
    examined.search = Some(&search);
    examiner.examine(&examined);
    let examination = examiner.examination();
    examination.findings().map(|finding| finding.rule).collect()
}

/// The first bytes of each request.
fn payload(witness: &Witness) -> Vec<Canary> {
    let canary = |plan: &FlowPlan| {
        let mut bytes = vec![0; CANARY_BYTES];
        Pattern::new(witness.seed, plan.flow, Direction::Request).fill(0, &mut bytes);
        Canary { name: "payload", bytes }
    };
    witness.plans().iter().map(canary).collect()
}

fn killers(saboteur: &Saboteur) -> Broken {
    let (mut examiner, who) = (Examiner::new(), Who { saboteur, is_healthy: false });
    (0..SEEDS).flat_map(|seed| broken(who, seed, &mut examiner)).collect()
}

fn judged() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().filter(|rule| rule.of == Subject::Adapter).map(|rule| rule.id)
}

fn show(matrix: &BTreeMap<&'static str, Broken>) {
    for (name, killers) in matrix {
        let row: String = judged().map(|id| if killers.contains(id) { '#' } else { '.' }).collect();
        println!("{row} {name} {killers:?}");
    }
}

#[test]
fn every_saboteur_is_killed_by_the_rules_that_are_about_it() {
    let matrix: BTreeMap<_, _> =
        SABOTEURS.iter().map(|saboteur| (saboteur.name, killers(saboteur))).collect();
    show(&matrix);

    let mut wrong = Vec::new();
    for saboteur in SABOTEURS {
        let killers = &matrix[saboteur.name];
        let expected: Broken = saboteur.expected_rules.iter().copied().collect();
        if killers.is_empty() || expected.is_empty() || !expected.is_subset(killers) {
            wrong.push((saboteur.name, expected, killers));
        }
    }
    let all: Broken = matrix.values().flatten().copied().collect();
    let without: Vec<_> = judged().filter(|id| !all.contains(id)).collect();
    println!("rules without a saboteur: {without:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(without.is_empty(), "rules without a saboteur: {without:?}");
}

/// Without this the matrix would say nothing: a rule that is broken by everybody kills everybody.
#[test]
fn in_the_same_runs_healthy_adapters_break_nothing() {
    let mut examiner = Examiner::new();
    for saboteur in SABOTEURS {
        let who = Who { saboteur, is_healthy: true };
        for seed in 0..SEEDS {
            let broken = broken(who, seed, &mut examiner);
            assert!(broken.is_empty(), "{} seed {seed}: {broken:?}", saboteur.name);
        }
    }
}

#[test]
fn in_a_fresh_process() {
    elsewhere::answer();
}
