// SPDX-License-Identifier: BSD-3-Clause
//! Healthy adapters: whatever the seed, nothing happens that may not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use becket_lab::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{FlowState, Limits};
use becket_lab::source::{End, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, Trace, What};
use becket_lab::world::{self, Setup};

fn run(seed: u64, source: Source, behaviour: Behaviour, flows: u32, buffer: u64) -> Trace {
    let config = Config { deterministic_seed: seed, max_events: 1 << 16, ..Config::default() };
    let limits =
        Limits { flows_max: 16, buffered_bytes_max: 4 * buffer, flow_buffered_bytes_max: buffer };
    let plans = source.plan(&config, flows);
    let setup = Setup { config: &config, plans, behaviour, window_bytes: 64 << 10 };
    let mut trace = Trace::new(config.max_events);
    let (mut ingress, mut egress) =
        (MemoryIngressAdapter::new(limits), MemoryEgressAdapter::new(limits));
    world::run(&setup, (&mut ingress, &mut egress), &mut Choices::seeded(seed), &mut trace);
    trace
}

fn is_wrong(what: &What) -> bool {
    matches!(
        what,
        What::OutBeyondRoom { .. }
            | What::OutOnNoFlow { .. }
            | What::OtherByte { .. }
            | What::OutOfPlace { .. }
            | What::Illegal { .. }
            | What::SessionError { .. }
            | What::OfferRefused { .. }
            | What::Stuck { .. }
    )
}

/// Each flow ends as its source and its target want it, and the sink has all that it should have.
fn check_ends(source: Source, behaviour: Behaviour, events: &[Event]) {
    let config = Config::default();
    for plan in source.plan(&config, 4) {
        let of_flow = || events.iter().filter(|event| event.flow == plan.flow);
        let ends = of_flow().filter_map(|event| match event.what {
            What::Moved { state } if state.is_over() => Some(state),
            _ => None,
        });
        let expected = match (plan.end, behaviour) {
            (End::Reset, _) => None,
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

#[test]
fn nothing_happens_that_may_not() {
    for source in Source::ALL {
        for behaviour in Behaviour::ALL {
            for seed in 0..10 {
                // A small buffer and much to carry is many steps.
                for buffer in [7, 1000, 64 << 10] {
                    let is_large = source == Source::LargeObject
                        || source == Source::MixedFlow
                        || behaviour == Behaviour::LargeObject;
                    if buffer == 7 && is_large || buffer == 1000 && is_large && seed > 0 {
                        continue;
                    }
                    let trace = run(seed, source, behaviour, 4, buffer);
                    let wrong = trace.events().iter().find(|event| is_wrong(&event.what));
                    let events = trace.events();
                    check_ends(source, behaviour, events);
                    let last = &events[events.len().saturating_sub(30)..];
                    assert!(
                        wrong.is_none() && !trace.is_cut(),
                        "{source:?} {behaviour:?} seed {seed} buffer {buffer}: {wrong:?}, {} events\n{last:#?}",
                        events.len()
                    );
                }
            }
        }
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..50 {
        let one = run(seed, Source::MixedFlow, Behaviour::Echo, 4, 100);
        let other = run(seed, Source::MixedFlow, Behaviour::Echo, 4, 100);
        assert_eq!(one.events(), other.events());
        assert_eq!(one.hash(), other.hash());
        assert_ne!(one.hash(), run(seed + 1, Source::MixedFlow, Behaviour::Echo, 4, 100).hash());
    }
}
