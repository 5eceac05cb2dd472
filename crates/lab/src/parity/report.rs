// SPDX-License-Identifier: BSD-3-Clause
//! The result of all comparisons, for programs and people.
//!
//! The same comparisons give the same bytes: a report contains no time, and its lists have one
//! order.

use std::{fmt, io};

use serde::Serialize;

use super::Options;
use crate::gate::{Gate, GateResult};
use crate::generate::{GENERATOR, ProfileError};
use crate::rules::Verdict;

/// The version of the report's form. It increases when a field changes its meaning or is removed.
pub const SCHEMA: &str = "becket-lab-parity/1";

/// The result of all comparisons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParityReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The generator of the modules.
    pub generator: &'static str,
    /// The mode.
    pub mode: &'static str,
    /// The first seed.
    pub start_seed: u64,
    /// The verdict: pass or fail; lab-error if a profile of the lab is invalid.
    pub verdict: &'static str,
    /// The exit code of a command that ends with it.
    pub exit_code: u8,
    /// Number of comparisons.
    pub counted: u64,
    /// Number of comparisons with a difference.
    pub failed: u64,
    /// The first difference, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// All comparisons, by profile, seed and scenario.
    pub cases: Vec<CaseReport>,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// The profile.
    pub profile: String,
    /// What was compared: text, constants, lifecycle, plan, drive or run.
    pub what: &'static str,
    /// The scenario; none: the profile's own run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<&'static str>,
    /// The seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Pass or fail.
    pub verdict: &'static str,
    /// Number of events, lines, calls or constants on the interpreted side.
    pub events: u64,
    /// The hash of the interpreted side.
    pub interpreted: String,
    /// The hash of the generated side.
    pub generated: String,
    /// The first difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// The first difference of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// Index of the event, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<usize>,
    /// The difference.
    pub said: String,
    /// Both traces side by side, around the first difference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Difference {
    pub(super) const fn plain(said: String) -> Self {
        Self { constant: None, event: None, said, lines: Vec::new() }
    }

    pub(super) fn both(interpreted: &str, generated: &str) -> Self {
        Self::plain(format!("interpreted: {interpreted}; generated: {generated}"))
    }
}

impl ParityReport {
    pub(super) fn new(options: &Options, cases: Vec<CaseReport>) -> Self {
        let failed = cases.iter().filter(|case| case.difference.is_some()).count() as u64;
        let first = cases.iter().find(|case| case.difference.is_some());
        let verdict = match failed {
            // Without comparisons there is no result.
            0 if cases.is_empty() => Verdict::NotExercised,
            0 => Verdict::Pass,
            _ => Verdict::Fail,
        };
        Self {
            schema: SCHEMA,
            generator: GENERATOR,
            mode: options.mode.name(),
            start_seed: options.start_seed,
            verdict: verdict.name(),
            exit_code: verdict.exit().code(),
            counted: cases.len() as u64,
            failed,
            reason: first.map(ToString::to_string),
            cases,
        }
    }

    /// A profile of the lab is invalid: there is nothing to compare with.
    pub(super) fn unreadable(options: &Options, error: &ProfileError) -> Self {
        let verdict = Verdict::LabError;
        Self {
            verdict: verdict.name(),
            exit_code: verdict.exit().code(),
            reason: Some(error.to_string()),
            ..Self::new(options, Vec::new())
        }
    }

    /// The result of the gate for generated code.
    #[must_use]
    pub fn gate(&self) -> GateResult {
        GateResult {
            gate: Gate::GeneratedBackendParity,
            verdict: Verdict::of_name(self.verdict).unwrap_or(Verdict::LabError),
            counted: self.counted,
            failed: self.failed,
            reason: self.reason.clone(),
        }
    }
}

/// The report as JSON: two spaces, fields in their order, a line feed at the end.
///
/// # Errors
///
/// None in practice: text and integers are always valid JSON.
pub fn json(report: &ParityReport) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// One line: what was compared, and the first difference.
impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.profile, self.what)?;
        if let Some(scenario) = self.scenario {
            write!(f, " of {scenario}")?;
        }
        if let Some(seed) = self.seed {
            write!(f, ", seed {seed}")?;
        }
        let Some(difference) = &self.difference else { return Ok(()) };
        if let Some(event) = difference.event {
            write!(f, ", event {}", event + 1)?;
        }
        write!(f, ": {}", difference.said)
    }
}

/// For people: a line for each profile and kind of comparison, then the differences.
impl fmt::Display for ParityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = |one: &CaseReport, other: &CaseReport| {
            one.profile == other.profile && one.what == other.what
        };
        let mut cases: Vec<&CaseReport> = self.cases.iter().collect();
        // A stable sort keeps their order within a profile and kind.
        let place = |what| {
            ["text", "constants", "lifecycle", "plan", "drive", "run"]
                .iter()
                .position(|known| *known == what)
        };
        let of_profile = |name: &str| self.cases.iter().position(|case| case.profile == name);
        cases.sort_by_key(|case| (of_profile(&case.profile), place(case.what)));
        for group in cases.chunk_by(|one, other| same(one, other)) {
            let Some(first) = group.first() else { continue };
            let failed = group.iter().filter(|case| case.difference.is_some()).count();
            let events: u64 = group.iter().map(|case| case.events).sum();
            let (profile, what, count) = (&first.profile, first.what, group.len());
            let verdict = if failed == 0 { "the same" } else { "differ" };
            writeln!(
                f,
                "{profile:<12} {what:<10} {count:>4} compared, {events:>8} events, {verdict}"
            )?;
        }
        for case in self.cases.iter().filter(|case| case.difference.is_some()).take(SHOWN_MAX) {
            writeln!(f, "{case}")?;
            for line in case.difference.iter().flat_map(|difference| &difference.lines) {
                writeln!(f, "  {line}")?;
            }
        }
        writeln!(f, "{}: {} of {} comparisons differ", self.verdict, self.failed, self.counted)
    }
}

/// Number of differences that are shown to people.
const SHOWN_MAX: usize = 5;
