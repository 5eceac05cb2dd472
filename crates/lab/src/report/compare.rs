// SPDX-License-Identifier: BSD-3-Clause
//! The differences between two reports: checks, gates, rules, runs, mutants.
//!
//! Reports are read as JSON, so that those of other versions of the lab can be compared while the
//! [schema](super::SCHEMA) is the same. Things are matched by name; a thing in only one of the
//! reports is *new* or *gone*.
//!
//! # Invariants
//!
//! 1. A report compared with itself has no changes.
//! 2. Changes have one order: by adapter, kind and name. There are at most as many as a report has
//!    things.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use strum::IntoStaticStr;

use super::words::shown;
use crate::gate::more_severe;
use crate::rules::{Exit, Verdict};

/// Maximum size of a report, in bytes.
pub const REPORT_BYTES_MAX: usize = 256 << 20;

/// The direction of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More severe than before; or new, and failing.
    Worse,
    /// Less severe than before.
    Better,
    /// Different, but of the same severity: a run that passed, and is not applicable now.
    Other,
    /// New, and not failing.
    New,
    /// No longer in the report.
    Gone,
}

/// The kind of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// A whole check.
    Check,
    /// A gate.
    Gate,
    /// A rule: violated in any run, or in none.
    Rule,
    /// A mutant.
    Mutant,
    /// A run: its scenario and its seed.
    Run,
}

impl Thing {
    fn name(self) -> &'static str {
        self.into()
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Change {
    /// Name of the adapter.
    pub adapter: String,
    /// The kind of thing.
    pub thing: Thing,
    /// Its name.
    pub name: String,
    /// The old verdict or outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The new verdict or outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// Whether it is better or worse.
    pub direction: Direction,
}

/// All changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Sorted by adapter, kind and name.
    pub changes: Vec<Change>,
    /// Number of things that are the same in both reports.
    pub same: u64,
    /// 1 if something is worse, otherwise 0.
    pub exit_code: u8,
}

/// Why two reports cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// It is too long.
    #[error("the {which} report has {bytes} bytes, and reports have {REPORT_BYTES_MAX} at most")]
    TooLong {
        /// old or new.
        which: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// It is not a report.
    #[error("the {which} report is none in line {line}, column {column}: {said}")]
    NoReport {
        /// old or new.
        which: &'static str,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The parser's message.
        said: String,
    },
    /// It has another schema.
    #[error(
        "the {which} report has the schema {found:?}, and this lab compares {:?}",
        super::SCHEMA
    )]
    Schema {
        /// old or new.
        which: &'static str,
        /// Its schema.
        found: String,
    },
}

impl CompareError {
    /// Why this is an error.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "a report of ten thousand profiles is shorter",
            Self::NoReport { .. } => "reports are what `becket check … --out FILE` writes, as JSON",
            Self::Schema { .. } => "fields of other versions mean other things",
        }
    }

    /// What to try.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::NoReport { .. } => "name a file of `--out`, unchanged",
            Self::Schema { .. } => "make both reports by the same version of becket",
        }
    }
}

enum File {
    One(Box<Read>),
    Many(Vec<Read>),
}

#[derive(Deserialize)]
struct Read {
    schema: String,
    adapter: String,
    verdict: String,
    gates: Vec<Judged>,
    profiles: Vec<Profile>,
    mutants: Vec<Looked>,
}

#[derive(Deserialize)]
struct Judged {
    name: String,
    verdict: String,
}

#[derive(Deserialize)]
struct Looked {
    name: String,
    result: String,
}

#[derive(Deserialize)]
struct Profile {
    seed: u64,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    scenario: String,
    verdict: String,
    findings: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    rule: String,
}

type Things = BTreeMap<(String, Thing, String), String>;

const HELD: &str = "held";
const VIOLATED: &str = "violated";

/// Compares two reports: each is the JSON of one report, or of a list of reports.
///
/// # Errors
///
/// Which of them is invalid, and why.
pub fn compare(old: &str, new: &str) -> Result<Comparison, CompareError> {
    let (old, new) = (read("old", old)?, read("new", new)?);
    let mut changes = Vec::new();
    let mut same = 0;
    let has = |all: &Things, adapter: &String| {
        all.contains_key(&(adapter.clone(), Thing::Check, String::new()))
    };
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in names {
        let (adapter, thing, name) = key;
        let (before, after) = (old.get(key), new.get(key));
        // A rule without a violation is not listed, and holds if there was a check at all.
        let held = |all| (*thing == Thing::Rule && has(all, adapter)).then(|| HELD.to_owned());
        let before = before.cloned().or_else(|| held(&old));
        let after = after.cloned().or_else(|| held(&new));
        if before == after {
            same += 1;
            continue;
        }
        let direction = match (&before, &after) {
            (Some(before), Some(after)) if severity(before) < severity(after) => Direction::Worse,
            (None, Some(after)) if is_failure(after) => Direction::Worse,
            (Some(before), Some(after)) if severity(before) > severity(after) => Direction::Better,
            (Some(_), Some(_)) => Direction::Other,
            (None, _) => Direction::New,
            (Some(_), None) => Direction::Gone,
        };
        changes.push(Change {
            adapter: adapter.clone(),
            thing: *thing,
            name: name.clone(),
            old: before,
            new: after,
            direction,
        });
    }
    let is_worse = changes.iter().any(|change| change.direction == Direction::Worse);
    let exit = if is_worse { Exit::Conformance } else { Exit::Ok };
    Ok(Comparison { changes, same, exit_code: exit.code() })
}

fn read(which: &'static str, text: &str) -> Result<Things, CompareError> {
    if text.len() > REPORT_BYTES_MAX {
        return Err(CompareError::TooLong { which, bytes: text.len() });
    }
    let no_report = |error: serde_json::Error| {
        let said = error.to_string();
        let end = said.rfind(" at line ").unwrap_or(said.len());
        let said = said.get(..end).unwrap_or_default().chars().take(200).collect();
        CompareError::NoReport { which, line: error.line(), column: error.column(), said }
    };
    let is_list = text.trim_start().starts_with('[');
    let file = match is_list {
        true => serde_json::from_str(text).map(File::Many),
        false => serde_json::from_str(text).map(File::One),
    };
    let reports = match file.map_err(no_report)? {
        File::One(report) => vec![*report],
        File::Many(reports) => reports,
    };
    let mut things = Things::new();
    for report in reports {
        if report.schema != super::SCHEMA {
            let found = report.schema.chars().take(60).collect();
            return Err(CompareError::Schema { which, found });
        }
        let adapter = report.adapter;
        let mut add = |thing, name: String, said: String| {
            things.insert((adapter.clone(), thing, name), said);
        };
        add(Thing::Check, String::new(), report.verdict);
        for gate in report.gates {
            add(Thing::Gate, gate.name, gate.verdict);
        }
        for mutant in report.mutants {
            add(Thing::Mutant, mutant.name, mutant.result);
        }
        for profile in report.profiles {
            for run in profile.runs {
                for finding in run.findings {
                    add(Thing::Rule, finding.rule, VIOLATED.to_owned());
                }
                add(Thing::Run, format!("{}, seed {}", run.scenario, profile.seed), run.verdict);
            }
        }
    }
    Ok(things)
}

/// Severity: verdicts by [`more_severe`]; other outcomes are in between.
fn severity(said: &str) -> u8 {
    match Verdict::of_name(said) {
        Some(verdict) => {
            let less = |other: &&Verdict| more_severe(verdict, **other) == verdict;
            Verdict::ALL.iter().filter(less).count() as u8
        }
        None => u8::from(is_failure(said)),
    }
}

fn is_failure(said: &str) -> bool {
    match Verdict::of_name(said) {
        Some(verdict) => verdict.exit() != Exit::Ok,
        None => matches!(said, VIOLATED | "survived"),
    }
}

/// For people, one line per change.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            let Change { adapter, thing, name, old, new, direction } = change;
            let mut what = String::new();
            write!(what, "{}", thing.name())?;
            if !name.is_empty() {
                write!(what, " {}", shown(name))?;
            }
            // A report is a file, which may come from anywhere.
            let said = |said: &Option<String>| {
                said.as_deref().map_or_else(|| "not there".into(), |said| shown(said).into_owned())
            };
            let direction = match direction {
                Direction::Worse => "worse",
                Direction::Better => "better",
                Direction::Other => "other",
                Direction::New => "new",
                Direction::Gone => "gone",
            };
            let adapter = shown(adapter);
            writeln!(f, "{direction:<6} {adapter}: {what}: {} → {}", said(old), said(new))?;
        }
        let count = |wanted| self.changes.iter().filter(|it| it.direction == wanted).count();
        let (worse, better) = (count(Direction::Worse), count(Direction::Better));
        let (new, gone) = (count(Direction::New), count(Direction::Gone));
        let (other, same) = (count(Direction::Other), self.same);
        writeln!(
            f,
            "{worse} worse, {better} better, {other} other, {new} new, {gone} gone, {same} the same"
        )
    }
}
