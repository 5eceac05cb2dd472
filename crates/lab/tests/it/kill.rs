// SPDX-License-Identifier: BSD-3-Clause
//! The kill matrix: which rule kills which mutant.
//!
//! Each mutant has 20 runs of its witness. It is *killed* by the rules about adapters that it
//! violates in any of them. `cargo test -p becket-lab --test it kill -- --nocapture` prints the
//! matrix, and what each mutant's list of expected rules lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use becket_lab::adapters::{Pair, Transcript};
use becket_lab::choice::Choices;
use becket_lab::contract::{FlowId, Limits, Manifest, Secret};
use becket_lab::hygiene::{Canary, Search};
use becket_lab::mutant::{MUTANTS, Mutant, Shows, Witness};
use becket_lab::pattern::{self, Direction, Pattern};
use becket_lab::replay::Case;
use becket_lab::rules::{CATALOGUE, Examined, Examiner, Rule, Subject};
use becket_lab::selftest::REASONS;
use becket_lab::source::FlowPlan;
use becket_lab::trace::Trace;
use becket_lab::world;

use crate::fresh_process;
use crate::long::or_long;

const SEEDS: u64 = 20;
/// Number of these that also run each flow alone and search the texts.
const DEEP_SEEDS: u64 = 6;
/// Bytes of each request, and of those that are offered after its end, that are used as canaries.
const CANARY_BYTES: usize = 256;

/// Rules that were violated.
type Broken = BTreeSet<&'static str>;

/// The rules that a mutant violates.
#[derive(Debug, Default)]
struct Found {
    /// In all its runs.
    broken: Broken,
    /// As the first one in a run.
    first: Broken,
}

/// Why no mutant is killed first by a rule about session, network and lab.
const NO_ADAPTER_CAN: &str = "no adapter can; tests/rules breaks it in a trace made by hand";

/// Why no mutant is killed first, or only, by a rule, if that is known.
fn why_not(rule: &Rule) -> Option<&'static str> {
    let known = REASONS.iter().find(|(id, _)| *id == rule.id).map(|(_, why)| *why);
    known.or((rule.of == Subject::Runtime).then_some(NO_ADAPTER_CAN))
}

fn manifests((ingress, egress): &Pair) -> [Manifest; 2] {
    [ingress.manifest(), egress.manifest()]
}

fn trace(make: fn(Limits) -> Pair, witness: &Witness, case: &Case) -> Trace {
    let mut trace = Trace::new(case.config.max_events);
    let mut choices = Choices::seeded(witness.seed);
    world::run_with(case, &|| make(witness.limits), &mut choices, &mut trace);
    trace
}

/// The runs of a mutant, with its own adapters or with healthy ones.
#[derive(Clone, Copy)]
struct Runs<'a> {
    mutant: &'a Mutant,
    is_healthy: bool,
}

/// The violations in one run: alone and repeated, as in a check.
fn found(runs: Runs<'_>, seed: u64, examiner: &mut Examiner) -> Found {
    let Runs { mutant, is_healthy } = runs;
    let make = if is_healthy { fresh_process::healthy } else { mutant.make };
    let witness = &mutant.witness.seed(seed);
    let case = witness.case();
    let pair = make(witness.limits);
    let [before, after] = [0; 2].map(|_| manifests(&pair));
    let once = trace(make, witness, &case);
    let again = trace(make, witness, &case).hash();
    let alone = |plan: &FlowPlan| {
        let plans = vec![FlowPlan { flow: FlowId::new(1), ..plan.clone() }];
        trace(make, witness, &Case { plans, ..witness.case() })
    };
    let is_deep = seed < DEEP_SEEDS;
    let is_alone = is_deep && witness.faults.is_none();
    let alone: Vec<_> = case.plans.iter().filter(|_| is_alone).map(alone).collect();

    // A process for each run, and a search, are slow: they are used for mutants that need them.
    let is_in_fresh_process = mutant.shows == Shows::InOtherProcess && seed == 1;
    let heard = match mutant.shows {
        Shows::InTexts if is_deep => fresh_process::said(make, witness),
        _ => Transcript::default(),
    };
    let texts = heard.texts();
    let search = Search::new(&if texts.is_empty() { Vec::new() } else { payload(witness) });

    let mut examined = Examined::new(&once, &case, before.each_ref());
    examined.solo = is_alone.then_some(&alone[..]);
    examined.again = Some(again);
    examined.fresh_process =
        is_in_fresh_process.then(|| fresh_process::hash(mutant, is_healthy, seed));
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

/// The first bytes of each request, and the secrets of the run.
fn payload(witness: &Witness) -> Vec<Canary> {
    let hidden = |hidden: Secret| Canary { name: "hidden", bytes: hidden.bytes().into() };
    let keys = witness.plans().into_iter().map(|plan| pattern::key(witness.seed, plan.flow));
    let keys = keys.chain([pattern::identity(witness.seed)]).map(hidden);
    let canary = |plan: &FlowPlan| {
        let mut bytes = vec![0; CANARY_BYTES];
        Pattern::new(witness.seed, plan.flow, Direction::Request).fill(0, &mut bytes);
        Canary { name: "payload", bytes }
    };
    witness.plans().iter().map(canary).chain(keys).collect()
}

fn killers(mutant: &Mutant) -> Found {
    let (mut examiner, runs) = (Examiner::new(), Runs { mutant, is_healthy: false });
    (0..SEEDS).fold(Found::default(), |mut all, seed| {
        let Found { broken, first } = found(runs, seed, &mut examiner);
        all.broken.extend(broken);
        all.first.extend(first);
        all
    })
}

/// All mutants, by name.
fn matrix() -> &'static BTreeMap<&'static str, Found> {
    static MATRIX: OnceLock<BTreeMap<&str, Found>> = OnceLock::new();
    let of = |mutant: &Mutant| (mutant.name, killers(mutant));
    MATRIX.get_or_init(|| MUTANTS.iter().map(of).collect())
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
fn every_mutant_is_killed_by_the_rules_that_are_about_it() {
    let matrix = matrix();
    show(matrix);

    let mut wrong = Vec::new();
    for mutant in MUTANTS {
        let killers = &matrix[mutant.name].broken;
        let expected: Broken = mutant.expected_rules.iter().copied().collect();
        if killers.is_empty() || expected.is_empty() || !expected.is_subset(killers) {
            wrong.push((mutant.name, expected, killers));
        }
    }
    let all: Broken = matrix.values().flat_map(|found| &found.broken).copied().collect();
    let without: Vec<_> = judged().filter(|id| !all.contains(id)).collect();
    println!("rules without a mutant: {without:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(without.is_empty(), "rules without a mutant: {without:?}");
}

/// A rule that is always violated after another one gives no new information.
#[test]
fn every_rule_finds_a_mutant_alone_or_first_or_says_why_not() {
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

/// Without this the matrix would prove nothing: a rule that healthy adapters violate kills every
/// mutant.
#[test]
fn in_the_same_runs_healthy_adapters_break_nothing() {
    let mut examiner = Examiner::new();
    for mutant in MUTANTS {
        let runs = Runs { mutant, is_healthy: true };
        for seed in 0..or_long(4, SEEDS) {
            let Found { broken, .. } = found(runs, seed, &mut examiner);
            assert!(broken.is_empty(), "{} seed {seed}: {broken:?}", mutant.name);
        }
    }
}

#[test]
fn in_a_fresh_process() {
    fresh_process::answer();
}
