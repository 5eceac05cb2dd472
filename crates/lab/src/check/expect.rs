// SPDX-License-Identifier: BSD-3-Clause
//! Known failures, in a file.
//!
//! ```toml
//! [[expect]]
//! rule = "ISO-03"                  # a rule, a scenario, or both
//! scenario = "queue_pressure"
//! seed = "1..=20"                  # or one: 7; without it: every seed
//! adapter = "ring"                 # without it: every adapter
//! reason = "one lock for all flows; see the adapter's notes"
//! ```
//!
//! An entry with a rule expects violations of that rule, in that scenario or in any. An entry
//! without a rule expects that scenario to fail in any way.
//!
//! # Invariants
//!
//! 1. A run is a *known failure* if all of its failures are expected. Errors of the lab itself
//!    cannot be expected.
//! 2. An entry without a matching failure, though its rule had occasion in a matching run, is an
//!    *unexpected pass*, and the check fails: the entry has to be removed.
//! 3. An entry that matches no run of the check has no effect.

use std::ops::RangeInclusive;

use serde::Deserialize;
use toml::Spanned;

use super::Run;
use crate::config::is_secret;
use crate::report::ExpectationReport;
use crate::rules::{Rule, Subject, Verdict, bits, of_adapters, rule};
use crate::scenario;

/// Maximum number of entries in a file.
pub const ENTRIES_MAX: usize = 1000;
/// Maximum size of a file, in bytes.
pub const EXPECT_BYTES_MAX: usize = 1 << 20;
/// Maximum length of a reason, in characters.
pub const REASON_CHARS_MAX: usize = 400;
/// Characters of the file's own text that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// Known failures, each with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expectations {
    entries: Vec<Expectation>,
}

/// A known failure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expectation {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The violated rule. `None`: any failure.
    pub rule: Option<&'static str>,
    /// The scenario. `None`: any.
    pub scenario: Option<&'static str>,
    /// The seeds of the profiles.
    pub seeds: RangeInclusive<u64>,
    /// The name of the adapter in the check. `None`: any.
    pub adapter: Option<String>,
    /// Why it is known.
    pub reason: String,
}

/// Why a file of expectations is invalid. `Display` gives the line and the error,
/// [`cause`](Self::cause) why it is one, [`hint`](Self::hint) what to try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectError {
    /// The file is too long.
    #[error("the file has {bytes} bytes, and expectations have {EXPECT_BYTES_MAX} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The file has too many entries.
    #[error("there are {entries} entries, and there may be {ENTRIES_MAX}")]
    TooMany {
        /// Their number.
        entries: usize,
    },
    /// Not TOML, or an unknown key.
    #[error("the expectations are not understood in line {line}: {said}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The parser's message.
        said: String,
    },
    /// An entry with neither a rule nor a scenario.
    #[error("the entry in line {line} has neither a rule nor a scenario")]
    AboutNothing {
        /// The line, from 1.
        line: usize,
    },
    /// No rule has this id.
    #[error("line {line}: there is no rule {name:?}")]
    NoRule {
        /// The line, from 1.
        line: usize,
        /// The id.
        name: String,
    },
    /// A rule that is not about adapters.
    #[error("line {line}: the rule {rule} judges the runtime, not adapters")]
    RuntimeRule {
        /// The line, from 1.
        line: usize,
        /// The rule.
        rule: &'static str,
    },
    /// No scenario has this name.
    #[error("line {line}: there is no scenario {name:?}")]
    NoScenario {
        /// The line, from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// Invalid seeds.
    #[error("line {line}: {text:?} are no seeds")]
    NoSeeds {
        /// The line, from 1.
        line: usize,
        /// The text.
        text: String,
    },
    /// An entry without a reason, or with a reason that is too long.
    #[error("line {line}: a reason has from 1 to {REASON_CHARS_MAX} characters")]
    Reason {
        /// The line, from 1.
        line: usize,
    },
}

impl ExpectError {
    /// Why this is an error.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::TooMany { .. } => {
                "a list that is not maintained hides failures"
            }
            Self::Syntax { .. } => {
                "expectations are TOML: tables [[expect]] with rule, scenario, seed, adapter, reason"
            }
            Self::AboutNothing { .. } => "an entry that is about everything would hide everything",
            Self::NoRule { .. } => "a rule that is not in the catalogue is never violated",
            Self::RuntimeRule { .. } => "what the lab itself does wrong is never expected",
            Self::NoScenario { .. } => "a scenario that does not exist is never run",
            Self::NoSeeds { .. } => "seeds are one number, or a range such as \"1..=20\"",
            Self::Reason { .. } => "a later reader of the entry has to know why it is there",
        }
    }

    /// What to try.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::TooMany { .. } => "name rules instead of single seeds",
            Self::Syntax { .. } => "compare the line with the example in the book",
            Self::AboutNothing { .. } => "add `rule = \"…\"`, as the report names it",
            Self::NoRule { .. } | Self::RuntimeRule { .. } => {
                "`becket lab rules` lists all of them"
            }
            Self::NoScenario { .. } => "take the name from the report",
            Self::NoSeeds { .. } => "write `seed = 7` or `seed = \"1..=20\"`",
            Self::Reason { .. } => "add `reason = \"…\"`: what is wrong, and whom to ask",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expect: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    rule: Option<Spanned<String>>,
    scenario: Option<Spanned<String>>,
    seed: Option<Spanned<toml::Value>>,
    adapter: Option<String>,
    reason: Option<Spanned<String>>,
}

impl Expectations {
    /// Parses a file.
    ///
    /// # Errors
    ///
    /// The first error, with its line.
    pub fn parse(text: &str) -> Result<Self, ExpectError> {
        if text.len() > EXPECT_BYTES_MAX {
            return Err(ExpectError::TooLong { bytes: text.len() });
        }
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let file: File = toml::from_str(text).map_err(|error| {
            let line = line(error.span().map_or(0, |span| span.start));
            ExpectError::Syntax { line, said: short(error.message()) }
        })?;
        let entries = file.expect.len();
        if entries > ENTRIES_MAX {
            return Err(ExpectError::TooMany { entries });
        }
        let entries = file.expect.into_iter();
        let entries = entries.map(|entry| {
            let at = line(entry.span().start);
            entry.into_inner().read(at, &line)
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// The entries, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.entries.iter()
    }
}

impl Entry {
    fn read(self, at: usize, line: &dyn Fn(usize) -> usize) -> Result<Expectation, ExpectError> {
        let of = |name: &Spanned<String>| (line(name.span().start), short(name.as_ref()));
        let the_rule = |name: &Spanned<String>| match rule(name.as_ref()) {
            Some(Rule { of: Subject::Adapter, id, .. }) => Ok(*id),
            Some(rule) => {
                Err(ExpectError::RuntimeRule { line: line(name.span().start), rule: rule.id })
            }
            None => {
                let (line, name) = of(name);
                Err(ExpectError::NoRule { line, name })
            }
        };
        let the_scenario = |name: &Spanned<String>| match scenario::of_name(name.as_ref()) {
            Some(scenario) => Ok(scenario.name),
            None => {
                let (line, name) = of(name);
                Err(ExpectError::NoScenario { line, name })
            }
        };
        let rule = self.rule.as_ref().map(the_rule).transpose()?;
        let scenario = self.scenario.as_ref().map(the_scenario).transpose()?;
        if rule.is_none() && scenario.is_none() {
            return Err(ExpectError::AboutNothing { line: at });
        }
        let seeds = match &self.seed {
            None => 0..=u64::MAX,
            Some(value) => seeds(value.as_ref()).ok_or_else(|| {
                let text = short(&value.as_ref().to_string());
                ExpectError::NoSeeds { line: line(value.span().start), text }
            })?,
        };
        let reason_line = self.reason.as_ref().map_or(at, |reason| line(reason.span().start));
        let reason = self.reason.map(Spanned::into_inner).unwrap_or_default();
        let reason = reason.trim().to_owned();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(ExpectError::Reason { line: reason_line });
        }
        Ok(Expectation { line: at, rule, scenario, seeds, adapter: self.adapter, reason })
    }
}

/// One number, or a range that is not empty.
fn seeds(value: &toml::Value) -> Option<RangeInclusive<u64>> {
    if let Some(seed) = value.as_integer() {
        let seed = u64::try_from(seed).ok()?;
        return Some(seed..=seed);
    }
    let (first, last) = value.as_str()?.split_once("..=")?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then_some(first..=last)
}

/// Text of the file, shortened, with anything that looks like a secret hidden.
fn short(text: &str) -> String {
    if is_secret(text) {
        return "(hidden)".into();
    }
    text.lines().next().unwrap_or_default().chars().take(SHOWN_CHARS_MAX).collect()
}

/// The runs that matched an entry so far.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    /// Runs that it matches.
    runs: u64,
    /// Matching runs that fail as expected.
    failed: u64,
    /// Its rule had occasion.
    is_exercised: bool,
}

/// Separates known failures from others, run by run.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    entries: Vec<(&'a Expectation, Met)>,
    adapter: &'a str,
}

impl<'a> Judge<'a> {
    pub(super) fn new(expect: Option<&'a Expectations>, adapter: &'a str) -> Self {
        let entries = expect.into_iter().flat_map(Expectations::iter);
        Self { entries: entries.map(|entry| (entry, Met::default())).collect(), adapter }
    }

    /// Marks what is known of a run.
    pub(super) fn judge(&mut self, run: &mut Run) {
        for (entry, met) in &mut self.entries {
            // Errors of the lab cannot be expected.
            let says_nothing = matches!(run.verdict, Verdict::NotApplicable | Verdict::LabError);
            if says_nothing && run.seen.is_none() || !entry.is_about(self.adapter, run) {
                continue;
            }
            met.runs += 1;
            let is_met = match (entry.rule, &mut run.seen) {
                (None, None) => {
                    met.is_exercised = true;
                    run.is_known = true;
                    true
                }
                (Some(_), None) => false,
                (None, Some(seen)) => {
                    met.is_exercised = true;
                    let broken = of_adapters(seen.rule_sets.broken);
                    seen.known |= broken;
                    run.is_known |= seen.is_otherwise();
                    broken != 0 || seen.is_otherwise()
                }
                (Some(id), Some(seen)) => {
                    let bit = bits([id]);
                    met.is_exercised |= seen.rule_sets.exercised & bit != 0;
                    seen.known |= seen.rule_sets.broken & bit;
                    seen.rule_sets.broken & bit != 0
                }
            };
            met.failed += u64::from(is_met);
            met.is_exercised |= is_met;
        }
        run.judge();
    }

    /// The outcome of each entry.
    pub(super) fn reports(&self) -> Vec<ExpectationReport> {
        let report = |(entry, met): &(&Expectation, Met)| {
            let verdict = match met {
                Met { failed: 1.., .. } => Verdict::KnownFail,
                Met { is_exercised: true, .. } => Verdict::UnexpectedPass,
                Met { runs: 1.., .. } => Verdict::NotExercised,
                Met { .. } => Verdict::NotApplicable,
            };
            ExpectationReport {
                line: entry.line,
                rule: entry.rule,
                scenario: entry.scenario,
                reason: if is_secret(&entry.reason) {
                    "(hidden)".into()
                } else {
                    entry.reason.clone()
                },
                verdict: verdict.name(),
                runs: met.runs,
                failed: met.failed,
            }
        };
        self.entries.iter().map(report).collect()
    }
}

impl Expectation {
    fn is_about(&self, adapter: &str, run: &Run) -> bool {
        let is_scenario = |name: &str| run.scenario.name == name;
        self.adapter.as_deref().is_none_or(|name| name == adapter)
            && self.scenario.is_none_or(is_scenario)
            && self.seeds.contains(&run.seed)
    }
}
