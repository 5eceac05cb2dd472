// SPDX-License-Identifier: BSD-3-Clause
//! Each mutant is wrong where it says that it is, and nowhere else.

use std::collections::BTreeSet;

use becket_lab::adapters::Pair;
use becket_lab::contract::{Limits, Manifest};
use becket_lab::mutant::{self, MUTANTS, Mutant, Shows, Witness};

use crate::fresh_process::{healthy, run, said};

use crate::fresh_process;

fn manifests((ingress, egress): &Pair) -> [Manifest; 4] {
    let [first, second] = [0; 2].map(|_| [ingress.manifest(), egress.manifest()]);
    let [one, two] = first;
    let [three, four] = second;
    [one, two, three, four]
}

/// Whether it shows in a run of the witness.
fn shows(mutant: &Mutant, witness: &Witness) -> bool {
    let trace = run(mutant.make, witness);
    let is_other = trace.hash() != run(healthy, witness).hash();
    match mutant.shows {
        Shows::InTrace => is_other,
        Shows::InTexts => said(mutant.make, witness) != said(healthy, witness),
        Shows::InSecondRun => trace.hash() != run(mutant.make, witness).hash(),
        Shows::InOtherProcess => {
            assert_eq!(trace.hash(), run(mutant.make, witness).hash(), "{}", mutant.name);
            trace.hash() != fresh_process::hash(mutant, false, witness.seed)
        }
        Shows::InManifest => {
            assert!(!is_other, "{}: the trace is another too", mutant.name);
            let make = |make: fn(Limits) -> Pair| manifests(&make(witness.limits));
            make(mutant.make) != make(healthy)
        }
    }
}

#[test]
fn every_witness_shows_what_is_wrong() {
    let hidden: Vec<_> = MUTANTS
        .iter()
        .filter(|mutant| {
            // A hash table has another order most of the time, not always.
            let times = if mutant.shows == Shows::InSecondRun { 50 } else { 1 };
            !(0..times).any(|_| shows(mutant, &mutant.witness))
        })
        .map(|mutant| {
            let seeds = (0..50).filter(|seed| shows(mutant, &mutant.witness.seed(*seed)));
            (mutant.name, seeds.collect::<Vec<_>>())
        })
        .collect();
    assert!(hidden.is_empty(), "not at the witness, but at these seeds: {hidden:#?}");
}

#[test]
fn in_a_spared_run_a_mutant_equals_a_healthy_pair() {
    for mutant in MUTANTS {
        let Some(spared) = mutant.spares else { continue };
        for seed in 0..10 {
            let spared = spared.seed(seed);
            let (one, other) = (run(mutant.make, &spared), run(healthy, &spared));
            assert!(one.hash() == other.hash(), "{} seed {seed}", mutant.name);
            if mutant.shows == Shows::InTexts {
                assert_eq!(said(mutant.make, &spared), said(healthy, &spared));
            }
        }
    }
}

#[test]
fn mutants_of_texts_or_manifests_have_healthy_flows() {
    let quiet = |mutant: &&Mutant| {
        matches!(mutant.shows, Shows::InManifest)
            || mutant.shows == Shows::InTexts && mutant.spares.is_none()
    };
    for mutant in MUTANTS.iter().filter(quiet) {
        for seed in 0..10 {
            let witness = mutant.witness.seed(seed);
            let (one, other) = (run(mutant.make, &witness), run(healthy, &witness));
            assert!(one.hash() == other.hash(), "{} seed {seed}", mutant.name);
        }
    }
}

#[test]
fn other_mutants_are_deterministic() {
    for mutant in MUTANTS.iter().filter(|mutant| mutant.shows != Shows::InSecondRun) {
        let hash = || run(mutant.make, &mutant.witness).hash();
        assert_eq!(hash(), hash(), "{}", mutant.name);
    }
}

#[test]
fn there_are_forty_and_they_are_distinct() {
    assert!(MUTANTS.len() >= 40, "{}", MUTANTS.len());
    let names: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    let sentences: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.wrong).collect();
    assert_eq!((names.len(), sentences.len()), (MUTANTS.len(), MUTANTS.len()));
    for named in [
        "ignores_source_backpressure",
        "accepts_post_close_write",
        "drops_final_chunk",
        "duplicates_chunk",
        "wrong_flow_stream_mapping",
        "payload_trace_leak",
        "secret_trace_leak",
        "padding_only_diversity",
    ] {
        assert!(names.contains(named), "{named}");
        let prefixed = mutant::of_name(&format!("local_adapter_{named}"));
        assert_eq!(prefixed.map(|mutant| mutant.name), Some(named));
    }
    assert!(!names.iter().any(|name| name.starts_with("local_adapter_")));
}

#[test]
fn in_a_fresh_process() {
    fresh_process::answer();
}

#[test]
fn a_healthy_run_is_the_same_in_a_fresh_process() {
    let mutant = &MUTANTS[0];
    let here = run(healthy, &mutant.witness.seed(7)).hash();
    assert_eq!(here, fresh_process::hash(mutant, true, 7));
}
