// SPDX-License-Identifier: BSD-3-Clause
//! Planted failures, shrunk: the result still fails, and has few inputs that it does not need.

use becket_lab::adapters::{MemoryEgressAdapter, MemoryIngressAdapter};
use becket_lab::choice::{Choices, Scheduler};
use becket_lab::config::Config;
use becket_lab::contract::{FlowState, Limits, Tick};
use becket_lab::fault::{FaultKinds, FaultPlan};
use becket_lab::link::Link;
use becket_lab::replay::Case;
use becket_lab::shrink::{Candidate, Failed, Shrunk, shrink};
use becket_lab::source::{End, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, EventKind, Trace};
use becket_lab::world;

const BUFFER_BYTES: u64 = 300;

fn run(case: &Case, mut choices: Choices) -> (Trace, u64, Vec<u32>) {
    let limits = Limits {
        flows_max: 16,
        buffered_bytes_max: 4 * BUFFER_BYTES,
        flow_buffered_bytes_max: BUFFER_BYTES,
    };
    let mut trace = Trace::new(case.config.max_events);
    let (mut ingress, mut egress) =
        (MemoryIngressAdapter::new(limits), MemoryEgressAdapter::new(limits));
    world::run(case, (&mut ingress, &mut egress), &mut choices, &mut trace);
    (trace, choices.asked(), choices.into_recording())
}

fn case(source: Source, behaviour: Behaviour, flows: u32, seed: u64) -> Case {
    let config = Config {
        deterministic_seed: seed,
        max_events: 1 << 14,
        max_chunk_bytes: 4 << 10,
        ..Config::default()
    };
    let plans = source.plan(&config, flows);
    let (link, faults) = (Link::Stream, FaultPlan::NONE);
    Case { config, plans, behaviour, window_bytes: 1000, link, faults }
}

/// The first seed whose trace fails as required, shrunk.
fn shrunk(
    source: Source,
    behaviour: Behaviour,
    flows: u32,
    fails: impl Fn(&[Event]) -> bool,
) -> (Shrunk, Trace) {
    let found = (0..500).find_map(|seed| {
        let case = case(source, behaviour, flows, seed);
        let (trace, _, recording) = run(&case, Choices::seeded(seed).recording());
        fails(trace.events()).then_some((Candidate { case, recording }, trace))
    });
    let (failure, before) = found.expect("a seed that fails");
    let one = shrink(
        failure.clone(),
        20_000,
        |it| {
            let (trace, asked, _) = run(&it.case, Choices::replayed(it.recording.clone()));
            fails(trace.events()).then(|| Failed { events: trace.events().len(), asked })
        },
        |_| (),
    );
    let shrunk = one.expect("it fails again");
    let Candidate { case, recording } = &shrunk.candidate;
    let (trace, ..) = run(case, Choices::replayed(recording.clone()));
    assert!(fails(trace.events()) && shrunk.is_minimal, "{shrunk:#?}");
    assert_eq!(trace.events().len(), shrunk.size.events);
    assert!(trace.events().len() <= before.events().len() && shrunk.size <= shrunk.before);
    (shrunk, trace)
}

fn states(events: &[Event]) -> impl Iterator<Item = (u32, FlowState)> + '_ {
    events.iter().filter_map(|event| match event.what {
        EventKind::Moved { state } => Some((event.flow.number(), state)),
        _ => None,
    })
}

/// A flow is reset while another one is half-closed.
fn reset_beside_half_closed(events: &[Event]) -> bool {
    let mut half_closed = Vec::new();
    states(events).any(|(flow, state)| {
        half_closed.retain(|other| *other != flow);
        if state == FlowState::HalfClosed {
            half_closed.push(flow);
        }
        state == FlowState::Reset && !half_closed.is_empty()
    })
}

#[test]
fn a_reset_while_another_flow_is_half_closed() {
    let (shrunk, trace) =
        shrunk(Source::MixedFlow, Behaviour::JitteryResponse, 8, reset_beside_half_closed);
    let case = &shrunk.candidate.case;
    assert_eq!(case.plans.len(), 2, "{shrunk:#?}");
    let resets = case.plans.iter().filter(|plan| plan.end == End::Reset).count();
    assert!(resets <= 1 && shrunk.size.bytes <= 2, "{shrunk:#?}");
    assert!(shrunk.size.deviations <= 6, "{shrunk:#?}");
    assert!(trace.events().len() <= 40, "{shrunk:#?} {:#?}", trace.events());
}

#[test]
fn a_source_that_stalls_twice() {
    let stalls = |events: &[Event]| {
        events.iter().filter(|event| event.what == EventKind::Stalled).count() >= 2
    };
    let (shrunk, _) = shrunk(Source::LargeObject, Behaviour::Echo, 1, stalls);
    let [plan] = &shrunk.candidate.case.plans[..] else { panic!("{shrunk:#?}") };
    // Two stalls need two full buffers, and one byte more.
    assert!(plan.bytes() <= 2 * BUFFER_BYTES + 2, "{shrunk:#?}");
    assert_eq!(shrunk.candidate.case.behaviour, Behaviour::Discard);
}

#[test]
fn bytes_that_come_back_before_the_request_is_over() {
    let early = |events: &[Event]| {
        let answered =
            events.iter().position(|event| matches!(event.what, EventKind::Answered { .. }));
        let last = events.iter().rposition(|event| matches!(event.what, EventKind::Offered { .. }));
        answered.zip(last).is_some_and(|(answered, last)| {
            events[..last].iter().all(|event| event.flow.number() <= 3) && answered < last
        })
    };
    let (shrunk, trace) = shrunk(Source::SlowDrip, Behaviour::Echo, 1, early);
    assert_eq!(shrunk.size.flows, 1);
    assert!(shrunk.size.chunks <= 2 && shrunk.size.bytes <= 2, "{shrunk:#?}");
    assert!(trace.events().len() <= 40);
}

#[test]
fn shrinking_is_decided_by_its_input() {
    let twice = [(); 2].map(|()| {
        shrunk(Source::MixedFlow, Behaviour::ChunkedResponse, 6, reset_beside_half_closed)
    });
    let [(one, first), (other, second)] = twice;
    assert_eq!(one, other);
    assert_eq!(first.hash(), second.hash());
}

/// Whichever scheduler decided: the recording gives the same run.
#[test]
fn a_recording_repeats_the_run_of_any_scheduler() {
    for source in Source::ALL {
        for behaviour in [Behaviour::Echo, Behaviour::JitteryResponse, Behaviour::ResetMidstream] {
            for seed in 0..3 {
                let mut case = case(source, behaviour, 4, seed);
                case.link = Link::ALL[(seed * 3) as usize + 1];
                case.faults = FaultPlan::new(FaultKinds::ALL, 4 * seed as u32, Tick(100));
                for scheduler in [
                    Scheduler::Random,
                    Scheduler::RoundRobin,
                    Scheduler::Pct { changes: 0, steps: 400 },
                    Scheduler::Pct { changes: 3, steps: 400 },
                ] {
                    let choices = Choices::scheduled(seed, scheduler).recording();
                    let (trace, asked, recording) = run(&case, choices);
                    let replayed = Choices::replayed(recording.clone()).recording();
                    let (again, asked_again, recorded_again) = run(&case, replayed);
                    assert_eq!(trace.hash(), again.hash(), "{source:?} {scheduler:?} {seed}");
                    assert_eq!((asked, recording), (asked_again, recorded_again));
                    let stuck = trace.events().iter().find(|event| {
                        matches!(event.what, EventKind::Stuck { .. } | EventKind::Illegal { .. })
                    });
                    assert_eq!(stuck, None, "{source:?} {behaviour:?} {scheduler:?} {seed}");
                }
            }
        }
    }
}
