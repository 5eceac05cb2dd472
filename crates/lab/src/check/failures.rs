// SPDX-License-Identifier: BSD-3-Clause
//! Failures for people: the first of each rule, and of each scenario that fails without a rule.
//! Each may have a file, see `artefact`.

use std::collections::BTreeSet;

use super::artefact::{self, ARTEFACTS_MAX, Artefact};
use super::options::SHRINK_TRIES_MAX;
use super::ordered_pool::{Observer, in_order};
use super::{Options, Run, Steps};
use crate::adapters::{Guilty, caught};
use crate::contract::FlowId;
use crate::replay::Replay;
use crate::report::{self, Also, EventReport, Failure, Inputs, Small, quoted, shown_name};
use crate::rules::{Examiner, Finding, Level, Verdict, bits, rule};
use crate::shrink::Shrunk;

/// Failures that were reported, in order.
pub(super) struct Failures<'a> {
    options: &'a Options<'a>,
    /// Rules, and scenarios without a rule, that failed before.
    seen: BTreeSet<(Option<&'static str>, &'static str)>,
    all: Vec<Failure>,
    /// Failures with a file: index, and run.
    kept: Vec<(usize, Replay)>,
}

impl<'a> Failures<'a> {
    pub(super) const fn new(options: &'a Options<'a>) -> Self {
        Self { options, seen: BTreeSet::new(), all: Vec::new(), kept: Vec::new() }
    }

    /// Reports what is wrong with a run, if it is the first of its kind.
    pub(super) fn look_at(&mut self, run: &mut Run) {
        let case = run.case.take();
        let last_events = run.seen.as_mut().map(|seen| std::mem::take(&mut seen.last_events));
        if !run.is_wrong() {
            return;
        }
        let mut reported = Vec::new();
        if run.crash.is_some() && run.has_failed() {
            self.seen.insert((None, run.scenario.name));
            reported.push(self.failure(run, None, Vec::new()));
        }
        let mut last_events = last_events.unwrap_or_default().into_iter();
        if let Some(seen) = &run.seen {
            for finding in &seen.findings {
                let events = last_events.next().unwrap_or_default();
                let is_known = seen.known & bits([finding.rule]) != 0;
                if !is_known && self.seen.insert((Some(finding.rule), "")) {
                    reported.push(self.failure(run, Some(finding), events));
                }
            }
        }
        let fails = run.has_failed() && run.reason.is_some();
        if fails && self.seen.insert((None, run.scenario.name)) {
            reported.push(self.failure(run, None, last_events.next().unwrap_or_default()));
        }
        // Violations that fail the run come first, and a cause before its consequences.
        reported.sort_by_key(|failure| (failure.level != Level::Must.name(), failure.event));
        for mut failure in with_the_first(reported) {
            // If a process crashed in a run, only the crash gets a file.
            let is_kept = run.crash.is_none() || failure.rule.is_none();
            if let Some(case) = case.as_ref().filter(|_| is_kept) {
                self.keep(run, case, &mut failure);
            }
            self.all.push(failure);
        }
    }

    fn failure(
        &self,
        run: &Run,
        finding: Option<&Finding>,
        last_events: Vec<EventReport>,
    ) -> Failure {
        let name = self.options.name;
        let adapter = shown_name(name);
        let full = if run.scenario.is_quick { "" } else { " --full" };
        let command = format!(
            "becket check local-adapter --adapter {} --start-seed {} --profiles 1{full}",
            quoted(&adapter),
            run.seed,
        );
        let broken = finding.and_then(|finding| rule(finding.rule));
        let reason = run.reason.unwrap_or_default();
        Failure {
            adapter,
            verdict: run.verdict.name(),
            rule: broken.map(|rule| rule.id),
            level: broken.map_or(Level::Must, |rule| rule.level).name(),
            sentence: broken.map_or(reason, |rule| rule.sentence),
            scenario: run.scenario.name,
            seed: run.seed,
            flow: finding.map_or(0, |finding| finding.flow.number()),
            offset: finding.and_then(|finding| finding.offset),
            tick: finding.map_or(0, |finding| finding.tick.0),
            event: finding.map_or(0, |finding| finding.event),
            said: finding.map_or_else(|| reason.into(), |finding| finding.said.clone()),
            last_events,
            also: Vec::new(),
            shown_with: None,
            replay: None,
            small: None,
            command,
        }
    }

    /// Passes the run to the `artefacts` callback, if it is one of the first.
    fn keep(&mut self, run: &Run, case: &super::Case, failure: &mut Failure) {
        let Some(keeps) = self.options.artefacts else { return };
        if !run.has_failed() || self.kept.len() >= ARTEFACTS_MAX {
            return;
        }
        let Options { make, name, .. } = *self.options;
        let replay = artefact::replay_of(make, name, run, case, failure.rule);
        let file = artefact::name_of(failure, false);
        failure.replay = Some(file.clone());
        keeps(&Artefact { name: &file, failure, replay: &replay, shrunk: None });
        // A run that was aborted gives no rule by which a smaller one could fail.
        if run.seen.is_some() && run.crash.is_none() {
            self.kept.push((self.all.len(), replay));
        }
    }

    /// Shrinks the failures that have files, and returns all failures.
    pub(super) fn made_small(mut self, steps: &mut Steps<'_>) -> Vec<Failure> {
        let Some(keeps) = self.options.artefacts else { return self.all };
        let kept = std::mem::take(&mut self.kept);
        steps.total += kept.len();
        if !kept.is_empty() {
            steps.begin("shrinking");
        }
        let make = self.options.make;
        let tries = self.options.shrink_tries.min(SHRINK_TRIES_MAX);
        let work = |(place, replay): &(usize, Replay), _: &mut Examiner| {
            let small = caught(|| {
                let small = artefact::smaller(make, replay, tries, |_| ())?;
                let shown = small_of(self.options, &small.0);
                Some((small, shown))
            });
            (*place, Inputs::of(&replay.case, &replay.recording), small)
        };
        let all = &mut self.all;
        let mut ordered =
            |(place, before, small): &mut (usize, Inputs, Result<Option<Made>, _>)| {
                let Some(failure) = all.get_mut(*place) else { return };
                let small = match small {
                    Ok(small) => small.take(),
                    // The run stays as it was. The owner of the panic decides between failure and lab
                    // error.
                    Err(guilty) => {
                        if *guilty == Guilty::Lab {
                            failure.verdict = Verdict::LabError.name();
                            failure.said.push_str(SHRINKING_PANICKED);
                        }
                        None
                    }
                };
                let Some(((replay, shrunk), shown)) = small else { return };
                let file = artefact::name_of(failure, true);
                failure.replay = Some(file.clone());
                failure.small = Some(Small {
                    size: Inputs::of(&replay.case, &replay.recording).sum(),
                    inputs: Inputs::of(&replay.case, &replay.recording),
                    inputs_before: *before,
                    events_before: shrunk.before.events,
                    events: shrunk.size.events,
                    tries: shrunk.tries,
                    is_minimal: shrunk.is_minimal,
                    steps: shown,
                });
                let shrunk = Some(&shrunk);
                keeps(&Artefact { name: &file, failure, replay: &replay, shrunk });
            };
        let mut done = |_: usize, _: usize| steps.done("shrinking", None);
        let observer = Observer { done: &mut done, ordered: &mut ordered };
        let _done = in_order(self.options.jobs, &kept, &work, observer);
        self.all
    }
}

/// Of the failures of one run the first lists the others, which are shown with it. The result is
/// the same in all report forms: see [`Failure::shown_with`].
fn with_the_first(mut reported: Vec<Failure>) -> Vec<Failure> {
    if let [first, others @ ..] = &mut reported[..] {
        first.also = others.iter().filter_map(|it| Some(Also::new(it.rule?, &it.said))).collect();
        for other in others {
            other.shown_with = Some(first.rule.unwrap_or(first.scenario));
        }
    }
    reported
}

/// Appended to the finding.
const SHRINKING_PANICKED: &str = "; the lab itself panicked while it shrank this";

/// A shrunk replay with its statistics, and its last events.
type Made = ((Replay, Shrunk), Vec<EventReport>);

/// The last events of a shrunk run.
fn small_of(options: &Options<'_>, replay: &Replay) -> Vec<EventReport> {
    let repeated = artefact::repeat(options.make, replay);
    let is_its = |it: &&Finding| Some(it.rule) == replay.expected.rule.as_deref();
    let (flow, until) = repeated
        .findings
        .iter()
        .find(is_its)
        .map_or((FlowId::new(0), usize::MAX), |finding| (finding.flow, finding.event));
    report::last_events(&repeated.trace, flow, until)
}
