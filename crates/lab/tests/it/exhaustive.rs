// SPDX-License-Identifier: BSD-3-Clause
//! All orders of small runs, one after the other.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::choice::{Bounds, Choices, Coverage, Explored, explore};
use becket_lab::config::Config;
use becket_lab::contract::{Class, FlowId, Limits, Tick};
use becket_lab::fault::FaultPlan;
use becket_lab::link::Link;
use becket_lab::mutant::{MUTANTS, Mutant};
use becket_lab::replay::Case;
use becket_lab::rules::{Examined, examine};
use becket_lab::source::{End, FlowPlan, Planned};
use becket_lab::target::Behaviour;
use becket_lab::trace::Trace;
use becket_lab::world;

const LIMITS: Limits = Limits { flows_max: 4, buffered_bytes_max: 64, flow_buffered_bytes_max: 64 };

fn case(ends: &[End], behaviour: Behaviour) -> Case {
    let plan = |(number, end): (u32, &End)| {
        let chunks = vec![Planned { at: Tick(0), bytes: 3 }];
        let (flow, class) = (FlowId::new(number), Class::Normal);
        FlowPlan { flow, class, opens_at: Tick(0), chunks, end: *end }
    };
    let plans = (1..).zip(ends).map(plan).collect();
    let (link, faults) = (Link::Stream, FaultPlan::NONE);
    Case { config: Config::default(), plans, behaviour, window_bytes: 1000, link, faults }
}

/// Runs it: the trace, and what was broken.
fn run(case: &Case, make: fn(Limits) -> Pair, choices: &mut Choices) -> (Trace, Vec<&'static str>) {
    let (mut ingress, mut egress) = make(LIMITS);
    let manifests = [&ingress.manifest(), &egress.manifest()];
    let mut trace = Trace::new(case.config.max_events);
    world::run(case, (&mut *ingress, &mut *egress), choices, &mut trace);
    let examination = examine(&Examined::new(&trace, case, manifests));
    let broken = examination.findings().map(|finding| finding.rule).collect();
    (trace, broken)
}

/// Searches, and says how many traces there were.
fn search(case: &Case, kind: usize, bounds: Bounds) -> (usize, Explored<Vec<u32>>) {
    let (mut traces, make) = (BTreeSet::new(), HEALTHY[kind].make);
    let explored = explore(bounds, |choices| {
        let (trace, broken) = run(case, make, choices);
        traces.insert(trace.hash().to_string());
        let recording = choices.recorded().to_vec();
        let again = run(case, make, &mut Choices::replayed(recording.clone())).0;
        assert_eq!(again.hash(), trace.hash(), "{recording:?}");
        if broken.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(recording) }
    });
    (traces.len(), explored)
}

#[test]
fn healthy_adapters_are_healthy_in_every_order_that_departs_twice() {
    let ends = [End::Final, End::HalfClose, End::Reset];
    for kind in 0..HEALTHY.len() {
        for behaviour in [Behaviour::Echo, Behaviour::ResetMidstream] {
            // Three flows have many orders: of one kind, they do.
            for flows in 1..=if kind == 0 { 3 } else { 2 } {
                let bounds = Bounds { deviations_max: 2, ..Bounds::of_flows(flows).unwrap() };
                let (traces, explored) = search(&case(&ends[..flows], behaviour), kind, bounds);
                assert_eq!((explored.found, explored.coverage), (None, Coverage::Bounded));
                assert!(traces > [0, 1, 30, 150][flows] && explored.runs > traces as u64);
            }
        }
    }
    assert_eq!(Bounds::of_flows(4), None);
}

#[test]
fn amounts_are_tried_too() {
    let bounds = Bounds { deviations_max: 1, ..Bounds::all(1 << 16) };
    let all = Bounds { tries_amounts: true, ..bounds };
    let [orders, amounts] = [bounds, all]
        .map(|bounds| search(&case(&[End::Final], Behaviour::JitteryResponse), 0, bounds));
    assert_eq!([&orders.1.found, &amounts.1.found], [&None, &None]);
    assert!(orders.0 < amounts.0 && orders.1.runs < amounts.1.runs, "{orders:?} {amounts:?}");
}

/// A flow that half-closes takes the others along: it shows when another one is open then, and has not
/// offered everything. The plainest order has no such moment; one departure is enough.
#[test]
fn the_fewest_deviations_that_show_a_defect_are_found() {
    let is_it = |of: &&Mutant| of.name == "half_closes_all_for_one";
    let of = MUTANTS.iter().find(is_it).unwrap();
    let case = case(&[End::HalfClose, End::Final], Behaviour::Discard);
    let found = (0..4).map(|deviations_max| {
        let bounds = Bounds { deviations_max, ..Bounds::of_flows(2).unwrap() };
        let explored = explore(bounds, |choices| match run(&case, of.make, choices).1.is_empty() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(choices.recorded().to_vec()),
        });
        explored.found
    });
    let found: Vec<_> = found.collect();
    let first = found.iter().position(Option::is_some).unwrap();
    assert!(first > 0, "{found:?}");
    assert!(found[first..].iter().all(Option::is_some));
    let recording = found[first].clone().unwrap();
    assert_eq!(recording.iter().filter(|answer| **answer != 0).count(), first);
    assert!(!run(&case, of.make, &mut Choices::replayed(recording)).1.is_empty());
}
