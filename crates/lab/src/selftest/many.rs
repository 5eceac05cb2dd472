// SPDX-License-Identifier: BSD-3-Clause
//! Healthy pairs from very many start seeds, in search of false alarms.

use std::ops::Range;

use super::parts::problem;
use crate::adapters::Healthy;
use crate::check::{self, Mode, in_threads};
use crate::rules::Examiner;

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tried {
    /// Number of checks.
    pub checks: u64,
    /// Number of their runs, except those that were not applicable.
    pub runs: u64,
    /// Start seeds from which a healthy pair did not pass.
    pub odd: Vec<Odd>,
}

/// A healthy pair that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Odd {
    /// The pair.
    pub pair: &'static str,
    /// The start seed.
    pub start_seed: u64,
    /// The failure.
    pub problem: String,
}

/// Verdicts of runs that need no attention.
const FINE: [&str; 3] = ["pass", "not-applicable", "non-strict"];

/// Checks a healthy pair from each of these start seeds. `done` is called after each with the
/// number of finished checks.
#[must_use]
pub fn healthy_from(
    pair: &'static Healthy,
    mode: Mode,
    start_seeds: Range<u64>,
    jobs: usize,
    done: &mut (dyn FnMut(usize) + Send),
) -> Tried {
    let seeds: Vec<_> = start_seeds.collect();
    let one = |seed: &u64, _: &mut Examiner| {
        let quick = check::Options::quick(pair.name, &pair.make);
        let options = check::Options { mode, start_seed: *seed, gates_of_lab: false, ..quick };
        let report = check::run(&options);
        let runs = || report.profiles.iter().flat_map(|profile| &profile.runs);
        let odd = runs()
            .find(|run| !FINE.contains(&run.verdict))
            .map(|run| format!("{} is {} {:?}", run.scenario, run.verdict, run.findings));
        let count = runs().filter(|run| run.verdict != "not-applicable").count() as u64;
        // There is no fresh process.
        let idle = report.not_exercised.iter().find(|id| mode == Mode::Full && **id != "DET-02");
        let idle = idle.map(|id| format!("{id} had no occasion"));
        (count, problem(&report).or(odd).or(idle))
    };
    let all = in_threads(jobs, &seeds, &one, &mut |_, count| done(count));
    let mut tried = Tried::default();
    for (seed, (runs, problem)) in seeds.iter().zip(all) {
        tried.checks += 1;
        tried.runs += runs;
        let odd = |problem| Odd { pair: pair.name, start_seed: *seed, problem };
        tried.odd.extend(problem.map(odd));
    }
    tried
}
