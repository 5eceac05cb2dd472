// SPDX-License-Identifier: BSD-3-Clause
//! The content that all forms for people share: failures by rule, sums over runs, rules and
//! mutants, and the appearance of verdicts.

use std::collections::BTreeMap;

use super::parts::{EventReport, FindingReport, GateReport, ProfileReport, RunReport};
use super::{Also, Failure, Report, Small, words};
use crate::gate::Gate;
use crate::rules::{Explanation, Level, Rule, Subject, Verdict, explanation, rule};

/// The tone of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Success, or help.
    Good,
    /// Worth a look.
    Warn,
    /// Something failed.
    Bad,
    /// A heading.
    Head,
    /// May be skipped.
    Dim,
}

/// The appearance of a verdict: colour alone would be invisible to many readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) symbol: &'static str,
    pub(super) tone: Tone,
    /// The word in a sentence about one thing.
    pub(super) word: &'static str,
}

/// The appearance of a verdict, by its name.
pub(super) fn face(verdict: &str) -> Face {
    let (symbol, tone, word) = match Verdict::of_name(verdict) {
        Some(Verdict::Pass) => ("✓", Tone::Good, "passed"),
        Some(Verdict::NonStrict) => ("≈", Tone::Warn, "passed, not strictly"),
        Some(Verdict::Fail) => ("✗", Tone::Bad, "failed"),
        Some(Verdict::Unsupported) => ("⊘", Tone::Dim, "unsupported"),
        Some(Verdict::NotApplicable) => ("–", Tone::Dim, "not applicable"),
        Some(Verdict::NotExercised) => ("○", Tone::Warn, "not exercised"),
        Some(Verdict::Inconclusive) => ("?", Tone::Warn, "inconclusive"),
        Some(Verdict::KnownFail) => ("◇", Tone::Warn, "known to fail"),
        Some(Verdict::UnexpectedPass) => ("!", Tone::Bad, "passed unexpectedly"),
        Some(Verdict::Nondeterministic) => ("≠", Tone::Bad, "nondeterministic"),
        Some(Verdict::LabError) | None => ("‼", Tone::Bad, "the lab failed"),
    };
    Face { symbol, tone, word }
}

/// Whether a run with this verdict is listed as a failure even without a violated rule.
fn is_listed(verdict: &str) -> bool {
    !matches!(
        Verdict::of_name(verdict),
        Some(
            Verdict::Pass
                | Verdict::NotApplicable
                | Verdict::Unsupported
                | Verdict::NotExercised
                | Verdict::Inconclusive
        )
    )
}

/// Something that went wrong: a violated rule, or another reason why runs failed.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// `None`: no rule covers it.
    pub(super) rule: Option<&'static Rule>,
    /// Its effect, as a verdict.
    pub(super) verdict: &'static str,
    /// Where it happened: first the run that is shown, then the others in the order of runs. At
    /// least one.
    pub(super) cases: Vec<Case<'a>>,
    /// The first unexpected failure of it.
    pub(super) failure: Option<&'a Failure>,
}

/// One run in which something went wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) profile: &'a ProfileReport,
    pub(super) run: &'a RunReport,
    pub(super) finding: Option<&'a FindingReport>,
}

impl Group<'_> {
    /// The rule's id, or what failed.
    pub(super) fn title(&self) -> &'static str {
        self.rule.map_or_else(|| face(self.verdict).word, |rule| rule.id)
    }

    /// What users of the adapter see, and where to look first.
    pub(super) fn explained(&self) -> Option<Explanation> {
        self.rule.and_then(|rule| explanation(rule.id))
    }

    /// The failure with which it is shown: an earlier one of the same run.
    pub(super) fn shown_with(&self) -> Option<&'static str> {
        self.failure?.shown_with
    }

    /// Other rules that the same run violates.
    pub(super) fn also(&self) -> &[Also] {
        self.failure.map_or(&[], |failure| &failure.also)
    }

    /// The events to show: of the shrunk run if there is one, else the last ones.
    pub(super) fn events(&self) -> &[EventReport] {
        self.failure.map_or(&[], Failure::events)
    }

    /// The heading of these events.
    pub(super) fn events_title(&self) -> String {
        match self.failure.and_then(|failure| failure.small.as_ref()) {
            Some(Small { inputs, inputs_before, .. }) => {
                format!("Shrunk: {inputs}; from {inputs_before}")
            }
            None => format!("Last {}", words::plural(self.events().len() as u64, "event")),
        }
    }

    /// The event that violates the rule, among those that are shown.
    pub(super) fn broken_event(&self) -> Option<usize> {
        match self.failure {
            Some(Failure { small: Some(_), .. }) | None => None,
            Some(failure) => Some(failure.event),
        }
    }

    /// The commands that repeat it, the shortest first.
    pub(super) fn commands(&self, report: &Report) -> Vec<String> {
        let again = self.cases.first().map(|it| report.repeat(it.profile.seed, it.run.scenario));
        self.failure.map_or_else(|| again.into_iter().collect(), Failure::commands)
    }
}

impl Case<'_> {
    /// The actual and the expected value.
    pub(super) fn said(&self) -> &str {
        self.finding.map_or(self.run.reason.unwrap_or("it failed"), |finding| &finding.said)
    }

    /// Where it was: `single_flow_echo, seed 3, flow 1, offset 64, tick 12, event 34`.
    pub(super) fn place(&self) -> String {
        let mut place = format!("{}, seed {}", self.run.scenario, self.profile.seed);
        if let Some(finding) = self.finding {
            match finding.flow {
                0 => place.push_str(", the run as a whole"),
                flow => place.push_str(&format!(", flow {flow}")),
            }
            if let Some(offset) = finding.offset {
                place.push_str(&format!(", offset {offset}"));
            }
            place.push_str(&format!(", tick {}, event {}", finding.tick, finding.event + 1));
        }
        place
    }
}

/// What went wrong, the most severe first; those of equal severity in the order of the first failed
/// run.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut by_rule: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    let mut by_reason: BTreeMap<(&str, &str), Group<'_>> = BTreeMap::new();
    for (profile, run) in runs(report) {
        for finding in &run.findings {
            let group = by_rule.entry(finding.rule).or_insert_with(|| Group {
                rule: rule(finding.rule),
                verdict: run.verdict,
                cases: Vec::new(),
                failure: report.failures.iter().find(|it| it.rule == Some(finding.rule)),
            });
            group.cases.push(Case { profile, run, finding: Some(finding) });
        }
        if is_listed(run.verdict) && (run.findings.is_empty() || run.reason.is_some()) {
            let key = (run.verdict, run.reason.unwrap_or(""));
            let verdict = run.verdict;
            let group = by_reason.entry(key).or_insert_with(|| Group {
                rule: None,
                verdict,
                cases: Vec::new(),
                failure: None,
            });
            let mut failures = report.failures.iter();
            let found = failures.find(|it| {
                it.rule.is_none() && (it.scenario, it.verdict) == (run.scenario, run.verdict)
            });
            group.failure = group.failure.or(found);
            group.cases.push(Case { profile, run, finding: None });
        }
    }
    let mut all: Vec<_> = by_rule.into_values().chain(by_reason.into_values()).collect();
    for group in &mut all {
        group.verdict = verdict_of(group);
        // One run is shown: its cause, its events and its commands.
        let is_it = |case: &Case<'_>, shown: &Failure| {
            (case.profile.seed, case.run.scenario) == (shown.seed, shown.scenario)
        };
        let shown = group.failure;
        let at = shown.and_then(|shown| group.cases.iter().position(|case| is_it(case, shown)));
        if let Some(before) = at.and_then(|at| group.cases.get_mut(..=at)) {
            before.rotate_right(1);
        }
    }
    all.sort_by_key(|group| {
        let first = group.cases.first();
        let seed = first.map_or(0, |case| case.profile.seed.wrapping_sub(report.start_seed));
        let place = first.map(|case| {
            let runs = &case.profile.runs;
            runs.iter().position(|run| std::ptr::eq(run, case.run)).unwrap_or(0)
        });
        let event = first.and_then(|case| case.finding).map_or(0, |finding| finding.event);
        (severity(group), seed, place, event)
    });
    all
}

/// Splits the groups into those that are shown in full, at most `most`, and those that get one
/// line: groups beyond that number, and groups that are shown with another one.
pub(super) fn in_full<'a, 'b>(
    all: &'b [Group<'a>],
    most: usize,
) -> (Vec<&'b Group<'a>>, Vec<&'b Group<'a>>) {
    let (mut full, mut rest) = (Vec::new(), Vec::new());
    for group in all {
        let has_room = full.len() < most && group.shown_with().is_none();
        if has_room { full.push(group) } else { rest.push(group) }
    }
    (full, rest)
}

/// A SHOULD rule fails no run; a failure that was expected in all runs is none.
fn verdict_of(group: &Group<'_>) -> &'static str {
    let is_known = |case: &Case<'_>| match case.finding {
        Some(finding) => finding.is_known,
        None => case.run.verdict == Verdict::KnownFail.name(),
    };
    match group.rule {
        _ if group.cases.iter().all(is_known) => Verdict::KnownFail.name(),
        Some(rule) if rule.level != Level::Must => Verdict::NonStrict.name(),
        Some(rule) if rule.id.starts_with("DET-") => Verdict::Nondeterministic.name(),
        Some(rule) if rule.of == Subject::Runtime => Verdict::LabError.name(),
        Some(_) => Verdict::Fail.name(),
        None => group.verdict,
    }
}

fn severity(group: &Group<'_>) -> u8 {
    match Verdict::of_name(group.verdict) {
        Some(Verdict::LabError) | None => 0,
        Some(Verdict::Nondeterministic) => 1,
        Some(Verdict::Fail | Verdict::UnexpectedPass) => 2,
        Some(Verdict::NonStrict) => 3,
        Some(_) => 4,
    }
}

/// All runs, with their profiles.
pub(super) fn runs(report: &Report) -> impl Iterator<Item = (&ProfileReport, &RunReport)> {
    report.profiles.iter().flat_map(|profile| profile.runs.iter().map(move |run| (profile, run)))
}

/// Sums over a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) runs: u64,
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) not_run: u64,
    /// Neither passed nor failed, though they were run.
    pub(super) other: u64,
    pub(super) gates_passed: u64,
    pub(super) rules_held: u64,
    pub(super) rules_violated: u64,
    pub(super) rules_idle: u64,
    pub(super) rules_not_applicable: u64,
    pub(super) mutants_killed: u64,
    pub(super) mutants_tried: u64,
}

impl Sums {
    pub(super) fn of(report: &Report) -> Self {
        let mut sums = Self::default();
        for (_, run) in runs(report) {
            sums.runs += 1;
            *match Verdict::of_name(run.verdict) {
                Some(Verdict::Pass | Verdict::NonStrict) => &mut sums.passed,
                Some(Verdict::NotApplicable) => &mut sums.not_run,
                Some(
                    Verdict::Unsupported
                    | Verdict::NotExercised
                    | Verdict::Inconclusive
                    | Verdict::KnownFail,
                ) => &mut sums.other,
                _ => &mut sums.failed,
            } += 1;
        }
        let passed = report.gates.iter().filter(|gate| face(gate.verdict).tone == Tone::Good);
        sums.gates_passed = passed.count() as u64;
        for rule in &report.rules {
            *match () {
                () if rule.violated > 0 => &mut sums.rules_violated,
                () if rule.exercised > 0 => &mut sums.rules_held,
                () if rule.applicable > 0 => &mut sums.rules_idle,
                () => &mut sums.rules_not_applicable,
            } += 1;
        }
        let tried = report.mutants.iter().filter(|mutant| mutant.result != "not-tried");
        sums.mutants_tried = tried.count() as u64;
        let killed = report.mutants.iter().filter(|mutant| mutant.result == "killed");
        sums.mutants_killed = killed.count() as u64;
        sums
    }
}

/// `seed 7`, `seeds 7 to 26`.
pub(super) fn seeds(report: &Report) -> String {
    let first = report.profiles.first().map_or(report.start_seed, |profile| profile.seed);
    match report.profiles.last() {
        Some(last) if last.seed != first => format!("seeds {first} to {}", last.seed),
        _ => format!("seed {first}"),
    }
}

/// The adapter's name, safe to display.
pub(super) fn name(report: &Report) -> String {
    words::shown(&report.adapter).into_owned()
}

/// The result of a check, as a sentence without its full stop.
pub(super) fn sentence(report: &Report) -> String {
    if report.unended.is_some() {
        return "the check did not end".into();
    }
    let sums = Sums::of(report);
    let gates = report.gates.len();
    let run = words::plural(sums.runs - sums.not_run, "run");
    let mut text = format!("{} of {gates} gates passed", sums.gates_passed);
    match sums.failed {
        0 => text.push_str(&format!(", none of {run} failed")),
        failed => text.push_str(&format!(", {} of {run} failed", words::count(failed))),
    }
    match sums.rules_violated {
        0 => {}
        1 => text.push_str(", 1 rule violated"),
        broken => text.push_str(&format!(", {broken} rules violated")),
    }
    text
}

/// The scenarios that were run in every order: the number of orders, and how much of all orders
/// they cover. `None`: there were none.
pub(super) fn orders(report: &Report) -> Option<String> {
    let tried = || runs(report).filter_map(|(_, run)| Some((run, run.orders.as_ref()?)));
    let (first, of_first) = tried().next()?;
    let sum = words::plural(tried().map(|(_, orders)| orders.runs).sum(), "order");
    let profiles = words::plural(tried().count() as u64, "profile");
    let most = words::plural(of_first.deviations_max.into(), "time");
    let mut text = format!(
        "{}: {sum} in {profiles}, each that departs at most {most} from the plainest in its first \
         {} choices",
        first.scenario, of_first.depth_max,
    );
    // Within the bounds nothing is left out. The rest is listed per profile.
    for (coverage, said) in [
        ("all", "there are no others"),
        ("runs-max", "there are more than were made"),
        ("stopped", "as far as one that fails"),
        ("diverged", "as far as one that does not repeat"),
    ] {
        let count = tried().filter(|(_, orders)| orders.coverage == coverage).count() as u64;
        if count > 0 {
            text.push_str(&format!("; in {} {said}", words::count(count)));
        }
    }
    Some(text)
}

/// Why there are no runs: a failed negotiation, per adapter, or a check that did not finish.
pub(super) fn obstacles(report: &Report) -> impl Iterator<Item = String> {
    let disagreements = report.agreements.iter().filter_map(|agreement| {
        let error = words::shown(agreement.error.as_deref()?);
        Some(format!("nothing was agreed on with the {} adapter: {error}", agreement.place))
    });
    let unended = report.unended.as_ref().map(|unended| {
        let kept = unended.commands().map(|command| format!("; `{command}`"));
        words::shown(&format!("{}{}", unended.said(), kept.collect::<String>())).into_owned()
    });
    disagreements.chain(unended)
}

/// How many runs or mutants counted in a gate, and how many of them failed, in words.
pub(super) fn gate_counts(gate: &GateReport) -> String {
    let noun = if gate.name == Gate::MutantDetection.name() { "mutant" } else { "run" };
    let all = words::plural(gate.counted, noun);
    match (gate.counted, gate.failed) {
        (0, _) => face(gate.verdict).word.into(),
        (_, 0) => all,
        // Runs are compared as a whole: no single run is the one that failed.
        _ if gate.name == Gate::CollapseResistance.name() => all,
        (_, failed) if noun == "mutant" => format!("{} of {all} survived", words::count(failed)),
        (_, failed) => format!("{} of {all} failed", words::count(failed)),
    }
}
