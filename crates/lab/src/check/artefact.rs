// SPDX-License-Identifier: BSD-3-Clause
//! Files of failed runs: the original run at once, and the shrunk run after all runs are done.
//!
//! A file holds the first failure of a rule. Its name consists of rule, scenario and seed, so that
//! the same check gives the same files: `ISO-03-queue_pressure-7.replay`, and
//! `ISO-03-queue_pressure-7.small.replay` for the shrunk run.

use std::cell::Cell;

use super::case::{Answers, Case, Deep, Seen};
use super::{Make, Run};
use crate::bridge::hangs;
use crate::gate::healthy;
use crate::replay::{Expected, Replay};
use crate::report::Failure;
use crate::rules::{Examiner, Family, Finding, Rule, rule};
use crate::scenario::{self, Demand, Shown, is_disturbed};
use crate::shrink::{self, Candidate, Failed, Shrunk, shrink_within};
use crate::trace::Trace;

/// Maximum number of failures of a check that get a file: the first ones.
pub const ARTEFACTS_MAX: usize = 16;

/// Number of shrink runs that one timeout of a hanging adapter counts for: half a second, in which
/// an adapter that responds does about this many runs.
pub const TRIES_A_HANG: u32 = 25;

/// A failed run that can be kept.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Artefact<'a> {
    /// File name: letters, digits, `-`, `_` and `.`.
    pub name: &'a str,
    /// The failure.
    pub failure: &'a Failure,
    /// The run: [`Replay::to_text`] is the content of the file.
    pub replay: &'a Replay,
    /// How the run was shrunk, if it was.
    pub shrunk: Option<&'a Shrunk>,
}

/// A replay that was run again and examined as in a check.
#[derive(Debug)]
#[non_exhaustive]
pub struct Repeated {
    /// The trace.
    pub trace: Trace,
    /// Violations that were found.
    pub findings: Vec<Finding>,
}

impl Repeated {
    /// Whether runs differ although seed and choices are equal: then one run says nothing about the
    /// next one.
    #[must_use]
    pub fn is_nondeterministic(&self) -> bool {
        self.findings.iter().any(|finding| is_of_determinism(finding.rule))
    }
}

/// Number of runs without a violation of its rule before a replay counts as not reproduced.
const REPEATS: usize = 8;

fn is_of_determinism(id: &str) -> bool {
    rule(id).is_some_and(|rule| rule.family == Family::Determinism)
}

/// Runs a replay again, twice, and each flow alone, and examines it as in a check. So it finds
/// violations that a single trace does not show. A run without a violation of the replay's rule is
/// made eight times, unless the runs differ.
#[must_use]
pub fn repeat(make: Make<'_>, replay: &Replay) -> Repeated {
    let (case, examiner) = (Case::of_replay(replay), &mut Examiner::new());
    let mut once = || {
        let seen = case.examine(make, None, Deep::ALL, examiner);
        Repeated { trace: seen.trace, findings: seen.findings }
    };
    let mut repeated = once();
    for _ in 1..REPEATS {
        if is_broken_again(replay, &repeated) || repeated.is_nondeterministic() {
            break;
        }
        repeated = once();
    }
    repeated
}

/// Whether the replay's rule is violated again. A determinism rule is also violated if the run
/// differs from the recorded one.
#[must_use]
pub fn is_broken_again(replay: &Replay, repeated: &Repeated) -> bool {
    let Some(rule) = &replay.expected.rule else { return true };
    repeated.findings.iter().any(|finding| finding.rule == rule)
        || is_of_determinism(rule)
            && (repeated.is_nondeterministic() || !replay.is_repeated_by(&repeated.trace))
}

/// The failure that a smaller run must show.
enum By {
    Rule(&'static Rule),
    /// It does not show what its scenario demands, and healthy adapters do in the same run.
    Demand(Demand),
}

impl By {
    fn fails(&self, case: &Case, seen: &Seen, examiner: &mut Examiner) -> bool {
        let demand = match self {
            Self::Rule(rule) => return seen.findings.iter().any(|it| it.rule == rule.id),
            Self::Demand(demand) => *demand,
        };
        let (flows, behaviour) = (case.run.plans.len() as u32, case.run.behaviour);
        let shown = |trace: &Trace| demand.is_shown(trace, flows, behaviour);
        let is_otherwise = |trace: &Trace| !is_disturbed(trace) && shown(trace) == Shown::Otherwise;
        if !is_otherwise(&seen.trace) {
            return false;
        }
        let healthy = case.examine(&healthy, None, Deep::NOTHING, examiner);
        !is_disturbed(&healthy.trace) && shown(&healthy.trace) == Shown::Yes
    }
}

/// Shrinks the failure of a replay: the same rule is still violated. A replay without a rule is
/// shrunk by the first rule that it violates; if it violates none, by the demand of its scenario.
/// `None`: it does not fail that way.
///
/// A process or plugin that hangs costs a timeout per run: each timeout uses up [`TRIES_A_HANG`] of
/// the allowed runs. Timeouts are counted and not measured, so that the result does not depend on
/// the speed of the machine.
pub fn smaller(
    make: Make<'_>,
    replay: &Replay,
    tries_max: u32,
    progress: impl FnMut(&shrink::Progress),
) -> Option<(Replay, Shrunk)> {
    let examiner = &mut Examiner::new();
    let by = match &replay.expected.rule {
        Some(name) => By::Rule(rule(name)?),
        None => match repeat(make, replay).findings.first() {
            Some(finding) => By::Rule(rule(finding.rule)?),
            None => By::Demand(scenario::of_name(&replay.scenario)?.demand),
        },
    };
    let deep = match &by {
        By::Rule(rule) => Deep::for_rule(rule),
        By::Demand(_) => Deep::NOTHING,
    };
    let tries_max = Cell::new(tries_max);
    let mut run = |it: &Candidate| {
        let case = Case {
            run: it.case.clone(),
            limits: replay.limits,
            answers: Answers::Kept(it.recording.clone()),
        };
        let (seen, hung) = hangs::during(|| case.examine(make, None, deep, examiner));
        let taken = u32::try_from(hung).unwrap_or(u32::MAX).saturating_mul(TRIES_A_HANG);
        tries_max.set(tries_max.get().saturating_sub(taken));
        (by.fails(&case, &seen, &mut Examiner::new()), seen)
    };
    let fails = |it: &Candidate| {
        let (is_broken, seen) = run(it);
        let failed = Failed { events: seen.trace.events().len(), asked: seen.asked };
        is_broken.then_some(failed)
    };
    let shrunk = shrink_within(replay.candidate(), &tries_max, fails, progress)?;
    let (is_broken, seen) = run(&shrunk.candidate);
    let mut small = replay.with(shrunk.candidate.clone(), &seen.trace);
    if let By::Rule(rule) = &by {
        small.expected.rule = Some(rule.id.into());
    }
    is_broken.then_some((small, shrunk))
}

/// The run of a check as a replay. The run is repeated to record its answers; a panic of an adapter
/// ends it at the same point.
pub(super) fn replay_of(
    make: Make<'_>,
    adapter: &str,
    run: &Run,
    case: &Case,
    rule: Option<&str>,
) -> Replay {
    let (trace, recording) = case.record(make);
    let seen = run.seen.as_ref().map(|seen| seen.hash);
    Replay {
        adapter: adapter.into(),
        limits: case.limits,
        scenario: run.scenario.name.into(),
        profile: run.seed.to_string(),
        case: case.run.clone(),
        recording,
        expected: Expected {
            rule: rule.map(Into::into),
            trace: seen.unwrap_or_else(|| trace.hash()),
        },
    }
}

/// The file name of a failure.
pub(super) fn name_of(failure: &Failure, is_small: bool) -> String {
    let Failure { scenario, seed, .. } = failure;
    let what = failure.rule.unwrap_or("run");
    let small = if is_small { ".small" } else { "" };
    format!("{what}-{scenario}-{seed}{small}.replay")
}
