// SPDX-License-Identifier: BSD-3-Clause
//! The gates: ten questions that a check answers, each from all runs of all profiles.
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
//! | local_adapter_mutant_detection | whether the mutants are killed, see `mutants` |
//! | local_adapter_generated_backend_parity | whether generated code does the same |
//!
//! # Invariants
//!
//! 1. A run counts in each of the first seven gates. A run that ended by a panic fails all of them.
//! 2. A gate without occasion is *not exercised*, which is no pass.

mod mutants;

pub(crate) use mutants::{Killers, healthy};
pub use mutants::{MutantOutcome, MutantResult};

use strum::{IntoStaticStr, VariantArray};

use crate::all;
use crate::rules::{CATALOGUE, Family, Rule, RuleSets, Subject, Verdict};

/// A question that a check answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", prefix = "local_adapter_")]
pub enum Gate {
    /// All rules hold, and the demands of the scenarios are met.
    Correctness,
    /// Flows begin and end correctly.
    FlowLifecycle,
    /// The pair and the runtime work together.
    RuntimeIntegration,
    /// No side sends more than the other one takes.
    Backpressure,
    /// Failures are reported on their own flow only.
    ErrorResetIsolation,
    /// Bytes arrive unchanged, in order, once.
    SequenceIntegrity,
    /// No text contains payload or secrets.
    TraceHygiene,
    /// Runs are not suspiciously alike.
    CollapseResistance,
    /// The mutants are killed.
    MutantDetection,
    /// Generated code behaves like the interpreter.
    GeneratedBackendParity,
}

impl Gate {
    /// All gates, in the order of reports.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether a rule counts in this gate.
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

    /// The rule sets, limited to the rules of this gate.
    #[must_use]
    pub fn rule_sets(self, rule_sets: &RuleSets) -> RuleSets {
        let counts = CATALOGUE.iter().enumerate().filter(|(_, rule)| self.has(rule));
        let mask = counts.fold(0, |mask, (at, _)| mask | 1_u128 << at);
        RuleSets {
            applicable: rule_sets.applicable & mask,
            exercised: rule_sets.exercised & mask,
            broken: rule_sets.broken & mask,
        }
    }
}

/// The result of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateResult {
    /// The gate.
    pub gate: Gate,
    /// Its verdict.
    pub verdict: Verdict,
    /// Number of runs, or mutants, that counted.
    pub counted: u64,
    /// Number of those that failed.
    pub failed: u64,
    /// The reason, if it does not pass.
    pub reason: Option<String>,
}

/// The comparison of generated code with its interpreted profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parity {
    /// Runs that were made both ways. 0: the gate is not exercised.
    pub compared: u64,
    /// Runs with different traces.
    pub differing: u64,
    /// The first of them, and its difference.
    pub reason: Option<String>,
}

impl Parity {
    /// The result of the gate.
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

/// The more severe of two verdicts. Not exercised is more severe only than a pass.
#[must_use]
pub const fn more_severe(one: Verdict, other: Verdict) -> Verdict {
    if severity(one) >= severity(other) { one } else { other }
}

const fn severity(verdict: Verdict) -> u8 {
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
        assert_eq!(more_severe(Verdict::Pass, Verdict::Fail), Verdict::Fail);
        assert_eq!(more_severe(Verdict::NotExercised, Verdict::Pass), Verdict::NotExercised);
        assert_eq!(more_severe(Verdict::Fail, Verdict::NotExercised), Verdict::Fail);
    }
}
