// SPDX-License-Identifier: BSD-3-Clause
//! Faulty adapters, each wrong in one behaviour.
//!
//! The lab is examined with them: each mutant must be killed by the rules that it is made to
//! violate, and a rule that no mutant violates proves nothing. Mutants are real code behind the
//! adapter contract. Most are a healthy adapter with one method replaced, see `defect`.
//!
//! | file | wrong in |
//! |---|---|
//! | `integrity` | bytes that are put out, and their numbers |
//! | `lifecycle` | beginnings and ends of flows |
//! | `backpressure` | amounts that are taken and put out |
//! | `isolation` | effects of one flow on another |
//! | `errors` | error reports and refusals |
//! | `liveness` | wake-ups |
//! | `robustness` | rare events |
//! | `determinism` | equality of runs with the same seed |
//! | `hygiene` | payload and secrets in texts |
//! | `capability` | claims of the manifest |
//! | `resources` | memory and timers after the end of a flow |
//! | `defect`, `numbers`, `witness` | their building blocks, and the runs in which they deviate |

mod backpressure;
mod capability;
mod defect;
mod determinism;
mod errors;
mod hygiene;
mod integrity;
mod isolation;
mod lifecycle;
mod liveness;
mod numbers;
mod resources;
mod robustness;
mod witness;

pub use witness::Witness;

use crate::adapters::Pair;
use crate::contract::Limits;
use crate::trace::Stage;

/// A pair in which one adapter is faulty and the other one is healthy.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// Name, unique among the mutants.
    pub name: &'static str,
    /// The defect, in one sentence.
    pub wrong: &'static str,
    /// Which adapter of the pair is faulty.
    pub place: Stage,
    /// Rules that it must violate. It may violate others besides.
    pub expected_rules: &'static [&'static str],
    /// Creates the pair.
    pub make: fn(Limits) -> Pair,
    /// A run in which the defect shows.
    pub witness: Witness,
    /// Where the defect shows.
    pub shows: Shows,
    /// A run in which the defect does not show: the trace equals that of a healthy pair. `None`:
    /// there may be no such run.
    pub spares: Option<Witness>,
}

/// Where the defect of a mutant shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// In the trace.
    InTrace,
    /// In its texts: its summary, or its errors.
    InTexts,
    /// In its manifest, or in a mismatch of the manifest and the trace. The trace itself equals
    /// that of a healthy pair.
    InManifest,
    /// In a second run with the same seed.
    InSecondRun,
    /// In a run with the same seed in another process.
    InOtherProcess,
}

/// The families, in the order of the table above.
const FAMILIES: [&[Mutant]; 11] = [
    integrity::ALL,
    lifecycle::ALL,
    backpressure::ALL,
    isolation::ALL,
    errors::ALL,
    liveness::ALL,
    robustness::ALL,
    determinism::ALL,
    hygiene::ALL,
    capability::ALL,
    resources::ALL,
];

/// All mutants, by family.
pub const MUTANTS: &[Mutant] = &all::<{ count() }>();

const fn count() -> usize {
    let (mut sum, mut families) = (0, FAMILIES.as_slice());
    while let Some((family, rest)) = families.split_first() {
        sum += family.len();
        families = rest;
    }
    sum
}

#[allow(clippy::indexing_slicing, reason = "the compiler runs it, and stops at a wrong index")]
const fn all<const COUNT: usize>() -> [Mutant; COUNT] {
    let mut all = [integrity::ALL[0]; COUNT];
    let (mut at, mut families) = (0, FAMILIES.as_slice());
    while let Some((family, rest)) = families.split_first() {
        let mut family = *family;
        while let Some((first, others)) = family.split_first() {
            all[at] = *first;
            at += 1;
            family = others;
        }
        families = rest;
    }
    all
}

/// The prefix of names in older replay files and in the first list of mutants.
const PREFIX: &str = "local_adapter_";

/// The mutant with this name; the prefix `local_adapter_` is optional.
#[must_use]
pub fn of_name(name: &str) -> Option<&'static Mutant> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    MUTANTS.iter().find(|mutant| mutant.name == name)
}

impl Mutant {
    /// An ingress adapter whose defect shows in the trace.
    const fn ingress(
        name: &'static str,
        wrong: &'static str,
        make: fn(Limits) -> Pair,
        witness: Witness,
    ) -> Self {
        let (place, shows) = (Stage::Ingress, Shows::InTrace);
        let expected_rules = &[];
        Self { name, wrong, place, expected_rules, make, witness, shows, spares: None }
    }

    /// An egress adapter whose defect shows in the trace.
    const fn egress(
        name: &'static str,
        wrong: &'static str,
        make: fn(Limits) -> Pair,
        witness: Witness,
    ) -> Self {
        Self { place: Stage::Egress, ..Self::ingress(name, wrong, make, witness) }
    }

    const fn shows(self, shows: Shows) -> Self {
        Self { shows, ..self }
    }

    const fn breaks(self, expected_rules: &'static [&'static str]) -> Self {
        Self { expected_rules, ..self }
    }

    const fn spares(self, witness: Witness) -> Self {
        Self { spares: Some(witness), ..self }
    }
}
