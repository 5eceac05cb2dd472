// SPDX-License-Identifier: BSD-3-Clause
//! Whether the lab kills its mutants: the witness of each mutant is run and examined like a run of a
//! check. A mutant is killed by a rule that it violates in a run in which a healthy pair violates no
//! such rule.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::check::{Case, Deep, Hashes};
use crate::contract::Limits;
use crate::mutant::{Mutant, Shows};
use crate::rules::{Examiner, bits, ids, of_adapters};
use crate::trace::TraceHash;
use crate::world::planted;

/// Seeds of a witness that are tried before a mutant counts as survived.
const SEEDS_MAX: u64 = 20;

/// Outcomes of mutants that were tried in this process, by name: they depend on the lab alone, so a
/// check of several pairs tries each mutant once.
static TRIED: Mutex<BTreeMap<&str, MutantOutcome>> = Mutex::new(BTreeMap::new());

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

/// The pair that mutants are compared with.
pub(crate) fn healthy(limits: Limits) -> crate::adapters::Pair {
    use crate::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
    let ingress = Box::new(MemoryIngressAdapter::new(limits));
    (ingress, Box::new(MemoryEgressAdapter::new(limits)))
}

/// Rules about adapters that a mutant violates in a run, and a healthy pair does not; one bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Killers {
    pub(crate) all: u128,
    /// Those that are violated first.
    pub(crate) first: u128,
}

impl Killers {
    /// Runs the witness of a mutant with this seed. `fresh_process` is the trace hash of the same run
    /// in a fresh process.
    pub(crate) fn of(
        mutant: &Mutant,
        seed: u64,
        fresh_process: Option<TraceHash>,
        examiner: &mut Examiner,
    ) -> Self {
        let case = Case::of_witness(&mutant.witness.seed(seed));
        let seen = case.examine(&mutant.make, fresh_process, Deep::ALL, examiner);
        if of_adapters(seen.rule_sets.broken) == 0 {
            return Self::default();
        }
        let healthy = case.examine(&healthy, None, Deep::ALL, examiner).rule_sets.broken;
        let found = seen.findings.iter();
        let found = found.map(|it| (it.event, of_adapters(bits([it.rule])) & !healthy));
        let found: Vec<_> = found.filter(|(_, rule)| *rule != 0).collect();
        let earliest = found.iter().map(|(event, _)| *event).min();
        found.into_iter().fold(Self::default(), |Self { all, first }, (event, rule)| Self {
            all: all | rule,
            first: if Some(event) == earliest { first | rule } else { first },
        })
    }
}

impl MutantResult {
    /// Tries one mutant. `fresh` are the trace hashes of the same runs in a fresh process.
    pub(crate) fn look(mutant: &Mutant, fresh: Option<&Hashes>, examiner: &mut Examiner) -> Self {
        let (name, seed) = (mutant.name, mutant.witness.seed);
        let outcome = match mutant.shows {
            Shows::InOtherProcess => match fresh.and_then(|fresh| fresh.of(seed, name)) {
                Some(hash) => Self::killed(Killers::of(mutant, seed, Some(hash), examiner)),
                None => MutantOutcome::NotTried,
            },
            // A lab with a wrong part has outcomes of its own.
            _ if planted::is_any() => Self::tried(mutant, examiner),
            _ => {
                let known = TRIED.lock().get(name).cloned();
                known.unwrap_or_else(|| {
                    let outcome = Self::tried(mutant, examiner);
                    TRIED.lock().insert(name, outcome.clone());
                    outcome
                })
            }
        };
        Self { name, outcome }
    }

    /// Runs the witness of a mutant from seed after seed, until a rule kills it.
    fn tried(mutant: &Mutant, examiner: &mut Examiner) -> MutantOutcome {
        let first = mutant.witness.seed;
        let mut runs = (first..first + SEEDS_MAX)
            .map(|seed| Self::killed(Killers::of(mutant, seed, None, examiner)));
        let is_killed = |outcome: &MutantOutcome| *outcome != MutantOutcome::Survived;
        runs.find(is_killed).unwrap_or(MutantOutcome::Survived)
    }

    fn killed(killers: Killers) -> MutantOutcome {
        match killers.all {
            0 => MutantOutcome::Survived,
            all => MutantOutcome::Killed(ids(all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::mutant::MUTANTS;

    #[test]
    fn a_process_tries_a_mutant_once_unless_a_part_of_the_lab_is_wrong() {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let make = |limits| {
            MADE.fetch_add(1, Ordering::Relaxed);
            healthy(limits)
        };
        let mutant = Mutant { name: "counted", make, ..MUTANTS[0] };
        let look = || MutantResult::look(&mutant, None, &mut Examiner::new());
        let first = look();
        let made = MADE.load(Ordering::Relaxed);
        assert!(made > 0);
        assert_eq!((look(), MADE.load(Ordering::Relaxed)), (first, made));
        planted::with(planted::Planted::Trace, look);
        assert!(MADE.load(Ordering::Relaxed) > made);
    }
}
