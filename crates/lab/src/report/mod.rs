// SPDX-License-Identifier: BSD-3-Clause
//! What a check ends with, for programs and people.
//!
//! ```text
//!              ┌─► json       programs; its form is in `schema.json`
//!              ├─► junit      build servers
//!   Report ────┼─► markdown   pull requests
//!              ├─► html       one page, with matrix and plots; several reports may share one
//!              └─► text       terminals
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `parts` | what a report is made of |
//! | `seen` | what of a run's trace is kept |
//! | `alike` | classes of runs that are alike |
//! | `agreement` | what an adapter and the lab agreed on |
//! | `compare` | what changed from one report to another |
//! | `failure` | a failure: what, where, what happened before, how to repeat it |
//! | `unended` | the report of a check that did not come to its end |
//! | `view` | what all forms for people show: findings by rule, sums |
//! | `words` | names, numbers and hostile text, as they are shown |
//! | `kills` | which rule finds which saboteur |
//! | `json`, `junit`, `markdown`, `html`, `text` | one form each |
//!
//! # Invariants
//!
//! 1. A report has classes, counts, flags and hashes in it, never payload, and the time only if it was
//!    put there ([`Timing`]). Its fields and lists have one order: the same check gives the same bytes
//!    in each form.
//! 2. Text that is not the lab's own (the adapter's name, the command) is hidden if it looks like a
//!    secret. It is escaped, has no control character and a bounded length in the forms for people;
//!    JSON has its own escapes.
//! 3. Of a run that broke several rules events and commands are told once, with the first of them:
//!    the check decides which that is ([`Failure::shown_with`]), and each form for people follows.
//! 4. However many findings a rule has, the last events of one are there: a report's length grows with
//!    runs and their findings, and with nothing else.

mod agreement;
mod alike;
mod compare;
mod failure;
mod html;
mod json;
mod junit;
mod kills;
mod markdown;
mod parts;
mod seen;
mod text;
mod unended;
mod view;
mod words;

pub use agreement::AgreementReport;
pub use compare::{Change, CompareError, Comparison, Direction, REPORT_BYTES_MAX, Thing, compare};
pub(crate) use failure::quoted;
pub use failure::{Also, Failure, Inputs, Small};
pub use html::{Sheet, html, html_sheet};
pub use json::json;
pub use junit::{junit, junit_all};
pub use kills::{Kill, Kills};
pub use markdown::markdown;
pub use parts::{
    CollapseReport, EventReport, ExpectationReport, FaultReport, FeatureReport, FindingReport,
    GateReport, MutantReport, OrdersReport, ProfileReport, RuleReport, RunReport, SizeReport,
    Timing,
};
pub use seen::{EVENT_KINDS, EVENTS_SHOWN_MAX};
pub(crate) use seen::{Size, last_events};
pub use text::{Paint, plain, text};
pub use unended::Unended;
pub use view::Tone;

use serde::Serialize;

use crate::adversary::Collapse;
use crate::check::{Agreements, Disagreement, Mode, Options, Run};
use crate::config::is_secret;
use crate::gate::{Gate, GateResult, Mutant, graver};
use crate::rules::{CATALOGUE, Exit, Subject, Verdict};
use crate::saboteur;
use crate::scenario::{self, Profile};

/// The version of the report's form. It grows when a field changes its meaning, or goes.
pub const SCHEMA: &str = "becket-lab-check/1";

/// What stands where something looked like a secret.
const HIDDEN: &str = "(hidden)";

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was checked.
    pub adapter: String,
    /// The command that repeats a profile, but for its seed: see [`Report::set_command`].
    pub command: String,
    /// How much was tried.
    pub mode: &'static str,
    /// The seed of the first profile.
    pub start_seed: u64,
    /// What is said of all.
    pub verdict: &'static str,
    /// The exit code of a command that ends with it.
    pub exit_code: u8,
    /// How long it took, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// What was agreed on, ingress first.
    pub agreements: Vec<AgreementReport>,
    /// The gates, in their order.
    pub gates: Vec<GateReport>,
    /// All rules, in the order of the catalogue.
    pub rules: Vec<RuleReport>,
    /// The profiles, by their seeds.
    pub profiles: Vec<ProfileReport>,
    /// How alike the runs are.
    pub adversary: CollapseReport,
    /// What became of saboteurs.
    pub mutants: Vec<MutantReport>,
    /// Rules that adapters are judged by, that apply, and for which there was no occasion.
    pub not_exercised: Vec<&'static str>,
    /// The first failure of each rule, and of each scenario that fails without one.
    pub failures: Vec<Failure>,
    /// What became of failures that are known.
    pub expectations: Vec<ExpectationReport>,
    /// Why it did not come to its end, if it did not: then it has no runs, and see [`Report::unended`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unended: Option<Unended>,
}

impl Report {
    pub(crate) fn new(
        options: &Options<'_>,
        profiles: &[Profile],
        runs: &[Run],
        gates: &[GateResult],
        collapse: Collapse,
        mutants: &[Mutant],
    ) -> Self {
        let rules = rules(runs);
        let not_exercised = not_exercised(&rules);
        let of_gates = gates.iter().fold(Verdict::Pass, |all, gate| graver(all, gate.verdict));
        let is_vacuous = options.mode == Mode::Full && !not_exercised.is_empty();
        let of_rules = if is_vacuous { Verdict::NotExercised } else { Verdict::Pass };
        let verdict = graver(of_gates, of_rules);
        let is_blind = gates
            .iter()
            .any(|gate| gate.gate == Gate::MutantDetection && gate.verdict == Verdict::LabError);
        let exit = if is_blind { Exit::Baseline } else { verdict.exit() };
        let classes = alike::Classes::of(runs);
        let each = runs.len() / profiles.len().max(1);
        let runs = runs.iter().enumerate();
        let mut runs = runs.map(|(at, run)| RunReport::of(run, classes.of_run(at)));
        let profiles = profiles.iter().map(|profile| {
            let of_profile = runs.by_ref().take(each).collect();
            ProfileReport::of(profile, of_profile)
        });
        let profiles = profiles.collect();
        let adapter = shown_name(options.name);
        Self {
            schema: SCHEMA,
            command: format!("becket check local-adapter --adapter {}", quoted(&adapter)),
            adapter,
            mode: options.mode.name(),
            start_seed: options.start_seed,
            verdict: verdict.name(),
            exit_code: exit.code(),
            timing: None,
            agreements: Vec::new(),
            gates: gates.iter().map(GateReport::of).collect(),
            rules,
            profiles,
            adversary: classes.report(collapse),
            mutants: mutants.iter().map(MutantReport::of).collect(),
            not_exercised,
            failures: Vec::new(),
            expectations: Vec::new(),
            unended: None,
        }
    }

    /// Adds what was agreed on. A gate has said that nothing was; if that is because nobody can read
    /// what the caller requires, the command was not understood.
    pub(crate) fn agree(&mut self, Agreements(agreements): &Agreements) {
        self.agreements = agreements.iter().map(AgreementReport::of).collect();
        let mut disagreements = agreements.iter().filter_map(|it| it.result.as_ref().err());
        if disagreements.any(Disagreement::is_of_caller) {
            self.exit_code = Exit::Usage.code();
        }
    }

    /// Adds what is for people, and what was known. A failure that did not come is graver than a pass.
    ///
    /// A failure at which the lab broke down, as when it was made small, is one of the lab.
    pub(crate) fn say(&mut self, failures: Vec<Failure>, expectations: Vec<ExpectationReport>) {
        let lab_error = Verdict::LabError;
        if self.verdict != lab_error.name()
            && failures.iter().any(|it| it.verdict == lab_error.name())
        {
            (self.verdict, self.exit_code) = (lab_error.name(), lab_error.exit().code());
        }
        self.failures = failures;
        let unexpected = Verdict::UnexpectedPass;
        let is_unexpected = expectations.iter().any(|it| it.verdict == unexpected.name());
        let known = Verdict::of_name(self.verdict);
        if is_unexpected && known.is_some_and(|known| graver(known, unexpected) == unexpected) {
            (self.verdict, self.exit_code) = (unexpected.name(), unexpected.exit().code());
        }
        self.expectations = expectations;
    }

    /// The lab is wrong: what it says of adapters is worth nothing.
    pub(crate) fn doubt(&mut self, problem: String) {
        (self.verdict, self.exit_code) = (Verdict::LabError.name(), Exit::Baseline.code());
        let detection = Gate::MutantDetection.name();
        if let Some(gate) = self.gates.iter_mut().find(|gate| gate.name == detection) {
            (gate.verdict, gate.reason) = (Verdict::LabError.name(), Some(problem));
        }
    }

    /// What a gate says.
    #[must_use]
    pub fn gate(&self, gate: Gate) -> Option<&GateReport> {
        self.gates.iter().find(|report| report.name == gate.name())
    }

    /// Says by which command the check is repeated, as a shell would be given it:
    /// `becket check plugin target/libecho.so`. `--start-seed`, `--profiles` and `--full` come behind
    /// it. One that looks like a secret is hidden.
    pub fn set_command(&mut self, command: &str) {
        self.command = if is_secret_text(command) { HIDDEN.into() } else { command.into() };
        let commands = self.failures.iter().map(|it| self.repeat(it.seed, it.scenario));
        let commands: Vec<_> = commands.collect();
        for (failure, command) in self.failures.iter_mut().zip(commands) {
            failure.command = command;
        }
    }

    /// The command that repeats a scenario in a profile.
    #[must_use]
    pub fn repeat(&self, seed: u64, scenario: &str) -> String {
        let is_quick = scenario::of_name(scenario).is_none_or(|scenario| scenario.is_quick);
        let full = if is_quick { "" } else { " --full" };
        format!("{} --start-seed {seed} --profiles 1{full}", self.command)
    }
}

/// The names of saboteurs are the lab's own: some say `secret`, and none is one.
fn is_secret_text(text: &str) -> bool {
    let is_own = |word: &str| {
        let (before, name) = word.rsplit_once(':').unwrap_or(("", word));
        saboteur::of_name(name).is_some() && !is_secret(before)
    };
    text.split_whitespace().any(|word| is_secret(word) && !is_own(word))
}

pub(crate) fn shown_name(name: &str) -> String {
    if is_secret_text(name) { HIDDEN.into() } else { name.into() }
}

/// In how many runs what was said of each rule.
fn rules(runs: &[Run]) -> Vec<RuleReport> {
    let marks = || runs.iter().filter_map(|run| Some(run.seen.as_ref()?.marks));
    let rules = CATALOGUE.iter().enumerate().map(|(at, rule)| {
        let count = |mask: u128| u64::from(mask >> at & 1 != 0);
        RuleReport {
            rule: rule.id,
            applicable: marks().map(|marks| count(marks.applicable)).sum(),
            exercised: marks().map(|marks| count(marks.exercised)).sum(),
            broken: marks().map(|marks| count(marks.broken)).sum(),
        }
    });
    rules.collect()
}

/// Rules for which there was no occasion in any run.
fn not_exercised(rules: &[RuleReport]) -> Vec<&'static str> {
    let rules = CATALOGUE.iter().zip(rules);
    let idle = rules.filter(|(rule, report)| {
        rule.of == Subject::Adapter && report.applicable > 0 && report.exercised == 0
    });
    idle.map(|(rule, _)| rule.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The report of a check without runs, in which one gate says this, and the others pass.
    fn report(of: Gate, verdict: Verdict) -> Report {
        let make = crate::gate::healthy;
        let gates = Gate::ALL.map(|gate| {
            let verdict = if gate == of { verdict } else { Verdict::Pass };
            GateResult { gate, verdict, counted: 1, failed: 0, reason: None }
        });
        let options = Options::quick("pair", &make);
        Report::new(&options, &[], &[], &gates, Collapse::default(), &[])
    }

    #[test]
    fn the_gravest_gate_decides_verdict_and_exit_code() {
        for gate in Gate::ALL {
            for (verdict, exit) in [
                (Verdict::Pass, 0),
                (Verdict::KnownFail, 0),
                (Verdict::NonStrict, 0),
                (Verdict::Fail, 1),
                (Verdict::NotExercised, 3),
                (Verdict::Inconclusive, 3),
                (Verdict::Nondeterministic, 5),
            ] {
                let report = report(gate, verdict);
                assert_eq!((report.verdict, report.exit_code), (verdict.name(), exit));
            }
        }
        // A lab that is blind says nothing of adapters; one that broke down is another matter.
        assert_eq!(report(Gate::MutantDetection, Verdict::LabError).exit_code, 4);
        assert_eq!(report(Gate::Correctness, Verdict::LabError).exit_code, 70);
    }
}
