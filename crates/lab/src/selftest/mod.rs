// SPDX-License-Identifier: BSD-3-Clause
//! The self-test of the lab: whether it finds defects, and whether it raises false alarms.
//!
//! | part | passes when |
//! |---|---|
//! | healthy | every healthy pair passes the gates of checks from several start seeds |
//! | mutants | enough mutants are killed by all rules that must kill them: 95 % in quick mode, all in full mode |
//! | first | each rule kills a mutant alone or before other rules, or there is a reason why it cannot |
//! | exercised | no rule is without an occasion in the checks of healthy pairs, of which one claims little (full mode) |
//! | determinism | a repeated check, and one on two threads, give the same report byte for byte |
//! | canaries | reports and failures of mutants that leak payload do not repeat it |
//! | fresh_process | a fresh process has the same runs (if the caller can start one) |
//!
//! If the self-test fails, the lab's verdicts on adapters are void: its exit code is 4.
//!
//! | file | holds |
//! |---|---|
//! | `kills` | the kill matrix |
//! | `parts` | the other parts |
//!
//! # Invariants
//!
//! 1. The result of a self-test depends on its options, except `jobs` and `progress`.
//! 2. A part that was not tried is not exercised, which is no pass.

mod kills;
mod parts;

pub use kills::{KillReport, REASONS, RuleReport};

use std::fmt::Write as _;

use serde::Serialize;

use crate::check::{Mode, Progress};
use crate::gate::more_severe;
use crate::rules::{Exit, Verdict};

/// The version of the report's form.
pub const SCHEMA: &str = "becket-lab-selftest/2";
/// Number of problems of a part that are listed.
const PROBLEMS_MAX: usize = 20;

/// Options of a self-test.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Quick: few seeds, three scenarios. Full: what a full check does.
    pub mode: Mode,
    /// Number of threads.
    pub jobs: usize,
    /// Called after each step.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Returns the output of [`fresh_process`] in a fresh process:
    /// [`check::hashes`](crate::check::hashes).
    pub fresh_process: Option<&'a (dyn Fn() -> Option<String> + Sync)>,
}

impl Options<'_> {
    /// A quick self-test on one thread, without callbacks.
    #[must_use]
    pub const fn quick() -> Self {
        Self { mode: Mode::Quick, jobs: 1, progress: None, fresh_process: None }
    }
}

/// The result of a self-test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SelfTest {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The mode.
    pub mode: &'static str,
    /// `pass` or `lab-error`.
    pub verdict: &'static str,
    /// 0 or 4.
    pub exit_code: u8,
    /// The parts, in their order.
    pub parts: Vec<PartReport>,
    /// The kill matrix.
    pub kills: Vec<KillReport>,
    /// The mutants that each rule kills.
    pub rules: Vec<RuleReport>,
}

/// The result of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartReport {
    /// Its name.
    pub name: &'static str,
    /// `pass`, `lab-error` or `not-exercised`.
    pub verdict: &'static str,
    /// Number of checks, mutants or rules that counted.
    pub counted: u64,
    /// Number of those that failed.
    pub failed: u64,
    /// The first problems.
    pub problems: Vec<String>,
}

/// The result of one part.
#[derive(Debug, Default)]
struct Part {
    counted: u64,
    failed: u64,
    problems: Vec<String>,
    /// How many of a thousand may fail.
    spared_per_mille: u64,
}

impl Part {
    /// Counts one more, with its problem if it failed.
    fn count(&mut self, problem: Option<String>) {
        self.counted += 1;
        if let Some(problem) = problem {
            self.failed += 1;
            if self.problems.len() < PROBLEMS_MAX {
                self.problems.push(problem);
            }
        }
    }

    fn report(self, name: &'static str) -> PartReport {
        let Self { counted, failed, problems, spared_per_mille } = self;
        let verdict = match () {
            () if counted == 0 => Verdict::NotExercised,
            () if 1000 * failed > counted * spared_per_mille => Verdict::LabError,
            () => Verdict::Pass,
        };
        PartReport { name, verdict: verdict.name(), counted, failed, problems }
    }
}

/// The progress of the self-test.
struct Steps<'a> {
    progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    done: usize,
    total: usize,
}

impl Steps<'_> {
    fn done(&mut self, what: &'static str) {
        self.done += 1;
        if let Some(report) = self.progress {
            let (done, total) = (self.done, self.total.max(self.done));
            report(Progress { done, total, what, seed: None });
        }
    }
}

/// Runs the self-test.
#[must_use]
pub fn run(options: &Options<'_>) -> SelfTest {
    let total = parts::steps(options) + crate::mutant::MUTANTS.len();
    let mut steps = Steps { progress: options.progress, done: 0, total };
    let (healthy, exercised) = parts::healthy(options, &mut steps);
    let looked = kills::look(options, &mut steps);
    let kills = kills::reports(&looked);
    let rules = kills::rules(&looked);
    let all = vec![
        healthy.report("healthy"),
        kills::found(options, &kills).report("mutants"),
        kills::first(options, &rules).report("first"),
        exercised.report("exercised"),
        parts::determinism(options, &mut steps).report("determinism"),
        parts::canaries(&mut steps).report("canaries"),
        parts::fresh_process(options).report("fresh_process"),
    ];
    let grave = |verdict: Verdict, part: &PartReport| match Verdict::of_name(part.verdict) {
        // A part that the mode leaves out is no failure.
        Some(Verdict::NotExercised) => verdict,
        Some(other) => more_severe(verdict, other),
        None => Verdict::LabError,
    };
    let verdict = all.iter().fold(Verdict::Pass, grave);
    let exit = if verdict == Verdict::Pass { Exit::Ok } else { Exit::Baseline };
    SelfTest {
        schema: SCHEMA,
        mode: options.mode.name(),
        verdict: verdict.name(),
        exit_code: exit.code(),
        parts: all,
        kills,
        rules,
    }
}

/// The output of a fresh process, for [`Options::fresh_process`].
#[must_use]
pub fn fresh_process() -> String {
    parts::hashes()
}

impl SelfTest {
    /// The result for people, in lines.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a `String` cannot fail.
            let _taken = writeln!(text, "{line}");
        };
        for part in &self.parts {
            let PartReport { name, verdict, counted, failed, problems } = part;
            line(format!("{name:<13} {verdict:<14} {} of {counted}", counted - failed));
            for problem in problems {
                line(format!("  {problem}"));
            }
        }
        line(format!("self-test: {}", self.verdict));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::HEALTHY;
    use crate::check;

    fn part(counted: u64, failed: u64, spared_per_mille: u64) -> &'static str {
        let mut part = Part { spared_per_mille, ..Part::default() };
        for at in 0..counted {
            part.count((at < failed).then(|| format!("problem {at}")));
        }
        let report = part.report("part");
        assert_eq!((report.counted, report.failed), (counted, failed));
        assert_eq!(report.problems.len() as u64, failed.min(PROBLEMS_MAX as u64));
        report.verdict
    }

    #[test]
    fn a_part_fails_by_one_more_than_is_spared_and_by_one_if_nothing_is() {
        assert_eq!((part(9, 0, 0), part(9, 1, 0)), ("pass", "lab-error"));
        assert_eq!((part(100, 5, 50), part(100, 6, 50)), ("pass", "lab-error"));
        assert_eq!((part(0, 0, 0), part(99, 99, 0)), ("not-exercised", "lab-error"));
    }

    fn kill(expected: &[&'static str], killers: &[&'static str]) -> KillReport {
        let result = if killers.is_empty() { "survived" } else { "killed" };
        let (expected, killers, first) = (expected.to_vec(), killers.to_vec(), Vec::new());
        KillReport { mutant: "it", wrong: "something", result, expected, killers, first }
    }

    #[test]
    fn a_mutant_that_is_not_found_by_all_that_have_to_fails() {
        let full = Options { mode: Mode::Full, ..Options::quick() };
        let verdict = |options: &Options<'_>, kills: &[KillReport]| {
            kills::found(options, kills).report("mutants").verdict
        };
        let found = || kill(&["INT-04"], &["INT-04", "INT-05"]);
        for missed in [kill(&["INT-04"], &[]), kill(&["INT-04", "INT-05"], &["INT-04"])] {
            assert_eq!(verdict(&full, &[found(), missed.clone()]), "lab-error");
            assert_eq!(verdict(&Options::quick(), &[found(), missed]), "lab-error");
        }
        assert_eq!(verdict(&full, &[found(), found()]), "pass");
        let untried = KillReport { result: "not-tried", ..kill(&["DET-02"], &[]) };
        assert_eq!(verdict(&full, &[untried]), "not-exercised");
    }

    #[test]
    fn a_rule_that_finds_nothing_fails_whatever_is_said_for_it() {
        let full = Options { mode: Mode::Full, ..Options::quick() };
        let rule =
            |finds, finds_first, reason| RuleReport { rule: "INT-01", finds, finds_first, reason };
        let verdict = |rule| kills::first(&full, &[rule]).report("first").verdict;
        assert_eq!(verdict(rule(3, 1, None)), "pass");
        assert_eq!(verdict(rule(3, 0, Some("another is seen before"))), "pass");
        assert_eq!(verdict(rule(3, 0, None)), "lab-error");
        assert_eq!(verdict(rule(0, 0, Some("another is seen before"))), "lab-error");
    }

    #[test]
    fn a_pair_that_does_not_pass_is_a_problem() {
        let checked = |make: check::Make<'_>| {
            let quick = check::Options::quick("pair", make);
            parts::problem(&check::run(&check::Options { gates_of_lab: false, ..quick }))
        };
        assert_eq!(checked(&HEALTHY[0].make), None);
        let mutant = crate::mutant::of_name("drops_final_chunk").unwrap();
        let problem = checked(&mutant.make).unwrap();
        assert!(problem.contains("local_adapter_correctness is fail"), "{problem}");
    }
}
