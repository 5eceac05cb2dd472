// SPDX-License-Identifier: BSD-3-Clause
//! Faults: healthy adapters survive what must be survived, report what must be reported, and nothing
//! ever hangs or gives a byte that is not the right one.

use std::collections::BTreeMap;

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::carrier::Carrier;
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{FlowId, FlowState, Limits, Tick};
use becket_lab::fault::{BLOCKED_MS_MAX, CALM_MS, FaultClass, FaultKinds, FaultPlan};
use becket_lab::source::{End, FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{Event, FaultKind, Place, Trace, What};
use becket_lab::world::{self, Setup};

/// All presets with all targets.
fn pairs() -> impl Iterator<Item = (Source, Behaviour)> {
    Source::ALL.into_iter().flat_map(|source| Behaviour::ALL.map(|behaviour| (source, behaviour)))
}

const LIMITS: Limits =
    Limits { flows_max: 16, buffered_bytes_max: 64 << 10, flow_buffered_bytes_max: 16 << 10 };

#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    carrier: Carrier,
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
        let Self { carrier, behaviour, faults, .. } = *self;
        let window_bytes = 16 << 10;
        let setup = Setup { config: &config, plans, behaviour, window_bytes, carrier, faults };
        let mut trace = Trace::new(config.max_events);
        world::run_with(&setup, &|| (pair.make)(LIMITS), choices, &mut trace);
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
        self.check_calm(trace);
        self.check_report(trace);
    }

    fn check_flow(&self, plan: &FlowPlan, trace: &Trace) {
        let ends: Vec<_> = trace.of_flow(plan.flow).filter_map(|event| end(&event.what)).collect();
        let planned = self.planned(plan.end);
        let [end] = ends[..] else { panic!("{self:?} {}: {ends:?}", plan.flow) };
        let is_hit = |kind| trace.of_flow(plan.flow).any(|event| event.what == What::Fault(kind));
        let has = |what: fn(&What) -> bool| trace.events().iter().any(|event| what(&event.what));
        let crashed = has(|what| *what == What::Fault(FaultKind::Crash));
        let is_over = has(|what| matches!(what, What::SessionError { .. }));
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

    /// When it is calm no fault strikes, and soon everything is over.
    fn check_calm(&self, trace: &Trace) {
        let events = trace.events();
        let calm = events.iter().position(|event| event.what == What::Calm);
        let calm = calm.unwrap_or(events.len());
        let is_strike = |event: &Event| matches!(event.what, What::Fault(_));
        assert!(!events[calm..].iter().any(is_strike), "{self:?}");
        let strikes = strikes(trace).count();
        assert!(strikes <= self.faults.budget as usize, "{self:?}: {strikes} strikes");
        if let Some(calm) = events.get(calm) {
            assert!(events.last().unwrap().tick <= calm.tick.after(CALM_MS), "{self:?}");
        }
    }

    /// What must be reported has been, if somebody was there whom it could hit; what must be survived
    /// has ended no session.
    fn check_report(&self, trace: &Trace) {
        let events = trace.events();
        let errors =
            events.iter().filter(|event| matches!(event.what, What::SessionError { .. })).count();
        let struck = events.iter().position(|event| match event.what {
            What::Fault(kind) => {
                kind.breaks_network()
                    && kind.class(self.carrier.repairs()) == FaultClass::MustReport
            }
            _ => false,
        });
        let Some(struck) = struck else {
            assert_eq!(errors, 0, "{self:?}: a session ended by an error");
            return;
        };
        // All flows ended as planned, or by another fault, before the envelope was missed.
        let all_planned = self.source.plan(&self.config(), 4).iter().all(|plan| {
            trace.of_flow(plan.flow).any(|event| end(&event.what) == Some(self.planned(plan.end)))
        });
        let all_broken = strikes(trace).any(|(_, kind)| {
            matches!(kind, FaultKind::Reset | FaultKind::Cancel | FaultKind::Crash)
        });
        let nobody = all_planned || all_broken;
        assert!(errors == 1 || nobody, "{self:?}: not reported, {:?}", events[struck]);
    }
}

fn strikes(trace: &Trace) -> impl Iterator<Item = (&Event, FaultKind)> {
    trace.events().iter().filter_map(|event| match event.what {
        What::Fault(kind) => Some((event, kind)),
        _ => None,
    })
}

fn end(what: &What) -> Option<FlowState> {
    match what {
        What::Moved { state } if state.is_over() => Some(*state),
        _ => None,
    }
}

fn sunk(flow: FlowId, trace: &Trace) -> u64 {
    let bytes = |what: &What| match what {
        What::Out { place: Place::Egress, bytes, .. } => *bytes,
        _ => 0,
    };
    trace.of_flow(flow).map(|event| bytes(&event.what)).sum()
}

fn is_wrong(what: &What) -> bool {
    matches!(
        what,
        What::OutBeyondRoom { .. }
            | What::OutOnNoFlow { .. }
            | What::OtherByte { .. }
            | What::OutOfPlace { .. }
            | What::Illegal { .. }
            | What::Left { .. }
            | What::Waits { .. }
            | What::SessionKeeps { .. }
            | What::OutOfSteps
            | What::Stuck { .. }
    )
}

fn check(pair: &Healthy, case: &Case) -> Trace {
    let trace = case.run(pair, &mut Choices::seeded(case.seed));
    case.check(&trace);
    trace
}

/// Each kind with everything else: it strikes, and nothing comes of it that may not.
#[test]
fn every_kind_alone() {
    let mut struck = BTreeMap::new();
    let mut number = 0_u64;
    for kind in FaultKind::ALL {
        for carrier in Carrier::ALL {
            for (source, behaviour) in pairs() {
                number += 1;
                if source.is_long() && !number.is_multiple_of(13) {
                    continue;
                }
                let budget = 1 + (number % 3) as u32;
                let faults = FaultPlan::new(FaultKinds::only(kind), budget, Tick(200));
                let case = Case { seed: number, carrier, source, behaviour, faults };
                let trace = check(&HEALTHY[0], &case);
                *struck.entry(kind).or_insert(0) += strikes(&trace).count();
            }
        }
    }
    assert!(FaultKind::ALL.iter().all(|kind| struck[kind] >= 100), "{struck:?}");
}

/// Several kinds at once, half of them drawn by the seed, against each pair of adapters.
#[test]
fn a_swarm_of_kinds() {
    for (number, (source, behaviour)) in pairs().enumerate() {
        for (at, pair) in HEALTHY.iter().enumerate() {
            for carrier in Carrier::ALL {
                let seed = (number * 100 + at * 10) as u64;
                let mut drawn = Choices::seeded(seed + carrier as u64);
                let kinds = FaultKinds::ALL.iter().filter(|_| drawn.below(2) == 0);
                let kinds = kinds.fold(FaultKinds::NONE, FaultKinds::with);
                let faults = FaultPlan::new(kinds, 10, Tick(500));
                check(pair, &Case { seed, carrier, source, behaviour, faults });
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
        for seed in 0..300 {
            for behaviour in [Behaviour::Echo, Behaviour::DripResponse] {
                for source in [Source::LateOpen, Source::SlowDrip] {
                    let plan = FaultPlan::new(FaultKinds::only(kind), 1, Tick(200));
                    let faults = FaultPlan { from: Tick(2 * (seed % 20)), ..plan };
                    let carrier = Carrier::Datagram;
                    let case = Case { seed, carrier, source, behaviour, faults };
                    let trace = check(&HEALTHY[0], &case);
                    for (at, event) in trace.events().iter().enumerate() {
                        if event.what == What::Fault(kind) {
                            let before = trace.events()[..at].iter().rev();
                            let mut of_flow = before.filter(|before| before.flow == event.flow);
                            let state = of_flow.find_map(|before| match before.what {
                                What::Moved { state } => Some(state),
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
    for seed in 0..200 {
        for pair in HEALTHY {
            let faults = FaultPlan::new(FaultKinds::only(FaultKind::Crash), 1, Tick(200));
            let (carrier, source) = (Carrier::Stream, Source::LateOpen);
            let case = Case { seed, carrier, source, behaviour: Behaviour::Echo, faults };
            let trace = check(pair, &case);
            let Some(crash) =
                trace.events().iter().position(|event| event.what == What::Fault(FaultKind::Crash))
            else {
                continue;
            };
            for plan in source.plan(&case.config(), 4) {
                let of_flow = |events: &[Event], what: fn(&What) -> bool| {
                    events.iter().any(|event| event.flow == plan.flow && what(&event.what))
                };
                let (before, behind) = trace.events().split_at(crash);
                let opened =
                    |what: &What| matches!(what, What::Moved { state: FlowState::Opening });
                let was_over = of_flow(before, |what| end(what).is_some());
                if of_flow(before, opened) && !was_over {
                    assert!(of_flow(behind, |what| end(what) == Some(FlowState::Failed)));
                    // Only the adapter that still knows it is told.
                    let told = |place| {
                        behind.iter().any(|event| {
                            let What::Called { place: at, .. } = event.what else { return false };
                            event.flow == plan.flow && at == place
                        })
                    };
                    assert_ne!(told(Place::Ingress), told(Place::Egress), "{case:?}");
                    failed += 1;
                } else if of_flow(behind, opened) {
                    assert!(of_flow(behind, |what| end(what) == Some(FlowState::Closed)));
                    closed += 1;
                }
            }
        }
    }
    assert!(failed > 100 && closed > 100, "{failed} {closed}");
}

#[test]
fn a_seed_is_a_run_and_a_recording_repeats_it() {
    for (number, (source, behaviour)) in pairs().enumerate() {
        let carrier = Carrier::ALL[number % 8];
        let faults = FaultPlan::new(FaultKinds::ALL, 6, Tick(300));
        let case = Case { seed: number as u64, carrier, source, behaviour, faults };
        let mut choices = Choices::seeded(case.seed).recording();
        let trace = case.run(&HEALTHY[0], &mut choices);
        let again = case.run(&HEALTHY[0], &mut Choices::seeded(case.seed));
        assert_eq!(trace.hash(), again.hash(), "{case:?}");
        let mut recorded = Choices::replayed(choices.into_recording());
        assert_eq!(trace.hash(), case.run(&HEALTHY[0], &mut recorded).hash(), "{case:?}");
    }
}

/// The choice 0 is no fault; the run is said to be calm all the same, for faults could have struck.
#[test]
fn zeros_are_a_run_without_faults() {
    for kind in FaultKind::ALL {
        let faults = FaultPlan::new(FaultKinds::only(kind), 6, Tick(300));
        let (source, behaviour) = (Source::MixedFlow, Behaviour::Echo);
        let case = Case { seed: 1, carrier: Carrier::Message, source, behaviour, faults };
        let trace = case.run(&HEALTHY[0], &mut Choices::replayed(Vec::new()));
        case.check(&trace);
        assert_eq!(strikes(&trace).count(), 0, "{kind:?}");
        let calm = |event: &&Event| event.what == What::Calm;
        assert_eq!(trace.events().iter().filter(calm).count(), 1, "{kind:?}");
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
        let case = Case { seed, carrier: Carrier::Message, source, behaviour, faults };
        let trace = check(&HEALTHY[0], &case);
        let mut sunk = BTreeMap::new();
        let is_slow = |event: &&Event| event.what != What::Calm;
        let events = trace.events().iter().skip_while(|event| event.what != What::Fault(kind));
        for event in events.take_while(is_slow) {
            if let What::Out { place: Place::Egress, bytes, .. } = event.what {
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
    for (seed, carrier) in (0..).zip(Carrier::ALL.into_iter().cycle().take(40)) {
        for pair in HEALTHY {
            let faults = FaultPlan::new(FaultKinds::only(kind), 1, Tick(999));
            let (source, behaviour) = (Source::ElephantAndMice, Behaviour::Echo);
            let case = Case { seed, carrier, source, behaviour, faults };
            let trace = check(pair, &case);
            let events = trace.events();
            let at = |what| events.iter().position(|event| event.what == what);
            let from = at(What::Fault(kind)).expect("the long flow is blocked");
            let until = at(What::Unblocked).expect("and then it is not");
            let blocked = events[from].flow;
            assert_eq!((blocked, events[until].flow), (FlowId::new(1), blocked));
            let meanwhile = &events[from..until];
            let is_out =
                |event: &&Event| matches!(event.what, What::Out { place: Place::Egress, .. });
            let mut others: Vec<_> = meanwhile.iter().filter(is_out).map(|it| it.flow).collect();
            others.dedup();
            let ended = meanwhile.iter().filter(|event| end(&event.what).is_some()).count();
            assert_eq!(ended, 3, "{case:?} {}", pair.name);
            assert!(!others.contains(&blocked) && others.len() >= 3, "{case:?} {others:?}");
            // It is woken at once, and the calm phase is about what comes then.
            assert!(events[until].tick < Tick(2000), "{case:?}");
            assert!(at(What::Calm).is_some_and(|calm| calm > until));
        }
    }
}

/// Flows that wait for a number that the blocked flow has are not waited for; and one that is broken off
/// is not blocked any more.
#[test]
fn a_blocked_flow_holds_up_nobody_for_ever() {
    let kind = FaultKind::BlockedConsumer;
    let mut struck = 0;
    for seed in 0..60 {
        for (source, behaviour) in [
            (Source::ManyFlows, Behaviour::Echo),
            (Source::Resetting, Behaviour::Echo),
            (Source::SmallBurst, Behaviour::Echo),
            (Source::SmallBurst, Behaviour::ResetMidstream),
        ] {
            let config = Config { deterministic_seed: seed, max_flows: 3, ..Config::default() };
            let plans = source.plan(&config, 9);
            let faults = FaultPlan::new(FaultKinds::only(kind), 3, Tick(50));
            let (carrier, window_bytes) = (Carrier::Stream, 16 << 10);
            let setup = Setup { config: &config, plans, behaviour, window_bytes, carrier, faults };
            let mut trace = Trace::new(config.max_events);
            let make = || (HEALTHY[0].make)(LIMITS);
            world::run_with(&setup, &make, &mut Choices::seeded(seed), &mut trace);
            let ends = trace.events().iter().filter(|event| end(&event.what).is_some()).count();
            assert_eq!(ends, 9, "{source:?} {seed}");
            let last = trace.events().last().unwrap().tick;
            assert!(last < Tick(BLOCKED_MS_MAX), "{source:?} {seed}: {last:?}");
            struck += strikes(&trace).count();
            one_is_blocked_while_others_go_on(trace.events());
        }
    }
    assert!(struck > 100, "{struck}");
}

/// One flow at a time, while there are others: it is free again as soon as it is over, or they are.
fn one_is_blocked_while_others_go_on(events: &[Event]) {
    let mut blocked = None;
    for (at, event) in events.iter().enumerate() {
        match event.what {
            What::Fault(FaultKind::BlockedConsumer) => {
                assert_eq!(blocked.replace((event.flow, at)), None, "two at once");
            }
            What::Unblocked => {
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
