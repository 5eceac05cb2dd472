// SPDX-License-Identifier: BSD-3-Clause
//! Replays as tests: what is printed compiles, and holds with healthy adapters. The files are of the
//! first version of replays, and are read as long as that version is.

use becket_lab::adapters::HEALTHY;
use becket_lab::replay::{Replay, as_test};

const FILES: [&str; 2] =
    [include_str!("testdata/replayed.json"), include_str!("testdata/faulty.json")];

/// The tests below are printed, without a change.
#[test]
fn what_is_printed_is_what_is_compiled_here() {
    for file in FILES {
        let replay = Replay::parse(file).unwrap();
        assert_eq!(Replay::parse(&replay.to_text()).as_ref(), Ok(&replay));
        let text = as_test(&replay, "(HEALTHY[0].make)(limits)");
        assert!(include_str!("replayed.rs").contains(&text), "put this here:\n{text}");
    }
}

// Adapter local_adapter_half_closes_all_for_one, scenario witness, profile 1.
#[test]
#[rustfmt::skip]
fn holds_lif_06_seed_1() {
    use becket_lab::adapters::Pair;
    use becket_lab::link::Link;
    use becket_lab::choice::Choices;
    use becket_lab::config::Config;
    use becket_lab::contract::{Class, FlowId, Limits, Tick};
    use becket_lab::fault::{FaultPlan};
    use becket_lab::replay::Case;
    use becket_lab::rules::{Examined, examine};
    use becket_lab::source::{End, FlowPlan, Planned};
    use becket_lab::target::Behaviour;
    use becket_lab::trace::{Trace};
    use becket_lab::world;

    let config = Config {
        name: "local-adapter".into(),
        runtime_id: 1,
        max_flows: 16,
        max_buffered_bytes: 524288,
        max_chunk_bytes: 65536,
        max_events: 8192,
        trace_enabled: true,
        deterministic_seed: 1,
    };
    let planned = |at, bytes| Planned { at: Tick(at), bytes };
    let plans = vec![
        FlowPlan {
            flow: FlowId::new(1),
            class: Class::Normal,
            opens_at: Tick(0),
            chunks: Vec::new(),
            end: End::HalfClose,
        },
        FlowPlan {
            flow: FlowId::new(2),
            class: Class::Normal,
            opens_at: Tick(0),
            chunks: vec![
                planned(0, 1),
            ],
            end: End::Final,
        },
    ];
    let case = Case {
        config, plans, faults: FaultPlan::NONE,
        behaviour: Behaviour::Discard,
        window_bytes: 65536,
        link: Link::Stream,
    };
    let recording = vec![
        3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ];
    let limits = Limits {
        flows_max: 16,
        buffered_bytes_max: 524288,
        flow_buffered_bytes_max: 131072,
    };

    let (mut ingress, mut egress): Pair = (HEALTHY[0].make)(limits);
    let mut trace = Trace::new(case.config.max_events);
    let mut choices = Choices::replayed(recording);
    world::run(&case, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    let manifests = [&ingress.manifest(), &egress.manifest()];
    let examination = examine(&Examined::new(&trace, &case, manifests));
    let broken: Vec<_> = examination.findings()
        .filter(|finding| finding.rule == "LIF-06")
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

// Adapter local_adapter_half_closes_all_for_one, scenario witness, profile 1.
#[test]
#[rustfmt::skip]
fn holds_replayed_seed_2() {
    use becket_lab::adapters::Pair;
    use becket_lab::link::Link;
    use becket_lab::choice::Choices;
    use becket_lab::config::Config;
    use becket_lab::contract::{Class, FlowId, Limits, Tick};
    use becket_lab::fault::{FaultKinds, FaultPlan};
    use becket_lab::replay::Case;
    use becket_lab::rules::{Examined, examine};
    use becket_lab::source::{End, FlowPlan, Planned};
    use becket_lab::target::Behaviour;
    use becket_lab::trace::{FaultKind, Trace};
    use becket_lab::world;

    let config = Config {
        name: "local-adapter".into(),
        runtime_id: 1,
        max_flows: 16,
        max_buffered_bytes: 524288,
        max_chunk_bytes: 65536,
        max_events: 8192,
        trace_enabled: true,
        deterministic_seed: 2,
    };
    let planned = |at, bytes| Planned { at: Tick(at), bytes };
    let plans = vec![
        FlowPlan {
            flow: FlowId::new(1),
            class: Class::Normal,
            opens_at: Tick(0),
            chunks: Vec::new(),
            end: End::HalfClose,
        },
        FlowPlan {
            flow: FlowId::new(2),
            class: Class::Normal,
            opens_at: Tick(0),
            chunks: vec![
                planned(3, 500), planned(3, 500), planned(3, 500), planned(3, 500),
                planned(3, 500), planned(3, 500), planned(3, 500), planned(3, 500),
                planned(3, 500),
            ],
            end: End::Final,
        },
    ];
    let faults = FaultPlan {
        kinds: FaultKinds::NONE
            .with(FaultKind::Delay)
            .with(FaultKind::Stall),
        budget: 4,
        from: Tick(0),
        until: Tick(30),
    };
    let case = Case {
        config, plans, faults,
        behaviour: Behaviour::Discard,
        window_bytes: 65536,
        link: Link::Stream,
    };
    let recording = vec![
        3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    ];
    let limits = Limits {
        flows_max: 16,
        buffered_bytes_max: 524288,
        flow_buffered_bytes_max: 131072,
    };

    let (mut ingress, mut egress): Pair = (HEALTHY[0].make)(limits);
    let mut trace = Trace::new(case.config.max_events);
    let mut choices = Choices::replayed(recording);
    world::run(&case, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    let manifests = [&ingress.manifest(), &egress.manifest()];
    let examination = examine(&Examined::new(&trace, &case, manifests));
    let broken: Vec<_> = examination.findings().collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
