// SPDX-License-Identifier: BSD-3-Clause
//! Verdicts and exit codes.

use strum::{IntoStaticStr, VariantArray};

use super::{CATALOGUE, Level, RuleSets, Subject, catalogue::Id};
use crate::all;

/// The verdict on a run, a scenario, a gate or a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// Every rule that had occasion held.
    Pass,
    /// Only SHOULD rules were violated.
    NonStrict,
    /// A rule was violated.
    Fail,
    /// The adapter does not claim what was tried, and refused it cleanly.
    Unsupported,
    /// The limits of this run cannot carry it.
    NotApplicable,
    /// No event could have violated a rule.
    NotExercised,
    /// It was tried, without a result.
    Inconclusive,
    /// It failed, as expected.
    KnownFail,
    /// It passed, and was expected to fail.
    UnexpectedPass,
    /// Two runs with the same seed differ.
    Nondeterministic,
    /// The lab itself, or one of its own adapters, did something wrong.
    LabError,
}

/// The exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Success.
    Ok = 0,
    /// An adapter does not conform.
    Conformance = 1,
    /// Invalid arguments.
    Usage = 2,
    /// No result, or something was never tried.
    Inconclusive = 3,
    /// The lab fails its own test, or fails a healthy adapter.
    Baseline = 4,
    /// Two runs with the same seed differ.
    Nondeterministic = 5,
    /// Internal error of the lab.
    Internal = 70,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The verdict with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }

    /// The verdict by the rules alone.
    #[must_use]
    pub fn of(rule_sets: &RuleSets) -> Self {
        let deterministic = Id::Again.bit() | Id::FreshProcess.bit();
        let broken = |of, level| {
            let is_one = |bit: &usize| {
                let rule = CATALOGUE.get(*bit);
                rule.is_some_and(|rule| rule.of == of && rule.level == level)
            };
            (0..CATALOGUE.len()).filter(is_one).any(|bit| rule_sets.broken >> bit & 1 != 0)
        };
        match () {
            () if rule_sets.broken & deterministic != 0 => Self::Nondeterministic,
            () if broken(Subject::Adapter, Level::Must) => Self::Fail,
            () if broken(Subject::Runtime, Level::Must) => Self::LabError,
            () if broken(Subject::Adapter, Level::Should) => Self::NonStrict,
            () if rule_sets.exercised == 0 => Self::NotExercised,
            () => Self::Pass,
        }
    }

    /// Whether it is an unexpected failure.
    pub(crate) const fn is_failure(self) -> bool {
        matches!(self, Self::Fail | Self::Nondeterministic | Self::LabError)
    }

    /// The exit code of a command that ends with it.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Pass
            | Self::NonStrict
            | Self::Unsupported
            | Self::NotApplicable
            | Self::KnownFail => Exit::Ok,
            Self::Fail | Self::UnexpectedPass => Exit::Conformance,
            Self::NotExercised | Self::Inconclusive => Exit::Inconclusive,
            Self::Nondeterministic => Exit::Nondeterministic,
            Self::LabError => Exit::Internal,
        }
    }
}

impl Exit {
    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The more severe of both.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if self.severity() >= other.severity() { self } else { other }
    }

    const fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Inconclusive => 1,
            Self::Conformance => 2,
            Self::Nondeterministic => 3,
            Self::Baseline => 4,
            Self::Usage => 5,
            Self::Internal => 6,
        }
    }
}
