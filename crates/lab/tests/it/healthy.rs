// SPDX-License-Identifier: BSD-3-Clause
//! Healthy adapters: whatever the pair and the seed, nothing happens that may not.

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{ErrorClass, FlowState, Limits};
use becket_lab::fault::FaultPlan;
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::source::{End, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, EventKind, Stage, Trace, TraceHash};
use becket_lab::world;

use crate::long::or_long;

fn config(seed: u64) -> Config {
    Config {
        deterministic_seed: seed,
        max_events: 1 << 16,
        max_chunk_bytes: 16 << 10,
        max_buffered_bytes: 64 << 10,
        ..Config::default()
    }
}

fn run(
    pair: &Healthy,
    seed: u64,
    (source, behaviour): (Source, Behaviour),
    flows: u32,
    buffer: u64,
) -> Trace {
    let config = config(seed);
    let limits =
        Limits { flows_max: 16, buffered_bytes_max: 4 * buffer, flow_buffered_bytes_max: buffer };
    let plans = source.plan(&config, flows);
    let case = Case {
        config: config.clone(),
        plans,
        behaviour,
        window_bytes: 64 << 10,
        link: Link::Stream,
        faults: FaultPlan::NONE,
    };
    let mut trace = Trace::new(config.max_events);
    let (mut ingress, mut egress) = (pair.make)(limits);
    world::run(&case, (&mut *ingress, &mut *egress), &mut Choices::seeded(seed), &mut trace);
    trace
}

fn is_wrong(what: &EventKind) -> bool {
    matches!(
        what,
        EventKind::OutBeyondRoom { .. }
            | EventKind::OutOnNoFlow { .. }
            | EventKind::OtherByte { .. }
            | EventKind::OutOfPlace { .. }
            | EventKind::Illegal { .. }
            | EventKind::SessionError { .. }
            | EventKind::Left { .. }
            | EventKind::Waits { .. }
            | EventKind::SessionKeeps { .. }
            | EventKind::OutOfSteps
            | EventKind::Stuck { .. }
    )
}

/// Each flow ends as its source and its target want it, and the sink has all that it should have.
fn check_ends((source, seed): (Source, u64), behaviour: Behaviour, events: &[Event]) {
    let config = config(seed);
    for plan in source.plan(&config, 4) {
        let of_flow = || events.iter().filter(|event| event.flow == plan.flow);
        let ends = of_flow().filter_map(|event| match event.what {
            EventKind::Moved { state } if state.is_over() => Some(state),
            _ => None,
        });
        let expected = match (plan.end, behaviour) {
            (End::Reset, _) => None,
            (End::Malformed, _) => Some(FlowState::Failed),
            (_, Behaviour::ErrorResponse) => Some(FlowState::Failed),
            (_, Behaviour::ResetMidstream) => Some(FlowState::Reset),
            _ => Some(FlowState::Closed),
        };
        let ends: Vec<_> = ends.collect();
        match expected {
            Some(expected) => assert_eq!(ends, [expected], "{source:?} {behaviour:?}"),
            None => assert!(ends == [FlowState::Reset], "{source:?} {behaviour:?} {ends:?}"),
        }
    }
}

/// What may not be taken is refused, and nothing else.
fn check_refusals((source, seed): (Source, u64), events: &[Event]) {
    let plans = source.plan(&config(seed), 4);
    let refused = events.iter().filter_map(|event| match event.what {
        EventKind::OfferRefused { class, .. } => Some((event.flow, class)),
        _ => None,
    });
    for (flow, class) in refused {
        let end = plans[flow.number() as usize - 1].end;
        let is_expected = match class {
            ErrorClass::Malformed => end == End::Malformed,
            _ => end == End::LateWrite,
        };
        assert!(is_expected, "{source:?} flow {flow}: {class:?}");
    }
}

fn check_pair(pair: &Healthy) {
    for source in Source::ALL {
        for behaviour in Behaviour::ALL {
            for seed in 0..or_long(3, 10) {
                // A small buffer and much to carry is many steps.
                for buffer in [7, 1000, 64 << 10] {
                    let is_large = source.is_long() || behaviour == Behaviour::LargeObject;
                    if buffer == 7 && is_large || buffer == 1000 && is_large && seed > 0 {
                        continue;
                    }
                    let trace = run(pair, seed, (source, behaviour), 4, buffer);
                    let wrong = trace.events().iter().find(|event| is_wrong(&event.what));
                    let events = trace.events();
                    let last = &events[events.len().saturating_sub(30)..];
                    assert!(
                        wrong.is_none() && !trace.is_cut(),
                        "{} {source:?} {behaviour:?} seed {seed} buffer {buffer}: {wrong:?}, \
                         {} events\n{last:#?}",
                        pair.name,
                        events.len()
                    );
                    check_ends((source, seed), behaviour, events);
                    check_refusals((source, seed), events);
                }
            }
        }
    }
}

fn pair(name: &str) -> &'static Healthy {
    HEALTHY.iter().find(|pair| pair.name == name).expect("a pair of this name")
}

/// A test for each pair, so that they run side by side.
macro_rules! nothing_happens_that_may_not {
    ($($name:ident: $pair:literal;)*) => {
        $(#[test]
        fn $name() {
            check_pair(pair($pair));
        })*

        #[test]
        fn every_pair_has_its_test() {
            let tested = [$($pair),*];
            assert!(HEALTHY.iter().map(|pair| pair.name).eq(tested));
        }
    };
}

nothing_happens_that_may_not! {
    in_memory: "memory";
    in_pipes: "pipe";
    in_rings: "ring";
    in_chunks: "chunks";
    between_two_kinds: "ring-memory";
}

#[test]
fn a_seed_is_a_run() {
    for pair in HEALTHY {
        for seed in 0..8 {
            let run = |seed| run(pair, seed, (Source::MixedFlow, Behaviour::Echo), 4, 100);
            let (one, other) = (run(seed), run(seed));
            assert_eq!(one.events(), other.events());
            assert_eq!(one.hash(), other.hash());
            assert_ne!(one.hash(), run(seed + 1).hash());
        }
    }
}

#[test]
fn pairs_are_built_in_different_ways() {
    let hash = |name| {
        let runs = (0..10).map(|seed| {
            run(pair(name), seed, (Source::MixedFlow, Behaviour::ChunkedResponse), 4, 1000).hash()
        });
        runs.reduce(TraceHash::join)
    };
    let [memory, ring, chunks] = ["memory", "ring", "chunks"].map(hash);
    assert!(memory != ring && ring != chunks && memory != chunks);
}

#[test]
fn chunks_keep_their_borders() {
    let trace = run(pair("chunks"), 5, (Source::SlowDrip, Behaviour::Echo), 1, 64 << 10);
    let lengths = |place| {
        let out = trace.events().iter().filter_map(move |event| match event.what {
            EventKind::Out { place: at, bytes, .. } if at == place => Some(bytes),
            _ => None,
        });
        out.collect::<Vec<_>>()
    };
    let config = Config { deterministic_seed: 5, ..Config::default() };
    let planned: Vec<_> =
        Source::SlowDrip.plan(&config, 1)[0].chunks.iter().map(|chunk| chunk.bytes).collect();
    assert_eq!(lengths(Stage::Ingress), planned);
}

#[test]
fn what_may_not_be_taken_is_offered_and_refused() {
    for (source, class) in
        [(Source::LateWrite, ErrorClass::Closed), (Source::Malformed, ErrorClass::Malformed)]
    {
        for pair in HEALTHY {
            let refused = (0..20).any(|seed| {
                let trace = run(pair, seed, (source, Behaviour::Echo), 2, 64 << 10);
                let refused = EventKind::OfferRefused { place: Stage::Ingress, class };
                trace.events().iter().any(|event| event.what == refused)
            });
            assert!(refused, "{} {source:?}", pair.name);
        }
    }
}
