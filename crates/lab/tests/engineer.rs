// SPDX-License-Identifier: BSD-3-Clause
//! From a failure to something that an engineer can work with: each saboteur's failure is recorded,
//! made small, written to a file, read back, and repeated.
//!
//! `cargo test -p becket-lab --test engineer -- --nocapture` prints how small each became.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use becket_lab::adapters::HEALTHY;
use becket_lab::choice::Choices;
use becket_lab::replay::{Case, Diff, Expected, Replay, as_test};
use becket_lab::rules::{Examined, examine};
use becket_lab::saboteur::{SABOTEURS, Saboteur};
use becket_lab::shrink::{Candidate, Failed, shrink};
use becket_lab::trace::Trace;
use becket_lab::world;

const TRIES_MAX: u32 = 1000;

/// Runs a case with a saboteur: its trace, what was broken in it, and what was asked.
fn run(of: &Saboteur, case: &Case, mut choices: Choices) -> (Trace, Vec<&'static str>, Choices) {
    let (mut ingress, mut egress) = (of.make)(of.witness.limits);
    let manifests = [&ingress.manifest(), &egress.manifest()];
    let setup = case.setup();
    let mut trace = Trace::new(case.config.max_events);
    world::run(&setup, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    let examination = examine(&Examined::new(&trace, &setup, manifests));
    let broken = examination.findings().map(|finding| finding.rule).collect();
    (trace, broken, choices)
}

/// The failure of a saboteur, if a run by itself shows it: of a rule that is about it, or of the first
/// that it breaks.
fn failure(of: &Saboteur) -> Option<Replay> {
    (0..10).find_map(|seed| {
        let witness = of.witness.seed(seed);
        let config = witness.config();
        let case = Case::from(&witness.setup(&config));
        let (trace, broken, choices) = run(of, &case, Choices::seeded(seed).recording());
        let about = broken.iter().find(|rule| of.expected_rules.contains(*rule));
        let rule = about.or(broken.first())?;
        Some(Replay {
            adapter: of.name.into(),
            limits: witness.limits,
            scenario: "witness".into(),
            profile: seed.to_string(),
            case,
            recording: choices.into_recording(),
            expected: Expected { rule: Some((*rule).into()), trace: trace.hash() },
        })
    })
}

#[test]
fn every_failure_gets_small_and_repeats_from_its_file() {
    let (mut shown, mut before, mut after) = (0, 0, 0);
    let mut small = 0;
    for of in SABOTEURS {
        let Some(failure) = failure(of) else { continue };
        let rule = failure.expected.rule.clone().unwrap();
        let fails = |it: &Candidate| {
            let (trace, broken, choices) =
                run(of, &it.case, Choices::replayed(it.recording.clone()));
            let failed = Failed { events: trace.events().len(), asked: choices.asked() };
            broken.contains(&&*rule).then_some(failed)
        };
        let shrunk = shrink(failure.candidate(), TRIES_MAX, fails, |_| ());
        let shrunk = shrunk.unwrap_or_else(|| panic!("{} does not repeat", of.name));
        let replayed = Choices::replayed(shrunk.candidate.recording.clone());
        let (trace, broken, _) = run(of, &shrunk.candidate.case, replayed);
        assert!(broken.contains(&&*rule) && shrunk.size <= shrunk.before, "{}", of.name);

        let smaller = failure.with(shrunk.candidate, &trace);
        let read = Replay::parse(&smaller.to_text()).unwrap();
        assert_eq!(read, smaller);
        let (mut ingress, mut egress) = (of.make)(read.limits);
        let (again, _) = read.run((&mut *ingress, &mut *egress));
        assert!(read.is_repeated_by(&again), "{}", of.name);

        let claimed =
            [ingress.manifest(), egress.manifest()].map(|it| (it.capabilities, it.limits));
        let (mut ingress, mut egress) = (HEALTHY[0].make)(read.limits);
        let healthy_claim =
            [ingress.manifest(), egress.manifest()].map(|it| (it.capabilities, it.limits));
        let (healthy, _) = read.run((&mut *ingress, &mut *egress));
        // Unless it only claims something else, which is no event.
        let differs = Diff::new(&healthy, &again).differences() > 0;
        assert!(differs || claimed != healthy_claim, "{}", of.name);

        shown += 1;
        // What is wrong with some is that they fill the trace.
        if !trace.is_cut() {
            before += shrunk.before.events;
            after += shrunk.size.events;
        }
        small += u32::from(shrunk.size.flows <= 2 && shrunk.size.departures <= 4);
        println!(
            "{:55} {rule}  {:5} events to {:3}, {:3} departures to {}, {} flows, {} tries{}",
            of.name,
            shrunk.before.events,
            shrunk.size.events,
            shrunk.before.departures,
            shrunk.size.departures,
            shrunk.size.flows,
            shrunk.tries,
            if shrunk.is_minimal { "" } else { " (all)" },
        );
    }
    println!("{shown} failures, {before} events to {after}, {small} of them very small");
    // Those of hygiene and determinism do not show in a trace.
    assert!(shown >= 40, "{shown}");
    assert!(after * 3 < before && small * 10 >= shown * 8, "{shown} {before} {after} {small}");
}

#[test]
fn a_test_is_the_same_for_the_same_replay_and_has_all_of_it() {
    for of in SABOTEURS {
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
