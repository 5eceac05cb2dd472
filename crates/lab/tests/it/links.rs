// SPDX-License-Identifier: BSD-3-Clause
//! Links: whatever cuts, delays, loses and mixes what the sessions say, adapters do not notice.

use becket_lab::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{FlowState, Limits};
use becket_lab::fault::FaultPlan;
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::source::{End, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{EventKind, Stage, Trace};
use becket_lab::world;

use crate::long::or_long;

const LIMITS: Limits =
    Limits { flows_max: 16, buffered_bytes_max: 256 << 10, flow_buffered_bytes_max: 64 << 10 };

fn config(seed: u64) -> Config {
    Config { deterministic_seed: seed, max_events: 1 << 16, ..Config::default() }
}

fn run(
    seed: u64,
    link: Link,
    source: Source,
    behaviour: Behaviour,
    choices: &mut Choices,
) -> Trace {
    let config = config(seed);
    let plans = source.plan(&config, 4);
    let faults = FaultPlan::NONE;
    let case =
        Case { config: config.clone(), plans, behaviour, window_bytes: 64 << 10, link, faults };
    let mut trace = Trace::new(config.max_events);
    let (mut ingress, mut egress) =
        (MemoryIngressAdapter::new(LIMITS), MemoryEgressAdapter::new(LIMITS));
    world::run(&case, (&mut ingress, &mut egress), choices, &mut trace);
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

#[test]
fn adapters_do_not_notice_the_carrier() {
    for link in Link::ALL {
        for source in Source::ALL {
            for behaviour in Behaviour::ALL {
                let seeds = if source.is_long() { 2 } else { or_long(6, 20) };
                for seed in 0..seeds {
                    let trace = run(seed, link, source, behaviour, &mut Choices::seeded(seed));
                    let name = format!("{link:?} {source:?} {behaviour:?} seed {seed}");
                    let events = trace.events();
                    let wrong = events.iter().find(|event| is_wrong(&event.what));
                    assert!(wrong.is_none() && !trace.is_cut(), "{name}: {wrong:?}");
                    for plan in source.plan(&config(seed), 4) {
                        let ends: Vec<_> = trace
                            .of_flow(plan.flow)
                            .filter_map(|event| match event.what {
                                EventKind::Moved { state } if state.is_over() => Some(state),
                                _ => None,
                            })
                            .collect();
                        let expected = match (plan.end, behaviour) {
                            (End::Reset, _) => FlowState::Reset,
                            (End::Malformed, _) => FlowState::Failed,
                            (_, Behaviour::ErrorResponse) => FlowState::Failed,
                            (_, Behaviour::ResetMidstream) => FlowState::Reset,
                            _ => FlowState::Closed,
                        };
                        assert_eq!(ends, [expected], "{name} {}", plan.flow);
                        let sunk: u64 = trace
                            .of_flow(plan.flow)
                            .map(|event| match event.what {
                                EventKind::Out { place: Stage::Egress, bytes, .. } => bytes,
                                _ => 0,
                            })
                            .sum();
                        let whole = match behaviour {
                            Behaviour::Echo => plan.bytes(),
                            Behaviour::LargeObject => 256 << 10,
                            _ => continue,
                        };
                        assert!(expected != FlowState::Closed || sunk == whole, "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_seed_is_a_run_and_carriers_are_not_the_same() {
    let mut hashes = std::collections::BTreeSet::new();
    for link in Link::ALL {
        for seed in 0..20 {
            let hash = || {
                let mut choices = Choices::seeded(seed);
                let trace =
                    run(seed, link, Source::MixedFlow, Behaviour::DripResponse, &mut choices);
                trace.hash().to_string()
            };
            assert_eq!(hash(), hash(), "{link:?} seed {seed}");
            hashes.insert(hash());
        }
    }
    // Frame by frame and short ones first are the same where nothing waits to be overtaken.
    assert!(hashes.len() >= 7 * 20, "{}", hashes.len());
}

/// The plainest choices: nothing is lost, nothing waits for a second sending.
#[test]
fn zeros_are_the_plainest_run() {
    for link in Link::ALL {
        let mut zeros = Choices::replayed(Vec::new());
        let trace = run(1, link, Source::SmallBurst, Behaviour::Echo, &mut zeros);
        let last = trace.events().last().unwrap();
        assert_eq!((last.what, last.tick.0), (EventKind::Finished, 0), "{link:?}");
    }
}

/// More than a link takes at once waits in the session, and goes on when there is room.
#[test]
fn a_full_carrier_goes_on() {
    for link in [Link::LongPoll, Link::LossyReordered] {
        for seed in 0..20 {
            let (max_buffered_bytes, max_chunk_bytes) = (8 << 20, 256 << 10);
            let config = Config { max_buffered_bytes, max_chunk_bytes, ..config(seed) };
            let plans = Source::LargeObject.plan(&config, 1);
            let (behaviour, faults) = (Behaviour::Echo, FaultPlan::NONE);
            let window_bytes = 4 << 20;
            let case =
                Case { config: config.clone(), plans, behaviour, window_bytes, link, faults };
            let mut trace = Trace::new(config.max_events);
            let (mut ingress, mut egress) =
                (MemoryIngressAdapter::new(LIMITS), MemoryEgressAdapter::new(LIMITS));
            let mut choices = Choices::seeded(seed);
            world::run(&case, (&mut ingress, &mut egress), &mut choices, &mut trace);
            let wrong = trace.events().iter().find(|event| is_wrong(&event.what));
            assert!(wrong.is_none() && !trace.is_cut(), "{link:?} seed {seed}: {wrong:?}");
        }
    }
}
