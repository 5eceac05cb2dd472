// SPDX-License-Identifier: BSD-3-Clause
//! Whether the lab finds faulty adapters: each saboteur has runs of its witness, which are examined
//! as those of a check are. It is found when a rule is broken that healthy adapters keep in the same
//! run.

use crate::check::{Case, Make, Mode};
use crate::contract::Limits;
use crate::rules::{CATALOGUE, Examiner, Marks, Subject};
use crate::saboteur::{SABOTEURS, Saboteur, Shows};

/// So many seeds of a witness are tried before a saboteur is said to be missed.
const SEEDS_MAX: u64 = 20;

/// The eight that every check has to find.
pub(crate) const NAMED: [&str; 8] = [
    "local_adapter_ignores_source_backpressure",
    "local_adapter_accepts_post_close_write",
    "local_adapter_drops_final_chunk",
    "local_adapter_duplicates_chunk",
    "local_adapter_wrong_flow_stream_mapping",
    "local_adapter_payload_trace_leak",
    "local_adapter_secret_trace_leak",
    "local_adapter_padding_only_diversity",
];

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

/// Looks for saboteurs: in quick mode the eight that are named, in full mode all of them.
pub(crate) fn mutants(mode: Mode) -> impl Iterator<Item = &'static Saboteur> {
    SABOTEURS.iter().filter(move |saboteur| mode == Mode::Full || NAMED.contains(&saboteur.name))
}

fn healthy(limits: Limits) -> crate::adapters::Pair {
    use crate::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
    let ingress = Box::new(MemoryIngressAdapter::new(limits));
    (ingress, Box::new(MemoryEgressAdapter::new(limits)))
}

impl Mutant {
    /// Looks for one.
    pub(crate) fn look(saboteur: &Saboteur, examiner: &mut Examiner) -> Self {
        let name = saboteur.name;
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
            let marks = |make: Make<'_>, examiner: &mut _| case.examine(make, examiner).marks;
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
}

/// What adapters broke.
fn judged(marks: Marks) -> u128 {
    let judged = CATALOGUE.iter().enumerate().filter(|(_, rule)| rule.of == Subject::Adapter);
    judged.fold(0, |mask, (at, _)| mask | 1_u128 << at) & marks.broken
}

fn ids(broken: u128) -> Vec<&'static str> {
    let rules = CATALOGUE.iter().enumerate().filter(|(at, _)| broken >> at & 1 != 0);
    rules.map(|(_, rule)| rule.id).collect()
}
