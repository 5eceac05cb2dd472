// SPDX-License-Identifier: BSD-3-Clause
//! From a failure to something that an engineer can work with: each mutant's failure is recorded,
//! shrunk, written to a file, read back, and repeated.
//!
//! `cargo test -p becket-lab --test it engineer -- --nocapture` prints how small each became.

use becket_lab::adapters::HEALTHY;
use becket_lab::check::{repeat, smaller};
use becket_lab::choice::Choices;
use becket_lab::mutant::{MUTANTS, Mutant, Shows};
use becket_lab::replay::{Diff, Expected, Replay, as_test};
use becket_lab::trace::Trace;
use becket_lab::world;

use crate::long::or_long;

const TRIES_MAX: u32 = 1000;
/// In the short form every mutant of so many is looked at.
const STEP: usize = 8;
/// What may have to be put in to see the failure of half of all mutants.
const INPUTS_MAX: usize = 5;

/// The failure of a mutant: of a rule that is about it, or of the first that it breaks. `None`: it
/// shows in another process only.
fn failure(of: &Mutant) -> Option<Replay> {
    if of.shows == Shows::InOtherProcess {
        return None;
    }
    let found = (0..20).map(|times| of.witness.seed + times).find_map(|seed| {
        let witness = of.witness.seed(seed);
        let case = witness.case();
        let mut choices = Choices::seeded(seed).recording();
        let mut trace = Trace::new(case.config.max_events);
        world::run_with(&case, &|| (of.make)(witness.limits), &mut choices, &mut trace);
        let mut replay = Replay {
            // Of some the name is a secret.
            adapter: "mutant".into(),
            limits: witness.limits,
            scenario: "witness".into(),
            profile: seed.to_string(),
            case,
            recording: choices.into_recording(),
            expected: Expected { rule: None, trace: trace.hash() },
        };
        let findings = repeat(&of.make, &replay).findings;
        let is_about = |rule: &str| of.expected_rules.contains(&rule);
        let about = findings.iter().find(|finding| is_about(finding.rule));
        let rule = about.or(findings.first())?.rule;
        replay.expected.rule = Some(rule.into());
        Some(replay)
    });
    assert!(found.is_some(), "{} is not found", of.name);
    found
}

#[test]
fn every_failure_gets_small_and_repeats_from_its_file() {
    let (mut before, mut after, mut inputs) = (0, 0, Vec::new());
    let looked_at = || MUTANTS.iter().step_by(or_long(STEP, 1));
    for of in looked_at() {
        let Some(failure) = failure(of) else { continue };
        let rule = failure.expected.rule.clone().unwrap();
        // What differs from run to run does not each time.
        let times = if of.shows == Shows::InSecondRun { 50 } else { 1 };
        let small = (0..times).find_map(|_| smaller(&of.make, &failure, TRIES_MAX, |_| ()));
        let (small, shrunk) = small.unwrap_or_else(|| panic!("{} does not repeat", of.name));
        assert!(shrunk.size <= shrunk.before, "{}", of.name);

        let read = Replay::parse(&small.to_text()).unwrap();
        assert_eq!(read, small);
        let again = repeat(&of.make, &read);
        let trace = &again.trace;
        // What differs from run to run may be as it was for once.
        if of.shows != Shows::InSecondRun {
            assert!(again.findings.iter().any(|finding| finding.rule == rule), "{}", of.name);
            assert!(read.is_repeated_by(trace), "{}", of.name);
        }
        // Unless it only says something else, which is no event.
        let healthy = repeat(&HEALTHY[0].make, &read);
        let differs = Diff::new(&healthy.trace, trace).differences() > 0;
        let is_quiet = matches!(of.shows, Shows::InManifest | Shows::InTexts);
        assert!(differs || is_quiet || of.shows == Shows::InSecondRun, "{}", of.name);
        assert!(healthy.findings.is_empty(), "{}: {:?}", of.name, healthy.findings);

        // What is wrong with some is that they fill the trace.
        if !trace.is_cut() {
            before += shrunk.before.events;
            after += shrunk.size.events;
        }
        inputs.push(shrunk.candidate.inputs());
        println!(
            "{:58} {rule} {:3} inputs, {:5} events to {:4}, {:3} deviations to {}, {:4} tries{}",
            of.name,
            shrunk.candidate.inputs(),
            shrunk.before.events,
            shrunk.size.events,
            shrunk.before.deviations,
            shrunk.size.deviations,
            shrunk.tries,
            if shrunk.is_minimal { "" } else { " (all)" },
        );
    }
    inputs.sort_unstable();
    let median = inputs[inputs.len() / 2];
    println!(
        "{} failures, {before} events to {after}, {median} inputs in the middle",
        inputs.len()
    );
    let shows_here = looked_at().filter(|of| of.shows != Shows::InOtherProcess).count();
    assert_eq!(inputs.len(), shows_here);
    assert!(median <= INPUTS_MAX, "{inputs:?}");
    assert!(after * 2 < before, "{before} {after}");
}

#[test]
fn a_test_is_the_same_for_the_same_replay_and_has_all_of_it() {
    for of in MUTANTS.iter().step_by(or_long(STEP, 1)) {
        let Some(failure) = failure(of) else { continue };
        let text = as_test(&failure, "adapters(limits)");
        assert_eq!(text, as_test(&Replay::parse(&failure.to_text()).unwrap(), "adapters(limits)"));
        let has = |part: &str| text.contains(part);
        let rule = failure.expected.rule.as_deref().unwrap();
        assert!(has(&format!("finding.rule == {rule:?}")) && has(": Pair = adapters(limits);"));
        assert_eq!(text.matches("FlowPlan {").count(), failure.case.plans.len());
        let chunks = failure.case.plans.iter().map(|plan| plan.chunks.len()).sum::<usize>();
        assert_eq!(text.matches(" planned(").count(), chunks);
        assert!(text.lines().all(|line| line.len() <= 100 && line == line.trim_end()), "{text}");
    }
}
