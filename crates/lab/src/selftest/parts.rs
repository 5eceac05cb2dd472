// SPDX-License-Identifier: BSD-3-Clause
//! Healthy pairs, determinism, canaries, and a fresh process.

use std::collections::BTreeSet;
use std::slice;

use super::{Options, Part, Steps};
use crate::adapters::{HEALTHY, Healthy};
use crate::check::{self, Mode};
use crate::contract::Limits;
use crate::gate::Gate;
use crate::generate::{self, PLAIN};
use crate::hygiene::Search;
use crate::mutant::{MUTANTS, Mutant};
use crate::parity::interpreted;
use crate::report::{self, Report, json};
use crate::rules::{CATALOGUE, rule};
use crate::scenario::{Profile, SCENARIOS};

/// Start seeds of each healthy pair in quick mode.
const STARTS_QUICK: u64 = 3;
/// In full mode each is as long as twenty quick ones.
const STARTS_FULL: u64 = 1;

/// Gates that are about the pair; the other two are about the lab.
fn is_of_pair(name: &str) -> bool {
    name != Gate::MutantDetection.name() && name != Gate::GeneratedBackendParity.name()
}

/// The failure in the check of a healthy pair, if any.
pub(super) fn problem(report: &Report) -> Option<String> {
    let mut gates = report.gates.iter().filter(|gate| is_of_pair(gate.name));
    let gate = gates.find(|gate| gate.verdict != "pass")?;
    let first = report.failures.first().map(|failure| failure.text()).unwrap_or_default();
    let said = first.lines().next().unwrap_or_default();
    let (pair, seed) = (&report.adapter, report.start_seed);
    Some(format!("{pair} from seed {seed}: {} is {}; {said}", gate.name, gate.verdict))
}

fn options_of<'a>(options: &Options<'_>, pair: &'a Healthy, start_seed: u64) -> check::Options<'a> {
    let (mode, jobs) = (options.mode, options.jobs);
    let quick = check::Options::quick(pair.name, &pair.make);
    check::Options { mode, jobs, start_seed, gates_of_lab: false, ..quick }
}

const fn starts(options: &Options<'_>) -> u64 {
    match options.mode {
        Mode::Quick => STARTS_QUICK,
        Mode::Full => STARTS_FULL,
    }
}

/// Number of progress steps of the parts in this file.
pub(super) fn steps(options: &Options<'_>) -> usize {
    HEALTHY.len() * (starts(options) as usize + 1)
        + modest(options).into_iter().count()
        + leaking().count()
}

/// A pair with few claims, for full mode: healthy pairs claim every capability, so the rules about
/// refusing unclaimed ones have an occasion only with this one. Its limits are its own, and too
/// small for some scenarios.
fn modest(options: &Options<'_>) -> Option<generate::Profile> {
    PLAIN.profile().ok().filter(|_| options.mode == Mode::Full)
}

/// Healthy pairs pass; and in full mode every rule has an occasion with some pair.
pub(super) fn healthy(options: &Options<'_>, steps: &mut Steps<'_>) -> (Part, Part) {
    let (mut healthy, mut exercised) = (Part::default(), Part::default());
    let mut tried = BTreeSet::new();
    let mut has_tried = |report: &Report| {
        let occasions = report.rules.iter().filter(|rule| rule.exercised > 0);
        tried.extend(occasions.map(|rule| rule.rule));
    };
    for pair in HEALTHY {
        for start in 0..starts(options) {
            let report = check::run(&options_of(options, pair, 1 + 1000 * start));
            healthy.count(problem(&report));
            has_tried(&report);
            steps.done(pair.name);
        }
    }
    if let Some(modest) = modest(options) {
        let make = |_: Limits| interpreted(&modest);
        let quick = check::Options::quick(PLAIN.name, &make);
        let (mode, jobs) = (options.mode, options.jobs);
        let report = check::run(&check::Options { mode, jobs, gates_of_lab: false, ..quick });
        healthy.count(report.failures.first().map(|failure| failure.text()));
        has_tried(&report);
        steps.done(PLAIN.name);
    }
    if options.mode == Mode::Full {
        // The rule about fresh processes has an occasion where there is one.
        for rule in CATALOGUE.iter().filter(|rule| rule.id != "DET-02") {
            let is_idle = !tried.contains(rule.id);
            exercised.count(is_idle.then(|| format!("{} had no occasion", rule.id)));
        }
    }
    (healthy, exercised)
}

/// A repeated check, and one on two threads, give the same report.
pub(super) fn determinism(options: &Options<'_>, steps: &mut Steps<'_>) -> Part {
    let mut part = Part::default();
    for pair in HEALTHY {
        let text = |jobs| {
            let quick = Options { mode: Mode::Quick, ..*options };
            json(&check::run(&check::Options { jobs, ..options_of(&quick, pair, 7) })).ok()
        };
        let one = text(1);
        for (jobs, how) in [(1, "again"), (2, "by two threads")] {
            let is_same = one.is_some() && text(jobs) == one;
            part.count((!is_same).then(|| format!("{}: another report {how}", pair.name)));
        }
        steps.done(pair.name);
    }
    part
}

/// Mutants that leak payload or secrets.
fn leaking() -> impl Iterator<Item = &'static Mutant> {
    let is_of_hygiene =
        |id: &&str| rule(id).is_some_and(|rule| rule.family == crate::rules::Family::Hygiene);
    MUTANTS.iter().filter(move |it| it.expected_rules.iter().any(is_of_hygiene))
}

/// Reports about mutants that leak payload do not repeat it; and if one did, it would be found.
pub(super) fn canaries(steps: &mut Steps<'_>) -> Part {
    let mut part = Part::default();
    for mutant in leaking() {
        let quick = check::Options::quick(mutant.name, &mutant.make);
        // Malformed chunks are offered in full mode only.
        let mode = if mutant.spares.is_some() { Mode::Full } else { Mode::Quick };
        let options = check::Options { mode, profiles: Some(2), gates_of_lab: false, ..quick };
        let report = check::run(&options);
        let mut text = all_forms(&report);
        let canaries = canaries_of(&options);
        let search = Search::new(&canaries);
        let problem = match search.find(text.as_bytes()) {
            _ if report.failures.is_empty() => Some("is not found"),
            Some(_) => Some("its payload is in the report"),
            None => None,
        };
        part.count(problem.map(|problem| format!("{}: {problem}", mutant.name)));
        let planted = canaries.first().and_then(|canary| canary.bytes.get(..8));
        let digits = planted.unwrap_or_default().iter().map(|byte| format!("{byte:02x}"));
        text.extend(digits);
        let is_seen = search.find(text.as_bytes()).is_some();
        part.count((!is_seen).then(|| format!("{}: nothing would be found", mutant.name)));
        steps.done(mutant.name);
    }
    part
}

/// All forms of a report.
fn all_forms(report: &Report) -> String {
    let mut text = json(report).unwrap_or_default();
    text.push_str(&report::junit(slice::from_ref(report)));
    text.push_str(&report::markdown(report));
    text.push_str(&report::html(report));
    text.push_str(&report::text(report, &report::plain));
    text.extend(report.failures.iter().map(report::Failure::text));
    text
}

/// All canaries of the runs of a check.
fn canaries_of(options: &check::Options<'_>) -> Vec<crate::hygiene::Canary> {
    let profiles: Vec<_> = options.seeds().map(Profile::draw).collect();
    let cases = profiles.iter().flat_map(|profile| {
        SCENARIOS.iter().filter_map(|it| check::case_of(options.make, profile, it).ok())
    });
    cases.flat_map(|case| case.canaries()).collect()
}

/// The check that a fresh process repeats.
fn fresh_process_of(pair: &Healthy) -> check::Options<'_> {
    check::Options { mode: Mode::Full, ..check::Options::quick(pair.name, &pair.make) }
}

/// The output of the fresh process: all runs of one healthy pair, and the mutants that deviate only
/// there.
pub(super) fn hashes() -> String {
    let options = HEALTHY.first().map(fresh_process_of);
    options.map(|options| check::hashes(&options)).unwrap_or_default()
}

/// A fresh process has the same runs.
pub(super) fn fresh_process(options: &Options<'_>) -> Part {
    let mut part = Part::default();
    let Some(fresh_process) = options.fresh_process else { return part };
    let Some(pair) = HEALTHY.first() else { return part };
    let check = fresh_process_of(pair);
    let here = check::Options { jobs: options.jobs, fresh_process: Some(fresh_process), ..check };
    let report = check::run(&check::Options { gates_of_lab: false, ..here });
    part.count(problem(&report));
    part
}
