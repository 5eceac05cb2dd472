// SPDX-License-Identifier: BSD-3-Clause
//! Which rule finds which saboteur: what the kill matrix of a page is drawn from.

use super::Report;

/// Rules by which saboteurs are found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kills {
    /// One for each saboteur, in the order of [`SABOTEURS`](crate::saboteur::SABOTEURS).
    pub rows: Vec<Kill>,
}

/// A saboteur, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// Its name. One that the lab does not know is shown without what is wrong with it.
    pub saboteur: String,
    /// found, missed or not-tried.
    pub result: &'static str,
    /// The ids of the rules that find it.
    pub killers: Vec<&'static str>,
}

impl Kills {
    /// What a check saw of saboteurs.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let kill = |mutant: &super::MutantReport| Kill {
            saboteur: mutant.name.into(),
            result: mutant.result,
            killers: mutant.rules.clone(),
        };
        Self { rows: report.mutants.iter().map(kill).collect() }
    }
}
