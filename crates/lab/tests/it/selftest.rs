// SPDX-License-Identifier: BSD-3-Clause
//! The lab's self-test passes.
//!
//! `cargo test -p becket-lab --test it selftest -- --ignored --nocapture` makes the long proofs: healthy
//! pairs from many start seeds. `BECKET_LAB_SEEDS=10000` says from how many, `BECKET_LAB_FIRST=1` from
//! which on.

use std::process::Command;

use becket_lab::adapters::HEALTHY;
use becket_lab::check::{self, Mode, Progress};
use becket_lab::report::Report;
use becket_lab::selftest::{self, Options, SelfTest};
use parking_lot::Mutex;

use crate::bridged::alone;
use crate::long::is_long;

fn part(test: &SelfTest, name: &str) -> (&'static str, u64) {
    let part = test.parts.iter().find(|part| part.name == name).expect(name);
    (part.verdict, part.counted)
}

#[test]
fn a_quick_self_test_passes_whoever_listens() {
    let heard = Mutex::new(Vec::new());
    let observe = |progress: Progress| heard.lock().push(progress);
    let quick = selftest::run(&Options { progress: Some(&observe), jobs: 2, ..Options::quick() });
    assert_eq!((quick.verdict, quick.exit_code), ("pass", 0), "{}", quick.text());
    for name in ["healthy", "mutants", "determinism", "canaries"] {
        let (verdict, counted) = part(&quick, name);
        assert!(verdict == "pass" && counted >= 10, "{name}: {}", quick.text());
    }
    for name in ["first", "exercised", "fresh_process"] {
        assert_eq!(part(&quick, name), ("not-exercised", 0), "{name}");
    }
    let heard = heard.into_inner();
    assert!(heard.iter().map(|it| it.done).eq(1..=heard.len()));
    assert!(heard.iter().all(|it| it.total == heard.len()), "{:?}", heard.last());
    let found = quick.kills.iter().filter(|kill| kill.result == "killed").count();
    println!("{found} of {} mutants", quick.kills.len());
}

/// The long form alone: the short one is the quick self-test above.
#[test]
fn a_full_self_test_passes() {
    if !is_long() {
        return;
    }
    let asks = || fresh_process();
    let full = Options { mode: Mode::Full, jobs: 2, fresh_process: Some(&asks), progress: None };
    let full = selftest::run(&full);
    println!("{}", full.text());
    for kill in &full.kills {
        println!("{} {:?} first {:?}", kill.mutant, kill.killers, kill.first);
    }
    assert_eq!((full.verdict, full.exit_code), ("pass", 0), "{}", full.text());
    for part in &full.parts {
        assert_eq!(part.verdict, "pass", "{}", full.text());
    }
    for rule in &full.rules {
        assert!(rule.finds > 0, "{} finds nothing", rule.rule);
        assert!(rule.finds_first > 0 || rule.reason.is_some(), "{}", rule.rule);
        assert!(
            rule.finds_first == 0 || rule.reason.is_none(),
            "{} has no need of a reason",
            rule.rule
        );
    }
}

const RUN: &str = "BECKET_LAB_TEST_SELFTEST";
const TEST: &str = "selftest::in_a_fresh_process";

#[test]
fn in_a_fresh_process() {
    if std::env::var_os(RUN).is_some() {
        print!("\n{}", selftest::fresh_process());
    }
    assert!(!HEALTHY.is_empty());
}

fn fresh_process() -> Option<String> {
    let this = std::env::current_exe().ok()?;
    let mut command = Command::new(this);
    let output = command.args(["--exact", TEST, "--nocapture"]).env(RUN, "1").output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
}

/// Verdicts of runs that need no attention.
const FINE: [&str; 3] = ["pass", "not-applicable", "non-strict"];

/// What deviates from a pass in the check of a healthy pair.
fn odd(report: &Report, mode: Mode) -> Option<String> {
    let gate = report.gates.iter().take(8).find(|gate| gate.verdict != "pass");
    let gate = gate.map(|gate| format!("{} is {}", gate.name, gate.verdict));
    let mut runs = report.profiles.iter().flat_map(|profile| &profile.runs);
    let run = runs.find(|run| !FINE.contains(&run.verdict)).map(|run| format!("{run:?}"));
    // There is no fresh process.
    let idle = report.not_exercised.iter().find(|id| mode == Mode::Full && **id != "DET-02");
    gate.or(run).or(idle.map(|id| format!("{id} had no occasion")))
}

/// Checks all healthy pairs from many start seeds, and prints every deviation from a pass.
fn proof(mode: Mode, seeds: u64) {
    let (first, seeds) = (number("BECKET_LAB_FIRST", 1), number("BECKET_LAB_SEEDS", seeds));
    let mut all = Vec::new();
    for pair in HEALTHY {
        for start_seed in first..first + seeds {
            if (start_seed - first).is_multiple_of(500) {
                println!("{} {} of {seeds}", pair.name, start_seed - first);
            }
            let options =
                check::Options { mode, jobs: 2, start_seed, ..alone(pair.name, &pair.make) };
            if let Some(odd) = odd(&check::run(&options), mode) {
                println!("{} from {start_seed}: {odd}", pair.name);
                all.push((pair.name, start_seed, odd));
            }
        }
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
#[ignore = "takes minutes"]
fn healthy_pairs_pass_quick_checks_from_ten_thousand_start_seeds() {
    proof(Mode::Quick, 10_000);
}

#[test]
#[ignore = "takes minutes"]
fn healthy_pairs_pass_full_checks_from_sixty_start_seeds() {
    proof(Mode::Full, 60);
}
