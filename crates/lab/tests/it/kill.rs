// SPDX-License-Identifier: BSD-3-Clause
//! The kill matrix: which rule finds which saboteur.
//!
//! Each saboteur has 20 runs of its witness. It is *killed* by the rules that are broken in any of
//! them, of those that judge adapters. `cargo test -p becket-lab --test it kill -- --nocapture` prints
//! the matrix, and what each saboteur lacks in its list of expected rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use becket_lab::adapters::{Pair, Said};
use becket_lab::choice::Choices;
use becket_lab::contract::{FlowId, Hidden, Limits, Manifest};
use becket_lab::hygiene::{Canary, Search};
use becket_lab::pattern::{self, Direction, Pattern};
use becket_lab::rules::{CATALOGUE, Examined, Examiner, Rule, Subject};
use becket_lab::saboteur::{SABOTEURS, Saboteur, Shows, Witness};
use becket_lab::selftest::REASONS;
use becket_lab::source::FlowPlan;
use becket_lab::trace::Trace;
use becket_lab::world::{self, Setup};

use crate::elsewhere;

const SEEDS: u64 = 20;
/// Of these, so many with each flow alone too, and with a search of what is said.
const DEEP_SEEDS: u64 = 6;
/// Bytes of each request that nobody may repeat, with those that are offered behind its end.
const CANARY_BYTES: usize = 256;

/// Rules that were broken.
type Broken = BTreeSet<&'static str>;

/// What was found of a saboteur.
#[derive(Debug, Default)]
struct Found {
    /// Of all its runs.
    broken: Broken,
    /// Those that were broken first in one of its runs.
    first: Broken,
}

/// Why none finds a rule first that watches session, network and lab.
const NO_ADAPTER_CAN: &str = "no adapter can; tests/rules breaks it in a trace made by hand";

/// Why no saboteur breaks a rule first, or alone, if that is known.
fn why_not(rule: &Rule) -> Option<&'static str> {
    let known = REASONS.iter().find(|(id, _)| *id == rule.id).map(|(_, why)| *why);
    known.or((rule.of == Subject::Runtime).then_some(NO_ADAPTER_CAN))
}

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
fn found(who: Who<'_>, seed: u64, examiner: &mut Examiner) -> Found {
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
        Shows::InTexts if is_deep => elsewhere::said(make, witness),
        _ => Said::default(),
    };
    let texts = heard.texts();
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
    let earliest = examination.findings().map(|finding| finding.event).min();
    let first = examination.findings().filter(|finding| Some(finding.event) == earliest);
    let first = first.map(|finding| finding.rule).collect();
    Found { broken: examination.findings().map(|finding| finding.rule).collect(), first }
}

/// The first bytes of each request, and what else is told to nobody.
fn payload(witness: &Witness) -> Vec<Canary> {
    let hidden = |hidden: Hidden| Canary { name: "hidden", bytes: hidden.bytes().into() };
    let keys = witness.plans().into_iter().map(|plan| pattern::key(witness.seed, plan.flow));
    let keys = keys.chain([pattern::identity(witness.seed)]).map(hidden);
    let canary = |plan: &FlowPlan| {
        let mut bytes = vec![0; CANARY_BYTES];
        Pattern::new(witness.seed, plan.flow, Direction::Request).fill(0, &mut bytes);
        Canary { name: "payload", bytes }
    };
    witness.plans().iter().map(canary).chain(keys).collect()
}

fn killers(saboteur: &Saboteur) -> Found {
    let (mut examiner, who) = (Examiner::new(), Who { saboteur, is_healthy: false });
    (0..SEEDS).fold(Found::default(), |mut all, seed| {
        let Found { broken, first } = found(who, seed, &mut examiner);
        all.broken.extend(broken);
        all.first.extend(first);
        all
    })
}

/// All saboteurs, by their names.
fn matrix() -> &'static BTreeMap<&'static str, Found> {
    static MATRIX: OnceLock<BTreeMap<&str, Found>> = OnceLock::new();
    let of = |saboteur: &Saboteur| (saboteur.name, killers(saboteur));
    MATRIX.get_or_init(|| SABOTEURS.iter().map(of).collect())
}

fn judged() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().filter(|rule| rule.of == Subject::Adapter).map(|rule| rule.id)
}

fn show(matrix: &BTreeMap<&'static str, Found>) {
    for (name, Found { broken: killers, .. }) in matrix {
        let row: String = judged().map(|id| if killers.contains(id) { '#' } else { '.' }).collect();
        println!("{row} {name} {killers:?}");
    }
}

#[test]
fn every_saboteur_is_killed_by_the_rules_that_are_about_it() {
    let matrix = matrix();
    show(matrix);

    let mut wrong = Vec::new();
    for saboteur in SABOTEURS {
        let killers = &matrix[saboteur.name].broken;
        let expected: Broken = saboteur.expected_rules.iter().copied().collect();
        if killers.is_empty() || expected.is_empty() || !expected.is_subset(killers) {
            wrong.push((saboteur.name, expected, killers));
        }
    }
    let all: Broken = matrix.values().flat_map(|found| &found.broken).copied().collect();
    let without: Vec<_> = judged().filter(|id| !all.contains(id)).collect();
    println!("rules without a saboteur: {without:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(without.is_empty(), "rules without a saboteur: {without:?}");
}

/// A rule that always comes behind another tells nobody anything.
#[test]
fn every_rule_finds_a_saboteur_alone_or_first_or_says_why_not() {
    let finds = |id: &str| {
        let of = |found: &Found| found.first.contains(id) || found.broken.iter().eq([&id]);
        matrix().iter().find(|(_, found)| of(found)).map(|(name, _)| *name)
    };
    for rule in CATALOGUE {
        println!("{} {}", rule.id, finds(rule.id).or(why_not(rule)).unwrap_or("nothing"));
    }
    let without = CATALOGUE.iter().map(|rule| rule.id).filter(|id| finds(id).is_none());
    let explained = CATALOGUE.iter().filter(|rule| why_not(rule).is_some()).map(|rule| rule.id);
    assert_eq!(without.collect::<Broken>(), explained.collect());
}

/// Without this the matrix would say nothing: a rule that is broken by everybody kills everybody.
#[test]
fn in_the_same_runs_healthy_adapters_break_nothing() {
    let mut examiner = Examiner::new();
    for saboteur in SABOTEURS {
        let who = Who { saboteur, is_healthy: true };
        for seed in 0..SEEDS {
            let Found { broken, .. } = found(who, seed, &mut examiner);
            assert!(broken.is_empty(), "{} seed {seed}: {broken:?}", saboteur.name);
        }
    }
}

#[test]
fn in_a_fresh_process() {
    elsewhere::answer();
}
