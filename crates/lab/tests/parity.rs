// SPDX-License-Identifier: BSD-3-Clause
//! Parity: generated modules behave like their profiles, and every change on one side is reported.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use becket_lab::check::{self, Mode, Options as CheckOptions};
use becket_lab::choice::Scheduler;
use becket_lab::fault::FaultKinds;
use becket_lab::gate::Gate;
use becket_lab::generate::example::steady;
use becket_lab::generate::{EXAMPLES, Order, Profile, Room, STEADY, module};
use becket_lab::link::Link;
use becket_lab::parity::{self, Options, ParityReport, TextDifference};
use becket_lab::source::Source;
use becket_lab::target::Behaviour;

/// As `long` of `tests/it` has it.
fn is_long() -> bool {
    std::env::var_os("BECKET_TEST_LONG").is_some()
}

#[test]
fn generated_modules_do_what_they_were_generated_of() {
    let seeds = if is_long() { None } else { Some(8) };
    let report = parity::run(&Options { mode: Mode::Full, seeds, ..Options::quick() });
    assert_eq!((report.verdict, report.failed, report.exit_code), ("pass", 0, 0), "{report}");
    assert_eq!(report.gate().counted, report.cases.len() as u64);
    assert_eq!(report.gate().gate, Gate::GeneratedBackendParity);
    assert!(report.counted > 200 && report.reason.is_none());
    for what in ["text", "constants", "lifecycle", "plan", "drive", "run"] {
        let of_kind: Vec<_> = report.cases.iter().filter(|case| case.what == what).collect();
        assert!(!of_kind.is_empty(), "{what}");
        assert!(of_kind.iter().all(|case| case.events > 0 && case.interpreted == case.generated));
    }
    // Another seed is another run: what is compared is not the same again and again.
    let runs = report.cases.iter().filter(|case| case.what == "run");
    let hashes: BTreeSet<_> = runs.clone().map(|case| &case.interpreted).collect();
    assert!(hashes.len() * 10 > runs.count() * 9);
}

#[test]
fn a_report_depends_on_neither_threads_nor_time() {
    let report = |jobs, start_seed| {
        parity::json(&parity::run(&Options { jobs, start_seed, ..Options::quick() })).unwrap()
    };
    let one = report(1, 7);
    for jobs in [0, 1, 3, 64] {
        assert_eq!(one, report(jobs, 7), "{jobs} threads");
    }
    assert_ne!(one, report(1, 8));
    let read: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(
        (&read["schema"], &read["verdict"]),
        (&"becket-lab-parity/1".into(), &"pass".into())
    );
}

/// A key of a profile, another value for it, and its constant. Some keys affect nothing but their
/// constant.
type Key = (&'static str, bool, fn(&mut Profile));

const KEYS: [Key; 24] = [
    ("NAME", false, |it| it.config.name = "other".into()),
    ("RUNTIME_ID", false, |it| it.config.runtime_id += 1),
    ("MAX_FLOWS", true, |it| it.config.max_flows -= 1),
    ("MAX_BUFFERED_BYTES", true, |it| it.config.max_buffered_bytes /= 4),
    ("MAX_CHUNK_BYTES", true, |it| it.config.max_chunk_bytes -= 1),
    ("MAX_EVENTS", true, |it| it.config.max_events = 60),
    ("TRACE_ENABLED", false, |it| it.config.trace_enabled ^= true),
    ("DETERMINISTIC_SEED", false, |it| it.config.deterministic_seed += 1),
    ("SOURCE", true, |it| it.source = Source::HalfClose),
    ("FLOWS", true, |it| it.flows += 1),
    ("TARGET", true, |it| it.behaviour = Behaviour::ChunkedResponse),
    ("CARRIER", true, |it| it.link = Link::LongPoll),
    ("WINDOW_BYTES", true, |it| it.window_bytes = 700),
    ("SCHEDULER", true, |it| {
        it.scheduler = match it.scheduler {
            Scheduler::Random => Scheduler::RoundRobin,
            _ => Scheduler::Random,
        }
    }),
    ("FAULTS", true, |it| {
        (it.faults, it.fault_budget) = (FaultKinds::ALL, it.fault_budget.max(1));
    }),
    ("FAULT_BUDGET", true, |it| it.fault_budget += 3),
    ("FLOW_BYTES_MAX", true, |it| it.policies.flow_bytes_max -= 1),
    ("OUT_BYTES_MAX", true, |it| it.policies.out_bytes_max -= 1),
    ("BUDGET_BYTES_MAX", true, |it| it.policies.budget_bytes_max = 100),
    ("ORDER", true, |it| {
        it.policies.order =
            if it.policies.order == Order::Turns { Order::Numbers } else { Order::Turns }
    }),
    ("ROOM", true, |it| {
        it.policies.room = if it.policies.room == Room::Half { Room::Empty } else { Room::Half }
    }),
    ("HALF_CLOSE", true, |it| it.policies.half_close ^= true),
    ("RESET", true, |it| it.policies.reset ^= true),
    ("CAPABILITIES", true, |it| it.policies.order = Order::Numbers),
];

/// The constants that differ, and whether plans, drives or runs do.
fn differences(report: &ParityReport) -> (Vec<&str>, bool) {
    let failed = report.cases.iter().filter(|case| case.difference.is_some());
    let constants = failed.clone().filter_map(|case| case.difference.as_ref()?.constant.as_deref());
    let acts = failed.clone().any(|case| ["plan", "drive", "run"].contains(&case.what));
    (constants.collect(), acts)
}

/// The profile of a module is changed, key by key: the constant is reported by name, and its effect
/// shows in plans, drives and runs without comparing constants.
#[test]
fn every_key_of_a_profile_is_a_constant_that_acts() {
    let options = Options { seeds: Some(if is_long() { 6 } else { 3 }), ..Options::quick() };
    let mut acting = BTreeSet::new();
    for (constant, _, change) in KEYS {
        let mut profile = STEADY.profile().unwrap();
        let before = profile.clone();
        change(&mut profile);
        assert_ne!(profile, before, "{constant}");
        let report = parity::run_one(&options, &profile, becket_lab::plug!(steady));
        assert_eq!((report.verdict, report.exit_code), ("fail", 1), "{constant}");
        let (constants, acts) = differences(&report);
        // What is claimed follows from other keys.
        let first = if constant == "CAPABILITIES" { "ORDER" } else { constant };
        assert_eq!(constants, [first]);
        if acts {
            acting.insert(constant);
        }
    }
    let expected: BTreeSet<_> = KEYS.iter().filter(|key| key.1).map(|key| key.0).collect();
    assert_eq!(acting, expected);
}

#[test]
fn the_first_difference_of_a_run_is_reported_with_both_sides() {
    let mut profile = STEADY.profile().unwrap();
    profile.link = Link::LongPoll;
    let options = Options::quick();
    let report = parity::run_one(&options, &profile, becket_lab::plug!(steady));
    let run = report.cases.iter().find(|case| case.what == "run" && case.difference.is_some());
    let case = run.unwrap();
    let difference = case.difference.as_ref().unwrap();
    assert!(difference.event.is_some() && difference.lines.len() > 3, "{case}");
    assert!(
        difference.said.starts_with("interpreted: ") && difference.said.contains("; generated: ")
    );
    let text = case.to_string();
    assert!(text.starts_with("steady: run, seed 1, event "), "{text}");
    assert!(report.to_string().contains(&text));
}

/// A change in the text of a module is reported with the constant in which it is.
#[test]
fn every_constant_that_is_changed_in_a_text_is_reported() {
    for example in EXAMPLES {
        let profile = example.profile().unwrap();
        let module = module(&profile).unwrap();
        assert_eq!(parity::of_text(&profile, &module), Ok(()));
        let (mut item, mut count) = (String::new(), 0);
        for (at, line) in module.lines().enumerate() {
            if let Some(rest) =
                line.strip_prefix("pub const ").filter(|rest| !rest.starts_with("fn"))
            {
                item = rest.split(':').next().unwrap().to_owned();
            }
            let is_value = line.starts_with("pub const ") && line.ends_with(';')
                || ["        [", "        piece(", "    flow("]
                    .iter()
                    .any(|row| line.starts_with(row));
            if !is_value {
                continue;
            }
            let changed = line.replacen(['0', '1', '2', '4', 'e', 'N'], "7", usize::MAX);
            if changed == line {
                continue;
            }
            let text: Vec<_> = module.split_inclusive('\n').collect();
            let mut text: Vec<String> = text.into_iter().map(Into::into).collect();
            text[at] = format!("{changed}\n");
            let difference = parity::of_text(&profile, &text.concat());
            let Err(TextDifference::Line { line, constant, .. }) = difference else {
                panic!("{item}")
            };
            assert_eq!((line, constant.as_deref()), (at + 1, Some(item.as_str())));
            count += 1;
        }
        assert!(count > 30, "{count}");
        let (shorter, _) = module.split_at(module.len() - 2);
        assert!(parity::of_text(&profile, shorter).is_err());
        let longer = format!("{module}\n");
        assert!(parity::of_text(&profile, &longer).is_err());
    }
}

/// The vocabulary and the drive a second time, from the same files: for the module below, which is
/// in this crate, they are its own, as in a user's crate.
#[path = "../src/generate"]
#[allow(dead_code, unreachable_pub, reason = "users have it as a crate of its own")]
mod generate {
    pub mod drive;
    pub mod vocabulary;
}

#[path = "../src/generate/generated/steady.rs"]
#[allow(dead_code, unreachable_pub, reason = "users have it as a crate of its own")]
mod own;

#[test]
fn a_module_with_words_of_its_own_is_the_same() {
    let profile = STEADY.profile().unwrap();
    let report = parity::run_one(&Options::quick(), &profile, becket_lab::plug!(own));
    assert_eq!((report.exit_code, report.failed), (0, 0), "{report}");
    assert!(report.counted > 10, "{report}");
}

/// Both sides are ordinary adapters: they pass checks, and refuse what they do not claim.
#[test]
fn generated_backends_pass_checks() {
    let make = |_| becket_lab::plug!(steady).pair();
    let options = CheckOptions::quick(STEADY.name, &make);
    // The gates of the lab are about no adapter.
    let options = CheckOptions { gates_of_lab: is_long(), ..options };
    let report = check::run(&CheckOptions { start_seed: 3, profiles: Some(20), ..options });
    let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
    let broken: Vec<_> = runs.filter(|run| !run.findings.is_empty()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    // Their runs are as different as those of an adapter that was written by hand.
    let collapse = report.gate(Gate::CollapseResistance).unwrap();
    assert_eq!(collapse.verdict, "pass", "{collapse:?}");
}

#[test]
fn a_demo_shows_what_came_of_each_flow() {
    let demo = parity::demo(4).unwrap();
    assert_eq!((demo.flows.len(), demo.generated), (4, demo.interpreted));
    let text = demo.to_string();
    assert!(text.starts_with("generated backend steady, seed 1, "), "{text}");
    assert!(text.contains("flow 4") && text.contains("gives the same"), "{text}");
    assert_eq!(parity::demo(16).unwrap().flows.len(), 16);
    let demo = |flows| parity::demo(flows).map_err(|error| error.to_string());
    assert_eq!(demo(17), Err("17 flows, and the profile steady has 1 to 16".into()));
    assert!(demo(0).is_err());
}
