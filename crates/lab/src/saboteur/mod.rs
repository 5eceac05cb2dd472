// SPDX-License-Identifier: BSD-3-Clause
//! Faulty adapters, each wrong in one behaviour.
//!
//! They are how the lab is examined: whoever looks for faults has to find these, each by the rule
//! that is about it, and a rule that no saboteur breaks proves nothing. They are real code behind
//! the contract. Most are a healthy adapter with one method replaced, see `deviation`.
//!
//! | file | wrong in |
//! |---|---|
//! | `integrity` | which bytes come out, under which numbers |
//! | `lifecycle` | how flows begin and end |
//! | `backpressure` | how much is taken, and put out |
//! | `isolation` | what one flow does to another |
//! | `errors` | how failures are told, and what is refused |
//! | `liveness` | who is woken |
//! | `robustness` | what is rare |
//! | `determinism` | the same seed, and another run |
//! | `hygiene` | payload and secrets in what is said |
//! | `capability` | what the manifest claims |
//! | `resources` | what is kept when a flow is over |
//! | `deviation`, `numbers`, `witness` | what they are made of, and how they are shown |

mod backpressure;
mod capability;
mod determinism;
mod deviation;
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
use crate::trace::Place;

/// A faulty adapter, in a pair with a healthy one.
#[derive(Debug, Clone, Copy)]
pub struct Saboteur {
    /// Its name.
    pub name: &'static str,
    /// What is wrong, in a sentence.
    pub wrong: &'static str,
    /// Which of the pair it is.
    pub place: Place,
    /// The rules that it breaks, at least.
    pub expected_rules: &'static [&'static str],
    /// Makes the pair.
    pub make: fn(Limits) -> Pair,
    /// A run in which it shows.
    pub witness: Witness,
    /// Where it shows.
    pub shows: Shows,
    /// A run in which it does nothing wrong: its trace is that of a healthy pair. `None`: there may be
    /// no such run.
    pub spares: Option<Witness>,
}

/// Where a saboteur shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// In the trace.
    InTrace,
    /// In what it says: its summary, or its errors.
    InTexts,
    /// In its manifest, or in that the manifest does not fit the trace, which is that of a healthy
    /// pair.
    InManifest,
    /// In a second run with the same seed.
    InSecondRun,
    /// In a run with the same seed in another process.
    InOtherProcess,
}

/// The families, as they stand in the table.
const FAMILIES: [&[Saboteur]; 11] = [
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

/// All of them.
pub const SABOTEURS: &[Saboteur] = &all::<{ count() }>();

const fn count() -> usize {
    let (mut sum, mut families) = (0, FAMILIES.as_slice());
    while let Some((family, rest)) = families.split_first() {
        sum += family.len();
        families = rest;
    }
    sum
}

#[allow(clippy::indexing_slicing, reason = "the compiler runs it, and stops at a wrong index")]
const fn all<const COUNT: usize>() -> [Saboteur; COUNT] {
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

/// The one of this name.
#[must_use]
pub fn of_name(name: &str) -> Option<&'static Saboteur> {
    SABOTEURS.iter().find(|saboteur| saboteur.name == name)
}

impl Saboteur {
    /// An ingress adapter that shows in the trace.
    const fn ingress(
        name: &'static str,
        wrong: &'static str,
        make: fn(Limits) -> Pair,
        witness: Witness,
    ) -> Self {
        let (place, shows) = (Place::Ingress, Shows::InTrace);
        let expected_rules = &[];
        Self { name, wrong, place, expected_rules, make, witness, shows, spares: None }
    }

    /// An egress adapter that shows in the trace.
    const fn egress(
        name: &'static str,
        wrong: &'static str,
        make: fn(Limits) -> Pair,
        witness: Witness,
    ) -> Self {
        Self { place: Place::Egress, ..Self::ingress(name, wrong, make, witness) }
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
