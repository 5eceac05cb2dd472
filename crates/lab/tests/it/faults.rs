// SPDX-License-Identifier: BSD-3-Clause
//! Faults: healthy adapters survive what they must survive, report what they must report, and never
//! hang or put out a wrong byte.

use std::collections::BTreeMap;

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{FlowId, FlowState, Limits, Tick};
use becket_lab::fault::{BLOCKED_MS_MAX, CLEARED_MS_MAX, FaultClass, FaultKinds, FaultPlan};
use becket_lab::link::Link;
use becket_lab::source::{End, FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, EventKind, FaultKind, Stage, Trace};
use becket_lab::{replay, world};

use crate::long::or_long;

/// All presets with all targets.
fn pairs() -> impl Iterator<Item = (Source, Behaviour)> {
    Source::ALL.into_iter().flat_map(|source| Behaviour::ALL.map(|behaviour| (source, behaviour)))
}

const LIMITS: Limits =
    Limits { flows_max: 16, buffered_bytes_max: 64 << 10, flow_buffered_bytes_max: 16 << 10 };

#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    link: Link,
    source: Source,
    behaviour: Behaviour,
    faults: FaultPlan,
}

impl Case {
    fn config(&self) -> Config {
        Config {
            deterministic_seed: self.seed,
            max_events: 1 << 16,
            max_chunk_bytes: 4 << 10,
            max_buffered_bytes: 32 << 10,
            ..Config::default()
        }
    }

    fn run(&self, pair: &Healthy, choices: &mut Choices) -> Trace {
        let config = self.config();
        let plans = self.source.plan(&config, 4);
        let Self { link, behaviour, faults, .. } = *self;
        let window_bytes = 16 << 10;
        let case =
            replay::Case { config: config.clone(), plans, behaviour, window_bytes, link, faults };
        let mut trace = Trace::new(config.max_events);
        world::run_with(&case, &|| (pair.make)(LIMITS), choices, &mut trace);
        trace
    }

    /// How a flow ends if no fault hits it.
    fn planned(&self, end: End) -> FlowState {
        match (end, self.behaviour) {
            (End::Reset, _) => FlowState::Reset,
            (End::Malformed, _) | (_, Behaviour::ErrorResponse) => FlowState::Failed,
            (_, Behaviour::ResetMidstream) => FlowState::Reset,
            _ => FlowState::Closed,
        }
    }

    fn check(&self, trace: &Trace) {
        let wrong = trace.events().iter().find(|event| is_wrong(&event.what));
        let events = trace.events();
        let last: Vec<_> = events[events.len().saturating_sub(40)..]
            .iter()
            .map(|event| format!("{} {} {:?}\n", event.tick.0, event.flow, event.what))
            .collect();
        let last = last.concat();
        assert!(wrong.is_none() && !trace.is_cut(), "{self:?}: {wrong:?}\n{last}");
        for plan in self.source.plan(&self.config(), 4) {
            self.check_flow(&plan, trace);
        }
        self.check_cleared(trace);
        self.check_report(trace);
    }

    fn check_flow(&self, plan: &FlowPlan, trace: &Trace) {
        let ends: Vec<_> = trace.of_flow(plan.flow).filter_map(|event| end(&event.what)).collect();
        let planned = self.planned(plan.end);
        let [end] = ends[..] else { panic!("{self:?} {}: {ends:?}", plan.flow) };
        let is_hit =
            |kind| trace.of_flow(plan.flow).any(|event| event.what == EventKind::Fault(kind));
        let has =
            |what: fn(&EventKind) -> bool| trace.events().iter().any(|event| what(&event.what));
        let crashed = has(|what| *what == EventKind::Fault(FaultKind::Crash));
        let is_over = has(|what| matches!(what, EventKind::SessionError { .. }));
        // A reset that comes first, or crosses with another end.
        let is_broken = is_hit(FaultKind::Reset) || is_hit(FaultKind::Cancel);
        let may_be = end == planned
            || is_broken && end == FlowState::Reset
            || (crashed || is_over) && end == FlowState::Failed
            // Its source ended early, and never came to its own end.
            || is_hit(FaultKind::HalfClose) && end == self.planned(End::Final);
        assert!(may_be, "{self:?} {}: {end:?} instead of {planned:?}", plan.flow);
        if end == FlowState::Closed && !is_hit(FaultKind::HalfClose) {
            let whole = match self.behaviour {
                Behaviour::Echo => plan.bytes(),
                Behaviour::DripResponse | Behaviour::FixedResponse => 1024,
                Behaviour::Discard => 0,
                _ => return,
            };
            assert_eq!(sunk(plan.flow, trace), whole, "{self:?} {}", plan.flow);
        }
    }

    /// After the faults are cleared none is injected, and soon everything is over.
    fn check_cleared(&self, trace: &Trace) {
        let events = trace.events();
        let cleared = events.iter().position(|event| event.what == EventKind::FaultsCleared);
        let cleared = cleared.unwrap_or(events.len());
        let is_strike = |event: &Event| matches!(event.what, EventKind::Fault(_));
        assert!(!events[cleared..].iter().any(is_strike), "{self:?}");
        let injections = injections(trace).count();
        assert!(injections <= self.faults.budget as usize, "{self:?}: {injections} faults");
        if let Some(cleared) = events.get(cleared) {
            assert!(events.last().unwrap().tick <= cleared.tick.after(CLEARED_MS_MAX), "{self:?}");
        }
    }

    /// What must be reported was reported, if there was a flow to affect; what must be survived
    /// ended no session.
    fn check_report(&self, trace: &Trace) {
        let events = trace.events();
        let errors = events
            .iter()
            .filter(|event| matches!(event.what, EventKind::SessionError { .. }))
            .count();
        let injected = events.iter().position(|event| match event.what {
            EventKind::Fault(kind) => {
                kind.breaks_network() && kind.class(self.link.repairs()) == FaultClass::MustReport
            }
            _ => false,
        });
        let Some(injected) = injected else {
            assert_eq!(errors, 0, "{self:?}: a session ended by an error");
            return;
        };
        // All flows ended as planned, or by another fault, before the envelope was missed.
        let all_planned = self.source.plan(&self.config(), 4).iter().all(|plan| {
            trace.of_flow(plan.flow).any(|event| end(&event.what) == Some(self.planned(plan.end)))
        });
        let all_broken = injections(trace).any(|(_, kind)| {
            matches!(kind, FaultKind::Reset | FaultKind::Cancel | FaultKind::Crash)
        });
        let is_harmless = all_planned || all_broken;
        assert!(errors == 1 || is_harmless, "{self:?}: not reported, {:?}", events[injected]);
    }
}

fn injections(trace: &Trace) -> impl Iterator<Item = (&Event, FaultKind)> {
    trace.events().iter().filter_map(|event| match event.what {
        EventKind::Fault(kind) => Some((event, kind)),
        _ => None,
    })
}

fn end(what: &EventKind) -> Option<FlowState> {
    match what {
        EventKind::Moved { state } if state.is_over() => Some(*state),
        _ => None,
    }
}

fn sunk(flow: FlowId, trace: &Trace) -> u64 {
    let bytes = |what: &EventKind| match what {
        EventKind::Out { place: Stage::Egress, bytes, .. } => *bytes,
        _ => 0,
    };
    trace.of_flow(flow).map(|event| bytes(&event.what)).sum()
}

fn is_wrong(what: &EventKind) -> bool {
    matches!(
        what,
        EventKind::OutBeyondRoom { .. }
            | EventKind::OutOnNoFlow { .. }
            | EventKind::OtherByte { .. }
            | EventKind::OutOfPlace { .. }
            | EventKind::Illegal { .. }
            | EventKind::Left { .. }
            | EventKind::Waits { .. }
            | EventKind::SessionKeeps { .. }
            | EventKind::OutOfSteps
            | EventKind::Stuck { .. }
    )
}

fn check(pair: &Healthy, case: &Case) -> Trace {
    let trace = case.run(pair, &mut Choices::seeded(case.seed));
    case.check(&trace);
    trace
}

/// Each kind with everything else: it is injected, and causes nothing that it may not.
#[test]
fn every_kind_alone() {
    let mut injected = BTreeMap::new();
    let mut number = 0_u64;
    for kind in FaultKind::ALL {
        for link in Link::ALL {
            for (source, behaviour) in pairs() {
                number += 1;
                // The number of pairs is divided by neither: each comes with some links.
                let every = or_long(5, 1) * if source.is_long() { 13 } else { 1 };
                if !number.is_multiple_of(every) {
                    continue;
                }
                let budget = 1 + (number % 3) as u32;
                let faults = FaultPlan::new(FaultKinds::only(kind), budget, Tick(200));
                let case = Case { seed: number, link, source, behaviour, faults };
                let trace = check(&HEALTHY[0], &case);
                *injected.entry(kind).or_insert(0) += injections(&trace).count();
            }
        }
    }
    assert!(FaultKind::ALL.iter().all(|kind| injected[kind] >= or_long(20, 100)), "{injected:?}");
}

/// Several kinds at once, half of them drawn by the seed, against each pair of adapters.
#[test]
fn a_swarm_of_kinds() {
    for (number, (source, behaviour)) in pairs().enumerate() {
        for (at, pair) in HEALTHY.iter().enumerate() {
            // In the short form two of them, others each time.
            let is_tried =
                |link: &Link| (number + at + *link as usize).is_multiple_of(or_long(4, 1));
            for link in Link::ALL.into_iter().filter(is_tried) {
                let seed = (number * 100 + at * 10) as u64;
                let mut drawn = Choices::seeded(seed + link as u64);
                let kinds = FaultKinds::ALL.iter().filter(|_| drawn.below(2) == 0);
                let kinds = kinds.fold(FaultKinds::NONE, FaultKinds::with);
                let faults = FaultPlan::new(kinds, 10, Tick(500));
                check(pair, &Case { seed, link, source, behaviour, faults });
            }
        }
    }
}

/// A reset and a cancellation come in each state that a flow has before it is over.
#[test]
fn flows_are_broken_off_at_every_point() {
    let all = [
        FlowState::New,
        FlowState::Opening,
        FlowState::Open,
        FlowState::HalfClosed,
        FlowState::Draining,
    ];
    for (kind, first) in [(FaultKind::Cancel, 0), (FaultKind::Reset, 1)] {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..or_long(100, 300) {
            for behaviour in [Behaviour::Echo, Behaviour::DripResponse] {
                for source in [Source::LateOpen, Source::SlowDrip] {
                    let plan = FaultPlan::new(FaultKinds::only(kind), 1, Tick(200));
                    let faults = FaultPlan { from: Tick(2 * (seed % 20)), ..plan };
                    let link = Link::Datagram;
                    let case = Case { seed, link, source, behaviour, faults };
                    let trace = check(&HEALTHY[0], &case);
                    for (at, event) in trace.events().iter().enumerate() {
                        if event.what == EventKind::Fault(kind) {
                            let before = trace.events()[..at].iter().rev();
                            let mut of_flow = before.filter(|before| before.flow == event.flow);
                            let state = of_flow.find_map(|before| match before.what {
                                EventKind::Moved { state } => Some(state),
                                _ => None,
                            });
                            seen.insert(state.unwrap_or_default());
                        }
                    }
                }
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), &all[first..], "{kind:?}");
    }
}

/// Behind a crash flows open and end as planned, with the adapter that was made.
#[test]
fn what_opens_behind_a_crash_ends_as_planned() {
    let (mut failed, mut closed) = (0, 0);
    for seed in 0..or_long(50, 200) {
        for pair in HEALTHY {
            let faults = FaultPlan::new(FaultKinds::only(FaultKind::Crash), 1, Tick(200));
            let (link, source) = (Link::Stream, Source::LateOpen);
            let case = Case { seed, link, source, behaviour: Behaviour::Echo, faults };
            let trace = check(pair, &case);
            let Some(crash) = trace
                .events()
                .iter()
                .position(|event| event.what == EventKind::Fault(FaultKind::Crash))
            else {
                continue;
            };
            for plan in source.plan(&case.config(), 4) {
                let of_flow = |events: &[Event], what: fn(&EventKind) -> bool| {
                    events.iter().any(|event| event.flow == plan.flow && what(&event.what))
                };
                let (before, behind) = trace.events().split_at(crash);
                let opened = |what: &EventKind| {
                    matches!(what, EventKind::Moved { state: FlowState::Opening })
                };
                let was_over = of_flow(before, |what| end(what).is_some());
                if of_flow(before, opened) && !was_over {
                    assert!(of_flow(behind, |what| end(what) == Some(FlowState::Failed)));
                    // Only the adapter that still knows it is called.
                    let called = |place| {
                        behind.iter().any(|event| {
                            let EventKind::Called { place: at, .. } = event.what else {
                                return false;
                            };
                            event.flow == plan.flow && at == place
                        })
                    };
                    assert_ne!(called(Stage::Ingress), called(Stage::Egress), "{case:?}");
                    failed += 1;
                } else if of_flow(behind, opened) {
                    assert!(of_flow(behind, |what| end(what) == Some(FlowState::Closed)));
                    closed += 1;
                }
            }
        }
    }
    assert!(failed > or_long(50, 100) && closed > or_long(50, 100), "{failed} {closed}");
}

#[test]
fn a_seed_is_a_run_and_a_recording_repeats_it() {
    for (number, (source, behaviour)) in pairs().enumerate() {
        let link = Link::ALL[number % 8];
        let faults = FaultPlan::new(FaultKinds::ALL, 6, Tick(300));
        let case = Case { seed: number as u64, link, source, behaviour, faults };
        let mut choices = Choices::seeded(case.seed).recording();
        let trace = case.run(&HEALTHY[0], &mut choices);
        let again = case.run(&HEALTHY[0], &mut Choices::seeded(case.seed));
        assert_eq!(trace.hash(), again.hash(), "{case:?}");
        let mut recorded = Choices::replayed(choices.into_recording());
        assert_eq!(trace.hash(), case.run(&HEALTHY[0], &mut recorded).hash(), "{case:?}");
    }
}

/// The choice 0 is no fault; the run is reported as cleared nevertheless, because faults were
/// possible.
#[test]
fn zeros_are_a_run_without_faults() {
    for kind in FaultKind::ALL {
        let faults = FaultPlan::new(FaultKinds::only(kind), 6, Tick(300));
        let (source, behaviour) = (Source::MixedFlow, Behaviour::Echo);
        let case = Case { seed: 1, link: Link::Message, source, behaviour, faults };
        let trace = case.run(&HEALTHY[0], &mut Choices::replayed(Vec::new()));
        case.check(&trace);
        assert_eq!(injections(&trace).count(), 0, "{kind:?}");
        let cleared = |event: &&Event| event.what == EventKind::FaultsCleared;
        assert_eq!(trace.events().iter().filter(cleared).count(), 1, "{kind:?}");
    }
}

/// While the sink takes little, it takes a little in each tick, and no more.
#[test]
fn a_slow_sink_takes_a_little_in_each_tick() {
    let mut most_ticks = 0;
    for seed in 0..40 {
        let kind = FaultKind::SlowConsumer;
        let faults = FaultPlan::new(FaultKinds::only(kind), 1, Tick(200));
        let (source, behaviour) = (Source::LargeObject, Behaviour::Echo);
        let case = Case { seed, link: Link::Message, source, behaviour, faults };
        let trace = check(&HEALTHY[0], &case);
        let mut sunk = BTreeMap::new();
        let is_slow = |event: &&Event| event.what != EventKind::FaultsCleared;
        let events = trace.events().iter().skip_while(|event| event.what != EventKind::Fault(kind));
        for event in events.take_while(is_slow) {
            if let EventKind::Out { place: Stage::Egress, bytes, .. } = event.what {
                *sunk.entry(event.tick).or_insert(0) += bytes;
            }
        }
        assert!(sunk.values().all(|bytes| *bytes < 512), "{sunk:?}");
        most_ticks = most_ticks.max(sunk.len());
    }
    assert!(most_ticks >= 5, "{most_ticks}");
}

/// While the sink takes nothing of a flow it takes of all others, until they have ended; then it does
/// of that one too.
#[test]
fn a_blocked_sink_takes_of_all_flows_but_one() {
    let kind = FaultKind::BlockedConsumer;
    for (seed, link) in (0..).zip(Link::ALL.into_iter().cycle().take(or_long(8, 40))) {
        for pair in HEALTHY {
            let faults = FaultPlan::new(FaultKinds::only(kind), 1, Tick(999));
            let (source, behaviour) = (Source::ElephantAndMice, Behaviour::Echo);
            let case = Case { seed, link, source, behaviour, faults };
            let trace = check(pair, &case);
            let events = trace.events();
            let at = |what| events.iter().position(|event| event.what == what);
            let from = at(EventKind::Fault(kind)).expect("the long flow is blocked");
            let until = at(EventKind::Unblocked).expect("and then it is not");
            let blocked = events[from].flow;
            assert_eq!((blocked, events[until].flow), (FlowId::new(1), blocked));
            let meanwhile = &events[from..until];
            let is_out =
                |event: &&Event| matches!(event.what, EventKind::Out { place: Stage::Egress, .. });
            let mut others: Vec<_> = meanwhile.iter().filter(is_out).map(|it| it.flow).collect();
            others.dedup();
            let ended = meanwhile.iter().filter(|event| end(&event.what).is_some()).count();
            assert_eq!(ended, 3, "{case:?} {}", pair.name);
            assert!(!others.contains(&blocked) && others.len() >= 3, "{case:?} {others:?}");
            // It is woken at once, and the cleared phase is about what follows.
            assert!(events[until].tick < Tick(2000), "{case:?}");
            assert!(at(EventKind::FaultsCleared).is_some_and(|cleared| cleared > until));
        }
    }
}

/// Flows that wait for a number of the blocked flow are not waited for; and a flow that is reset is
/// no longer blocked.
#[test]
fn a_blocked_flow_does_not_hold_up_others_for_ever() {
    let kind = FaultKind::BlockedConsumer;
    let mut injected = 0;
    for seed in 0..or_long(30, 60) {
        for (source, behaviour) in [
            (Source::ManyFlows, Behaviour::Echo),
            (Source::Resetting, Behaviour::Echo),
            (Source::SmallBurst, Behaviour::Echo),
            (Source::SmallBurst, Behaviour::ResetMidstream),
        ] {
            let config = Config { deterministic_seed: seed, max_flows: 3, ..Config::default() };
            let plans = source.plan(&config, 9);
            let faults = FaultPlan::new(FaultKinds::only(kind), 3, Tick(50));
            let (link, window_bytes) = (Link::Stream, 16 << 10);
            let case = replay::Case {
                config: config.clone(),
                plans,
                behaviour,
                window_bytes,
                link,
                faults,
            };
            let mut trace = Trace::new(config.max_events);
            let make = || (HEALTHY[0].make)(LIMITS);
            world::run_with(&case, &make, &mut Choices::seeded(seed), &mut trace);
            let ends = trace.events().iter().filter(|event| end(&event.what).is_some()).count();
            assert_eq!(ends, 9, "{source:?} {seed}");
            let last = trace.events().last().unwrap().tick;
            assert!(last < Tick(BLOCKED_MS_MAX), "{source:?} {seed}: {last:?}");
            injected += injections(&trace).count();
            one_is_blocked_while_others_go_on(trace.events());
        }
    }
    assert!(injected > or_long(50, 100), "{injected}");
}

/// One flow at a time, while there are others: it is free again as soon as it is over, or they are.
fn one_is_blocked_while_others_go_on(events: &[Event]) {
    let mut blocked = None;
    for (at, event) in events.iter().enumerate() {
        match event.what {
            EventKind::Fault(FaultKind::BlockedConsumer) => {
                assert_eq!(blocked.replace((event.flow, at)), None, "two at once");
            }
            EventKind::Unblocked => {
                let (flow, since) = blocked.take().expect("it was blocked");
                assert_eq!(flow, event.flow);
                let meanwhile = &events[since + 1..at];
                let is_own = |it: &Event| it.flow == flow;
                let is_over = meanwhile.iter().any(|it| is_own(it) && end(&it.what).is_some());
                let behind = meanwhile.iter().rev().take_while(|it| !is_own(it)).count();
                // What another task does before it is looked at.
                assert!(if is_over { behind < 5 } else { behind > 0 }, "{flow}: {behind}");
            }
            _ => {}
        }
    }
    assert_eq!(blocked, None, "for ever");
}
