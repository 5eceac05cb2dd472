// SPDX-License-Identifier: BSD-3-Clause
//! The kill matrix: which rule kills which mutant.

use super::Report;

/// The rows of the kill matrix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kills {
    /// One for each mutant, in the order of [`MUTANTS`](crate::mutant::MUTANTS).
    pub rows: Vec<Kill>,
}

/// One mutant, with the rules that kill it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The mutant's name. A name that the lab does not know is shown without a description.
    pub mutant: String,
    /// `killed`, `survived` or `not-tried`.
    pub result: &'static str,
    /// The ids of the rules that kill it.
    pub killers: Vec<&'static str>,
}

impl Kills {
    /// The kill matrix of one check.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let kill = |mutant: &super::MutantReport| Kill {
            mutant: mutant.name.into(),
            result: mutant.result,
            killers: mutant.rules.clone(),
        };
        Self { rows: report.mutants.iter().map(kill).collect() }
    }
}
