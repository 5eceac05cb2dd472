// SPDX-License-Identifier: BSD-3-Clause
//! What a check ends with.

use super::{CATALOGUE, Level, Marks, Subject, catalogue::Id};

/// What is said of a run, a scenario, a gate or a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Every rule that had occasion was held.
    Pass,
    /// Only rules that say what should be were broken.
    NonStrict,
    /// A rule was broken.
    Fail,
    /// The adapter does not claim what was asked for, and refused it cleanly.
    Unsupported,
    /// It cannot be tried within the limits of this run.
    NotApplicable,
    /// Nothing happened that could have broken a rule.
    NotExercised,
    /// It was tried, and nothing can be said.
    Inconclusive,
    /// It failed, as was expected.
    KnownFail,
    /// It passed, and was expected to fail.
    UnexpectedPass,
    /// The same seed gave two different runs.
    Nondeterministic,
    /// The lab itself, or what it brings along, did something wrong.
    LabError,
}

/// The exit code of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything is as it should be.
    Ok = 0,
    /// An adapter does not conform.
    Conformance = 1,
    /// The command was not understood.
    Usage = 2,
    /// Nothing can be said, or something was never tried.
    Inconclusive = 3,
    /// The lab fails its own test, or a healthy adapter did.
    Baseline = 4,
    /// The same seed gave two different runs.
    Nondeterministic = 5,
    /// The lab broke down.
    Internal = 70,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Pass,
        Self::NonStrict,
        Self::Fail,
        Self::Unsupported,
        Self::NotApplicable,
        Self::NotExercised,
        Self::Inconclusive,
        Self::KnownFail,
        Self::UnexpectedPass,
        Self::Nondeterministic,
        Self::LabError,
    ];

    /// As reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NonStrict => "non-strict",
            Self::Fail => "fail",
            Self::Unsupported => "unsupported",
            Self::NotApplicable => "not-applicable",
            Self::NotExercised => "not-exercised",
            Self::Inconclusive => "inconclusive",
            Self::KnownFail => "known-fail",
            Self::UnexpectedPass => "unexpected-pass",
            Self::Nondeterministic => "nondeterministic",
            Self::LabError => "lab-error",
        }
    }

    /// The verdict of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }

    /// What follows from the rules alone.
    #[must_use]
    pub fn of(marks: &Marks) -> Self {
        let deterministic = Id::Again.bit() | Id::Elsewhere.bit();
        let broken = |of, level| {
            let is_one = |bit: &usize| {
                let rule = CATALOGUE.get(*bit);
                rule.is_some_and(|rule| rule.of == of && rule.level == level)
            };
            (0..CATALOGUE.len()).filter(is_one).any(|bit| marks.broken >> bit & 1 != 0)
        };
        match () {
            () if marks.broken & deterministic != 0 => Self::Nondeterministic,
            () if broken(Subject::Adapter, Level::Must) => Self::Fail,
            () if broken(Subject::Runtime, Level::Must) => Self::LabError,
            () if broken(Subject::Adapter, Level::Should) => Self::NonStrict,
            () if marks.exercised == 0 => Self::NotExercised,
            () => Self::Pass,
        }
    }

    /// Whether something failed, and nobody expected that.
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

    /// The graver one of both.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if self.gravity() >= other.gravity() { self } else { other }
    }

    const fn gravity(self) -> u8 {
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
