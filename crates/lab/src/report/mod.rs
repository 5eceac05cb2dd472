// SPDX-License-Identifier: BSD-3-Clause
//! The report of a check, for programs and people.
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
//! | `parts` | the parts of a report |
//! | `seen` | what is kept of the trace of a run |
//! | `alike` | classes of runs that are alike |
//! | `agreement` | what an adapter and the lab agreed on |
//! | `compare` | the differences between two reports |
//! | `failure` | a failure: what, where, the events before it, and how to repeat it |
//! | `unended` | the report of a check that did not finish |
//! | `view` | content that all forms for people share: findings by rule, sums |
//! | `words` | names, numbers and hostile text, as they are shown |
//! | `json`, `junit`, `markdown`, `html`, `text` | one form each |
//!
//! # Invariants
//!
//! 1. A report contains classes, counts, flags and hashes, never payload, and times only on request
//!    ([`Timing`]). Its fields and lists have one order: the same check gives the same bytes in
//!    each form.
//! 2. Text from outside the lab (the adapter's name, the command) is hidden if it looks like a
//!    secret. In the forms for people it is escaped, without control characters and bounded in
//!    length; JSON has its own escapes.
//! 3. If a run violates several rules, its events and commands are shown once, with the first of
//!    them: the check decides which that is ([`Failure::shown_with`]), and each form for people
//!    follows.
//! 4. However many findings a rule has, the last events of one are kept: the length of a report
//!    depends only on the number of runs and findings.

mod agreement;
mod alike;
mod compare;
mod failure;
mod html;
mod json;
mod junit;
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
pub use html::{html, html_sheet};
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use parts::{
    CollapseReport, EventReport, ExpectationReport, FaultReport, FeatureReport, FindingReport,
    GateReport, MutantReport, OrdersReport, ProfileReport, RuleReport, RunReport, SizeReport,
    Timing,
};
pub use seen::{EVENT_KINDS, EVENTS_SHOWN_MAX};
pub(crate) use seen::{last_events, size_of};
pub use text::{Paint, plain, text};
pub use unended::Unended;
pub use view::Tone;

use serde::Serialize;

use crate::adversary::Collapse;
use crate::check::{Agreements, Disagreement, Mode, Options, Run};
use crate::config::is_secret;
use crate::gate::{Gate, GateResult, MutantResult, more_severe};
use crate::mutant;
use crate::rules::{CATALOGUE, Exit, Subject, Verdict};
use crate::scenario::{self, Profile};

/// The version of the report's form. It increases when a field changes its meaning or is removed.
pub const SCHEMA: &str = "becket-lab-check/2";

/// Replaces text that looked like a secret.
const HIDDEN: &str = "(hidden)";

/// The report of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Name of the adapter under test.
    pub adapter: String,
    /// The command that repeats a profile, without its seed: see [`Report::repeat`].
    pub command: String,
    /// The mode of the check.
    pub mode: &'static str,
    /// The seed of the first profile.
    pub start_seed: u64,
    /// The verdict on everything.
    pub verdict: &'static str,
    /// The exit code of a command that ends with it.
    pub exit_code: u8,
    /// Duration, on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The results of the negotiation, ingress first.
    pub agreements: Vec<AgreementReport>,
    /// The gates, in their order.
    pub gates: Vec<GateReport>,
    /// All rules, in the order of the catalogue.
    pub rules: Vec<RuleReport>,
    /// The profiles, by their seeds.
    pub profiles: Vec<ProfileReport>,
    /// How alike the runs are.
    pub adversary: CollapseReport,
    /// The outcomes of the mutants.
    pub mutants: Vec<MutantReport>,
    /// Applicable rules about adapters that had no occasion.
    pub not_exercised: Vec<&'static str>,
    /// The first failure of each rule, and of each scenario that fails without one.
    pub failures: Vec<Failure>,
    /// The outcomes of known failures.
    pub expectations: Vec<ExpectationReport>,
    /// Why the check did not finish, if it did not: then it has no runs, see [`Report::unended`].
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
        mutants: &[MutantResult],
    ) -> Self {
        let rules = rules(runs);
        let not_exercised = not_exercised(&rules);
        let of_gates = gates.iter().fold(Verdict::Pass, |all, gate| more_severe(all, gate.verdict));
        let is_vacuous = options.mode == Mode::Full && !not_exercised.is_empty();
        let of_rules = if is_vacuous { Verdict::NotExercised } else { Verdict::Pass };
        let verdict = more_severe(of_gates, of_rules);
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

    /// Adds the results of the negotiation. A gate reports that it failed; if the requirements of
    /// the caller are invalid, that is a usage error.
    pub(crate) fn agree(&mut self, Agreements(agreements): &Agreements) {
        self.agreements = agreements.iter().map(AgreementReport::of).collect();
        let mut disagreements = agreements.iter().filter_map(|it| it.result.as_ref().err());
        if disagreements.any(Disagreement::is_of_caller) {
            self.exit_code = Exit::Usage.code();
        }
    }

    /// Adds failures for people, and known failures. An unexpected pass is more severe than a pass.
    ///
    /// If the lab itself failed while shrinking a failure, the verdict is a lab error.
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
        if is_unexpected && known.is_some_and(|known| more_severe(known, unexpected) == unexpected)
        {
            (self.verdict, self.exit_code) = (unexpected.name(), unexpected.exit().code());
        }
        self.expectations = expectations;
    }

    /// The lab is at fault: its verdicts on adapters are void.
    pub(crate) fn doubt(&mut self, problem: String) {
        (self.verdict, self.exit_code) = (Verdict::LabError.name(), Exit::Baseline.code());
        let detection = Gate::MutantDetection.name();
        if let Some(gate) = self.gates.iter_mut().find(|gate| gate.name == detection) {
            (gate.verdict, gate.reason) = (Verdict::LabError.name(), Some(problem));
        }
    }

    /// The result of a gate.
    #[must_use]
    pub fn gate(&self, gate: Gate) -> Option<&GateReport> {
        self.gates.iter().find(|report| report.name == gate.name())
    }

    /// The command that repeats a scenario in a profile.
    #[must_use]
    pub fn repeat(&self, seed: u64, scenario: &str) -> String {
        let is_quick = scenario::of_name(scenario).is_none_or(|scenario| scenario.is_quick);
        let full = if is_quick { "" } else { " --full" };
        format!("{} --start-seed {seed} --profiles 1{full}", self.command)
    }
}

/// Names of mutants are the lab's own: some contain `secret`, and none is one.
fn is_secret_text(text: &str) -> bool {
    let is_own = |word: &str| {
        let (before, name) = word.rsplit_once(':').unwrap_or(("", word));
        mutant::of_name(name).is_some() && !is_secret(before)
    };
    text.split_whitespace().any(|word| is_secret(word) && !is_own(word))
}

pub(crate) fn shown_name(name: &str) -> String {
    if is_secret_text(name) { HIDDEN.into() } else { name.into() }
}

/// The number of runs per outcome, for each rule.
fn rules(runs: &[Run]) -> Vec<RuleReport> {
    let rule_sets = || runs.iter().filter_map(|run| Some(run.seen.as_ref()?.rule_sets));
    let rules = CATALOGUE.iter().enumerate().map(|(at, rule)| {
        let count = |mask: u128| u64::from(mask >> at & 1 != 0);
        RuleReport {
            rule: rule.id,
            applicable: rule_sets().map(|rule_sets| count(rule_sets.applicable)).sum(),
            exercised: rule_sets().map(|rule_sets| count(rule_sets.exercised)).sum(),
            violated: rule_sets().map(|rule_sets| count(rule_sets.broken)).sum(),
        }
    });
    rules.collect()
}

/// Rules without occasion in any run.
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

    /// The report of a check without runs, in which one gate has this verdict, and the others pass.
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
        // A lab that misses faults gives no verdict on adapters; one that breaks down is a
        // different error.
        assert_eq!(report(Gate::MutantDetection, Verdict::LabError).exit_code, 4);
        assert_eq!(report(Gate::Correctness, Verdict::LabError).exit_code, 70);
    }
}
