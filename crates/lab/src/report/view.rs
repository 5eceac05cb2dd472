// SPDX-License-Identifier: BSD-3-Clause
//! What all forms for people show: failures by rule, sums over runs, rules and saboteurs, and how a
//! verdict looks.

use std::collections::BTreeMap;

use super::parts::{EventReport, FindingReport, GateReport, ProfileReport, RunReport};
use super::{Also, Failure, Report, Small, words};
use crate::gate::Gate;
use crate::rules::{Explanation, Level, Rule, Subject, Verdict, explanation, rule};

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Something is well, or helps.
    Good,
    /// Something to look at.
    Warn,
    /// Something failed.
    Bad,
    /// A heading.
    Head,
    /// What can be skipped.
    Dim,
}

/// How a verdict looks: a colour alone says nothing to many readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) symbol: &'static str,
    pub(super) tone: Tone,
    /// In a sentence about one thing.
    pub(super) word: &'static str,
}

/// The face of a verdict, by its name.
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

/// Whether a run with this verdict is told among the failures, also if it broke no rule.
fn is_told(verdict: &str) -> bool {
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

/// Something that went wrong: a rule that was broken, or a reason why runs failed.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// `None`: no rule says so.
    pub(super) rule: Option<&'static Rule>,
    /// How it counts, as a verdict.
    pub(super) verdict: &'static str,
    /// Where: that which is told first, the others in the order of runs. One at least.
    pub(super) cases: Vec<Case<'a>>,
    /// What the check tells of the first of them that nobody expected.
    pub(super) told: Option<&'a Failure>,
}

/// One run in which something went wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) profile: &'a ProfileReport,
    pub(super) run: &'a RunReport,
    pub(super) finding: Option<&'a FindingReport>,
}

impl Group<'_> {
    /// A rule's id, or what failed.
    pub(super) fn title(&self) -> &'static str {
        self.rule.map_or_else(|| face(self.verdict).word, |rule| rule.id)
    }

    /// What those who use the adapter see, and where to look first.
    pub(super) fn explained(&self) -> Option<Explanation> {
        self.rule.and_then(|rule| explanation(rule.id))
    }

    /// What it is shown with: the run that is told of it broke that first, and is shown there.
    pub(super) fn shown_with(&self) -> Option<&'static str> {
        self.told?.shown_with
    }

    /// Other rules that were broken in the run that is told.
    pub(super) fn also(&self) -> &[Also] {
        self.told.map_or(&[], |told| &told.also)
    }

    /// The events to show: of the small run if there is one, else the last ones.
    pub(super) fn events(&self) -> &[EventReport] {
        self.told.map_or(&[], Failure::events)
    }

    /// What these events are.
    pub(super) fn events_title(&self) -> String {
        match self.told.and_then(|told| told.small.as_ref()) {
            Some(Small { inputs, inputs_before, .. }) => {
                format!("Made small: {inputs}; from {inputs_before}")
            }
            None => format!("Last {}", words::plural(self.events().len() as u64, "event")),
        }
    }

    /// The event that breaks the rule, among those that are shown.
    pub(super) fn broken_event(&self) -> Option<usize> {
        match self.told {
            Some(Failure { small: Some(_), .. }) | None => None,
            Some(told) => Some(told.event),
        }
    }

    /// The commands that repeat it, the shortest way first.
    pub(super) fn commands(&self, report: &Report) -> Vec<String> {
        let again = self.cases.first().map(|it| report.repeat(it.profile.seed, it.run.scenario));
        self.told.map_or_else(|| again.into_iter().collect(), Failure::commands)
    }
}

impl Case<'_> {
    /// What was found, and what has to be.
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

/// What went wrong, the gravest first; of those that are as grave, in the order in which a reader of
/// the first failed run would meet them.
pub(super) fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut by_rule: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    let mut by_reason: BTreeMap<(&str, &str), Group<'_>> = BTreeMap::new();
    for (profile, run) in runs(report) {
        for finding in &run.findings {
            let failure = by_rule.entry(finding.rule).or_insert_with(|| Group {
                rule: rule(finding.rule),
                verdict: run.verdict,
                cases: Vec::new(),
                told: report.failures.iter().find(|it| it.rule == Some(finding.rule)),
            });
            failure.cases.push(Case { profile, run, finding: Some(finding) });
        }
        if is_told(run.verdict) && (run.findings.is_empty() || run.reason.is_some()) {
            let key = (run.verdict, run.reason.unwrap_or(""));
            let verdict = run.verdict;
            let failure = by_reason.entry(key).or_insert_with(|| Group {
                rule: None,
                verdict,
                cases: Vec::new(),
                told: None,
            });
            let mut told = report.failures.iter();
            let told = told.find(|it| {
                it.rule.is_none() && (it.scenario, it.verdict) == (run.scenario, run.verdict)
            });
            failure.told = failure.told.or(told);
            failure.cases.push(Case { profile, run, finding: None });
        }
    }
    let mut all: Vec<_> = by_rule.into_values().chain(by_reason.into_values()).collect();
    for failure in &mut all {
        failure.verdict = verdict_of(failure);
        // One run is shown: its cause, its events and its commands.
        let is_it = |case: &Case<'_>, told: &Failure| {
            (case.profile.seed, case.run.scenario) == (told.seed, told.scenario)
        };
        let told = failure.told;
        let at = told.and_then(|told| failure.cases.iter().position(|case| is_it(case, told)));
        if let Some(before) = at.and_then(|at| failure.cases.get_mut(..=at)) {
            before.rotate_right(1);
        }
    }
    all.sort_by_key(|failure| {
        let first = failure.cases.first();
        let seed = first.map_or(0, |case| case.profile.seed.wrapping_sub(report.start_seed));
        let place = first.map(|case| {
            let runs = &case.profile.runs;
            runs.iter().position(|run| std::ptr::eq(run, case.run)).unwrap_or(0)
        });
        let event = first.and_then(|case| case.finding).map_or(0, |finding| finding.event);
        (gravity(failure), seed, place, event)
    });
    all
}

/// Those that are told in full, so many at most, and those of which there is not more than a line: they
/// are behind them, or shown with another.
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

/// A rule that says what should be makes no run fail, whatever else does; what was expected in all
/// runs is no failure.
fn verdict_of(failure: &Group<'_>) -> &'static str {
    let is_known = |case: &Case<'_>| match case.finding {
        Some(finding) => finding.is_known,
        None => case.run.verdict == Verdict::KnownFail.name(),
    };
    match failure.rule {
        _ if failure.cases.iter().all(is_known) => Verdict::KnownFail.name(),
        Some(rule) if rule.level != Level::Must => Verdict::NonStrict.name(),
        Some(rule) if rule.id.starts_with("DET-") => Verdict::Nondeterministic.name(),
        Some(rule) if rule.of == Subject::Runtime => Verdict::LabError.name(),
        Some(_) => Verdict::Fail.name(),
        None => failure.verdict,
    }
}

fn gravity(failure: &Group<'_>) -> u8 {
    match Verdict::of_name(failure.verdict) {
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
    pub(super) rules_broken: u64,
    pub(super) rules_idle: u64,
    pub(super) rules_not_applicable: u64,
    pub(super) mutants_found: u64,
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
                () if rule.broken > 0 => &mut sums.rules_broken,
                () if rule.exercised > 0 => &mut sums.rules_held,
                () if rule.applicable > 0 => &mut sums.rules_idle,
                () => &mut sums.rules_not_applicable,
            } += 1;
        }
        let tried = report.mutants.iter().filter(|mutant| mutant.result != "not-tried");
        sums.mutants_tried = tried.count() as u64;
        let found = report.mutants.iter().filter(|mutant| mutant.result == "found");
        sums.mutants_found = found.count() as u64;
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

/// The adapter's name, fit to be shown.
pub(super) fn name(report: &Report) -> String {
    words::shown(&report.adapter).into_owned()
}

/// What a check came to, in a sentence without its end.
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
    match sums.rules_broken {
        0 => {}
        1 => text.push_str(", 1 rule broken"),
        broken => text.push_str(&format!(", {broken} rules broken")),
    }
    text
}

/// What was run in every order: how many orders, and what of all they are. `None`: nothing was.
pub(super) fn orders(report: &Report) -> Option<String> {
    let tried = || runs(report).filter_map(|(_, run)| Some((run, run.orders.as_ref()?)));
    let (first, of_first) = tried().next()?;
    let sum = words::plural(tried().map(|(_, orders)| orders.runs).sum(), "order");
    let profiles = words::plural(tried().count() as u64, "profile");
    let most = words::plural(of_first.departures_max.into(), "time");
    let mut text = format!(
        "{}: {sum} in {profiles}, each that departs at most {most} from the plainest in its first \
         {} choices",
        first.scenario, of_first.depth_max,
    );
    // Within the bounds nothing is left out. What else there may be is said for each profile.
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

/// Why there are no runs: nothing was agreed on with an adapter, for each with which nothing was; or
/// the check did not end.
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

/// How many counted in a gate, and how many of them failed, in words.
pub(super) fn gate_counts(gate: &GateReport) -> String {
    let noun = if gate.name == Gate::MutantDetection.name() { "saboteur" } else { "run" };
    let all = words::plural(gate.counted, noun);
    match (gate.counted, gate.failed) {
        (0, _) => face(gate.verdict).word.into(),
        (_, 0) => all,
        // Runs are looked at together: none of them is the one that failed.
        _ if gate.name == Gate::CollapseResistance.name() => all,
        (_, failed) if noun == "saboteur" => format!("{} of {all} missed", words::count(failed)),
        (_, failed) => format!("{} of {all} failed", words::count(failed)),
    }
}
