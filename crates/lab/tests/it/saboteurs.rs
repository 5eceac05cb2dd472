// SPDX-License-Identifier: BSD-3-Clause
//! Each saboteur is wrong where it says that it is, and nowhere else.

use std::collections::BTreeSet;

use becket_lab::adapters::Pair;
use becket_lab::contract::{Limits, Manifest};
use becket_lab::saboteur::{SABOTEURS, Saboteur, Shows, Witness};

use crate::elsewhere::{healthy, run, said};

use crate::elsewhere;

fn manifests((ingress, egress): &Pair) -> [Manifest; 4] {
    let [first, second] = [0; 2].map(|_| [ingress.manifest(), egress.manifest()]);
    let [one, two] = first;
    let [three, four] = second;
    [one, two, three, four]
}

/// Whether it shows in a run of the witness.
fn shows(saboteur: &Saboteur, witness: &Witness) -> bool {
    let trace = run(saboteur.make, witness);
    let is_other = trace.hash() != run(healthy, witness).hash();
    match saboteur.shows {
        Shows::InTrace => is_other,
        Shows::InTexts => said(saboteur.make, witness) != said(healthy, witness),
        Shows::InSecondRun => trace.hash() != run(saboteur.make, witness).hash(),
        Shows::InOtherProcess => {
            assert_eq!(trace.hash(), run(saboteur.make, witness).hash(), "{}", saboteur.name);
            trace.hash() != elsewhere::hash(saboteur, false, witness.seed)
        }
        Shows::InManifest => {
            assert!(!is_other, "{}: the trace is another too", saboteur.name);
            let make = |make: fn(Limits) -> Pair| manifests(&make(witness.limits));
            make(saboteur.make) != make(healthy)
        }
    }
}

#[test]
fn every_witness_shows_what_is_wrong() {
    let hidden: Vec<_> = SABOTEURS
        .iter()
        .filter(|saboteur| {
            // A hash table has another order most of the time, not always.
            let times = if saboteur.shows == Shows::InSecondRun { 50 } else { 1 };
            !(0..times).any(|_| shows(saboteur, &saboteur.witness))
        })
        .map(|saboteur| {
            let seeds = (0..50).filter(|seed| shows(saboteur, &saboteur.witness.seed(*seed)));
            (saboteur.name, seeds.collect::<Vec<_>>())
        })
        .collect();
    assert!(hidden.is_empty(), "not at the witness, but at these seeds: {hidden:#?}");
}

#[test]
fn who_is_spared_notices_nothing() {
    for saboteur in SABOTEURS {
        let Some(spared) = saboteur.spares else { continue };
        for seed in 0..10 {
            let spared = spared.seed(seed);
            let (one, other) = (run(saboteur.make, &spared), run(healthy, &spared));
            assert!(one.hash() == other.hash(), "{} seed {seed}", saboteur.name);
            if saboteur.shows == Shows::InTexts {
                assert_eq!(said(saboteur.make, &spared), said(healthy, &spared));
            }
        }
    }
}

#[test]
fn who_shows_in_texts_or_manifests_alone_has_flows_as_they_should_be() {
    let quiet = |saboteur: &&Saboteur| {
        matches!(saboteur.shows, Shows::InManifest)
            || saboteur.shows == Shows::InTexts && saboteur.spares.is_none()
    };
    for saboteur in SABOTEURS.iter().filter(quiet) {
        for seed in 0..10 {
            let witness = saboteur.witness.seed(seed);
            let (one, other) = (run(saboteur.make, &witness), run(healthy, &witness));
            assert!(one.hash() == other.hash(), "{} seed {seed}", saboteur.name);
        }
    }
}

#[test]
fn who_is_not_about_determinism_is_deterministic() {
    for saboteur in SABOTEURS.iter().filter(|saboteur| saboteur.shows != Shows::InSecondRun) {
        let hash = || run(saboteur.make, &saboteur.witness).hash();
        assert_eq!(hash(), hash(), "{}", saboteur.name);
    }
}

#[test]
fn there_are_forty_and_they_are_told_apart() {
    assert!(SABOTEURS.len() >= 40, "{}", SABOTEURS.len());
    let names: BTreeSet<_> = SABOTEURS.iter().map(|saboteur| saboteur.name).collect();
    let sentences: BTreeSet<_> = SABOTEURS.iter().map(|saboteur| saboteur.wrong).collect();
    assert_eq!((names.len(), sentences.len()), (SABOTEURS.len(), SABOTEURS.len()));
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
        assert!(names.contains(format!("local_adapter_{named}").as_str()), "{named}");
    }
    assert!(names.iter().all(|name| name.starts_with("local_adapter_")));
}

#[test]
fn in_a_fresh_process() {
    elsewhere::answer();
}

#[test]
fn a_healthy_run_is_the_same_in_a_fresh_process() {
    let saboteur = &SABOTEURS[0];
    let here = run(healthy, &saboteur.witness.seed(7)).hash();
    assert_eq!(here, elsewhere::hash(saboteur, true, 7));
}
