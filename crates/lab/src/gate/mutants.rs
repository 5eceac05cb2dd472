// SPDX-License-Identifier: BSD-3-Clause
//! Whether the lab kills its mutants: the witness of each mutant is run and examined like a run of a
//! check. A mutant is killed by a rule that it violates in a run in which a healthy pair violates no
//! such rule.

use crate::check::{Case, Deep, Hashes, Make};
use crate::contract::Limits;
use crate::mutant::{MUTANTS, Mutant, Shows};
use crate::rules::{Examiner, RuleSets, ids, of_adapters};

/// Seeds of a witness that are tried before a mutant counts as survived.
const SEEDS_MAX: u64 = 20;

/// Whether a mutant was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MutantOutcome {
    /// The rules with these ids killed it.
    Killed(Vec<&'static str>),
    /// No rule killed it: the lab is at fault.
    Survived,
    /// It deviates only in a fresh process, and the check had none.
    NotTried,
}

/// The outcome of one mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutantResult {
    /// The mutant's name.
    pub name: &'static str,
    /// Whether it was killed.
    pub outcome: MutantOutcome,
}

/// The mutants that a check tries: all of them, in either mode. Most are killed in their first run.
pub(crate) fn mutants() -> impl Iterator<Item = &'static Mutant> {
    MUTANTS.iter()
}

/// The pair that mutants are compared with.
pub(crate) fn healthy(limits: Limits) -> crate::adapters::Pair {
    use crate::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
    let ingress = Box::new(MemoryIngressAdapter::new(limits));
    (ingress, Box::new(MemoryEgressAdapter::new(limits)))
}

impl MutantResult {
    /// Tries one mutant. `fresh` are the trace hashes of the same runs in a fresh process.
    pub(crate) fn look(mutant: &Mutant, fresh: Option<&Hashes>, examiner: &mut Examiner) -> Self {
        let name = mutant.name;
        if let (Shows::InOtherProcess, Some(fresh)) = (mutant.shows, fresh) {
            return Self::look_in_fresh_process(mutant, fresh, examiner);
        }
        let is_seen_here = matches!(
            mutant.shows,
            Shows::InTrace | Shows::InTexts | Shows::InManifest | Shows::InSecondRun
        );
        if !is_seen_here {
            return Self { name, outcome: MutantOutcome::NotTried };
        }
        let first = mutant.witness.seed;
        for seed in first..first + SEEDS_MAX {
            let case = Case::of_witness(&mutant.witness.seed(seed));
            let rule_sets = |make: Make<'_>, examiner: &mut _| {
                case.examine(make, None, Deep::ALL, examiner).rule_sets
            };
            let broken = judged(rule_sets(&mutant.make, examiner));
            if broken == 0 {
                continue;
            }
            let killers = broken & !judged(rule_sets(&healthy, examiner));
            if killers != 0 {
                return Self { name, outcome: MutantOutcome::Killed(ids(killers)) };
            }
        }
        Self { name, outcome: MutantOutcome::Survived }
    }

    /// Tries a mutant that deviates only in a fresh process.
    fn look_in_fresh_process(mutant: &Mutant, fresh: &Hashes, examiner: &mut Examiner) -> Self {
        let name = mutant.name;
        let Some(fresh_process) = fresh.of(mutant.witness.seed, name) else {
            return Self { name, outcome: MutantOutcome::NotTried };
        };
        let case = Case::of_witness(&mutant.witness);
        let seen = case.examine(&mutant.make, Some(fresh_process), Deep::ALL, examiner);
        let outcome = match judged(seen.rule_sets) {
            0 => MutantOutcome::Survived,
            killers => MutantOutcome::Killed(ids(killers)),
        };
        Self { name, outcome }
    }
}

/// The rules about adapters that a run violates, one bit each.
fn judged(rule_sets: RuleSets) -> u128 {
    of_adapters(rule_sets.broken)
}
