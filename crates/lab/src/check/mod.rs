// SPDX-License-Identifier: BSD-3-Clause
//! A check: a pair of adapters is put through all scenarios, in profile after profile.
//!
//! ```text
//!   seed, seed + 1, … ──► profiles ──┐
//!                                    ├─► runs ──► examinations ──► gates ──► report
//!                       scenarios ───┘    each twice, once more in a fresh process, each flow alone
//!                                              │
//!                                           failures ──► files, at once ──► small ones
//! ```
//!
//! Runs are independent of one another: several threads take one after another, and what they found is
//! put in order behind them. So a report does not depend on how many threads there were.
//!
//! Whoever calls may listen, keep failed runs, run everything in a fresh process too, and say which
//! failures are known: see [`Options`].
//!
//! | file | holds |
//! |---|---|
//! | `own` | the lab's own parts, each made wrong once |
//! | `options` | what is checked, how, and who is told meanwhile |
//! | `guided` | many small runs, guided by what they reach |
//! | `line` | many things done by several threads, and told in their order |
//! | `negotiation` | what adapters and lab agree on before |
//! | `case` | one run: made, repeated, listened to, examined |
//! | `orders` | all orders of a small run, one after the other |
//! | `run` | one scenario in one profile, and what is said of it |
//! | `elsewhere` | the same runs in a fresh process |
//! | `expect` | failures that are known |
//! | `failures` | failures for people, and their files |
//! | `artefact` | a failed run in a file, repeated, made small |
//! | `verdict` | gates, from what was seen in all runs |
//!
//! # Invariants
//!
//! 1. What a check says depends on its options, but for `jobs` and `progress`, and on the adapters.
//!    With `artefacts` it says which file each failure has, and nothing else is another.
//! 2. A scenario that the limits of a profile cannot carry is not run, and said to be not applicable.
//! 3. An adapter that panics has failed its run, in every gate; the others go on. A panic that is not
//!    its own is the lab's: that run says nothing of the adapter, and the check ends as a lab error.

mod artefact;
mod case;
mod elsewhere;
mod expect;
mod failures;
mod guided;
mod line;
mod negotiation;
mod options;
mod orders;
mod own;
mod run;
mod verdict;

pub use artefact::{
    ARTEFACTS_MAX, Artefact, Repeated, TRIES_A_HANG, is_broken_again, repeat, smaller,
};
pub(crate) use case::{Case, Deep};
pub(crate) use elsewhere::Hashes;
pub use elsewhere::hashes;
pub use expect::{
    ENTRIES_MAX, EXPECT_BYTES_MAX, ExpectError, Expectation, Expectations, REASON_CHARS_MAX,
};
pub(crate) use negotiation::{Agreement, Agreements, Disagreement};
pub use options::{
    Compare, DEPARTURES_MAX, JOBS_MAX, Make, Mode, Options, PROFILES_MAX, Progress,
    SHRINK_TRIES_MAX,
};
pub(crate) use orders::Orders;
pub(crate) use run::{Run, case_of};

use std::sync::atomic::{AtomicUsize, Ordering};

use self::expect::Judge;
use self::failures::Failures;
use self::line::{Ears, in_order};
use crate::adapters::caught;
use crate::bridge::crashes;
use crate::gate::{GateResult, Mutant, MutantResult, mutants};
use crate::parity;
use crate::report::Report;
use crate::rules::Examiner;
use crate::saboteur::Saboteur;
use crate::scenario::{Profile, SCENARIOS, Scenario};

/// Something that a thread does.
enum Task<'a> {
    Run(&'a Profile, &'static Scenario),
    Look(&'static Saboteur),
}

/// What came of it.
enum Done {
    Run(Run),
    Looked(Mutant),
    /// It was not done: a process crashed in a run before it.
    Skipped,
}

/// The first task in which the process behind an adapter crashed. What comes behind it is not done: a
/// process that crashes takes long to say always the same.
struct Crash {
    task: AtomicUsize,
    /// A crash may be one of those failures that are known, behind which a check goes on.
    is_known: bool,
}

impl Crash {
    const fn new(is_known: bool) -> Self {
        Self { task: AtomicUsize::new(usize::MAX), is_known }
    }

    /// Does a task, unless a process crashed in one before it; and notes if one does in this.
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

    /// Whether a process crashed in a task before this one. Of a task before which all others are done it
    /// says the same, however many threads there are.
    fn is_before(&self, at: usize) -> bool {
        at > self.task.load(Ordering::Relaxed)
    }
}

/// Everything that a check does, in its order.
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
    let saboteurs = mutants().filter(|_| options.gates_of_lab);
    runs.chain(saboteurs.map(Task::Look)).enumerate().collect()
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

    let said = options.elsewhere.map(|elsewhere| {
        let said = elsewhere();
        step.done("a fresh process", None);
        // Nothing is said of any run by who says nothing at all.
        Hashes::parse(&said.unwrap_or_default())
    });
    let said = said.as_ref();

    let mut judge = Judge::new(options.expect, options.name);
    let mut failures = Failures::new(options);
    let mut place = 0..;
    let mut told = |done: &mut Done| {
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
        Some(Task::Look(saboteur)) => step.done(saboteur.name, None),
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
    let ears = Ears { done: &mut done, told: &mut told };
    let (mut runs, mut mutants) = (Vec::new(), Vec::new());
    let all = in_order(options.jobs, &tasks, &work, ears);
    let has_crashed = crash.is_before(usize::MAX);
    for ((at, task), done) in tasks.iter().zip(all) {
        let done = if crash.is_before(*at) { Done::Skipped } else { done };
        match (done, task) {
            (Done::Run(run), _) => runs.push(run),
            (Done::Looked(mutant), _) => mutants.push(mutant),
            (Done::Skipped, Task::Run(profile, scenario)) => {
                runs.push(Run::behind_a_crash(profile, scenario));
            }
            (Done::Skipped, Task::Look(saboteur)) => {
                mutants.push(Mutant { name: saboteur.name, result: MutantResult::NotTried });
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

/// Compares generated code with what it was generated of.
fn compared(options: &Options<'_>, seeds: &[u64]) -> GateResult {
    let Some(compare) = options.parity else {
        let Options { mode, start_seed, profiles, jobs, .. } = *options;
        let of_all = parity::Options { mode, start_seed, seeds: profiles, jobs };
        return parity::run(&of_all).gate();
    };
    compare(seeds).gate()
}

/// Does all of it by several threads, and gives what came of it in order. `done` hears which one was
/// done, and how many are.
pub(crate) fn in_threads<T: Sync, D: Send>(
    jobs: usize,
    tasks: &[T],
    work: &(dyn Fn(&T, &mut Examiner) -> D + Sync),
    done: &mut (dyn FnMut(usize, usize) + Send),
) -> Vec<D> {
    in_order(jobs, tasks, work, Ears { done, told: &mut |_| () })
}

/// How far a check is.
struct Steps<'a> {
    options: &'a Options<'a>,
    done: usize,
    total: usize,
}

impl<'a> Steps<'a> {
    fn new(options: &'a Options<'a>, tasks: usize) -> Self {
        let besides = [options.elsewhere.is_some(), options.gates_of_lab];
        let besides = besides.into_iter().filter(|it| *it).count();
        Self { options, done: 0, total: tasks + besides }
    }

    /// Something begins that is long before a part of it is done.
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
        Task::Look(saboteur) => Done::Looked(Mutant::look(saboteur, said, examiner)),
    });
    done.unwrap_or_else(|guilty| {
        // What it knew of the run that was broken off is worth nothing.
        *examiner = Examiner::new();
        match *task {
            Task::Run(profile, scenario) => {
                let case = caught(|| case_of(options.make, profile, scenario).ok());
                Done::Run(Run::panicked(profile, scenario, case.ok().flatten(), guilty))
            }
            Task::Look(saboteur) => {
                Done::Looked(Mutant { name: saboteur.name, result: MutantResult::Missed })
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

    /// Limits that no profile has: to multiply them by the flows of a scenario is the lab's mistake.
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

    /// An adapter that panics wherever it is called, and when it is dropped.
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
