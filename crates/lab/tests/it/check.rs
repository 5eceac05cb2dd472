// SPDX-License-Identifier: BSD-3-Clause
//! Checks: healthy pairs pass every gate, the named mutants do not, and a report depends on
//! neither threads nor time.

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::check::{self, Make, Mode, Options};
use becket_lab::gate::Gate;
use becket_lab::mutant;
use becket_lab::report::{ProfileReport, Report, json};
use becket_lab::scenario::SCENARIOS;

use crate::long::or_long;

/// Gates that do not pass.
fn failed(report: &Report) -> Vec<&'static str> {
    let gates = report.gates.iter().filter(|gate| gate.verdict != "pass");
    gates.map(|gate| gate.name).collect()
}

/// What went wrong, for a message.
fn shown(report: &Report) -> String {
    let mut text: Vec<_> = report.gates.iter().map(|gate| format!("{gate:?}")).collect();
    for profile in &report.profiles {
        let runs = profile.runs.iter();
        let wrong =
            runs.filter(|run| !["pass", "not-applicable", "non-strict"].contains(&run.verdict));
        let profile_is = |run| {
            format!(
                "seed {} chunk {} flow {} window {} buffered {} {} {} {}: {run:#?}",
                profile.seed,
                profile.max_chunk_bytes,
                profile.flow_bytes_max,
                profile.window_bytes,
                profile.max_buffered_bytes,
                profile.link,
                profile.faults,
                profile.scheduler,
            )
        };
        text.extend(wrong.map(profile_is));
    }
    text.push(format!("{:?}", report.adversary));
    text.join("\n")
}

fn quick(make: Make<'_>, start_seed: u64) -> Report {
    check::run(&Options { start_seed, ..Options::quick("pair", make) })
}

/// The same, without what is about the lab.
fn pair_alone(make: Make<'_>, start_seed: u64) -> Report {
    let options = Options { start_seed, gates_of_lab: false, ..Options::quick("pair", make) };
    check::run(&options)
}

fn pair(name: &str) -> &'static Healthy {
    HEALTHY.iter().find(|pair| pair.name == name).expect("a pair of this name")
}

fn passes(name: &str) {
    for start_seed in 0..or_long(12, 50) {
        let report = pair_alone(&pair(name).make, start_seed);
        let failed = failed(&report);
        assert_eq!(failed, OF_LAB, "{name} from {start_seed}:\n{}", shown(&report));
    }
}

#[test]
fn with_the_gates_of_the_lab_a_healthy_pair_passes() {
    for pair in HEALTHY.iter().take(or_long(1, HEALTHY.len())) {
        let report = quick(&pair.make, 1);
        assert_eq!((report.verdict, report.exit_code), ("pass", 0), "{}", shown(&report));
    }
}

/// Gates that are about the lab.
const OF_LAB: [&str; 2] =
    ["local_adapter_mutant_detection", "local_adapter_generated_backend_parity"];

/// A test for each pair, so that they run side by side.
macro_rules! pass {
    ($($name:ident: $pair:literal;)*) => {
        $(#[test]
        fn $name() {
            passes($pair);
        })*

        #[test]
        fn every_pair_has_its_test() {
            assert!(HEALTHY.iter().map(|pair| pair.name).eq([$($pair),*]));
        }
    };
}

pass! {
    memory_passes: "memory";
    pipes_pass: "pipe";
    rings_pass: "ring";
    chunks_pass: "chunks";
    two_kinds_pass: "ring-memory";
}

#[test]
fn in_full_mode_a_healthy_pair_breaks_nothing_and_every_mutant_is_found() {
    let make = &pair("memory").make;
    let count = or_long(4, 20);
    let options = Options { profiles: Some(count), ..Options::quick("memory", make) };
    let report = check::run(&Options { mode: Mode::Full, ..options });
    assert!(failed(&report).is_empty(), "{}", shown(&report));
    println!("{:?} {:?}", report.not_exercised, report.adversary);
    let runs: usize = report.profiles.iter().map(|profile| profile.runs.len()).sum();
    let count = count as usize;
    assert_eq!((report.profiles.len(), runs), (count, count * SCENARIOS.len()));
    let counted = report.gate(Gate::Correctness).unwrap().counted;
    let of_profiles = report.profiles.iter().flat_map(|profile| &profile.runs);
    let tried = of_profiles.filter(|run| run.verdict != "not-applicable").count() as u64;
    for gate in Gate::ALL.iter().take(8) {
        assert_eq!(report.gate(*gate).unwrap().counted, counted, "{}", gate.name());
    }
    assert_eq!(counted, tried);
    assert!(tried as usize * 3 > runs, "{tried} of {runs}");
}

#[test]
fn the_named_mutants_fail_the_gate_that_is_about_them() {
    for (name, gate) in [
        ("ignores_source_backpressure", Gate::Backpressure),
        ("accepts_post_close_write", Gate::FlowLifecycle),
        ("drops_final_chunk", Gate::SequenceIntegrity),
        ("duplicates_chunk", Gate::SequenceIntegrity),
        ("wrong_flow_stream_mapping", Gate::SequenceIntegrity),
        ("payload_trace_leak", Gate::TraceHygiene),
        ("secret_trace_leak", Gate::TraceHygiene),
        ("padding_only_diversity", Gate::SequenceIntegrity),
    ] {
        let mutant = mutant::of_name(name).unwrap();
        for start_seed in [1, 2, 8].into_iter().take(or_long(1, 3)) {
            let report = pair_alone(&mutant.make, start_seed);
            let failed = failed(&report);
            for gate in [gate, Gate::Correctness] {
                assert!(failed.contains(&gate.name()), "{name} from {start_seed}: {failed:?}");
            }
            assert_eq!((report.verdict, report.exit_code), ("fail", 1), "{name} {start_seed}");
        }
    }
}

#[test]
fn a_report_depends_on_neither_threads_nor_time() {
    let report = |jobs, start_seed| {
        let make = &pair("chunks").make;
        let options = Options { jobs, start_seed, ..Options::quick("chunks", make) };
        json(&check::run(&options)).unwrap()
    };
    let one = report(1, 7);
    assert_eq!(one, report(1, 7));
    for jobs in or_long(&[2, 64][..], &[0, 2, 3, 64, 1000]) {
        let jobs = *jobs;
        assert_eq!(one, report(jobs, 7), "{jobs} threads");
    }
    assert_ne!(one, report(1, 8));
    let read: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(read["schema"], "becket-lab-check/2");
    assert_eq!(read["gates"].as_array().unwrap().len(), 10);
}

#[test]
fn a_profile_is_repeated_by_its_seed() {
    let make = &pair("memory").make;
    let all = pair_alone(make, 5);
    let quick = Options { gates_of_lab: false, ..Options::quick("pair", make) };
    let options = Options { start_seed: 7, profiles: Some(1), ..quick };
    // Classes of runs that are alike are numbered in each check anew.
    let unclassed = |profile: &ProfileReport| {
        let mut profile = profile.clone();
        profile.runs.iter_mut().for_each(|run| run.class = None);
        profile
    };
    let again = check::run(&options);
    assert_eq!(unclassed(&again.profiles[0]), unclassed(&all.profiles[2]));
}

#[test]
fn an_adapter_that_differs_from_run_to_run_is_nondeterministic() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let made = AtomicU64::new(0);
    let make = move |limits: becket_lab::contract::Limits| {
        // Every pair has other room than the one before.
        let less = made.fetch_add(1, Ordering::Relaxed) % 64;
        let flow_buffered_bytes_max = limits.flow_buffered_bytes_max - less;
        (pair("memory").make)(becket_lab::contract::Limits { flow_buffered_bytes_max, ..limits })
    };
    let report = pair_alone(&make, 1);
    assert_eq!((report.verdict, report.exit_code), ("nondeterministic", 5), "{}", shown(&report));
}

#[test]
fn a_panic_fails_every_gate_of_the_runs_and_other_runs_go_on() {
    let make = |limits: becket_lab::contract::Limits| -> becket_lab::adapters::Pair {
        assert!(limits.flows_max > 100, "no such adapter");
        (pair("memory").make)(limits)
    };
    let report = quick(&make, 1);
    for gate in Gate::ALL.into_iter().take(7) {
        let gate = report.gate(gate).unwrap();
        assert_eq!((gate.verdict, gate.counted, gate.failed), ("fail", 9, 9), "{}", gate.name);
    }
    // All of them look the same, and none succeeded.
    let collapse = report.gate(Gate::CollapseResistance).unwrap();
    assert_eq!((collapse.verdict, collapse.counted), ("fail", 9));
    assert_eq!((&report.adversary.classes[..], report.adversary.success_per_mille), (&[9][..], 0));
    assert_eq!(report.gate(Gate::MutantDetection).unwrap().verdict, "pass");
    assert_eq!(report.profiles[0].runs[0].reason, Some("an adapter panicked"));
}

#[test]
fn a_rule_without_an_occasion_is_no_pass_of_a_full_check() {
    let make = &pair("memory").make;
    let check = |mode| {
        // One profile is too few for some rules.
        let options = Options { mode, profiles: Some(1), ..Options::quick("memory", make) };
        check::run(&options)
    };
    let (quick, full) = (check(Mode::Quick), check(Mode::Full));
    assert!(failed(&full).is_empty() && failed(&quick).is_empty(), "{}", shown(&full));
    assert!(!full.not_exercised.is_empty() && !quick.not_exercised.is_empty());
    assert_eq!((full.verdict, full.exit_code), ("not-exercised", 3));
    assert_eq!((quick.verdict, quick.exit_code), ("pass", 0));
    for rule in full.rules.iter().filter(|rule| full.not_exercised.contains(&rule.rule)) {
        assert!(rule.applicable > 0 && rule.exercised == 0, "{rule:?}");
    }
}

#[test]
fn what_adapters_do_not_carry_is_not_applicable() {
    let make = |limits: becket_lab::contract::Limits| {
        (pair("memory").make)(becket_lab::contract::Limits { flows_max: 1, ..limits })
    };
    let report = pair_alone(&make, 1);
    for profile in &report.profiles {
        let verdicts: Vec<_> = profile.runs.iter().skip(1).map(|run| run.verdict).collect();
        assert_eq!(verdicts, ["not-applicable"; 2]);
    }
    assert!(report.gate(Gate::Correctness).unwrap().counted <= 3);
}

#[test]
fn a_name_that_looks_like_a_secret_is_hidden() {
    let make = &pair("memory").make;
    let options = Options { gates_of_lab: false, ..Options::quick("my-password-71af", make) };
    let text = json(&check::run(&options)).unwrap();
    assert!(!text.contains("71af") && text.contains("(hidden)"));
}
