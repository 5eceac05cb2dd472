// SPDX-License-Identifier: BSD-3-Clause
//! A check: runs a pair of adapters through all scenarios, in one profile after another.
//!
//! ```text
//!   seed, seed + 1, … ──► profiles ──┐
//!                                    ├─► runs ──► examinations ──► gates ──► report
//!                       scenarios ───┘    each twice, once more in a fresh process, each flow alone
//!                                              │
//!                                           failures ──► files, at once ──► shrunk ones
//! ```
//!
//! Runs are independent of each other: several threads take them one by one, and the results are
//! put in order afterwards. So a report does not depend on the number of threads.
//!
//! The caller may observe progress, keep failed runs, repeat everything in a fresh process, and
//! declare known failures: see [`Options`].
//!
//! | file | holds |
//! |---|---|
//! | `own` | the lab's own parts, each made wrong once |
//! | `options` | what is checked, how, and the callbacks |
//! | `guided` | many small runs, guided by what they reach |
//! | `ordered_pool` | parallel tasks with ordered results |
//! | `negotiation` | what adapters and lab agree on first |
//! | `case` | one run: executed, repeated, recorded, examined |
//! | `orders` | all orders of a small run, one after another |
//! | `run` | one scenario in one profile, and its verdict |
//! | `fresh_process` | the same runs in a fresh process |
//! | `expect` | known failures |
//! | `failures` | failures for people, and their files |
//! | `artefact` | a failed run in a file, repeated, shrunk |
//! | `verdict` | gates, from the evidence of all runs |
//!
//! # Invariants
//!
//! 1. A report depends on the adapters and on the options, except `jobs` and `progress`. With
//!    `artefacts` it also names the file of each failure.
//! 2. A scenario that the limits of a profile cannot carry is not run, and reported as not
//!    applicable.
//! 3. A panic of an adapter fails its run in every gate; other runs continue. Any other panic is
//!    the lab's: that run is no evidence about the adapter, and the check ends as a lab error.

mod artefact;
mod case;
mod expect;
mod failures;
mod fresh_process;
mod guided;
mod negotiation;
mod options;
mod ordered_pool;
mod orders;
mod own;
mod run;
mod verdict;

pub use artefact::{
    ARTEFACTS_MAX, Artefact, Repeated, TRIES_A_HANG, is_broken_again, repeat, smaller,
};
pub(crate) use case::{Case, Deep};
pub use expect::{
    ENTRIES_MAX, EXPECT_BYTES_MAX, ExpectError, Expectation, Expectations, REASON_CHARS_MAX,
};
pub(crate) use fresh_process::Hashes;
pub use fresh_process::hashes;
pub(crate) use negotiation::{Agreement, Agreements, Disagreement};
pub use options::{
    Compare, DEVIATIONS_MAX, JOBS_MAX, Make, Mode, Options, PROFILES_MAX, Progress,
    SHRINK_TRIES_MAX,
};
pub(crate) use orders::Orders;
pub(crate) use run::{Run, case_of};

use std::sync::atomic::{AtomicUsize, Ordering};

use self::expect::Judge;
use self::failures::Failures;
use self::ordered_pool::{Observer, in_order};
use crate::adapters::caught;
use crate::bridge::crashes;
use crate::gate::{GateResult, MutantOutcome, MutantResult};
use crate::mutant::{MUTANTS, Mutant};
use crate::parity;
use crate::report::Report;
use crate::rules::Examiner;
use crate::scenario::{Profile, SCENARIOS, Scenario};

/// A unit of work for a thread.
enum Task<'a> {
    Run(&'a Profile, &'static Scenario),
    Look(&'static Mutant),
}

/// The result of a task.
enum Done {
    Run(Run),
    Looked(MutantResult),
    /// Not done: a process crashed in a run before it.
    Skipped,
}

/// The first task in which the process of an adapter crashed. Later tasks are skipped: each crash
/// costs time and gives the same result.
struct Crash {
    task: AtomicUsize,
    /// The crash may be a known failure, after which a check continues.
    is_known: bool,
}

impl Crash {
    const fn new(is_known: bool) -> Self {
        Self { task: AtomicUsize::new(usize::MAX), is_known }
    }

    /// Runs a task, unless a process crashed in an earlier one; records a crash in this one.
    fn unless_before<T>(
        &self,
        at: usize,
        work: impl FnOnce() -> T,
    ) -> Option<(T, Option<&'static str>)> {
        if self.is_before(at) {
            return None;
        }
        let (done, how) = crashes::during(work);
        if how.is_some() && !self.is_known {
            self.task.fetch_min(at, Ordering::Relaxed);
        }
        Some((done, how))
    }

    /// Whether a process crashed in an earlier task. Once all earlier tasks are done, the answer
    /// does not depend on the number of threads.
    fn is_before(&self, at: usize) -> bool {
        at > self.task.load(Ordering::Relaxed)
    }
}

/// All tasks of a check, in order.
fn tasks<'a>(
    options: &Options<'_>,
    agreements: &'a Agreements,
    profiles: &'a [Profile],
) -> Vec<(usize, Task<'a>)> {
    let mode = options.mode;
    let runs = profiles.iter().flat_map(move |profile| {
        let scenarios = SCENARIOS.iter();
        let scenarios = scenarios.filter(move |it| mode.has(it) || agreements.tries(it));
        scenarios.map(move |scenario| Task::Run(profile, scenario))
    });
    let mutants = MUTANTS.iter().filter(|_| options.gates_of_lab).map(Task::Look);
    runs.chain(mutants).enumerate().collect()
}

/// Checks a pair of adapters.
#[must_use]
pub fn run(options: &Options<'_>) -> Report {
    let seeds: Vec<_> = options.seeds().collect();
    let profiles: Vec<_> = seeds.iter().copied().map(Profile::draw).collect();
    let agreements = Agreements::of(options, &profiles);
    let tasks = tasks(options, &agreements, &profiles);
    let mut step = Steps::new(options, tasks.len());
    let crash = Crash::new(options.expect.is_some());

    let said = options.fresh_process.map(|fresh_process| {
        let said = fresh_process();
        step.done("a fresh process", None);
        // A fresh process without output is no evidence about any run.
        Hashes::parse(&said.unwrap_or_default())
    });
    let said = said.as_ref();

    let mut judge = Judge::new(options.expect, options.name);
    let mut failures = Failures::new(options);
    let mut place = 0..;
    let mut ordered = |done: &mut Done| {
        let is_behind = place.next().is_some_and(|at| crash.is_before(at));
        if let Done::Run(run) = done
            && !is_behind
        {
            judge.judge(run);
            failures.look_at(run);
        }
    };
    let mut done = |at: usize, _: usize| match tasks.get(at).map(|(_, task)| task) {
        Some(Task::Run(profile, scenario)) => {
            step.done(scenario.name, Some(profile.config.deterministic_seed));
        }
        Some(Task::Look(mutant)) => step.done(mutant.name, None),
        None => {}
    };
    let work = |(at, task): &(usize, Task<'_>), examiner: &mut Examiner| {
        let done = crash.unless_before(*at, || take(options, said, task, examiner));
        match done {
            Some((Done::Run(mut run), Some(how))) => {
                run.crashed(how);
                Done::Run(run)
            }
            Some((done, _)) => done,
            None => Done::Skipped,
        }
    };
    let observer = Observer { done: &mut done, ordered: &mut ordered };
    let (mut runs, mut mutants) = (Vec::new(), Vec::new());
    let all = in_order(options.jobs, &tasks, &work, observer);
    let has_crashed = crash.is_before(usize::MAX);
    for ((at, task), done) in tasks.iter().zip(all) {
        let done = if crash.is_before(*at) { Done::Skipped } else { done };
        match (done, task) {
            (Done::Run(run), _) => runs.push(run),
            (Done::Looked(mutant), _) => mutants.push(mutant),
            (Done::Skipped, Task::Run(profile, scenario)) => {
                runs.push(Run::behind_a_crash(profile, scenario));
            }
            (Done::Skipped, Task::Look(mutant)) => {
                mutants.push(MutantResult { name: mutant.name, outcome: MutantOutcome::NotTried });
            }
        }
    }
    let parity = (options.gates_of_lab && !has_crashed).then(|| {
        let parity = compared(options, &seeds);
        step.done("parity", None);
        parity
    });
    let failures = failures.made_small(&mut step);

    let collapse = verdict::collapse(&runs);
    let gates = verdict::gates(&runs, &collapse, &mutants, &agreements, parity);
    let mut report = Report::new(options, &profiles, &runs, &gates, collapse, &mutants);
    let problem = own::of_report(&report, &runs, options).or_else(|| {
        let is_examined = options.gates_of_lab && !has_crashed;
        is_examined.then(|| own::examine(&report, &runs, options)).flatten()
    });
    report.agree(&agreements);
    report.say(failures, judge.reports());
    if let Some(problem) = problem {
        report.doubt(problem);
    }
    report
}

/// Compares generated code with the profile that it was generated from.
fn compared(options: &Options<'_>, seeds: &[u64]) -> GateResult {
    let Some(compare) = options.parity else {
        let Options { mode, start_seed, profiles, jobs, .. } = *options;
        let of_all = parity::Options { mode, start_seed, seeds: profiles, jobs };
        return parity::run(&of_all).gate();
    };
    compare(seeds).gate()
}

/// Runs all tasks on several threads and returns the results in order. `done` is called with the
/// index of each finished task and the number of finished ones.
pub(crate) fn in_threads<T: Sync, D: Send>(
    jobs: usize,
    tasks: &[T],
    work: &(dyn Fn(&T, &mut Examiner) -> D + Sync),
    done: &mut (dyn FnMut(usize, usize) + Send),
) -> Vec<D> {
    in_order(jobs, tasks, work, Observer { done, ordered: &mut |_| () })
}

/// The progress of a check.
struct Steps<'a> {
    options: &'a Options<'a>,
    done: usize,
    total: usize,
}

impl<'a> Steps<'a> {
    fn new(options: &'a Options<'a>, tasks: usize) -> Self {
        let besides = [options.fresh_process.is_some(), options.gates_of_lab];
        let besides = besides.into_iter().filter(|it| *it).count();
        Self { options, done: 0, total: tasks + besides }
    }

    /// Announces work that takes long before its first step is done.
    fn begin(&self, what: &'static str) {
        let (done, total) = (self.done, self.total.max(self.done));
        self.options.tell(Progress { done, total, what, seed: None });
    }

    fn done(&mut self, what: &'static str, seed: Option<u64>) {
        self.done += 1;
        let (done, total) = (self.done, self.total.max(self.done));
        self.options.tell(Progress { done, total, what, seed });
    }
}

fn take(
    options: &Options<'_>,
    said: Option<&Hashes>,
    task: &Task<'_>,
    examiner: &mut Examiner,
) -> Done {
    let done = caught(|| match *task {
        Task::Run(profile, scenario) => {
            Done::Run(run::run(options, profile, scenario, said, examiner))
        }
        Task::Look(mutant) => Done::Looked(MutantResult::look(mutant, said, examiner)),
    });
    done.unwrap_or_else(|guilty| {
        // Its state after an aborted run is invalid.
        *examiner = Examiner::new();
        match *task {
            Task::Run(profile, scenario) => {
                let case = caught(|| case_of(options.make, profile, scenario).ok());
                Done::Run(Run::panicked(profile, scenario, case.ok().flatten(), guilty))
            }
            Task::Look(mutant) => {
                Done::Looked(MutantResult { name: mutant.name, outcome: MutantOutcome::Survived })
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{HEALTHY, Pair};
    use crate::contract::Limits;
    use crate::rules::Verdict;

    /// Limits that no profile has: multiplying them by the flows of a scenario overflows, which is
    /// an error of the lab.
    fn impossible() -> Profile {
        Profile { flow_bytes_max: u64::MAX, ..Profile::draw(1) }
    }

    fn taken(make: Make<'_>, profile: &Profile) -> Run {
        let scenario = SCENARIOS.iter().find(|it| it.name == "many_small_flows").unwrap();
        let options = Options::quick("any", make);
        let task = Task::Run(profile, scenario);
        match take(&options, None, &task, &mut Examiner::new()) {
            Done::Run(run) => run,
            Done::Looked(_) | Done::Skipped => panic!("it is a run"),
        }
    }

    #[test]
    fn a_panic_of_the_lab_is_not_told_as_the_adapters() {
        let panics = |limits: Limits| -> Pair { panic!("on purpose: {limits:?}") };
        let run = taken(&panics, &Profile::draw(1));
        assert_eq!((run.verdict, run.reason), (Verdict::Fail, Some("an adapter panicked")));

        let mut run = taken(&HEALTHY[0].make, &impossible());
        assert_eq!((run.verdict, run.seen.is_none()), (Verdict::LabError, true));
        let known = "[[expect]]\nscenario = \"many_small_flows\"\nreason = \"it panics\"\n";
        let known = Expectations::parse(known).unwrap();
        Judge::new(Some(&known), "any").judge(&mut run);
        assert_eq!(run.verdict, Verdict::LabError, "whatever is known of adapters");

        let options = Options::quick("any", &HEALTHY[0].make);
        let profiles = [Profile::draw(1)];
        let agreements = Agreements::of(&options, &profiles);
        let runs = [run];
        let collapse = verdict::collapse(&runs);
        let gates = verdict::gates(&runs, &collapse, &[], &agreements, None);
        let report = Report::new(&options, &profiles, &runs, &gates, collapse, &[]);
        assert_eq!((report.verdict, report.exit_code), ("lab-error", 70));
        let reason = gates[0].reason.as_deref().unwrap();
        assert!(reason.contains("the lab itself panicked"), "{reason}");
    }

    /// An adapter that panics in each of its calls, and when it is dropped.
    #[test]
    fn wherever_an_adapter_panics_it_is_its_own() {
        for at in 0..40 {
            let run = taken(&move |limits| panicking::pair(limits, at), &Profile::draw(1));
            let is_its_own = (Verdict::Fail, Some("an adapter panicked"));
            assert_eq!((run.verdict, run.reason), is_its_own, "call {at}");
        }
        let run = taken(&|limits| panicking::pair(limits, u32::MAX), &Profile::draw(1));
        assert_eq!(run.verdict, Verdict::Pass, "{:?}", run.reason);
    }

    mod panicking;
}
