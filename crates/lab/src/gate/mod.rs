// SPDX-License-Identifier: BSD-3-Clause
//! The gates: ten questions that a check answers, each by all runs of all profiles.
//!
//! | gate | is about |
//! |---|---|
//! | local_adapter_correctness | all rules, and what scenarios demand |
//! | local_adapter_flow_lifecycle | the families lifecycle and liveness |
//! | local_adapter_runtime_integration | robustness, capability honesty, determinism, and what the runtime does |
//! | local_adapter_backpressure | backpressure and resources |
//! | local_adapter_error_reset_isolation | errors and isolation |
//! | local_adapter_sequence_integrity | integrity |
//! | local_adapter_trace_hygiene | hygiene |
//! | local_adapter_collapse_resistance | how alike runs are, see [`adversary`](crate::adversary) |
//! | local_adapter_mutant_detection | whether faulty adapters are found, see `mutants` |
//! | local_adapter_generated_backend_parity | whether generated code does the same |
//!
//! # Invariants
//!
//! 1. A run counts in every gate of the first seven. One that ended by a panic fails them all.
//! 2. A gate for which there was no occasion is *not exercised*, which is no pass.

mod mutants;

pub use mutants::{Mutant, MutantResult};
pub(crate) use mutants::{healthy, mutants};

use crate::rules::{CATALOGUE, Family, Marks, Rule, Subject, Verdict};

/// A question that a check answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// All rules, and what scenarios demand.
    Correctness,
    /// Flows begin and end as they should.
    FlowLifecycle,
    /// The pair and the runtime work together.
    RuntimeIntegration,
    /// Nobody gives more than is taken.
    Backpressure,
    /// Failures are told where they belong, and nowhere else.
    ErrorResetIsolation,
    /// Bytes arrive as they are, in order, once.
    SequenceIntegrity,
    /// Nothing tells payload or secrets.
    TraceHygiene,
    /// Runs are not suspiciously alike.
    CollapseResistance,
    /// Faulty adapters are found.
    MutantDetection,
    /// Generated code does the same.
    GeneratedBackendParity,
}

impl Gate {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 10] = [
        Self::Correctness,
        Self::FlowLifecycle,
        Self::RuntimeIntegration,
        Self::Backpressure,
        Self::ErrorResetIsolation,
        Self::SequenceIntegrity,
        Self::TraceHygiene,
        Self::CollapseResistance,
        Self::MutantDetection,
        Self::GeneratedBackendParity,
    ];

    /// Its name, in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Correctness => "local_adapter_correctness",
            Self::FlowLifecycle => "local_adapter_flow_lifecycle",
            Self::RuntimeIntegration => "local_adapter_runtime_integration",
            Self::Backpressure => "local_adapter_backpressure",
            Self::ErrorResetIsolation => "local_adapter_error_reset_isolation",
            Self::SequenceIntegrity => "local_adapter_sequence_integrity",
            Self::TraceHygiene => "local_adapter_trace_hygiene",
            Self::CollapseResistance => "local_adapter_collapse_resistance",
            Self::MutantDetection => "local_adapter_mutant_detection",
            Self::GeneratedBackendParity => "local_adapter_generated_backend_parity",
        }
    }

    /// Whether a rule counts in it.
    #[must_use]
    pub const fn has(self, rule: &Rule) -> bool {
        match self {
            Self::Correctness => true,
            Self::FlowLifecycle => matches!(rule.family, Family::Lifecycle | Family::Liveness),
            Self::RuntimeIntegration => {
                matches!(rule.of, Subject::Runtime)
                    || matches!(
                        rule.family,
                        Family::Robustness | Family::Honesty | Family::Determinism
                    )
            }
            Self::Backpressure => matches!(rule.family, Family::Backpressure | Family::Resources),
            Self::ErrorResetIsolation => {
                matches!(rule.family, Family::Errors | Family::Isolation)
            }
            Self::SequenceIntegrity => matches!(rule.family, Family::Integrity),
            Self::TraceHygiene => matches!(rule.family, Family::Hygiene),
            Self::CollapseResistance | Self::MutantDetection | Self::GeneratedBackendParity => {
                false
            }
        }
    }

    /// What is said of the rules that count in it.
    #[must_use]
    pub fn marks(self, marks: &Marks) -> Marks {
        let counts = CATALOGUE.iter().enumerate().filter(|(_, rule)| self.has(rule));
        let mask = counts.fold(0, |mask, (at, _)| mask | 1_u128 << at);
        Marks {
            applicable: marks.applicable & mask,
            exercised: marks.exercised & mask,
            broken: marks.broken & mask,
        }
    }
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateResult {
    /// Which one.
    pub gate: Gate,
    /// What it says.
    pub verdict: Verdict,
    /// Runs, or mutants, that counted.
    pub counted: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Why, if it does not pass.
    pub reason: Option<String>,
}

/// What comparing generated code with what it was generated from gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parity {
    /// Runs that were made both ways. 0: the gate is not exercised.
    pub compared: u64,
    /// Those of them that left other traces.
    pub differing: u64,
    /// The first that did, and how.
    pub reason: Option<String>,
}

impl Parity {
    /// What the gate says of it.
    #[must_use]
    pub fn gate(&self) -> GateResult {
        let Self { compared: counted, differing: failed, .. } = *self;
        let (verdict, reason) = match (counted, failed) {
            (0, _) => (
                Verdict::NotExercised,
                Some("no generated backend was compared in this check".into()),
            ),
            (_, 0) => (Verdict::Pass, None),
            (_, _) => (Verdict::Fail, self.reason.clone()),
        };
        GateResult { gate: Gate::GeneratedBackendParity, verdict, counted, failed, reason }
    }
}

/// The graver of two verdicts. Not exercised is graver than a pass only.
#[must_use]
pub const fn graver(one: Verdict, other: Verdict) -> Verdict {
    if gravity(one) >= gravity(other) { one } else { other }
}

const fn gravity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass | Verdict::NotApplicable => 0,
        Verdict::Unsupported | Verdict::KnownFail => 1,
        Verdict::NonStrict => 2,
        Verdict::NotExercised => 3,
        Verdict::Inconclusive => 4,
        Verdict::UnexpectedPass => 5,
        Verdict::Fail => 6,
        Verdict::Nondeterministic => 7,
        Verdict::LabError => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_counts_in_a_gate_of_its_own() {
        for rule in CATALOGUE {
            let gates = Gate::ALL.iter().skip(1).filter(|gate| gate.has(rule)).count();
            assert!(gates >= 1, "{}", rule.id);
        }
        let names: std::collections::BTreeSet<_> = Gate::ALL.map(Gate::name).into();
        assert_eq!(names.len(), 10);
    }

    #[test]
    fn the_graver_one_counts() {
        assert_eq!(graver(Verdict::Pass, Verdict::Fail), Verdict::Fail);
        assert_eq!(graver(Verdict::NotExercised, Verdict::Pass), Verdict::NotExercised);
        assert_eq!(graver(Verdict::Fail, Verdict::NotExercised), Verdict::Fail);
    }
}
