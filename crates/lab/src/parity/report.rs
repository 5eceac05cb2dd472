// SPDX-License-Identifier: BSD-3-Clause
//! What came of all comparisons, for programs and people.
//!
//! The same comparisons give the same bytes: there is no time in a report, and its lists have one
//! order.

use std::{fmt, io};

use serde::Serialize;

use super::Options;
use crate::gate::{Gate, GateResult};
use crate::generate::{GENERATOR, ProfileError};
use crate::rules::Verdict;

/// The version of the report's form. It grows when a field changes its meaning, or goes.
pub const SCHEMA: &str = "becket-lab-parity/1";

/// What came of all comparisons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParityReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The generator whose modules were compared.
    pub generator: &'static str,
    /// How much was compared.
    pub mode: &'static str,
    /// The first seed.
    pub start_seed: u64,
    /// What is said of all: pass or fail; lab-error if a profile of the lab cannot be read.
    pub verdict: &'static str,
    /// The exit code of a command that ends with it.
    pub exit_code: u8,
    /// Comparisons.
    pub counted: u64,
    /// Those in which the sides differ.
    pub failed: u64,
    /// The first difference, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// All of them, by profile, seed and scenario.
    pub cases: Vec<CaseReport>,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Of which profile.
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
    /// Events, or lines, or calls, or constants, on the interpreted side.
    pub events: u64,
    /// What came of the interpreted side, as one number.
    pub interpreted: String,
    /// What came of the generated side.
    pub generated: String,
    /// Where they differ first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// Where both sides differ first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant: Option<String>,
    /// The event, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<usize>,
    /// What differs.
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
            // Who compared nothing says nothing.
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

    /// A profile of the lab cannot be read: there is nothing to compare with.
    pub(super) fn unreadable(options: &Options, error: &ProfileError) -> Self {
        let verdict = Verdict::LabError;
        Self {
            verdict: verdict.name(),
            exit_code: verdict.exit().code(),
            reason: Some(error.to_string()),
            ..Self::new(options, Vec::new())
        }
    }

    /// What the gate of generated code says.
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
/// None that a report can cause: text and whole numbers are always JSON.
pub fn json(report: &ParityReport) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// One line: what was compared, and where it differs.
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

/// For people: a line for each profile and kind of comparison, then what differs.
impl fmt::Display for ParityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = |one: &CaseReport, other: &CaseReport| {
            one.profile == other.profile && one.what == other.what
        };
        let mut cases: Vec<&CaseReport> = self.cases.iter().collect();
        // Stable: of a profile and a kind they keep their order.
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
        for case in self.cases.iter().filter(|case| case.difference.is_some()).take(TOLD_MAX) {
            writeln!(f, "{case}")?;
            for line in case.difference.iter().flat_map(|difference| &difference.lines) {
                writeln!(f, "  {line}")?;
            }
        }
        writeln!(f, "{}: {} of {} comparisons differ", self.verdict, self.failed, self.counted)
    }
}

/// Differences that people are told.
const TOLD_MAX: usize = 5;
