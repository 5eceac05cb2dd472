// SPDX-License-Identifier: BSD-3-Clause
//! A check: a pair of adapters is put through all scenarios, in profile after profile.
//!
//! ```text
//!   seed, seed + 1, … ──► profiles ──┐
//!                                    ├─► runs ──► examinations ──► gates ──► report
//!                       scenarios ───┘    each twice, each flow alone
//! ```
//!
//! Runs are independent of one another: several threads take one after another, and what they found is
//! put in order behind them. So a report does not depend on how many threads there were.
//!
//! | file | holds |
//! |---|---|
//! | `case` | one run: made, repeated, listened to, examined |
//! | `listen` | what adapters say in words |
//! | `verdict` | gates, from what was seen in all runs |
//!
//! # Invariants
//!
//! 1. What a check says depends on its options, but for `jobs`, and on the adapters.
//! 2. A scenario that the limits of a profile cannot carry is not run, and said to be not applicable.
//! 3. An adapter that panics has failed its run, in every gate; the others go on.

mod case;
mod listen;
mod verdict;

pub(crate) use case::Case;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::adapters::Pair;
use crate::adversary::Features;
use crate::contract::Limits;
use crate::gate::{Mutant, MutantResult, mutants};
use crate::report::{Report, RunReport};
use crate::rules::{Examiner, Finding, Marks, Verdict};
use crate::saboteur::Saboteur;
use crate::scenario::{Profile, SCENARIOS, Scenario, Shown, is_disturbed};
use crate::trace::TraceHash;

/// Makes a pair of adapters with these limits, as often as it is asked, on any thread.
pub type Make<'a> = &'a (dyn Fn(Limits) -> Pair + Sync);

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Three scenarios, three profiles, eight saboteurs.
    #[default]
    Quick,
    /// All scenarios, twenty profiles, all saboteurs. A rule that is never exercised is told.
    Full,
}

/// Profiles of a check at most.
pub const PROFILES_MAX: u32 = 10_000;
/// Threads of a check at most.
pub const JOBS_MAX: usize = 64;

impl Mode {
    /// Profiles, unless it is said how many.
    #[must_use]
    pub const fn profiles(self) -> u32 {
        match self {
            Self::Quick => 3,
            Self::Full => 20,
        }
    }

    /// Its name, in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// Whether a scenario is tried.
    const fn has(self, scenario: &Scenario) -> bool {
        matches!(self, Self::Full) || scenario.is_quick
    }
}

/// What is checked, and how.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the adapters are called in the report. A name that looks like a secret is hidden.
    pub name: &'a str,
    /// Makes them.
    pub make: Make<'a>,
    /// How much is tried.
    pub mode: Mode,
    /// The seed of the first profile; the next has the next.
    pub start_seed: u64,
    /// How many profiles, from 1 to [`PROFILES_MAX`]. `None`: as many as the mode has.
    pub profiles: Option<u32>,
    /// How many threads, from 1 to [`JOBS_MAX`].
    pub jobs: usize,
}

impl<'a> Options<'a> {
    /// A quick check from seed 1 on, on one thread.
    #[must_use]
    pub const fn quick(name: &'a str, make: Make<'a>) -> Self {
        Self { name, make, mode: Mode::Quick, start_seed: 1, profiles: None, jobs: 1 }
    }

    /// The seeds of its profiles.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let count = self.profiles.unwrap_or(self.mode.profiles()).clamp(1, PROFILES_MAX);
        let first = self.start_seed;
        (0..u64::from(count)).map(move |at| first.wrapping_add(at))
    }
}

/// A run of a scenario in a profile, and all that is said of it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) scenario: &'static Scenario,
    pub(crate) verdict: Verdict,
    /// Why, if that is not said by findings.
    pub(crate) reason: Option<&'static str>,
    /// What was seen. `None`: it was not run, or did not come to its end.
    pub(crate) seen: Option<Box<Evidence>>,
}

/// What is kept of a run that was examined.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) hash: TraceHash,
    pub(crate) marks: Marks,
    pub(crate) findings: Vec<Finding>,
    pub(crate) features: Features,
    /// It did not show what the scenario demands, though it had occasion.
    pub(crate) is_otherwise: bool,
}

/// Something that a thread does.
enum Task<'a> {
    Run(&'a Profile, &'static Scenario),
    Look(&'static Saboteur),
}

/// What came of it.
enum Done {
    Run(Run),
    Looked(Mutant),
}

/// Checks a pair of adapters.
#[must_use]
pub fn run(options: &Options<'_>) -> Report {
    let profiles: Vec<_> = options.seeds().map(Profile::draw).collect();
    let runs = profiles.iter().flat_map(|profile| {
        let scenarios = SCENARIOS.iter().filter(|scenario| options.mode.has(scenario));
        scenarios.map(move |scenario| Task::Run(profile, scenario))
    });
    let tasks: Vec<_> = runs.chain(mutants(options.mode).map(Task::Look)).collect();
    let (mut runs, mut mutants) = (Vec::new(), Vec::new());
    for done in all_done(options, &tasks) {
        match done {
            Done::Run(run) => runs.push(run),
            Done::Looked(mutant) => mutants.push(mutant),
        }
    }
    let gates = verdict::gates(&runs, &mutants);
    let reports: Vec<_> = runs.iter().map(RunReport::of).collect();
    let marks = runs.iter().filter_map(|run| run.seen.as_deref());
    let marks = marks.fold(Marks::default(), |all, seen| all.join(seen.marks));
    let collapse = verdict::collapse(&runs);
    Report::new(options, &profiles, reports, &gates, &marks, collapse, &mutants)
}

/// Everything that is to be done, in the order in which it stands there.
fn all_done(options: &Options<'_>, tasks: &[Task<'_>]) -> Vec<Done> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut examiner, mut done) = (Examiner::new(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(at) else { return done };
            done.push((at, take(options, task, &mut examiner)));
        }
    };
    let jobs = options.jobs.clamp(1, JOBS_MAX).min(tasks.len());
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..jobs).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            // A task catches the panics of adapters: nothing else of a thread can.
            done.extend(other.join().unwrap_or_default());
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, done)| done).collect()
}

fn take(options: &Options<'_>, task: &Task<'_>, examiner: &mut Examiner) -> Done {
    let caught = catch_unwind(AssertUnwindSafe(|| match *task {
        Task::Run(profile, scenario) => {
            Done::Run(run_one(options.make, profile, scenario, examiner))
        }
        Task::Look(saboteur) => Done::Looked(Mutant::look(saboteur, examiner)),
    }));
    let Ok(done) = caught else {
        // What it knew of the run that was broken off is worth nothing.
        *examiner = Examiner::new();
        let reason = Some("an adapter panicked");
        return match *task {
            Task::Run(_, scenario) => {
                Done::Run(Run { scenario, verdict: Verdict::Fail, reason, seen: None })
            }
            Task::Look(saboteur) => {
                Done::Looked(Mutant { name: saboteur.name, result: MutantResult::Missed })
            }
        };
    };
    done
}

/// One scenario in one profile.
fn run_one(
    make: Make<'_>,
    profile: &Profile,
    scenario: &'static Scenario,
    examiner: &mut Examiner,
) -> Run {
    let limits = scenario.limits(profile);
    let manifests = case::manifests(make, limits);
    if let Some(obstacle) = scenario.obstacle(&profile.config, &manifests) {
        let (verdict, reason) = (Verdict::NotApplicable, Some(obstacle));
        return Run { scenario, verdict, reason, seen: None };
    }
    let case = Case {
        config: profile.config.clone(),
        plans: scenario.plans(&profile.config),
        behaviour: profile.behaviour(scenario),
        window_bytes: profile.window_bytes,
        carrier: profile.carrier,
        faults: profile.faults,
        limits,
        scheduler: profile.scheduler,
    };
    let seen = case.examine(make, examiner);
    let shown = match is_disturbed(&seen.trace) || !scenario.is_supported(&manifests) {
        true => Shown::Yes,
        false => scenario.demand.is_shown(&seen.trace, scenario.flows),
    };
    let by_rules = Verdict::of(&seen.marks);
    let is_kept = matches!(by_rules, Verdict::Pass | Verdict::NonStrict);
    let (verdict, reason) = match shown {
        Shown::Otherwise if is_kept => (Verdict::Fail, Some(scenario.demand.sentence())),
        Shown::NoOccasion if is_kept => (Verdict::NotExercised, Some("no source was turned away")),
        _ if is_kept && !scenario.is_supported(&manifests) => {
            (Verdict::Unsupported, Some("the adapters do not claim what it needs"))
        }
        _ => (by_rules, None),
    };
    let case::Seen { hash, marks, findings, features, .. } = seen;
    let is_otherwise = shown == Shown::Otherwise;
    let evidence = Evidence { hash, marks, findings, features, is_otherwise };
    let seen = Some(Box::new(evidence));
    Run { scenario, verdict, reason, seen }
}
