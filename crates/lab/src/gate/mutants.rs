// SPDX-License-Identifier: BSD-3-Clause
//! Whether the lab finds faulty adapters: each saboteur has runs of its witness, which are examined
//! as those of a check are. It is found when a rule is broken that healthy adapters keep in the same
//! run.

use crate::check::{Case, Deep, Hashes, Make};
use crate::contract::Limits;
use crate::rules::{Examiner, Marks, ids, of_adapters};
use crate::saboteur::{SABOTEURS, Saboteur, Shows};

/// So many seeds of a witness are tried before a saboteur is said to be missed.
const SEEDS_MAX: u64 = 20;

/// What became of a saboteur.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MutantResult {
    /// It was found, by the rules with these ids.
    Found(Vec<&'static str>),
    /// Nothing was found.
    Missed,
    /// It shows where a check of one process does not look.
    NotTried,
}

/// A saboteur, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// What became of it.
    pub result: MutantResult,
}

/// All saboteurs are looked for in either mode: most show in their first run.
pub(crate) fn mutants() -> impl Iterator<Item = &'static Saboteur> {
    SABOTEURS.iter()
}

/// What saboteurs are held against.
pub(crate) fn healthy(limits: Limits) -> crate::adapters::Pair {
    use crate::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
    let ingress = Box::new(MemoryIngressAdapter::new(limits));
    (ingress, Box::new(MemoryEgressAdapter::new(limits)))
}

impl Mutant {
    /// Looks for one. `said` is what a fresh process says of the same runs.
    pub(crate) fn look(
        saboteur: &Saboteur,
        said: Option<&Hashes>,
        examiner: &mut Examiner,
    ) -> Self {
        let name = saboteur.name;
        if let (Shows::InOtherProcess, Some(said)) = (saboteur.shows, said) {
            return Self::look_elsewhere(saboteur, said, examiner);
        }
        let is_seen_here = matches!(
            saboteur.shows,
            Shows::InTrace | Shows::InTexts | Shows::InManifest | Shows::InSecondRun
        );
        if !is_seen_here {
            return Self { name, result: MutantResult::NotTried };
        }
        let first = saboteur.witness.seed;
        for seed in first..first + SEEDS_MAX {
            let case = Case::of_witness(&saboteur.witness.seed(seed));
            let marks = |make: Make<'_>, examiner: &mut _| {
                case.examine(make, None, Deep::ALL, examiner).marks
            };
            let broken = judged(marks(&saboteur.make, examiner));
            if broken == 0 {
                continue;
            }
            let found = broken & !judged(marks(&healthy, examiner));
            if found != 0 {
                return Self { name, result: MutantResult::Found(ids(found)) };
            }
        }
        Self { name, result: MutantResult::Missed }
    }

    /// Looks for one that shows in a fresh process only.
    fn look_elsewhere(saboteur: &Saboteur, said: &Hashes, examiner: &mut Examiner) -> Self {
        let name = saboteur.name;
        let Some(elsewhere) = said.of(saboteur.witness.seed, name) else {
            return Self { name, result: MutantResult::NotTried };
        };
        let case = Case::of_witness(&saboteur.witness);
        let seen = case.examine(&saboteur.make, Some(elsewhere), Deep::ALL, examiner);
        let result = match judged(seen.marks) {
            0 => MutantResult::Missed,
            found => MutantResult::Found(ids(found)),
        };
        Self { name, result }
    }
}

/// What adapters broke.
fn judged(marks: Marks) -> u128 {
    of_adapters(marks.broken)
}
