// SPDX-License-Identifier: BSD-3-Clause
//! The scenario that is run in every order: healthy pairs pass in each, a failure in one order is
//! found, kept, shrunk and repeated, and what was not tried is reported.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::check::{self, Artefact, DEVIATIONS_MAX, Make, Mode, Options, repeat};
use becket_lab::choice::{Coverage, explore};
use becket_lab::contract::{
    Adapter, AdapterError, Cause, Chunk, Context, Descriptor, FlowId, IngressAdapter, Limits,
    Manifest, Outlet,
};
use becket_lab::mutant::{self, Mutant};
use becket_lab::replay::{Case, Replay};
use becket_lab::report::{Report, RunReport, json, text};
use becket_lab::scenario::{self, Profile, Scenario};
use becket_lab::trace::Trace;
use becket_lab::world;
use parking_lot::Mutex;

use crate::long::or_long;

fn every_order() -> &'static Scenario {
    scenario::of_name("every_order").unwrap()
}

fn overtaken() -> &'static Mutant {
    mutant::of_name("cuts_a_flow_that_is_overtaken").unwrap()
}

/// One profile of a full check, without the gates about the lab.
fn full<'a>(make: Make<'a>, start_seed: u64) -> Options<'a> {
    let (mode, profiles) = (Mode::Full, Some(1));
    let quick = Options::quick("pair", make);
    Options { mode, profiles, start_seed, gates_of_lab: false, ..quick }
}

fn run_of(report: &Report) -> &RunReport {
    let mut runs = report.profiles.iter().flat_map(|profile| &profile.runs);
    runs.find(|run| run.scenario == every_order().name).unwrap()
}

/// Verdicts of the other runs.
fn others(report: &Report) -> BTreeSet<&'static str> {
    let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
    runs.filter(|run| run.scenario != every_order().name).map(|run| run.verdict).collect()
}

/// The case in a profile; `None`: its limits cannot carry it.
fn case(seed: u64) -> Option<(Case, Limits)> {
    let scenario = every_order();
    let profile = Profile::draw(seed).of(scenario);
    let limits = scenario.limits(&profile);
    let (ingress, egress) = (HEALTHY[0].make)(limits);
    let manifests = [ingress.manifest(), egress.manifest()];
    if scenario.obstacle(&profile.config, &manifests).is_some() {
        return None;
    }
    let case = Case {
        plans: scenario.plans(&profile.config),
        behaviour: profile.behaviour(scenario),
        window_bytes: profile.window_bytes,
        link: profile.link,
        faults: profile.faults,
        config: profile.config,
    };
    Some((case, limits))
}

#[test]
fn each_order_is_another_and_within_the_bounds() {
    let bounds = every_order().orders.unwrap();
    assert_eq!(bounds.deviations_max, DEVIATIONS_MAX);
    let mut tried = 0;
    let seeds = or_long(6, 24);
    for seed in 0..seeds {
        let Some((case, limits)) = case(seed) else { continue };
        tried += 1;
        let mut seen = BTreeSet::new();
        let mut trace = Trace::new(case.config.max_events);
        let mut last: Option<Vec<u32>> = None;
        let explored = explore(bounds, |choices| {
            trace.clear();
            world::run_with(&case, &|| (HEALTHY[0].make)(limits), choices, &mut trace);
            let order = choices.recorded().to_vec();
            let deviations = order.iter().filter(|answer| **answer != 0).count();
            assert!(deviations <= bounds.deviations_max as usize, "{order:?}");
            // Depth first: each is lexicographically greater than the one before.
            assert!(last.as_ref().is_none_or(|last| *last < order), "{last:?} {order:?}");
            last = Some(order.clone());
            assert!(seen.insert(order), "twice");
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(explored.coverage, Coverage::Bounded, "seed {seed}");
        assert_eq!(explored.runs, seen.len() as u64);

        let report = check::run(&full(&HEALTHY[0].make, seed));
        let orders = run_of(&report).orders.as_ref().unwrap();
        assert_eq!((orders.runs, orders.coverage), (explored.runs, "bounded"), "seed {seed}");
        let reported = (orders.depth_max, orders.deviations_max);
        assert_eq!(reported, (bounds.depth_max, bounds.deviations_max));
        assert!(orders.runs > 100, "{orders:?}");
    }
    assert!(tried * 4 >= seeds * 3, "{tried} of {seeds}");
}

#[test]
fn healthy_pairs_pass_in_each_order_and_untried_orders_are_reported() {
    for pair in HEALTHY {
        for start_seed in [1, 6, 40].into_iter().take(or_long(1, 3)) {
            let report = check::run(&full(&pair.make, start_seed));
            let run = run_of(&report);
            assert_eq!(run.verdict, "pass", "{} {start_seed}: {run:?}", pair.name);
            let orders = run.orders.as_ref().unwrap();
            let shown = text(&report, &|_, text| text.to_owned());
            let said = "orders in 1 profile, each that departs at most 2 times from the plainest";
            assert!(shown.contains(said), "{shown}");
            assert_eq!(orders.coverage, "bounded");
        }
    }
    let quick = Options { mode: Mode::Quick, ..full(&HEALTHY[0].make, 1) };
    let quick = check::run(&quick);
    assert!(quick.profiles[0].runs.iter().all(|run| run.orders.is_none()));
    let shown = text(&quick, &|_, text| text.to_owned());
    assert!(!shown.contains("orders"), "{shown}");
}

#[test]
fn fewer_deviations_are_fewer_orders_and_none_is_the_plainest_alone() {
    let runs = |deviations_max| {
        let options = Options { deviations_max, ..full(&HEALTHY[0].make, 1) };
        let report = check::run(&options);
        let orders = run_of(&report).orders.clone().unwrap();
        assert_eq!((orders.deviations_max, orders.coverage), (deviations_max, "bounded"));
        orders.runs
    };
    let [none, one, two] = [0, 1, 2].map(runs);
    assert!(none == 1 && one > 10 && two > 5 * one, "{none} {one} {two}");
    // A larger value has no effect.
    let more = Options { deviations_max: 99, ..full(&HEALTHY[0].make, 1) };
    assert_eq!(run_of(&check::run(&more)).orders.as_ref().unwrap().runs, two);
}

#[test]
fn a_report_of_all_orders_depends_on_neither_threads_nor_time() {
    let report = |jobs| {
        let options = full(&HEALTHY[3].make, 1);
        json(&check::run(&Options { jobs, profiles: Some(or_long(2, 4)), ..options })).unwrap()
    };
    let one = report(1);
    assert!(one.contains("\"deviations_max\": 2"));
    for jobs in or_long(&[2][..], &[1, 2, 5]) {
        assert_eq!(one, report(*jobs), "{jobs} threads");
    }
}

/// A defect in a single order is found from any seed; random orders hardly ever show it.
#[test]
fn what_shows_in_one_order_is_found_whatever_the_seed() {
    let (mut tried, mut by_chance) = (0, 0);
    let seeds = or_long(6, 24);
    for seed in 0..seeds {
        let report = check::run(&full(&overtaken().make, seed));
        let run = run_of(&report);
        by_chance += u64::from(others(&report).contains("fail"));
        let Some(orders) = &run.orders else { continue };
        tried += 1;
        assert_eq!((run.verdict, orders.coverage), ("fail", "stopped"), "seed {seed}");
        assert!(orders.runs > 1, "the plainest shows it");
        assert!(run.findings.iter().any(|it| it.rule == "INT-05"), "seed {seed}: {run:?}");
    }
    println!("{tried} of {seeds} profiles, and {by_chance} by chance");
    assert!(tried * 4 >= seeds * 3 && by_chance * 4 <= tried, "{tried} {by_chance}");
}

/// Failures of a check: the kept runs, and the shrunk ones.
fn kept(make: Make<'_>, seed: u64) -> (Report, Vec<(String, Replay, bool)>) {
    let all = Mutex::new(Vec::new());
    let keeps = |it: &Artefact<'_>| {
        let read = Replay::parse(&it.replay.to_text()).unwrap();
        all.lock().push((it.name.to_owned(), read, it.shrunk.is_some()));
    };
    let report = check::run(&Options { artefacts: Some(&keeps), ..full(make, seed) });
    (report, all.into_inner())
}

#[test]
fn the_order_that_fails_is_kept_made_small_and_repeated() {
    let make = &overtaken().make;
    let (report, kept) = kept(make, 1);
    assert!(!others(&report).contains("fail"), "another run fails too");
    let of_rule: Vec<_> = kept.iter().filter(|(name, ..)| name.starts_with("INT-05")).collect();
    let [(name, replay, _), (small_name, small, true)] = of_rule[..] else { panic!("{kept:?}") };
    assert_eq!(name, "INT-05-every_order-1.replay");
    assert_eq!(small_name, "INT-05-every_order-1.small.replay");
    for replay in [replay, small] {
        let deviations = replay.recording.iter().filter(|answer| **answer != 0).count();
        assert!((1..=2).contains(&deviations), "{:?}", replay.recording);
        let again = repeat(make, replay);
        assert!(replay.is_repeated_by(&again.trace));
        assert!(again.findings.iter().any(|it| it.rule == "INT-05"), "{:?}", again.findings);
        assert!(repeat(&HEALTHY[0].make, replay).findings.is_empty());
    }
    let failure = report.failures.iter().find(|it| it.rule == Some("INT-05")).unwrap();
    assert_eq!(failure.scenario, every_order().name);
    assert!(failure.command.ends_with("--start-seed 1 --profiles 1 --full"), "{}", failure.command);
}

/// Panics when the flow that opened second gives its chunk first.
struct Fragile {
    healthy: Box<dyn IngressAdapter>,
    opened: Vec<FlowId>,
    offers: u32,
    panics: bool,
}

impl Adapter for Fragile {
    fn manifest(&self) -> Manifest {
        self.healthy.manifest()
    }

    fn open(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        descriptor: &Descriptor,
    ) -> Result<(), AdapterError> {
        self.opened.push(flow);
        self.healthy.open(cx, flow, descriptor)
    }

    fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.healthy.half_close(cx, flow)
    }

    fn reset(
        &mut self,
        cx: &mut Context<'_>,
        flow: FlowId,
        cause: Cause,
    ) -> Result<(), AdapterError> {
        self.healthy.reset(cx, flow, cause)
    }

    fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
        self.healthy.close(cx, flow)
    }

    fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
        self.healthy.poll(cx, outlet);
    }

    fn buffered_bytes(&self) -> u64 {
        self.healthy.buffered_bytes()
    }

    fn summary(&self) -> String {
        self.healthy.summary()
    }
}

impl IngressAdapter for Fragile {
    fn offer(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        self.offers += 1;
        let is_it = self.offers == 1 && self.opened.len() == 2 && self.opened[1] == chunk.flow;
        assert!(!(self.panics && is_it), "on purpose");
        self.healthy.offer(cx, chunk, bytes)
    }
}

fn fragile(limits: Limits, panics: bool) -> Pair {
    let (healthy, egress) = (HEALTHY[0].make)(limits);
    (Box::new(Fragile { healthy, opened: Vec::new(), offers: 0, panics }), egress)
}

#[test]
fn an_order_in_which_an_adapter_panics_is_kept() {
    let (report, kept) = kept(&|limits| fragile(limits, true), 1);
    let run = run_of(&report);
    assert_eq!((run.verdict, run.reason), ("fail", Some("an adapter panicked")));
    let name = "run-every_order-1.replay";
    let (_, replay, _) = kept.iter().find(|(it, ..)| it == name).unwrap();
    assert!(replay.recording.iter().any(|answer| *answer != 0));
    let again = || repeat(&|limits| fragile(limits, true), replay);
    assert!(std::panic::catch_unwind(again).is_err());
    assert!(repeat(&|limits| fragile(limits, false), replay).findings.is_empty());
}

/// From some pair on each has less room than those before: only later orders show it.
#[test]
fn an_order_that_does_not_repeat_is_no_pass() {
    let check = |changes_at: u64| {
        let made = AtomicU64::new(0);
        let make = |limits: Limits| {
            let is_late = made.fetch_add(1, Ordering::Relaxed) >= changes_at;
            let less = if is_late { 8 } else { limits.flow_buffered_bytes_max };
            (HEALTHY[0].make)(Limits { flow_buffered_bytes_max: less, ..limits })
        };
        let report = check::run(&full(&make, 1));
        (report, made.load(Ordering::Relaxed))
    };
    let (healthy, made) = check(u64::MAX);
    assert_eq!(run_of(&healthy).verdict, "pass");
    let (report, _) = check(made - 20);
    let run = run_of(&report);
    let coverage = run.orders.as_ref().map(|orders| orders.coverage);
    assert_eq!((run.verdict, coverage), ("nondeterministic", Some("diverged")), "{run:?}");
    assert_eq!((report.verdict, report.exit_code), ("nondeterministic", 5));
    assert!(!others(&report).contains("fail"));
}
