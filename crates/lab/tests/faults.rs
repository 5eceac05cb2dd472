// SPDX-License-Identifier: BSD-3-Clause
//! Faults: healthy adapters survive what must be survived, report what must be reported, and nothing
//! ever hangs or gives a byte that is not the right one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::carrier::Carrier;
use becket_lab::choice::Choices;
use becket_lab::config::Config;
use becket_lab::contract::{FlowId, FlowState, Limits, Tick};
use becket_lab::fault::{CALM_MS, FaultClass, FaultKinds, FaultPlan};
use becket_lab::source::{End, FlowPlan, Source};
use becket_lab::target::Behaviour;
use becket_lab::trace::{FaultKind, Place, Trace, What};
use becket_lab::world::{self, Setup};

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
        let (max_events, max_chunk_bytes) = (1 << 16, 4 << 10);
        let deterministic_seed = self.seed;
        Config { deterministic_seed, max_events, max_chunk_bytes, ..Config::default() }
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
        let is_hit = |kind| {
            let hit = |event: &&becket_lab::trace::Event| event.what == What::Fault(kind);
            trace.of_flow(plan.flow).any(|event| hit(&event))
        };
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
        let struck = |event: &&becket_lab::trace::Event| matches!(event.what, What::Fault(_));
        assert!(!events[calm..].iter().any(|event| struck(&event)), "{self:?}");
        let strikes = events.iter().filter(struck).count();
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
        // All flows ended as planned before the envelope was missed: nobody was there.
        let all_planned = self.source.plan(&self.config(), 4).iter().all(|plan| {
            trace.of_flow(plan.flow).any(|event| end(&event.what) == Some(self.planned(plan.end)))
        });
        assert!(errors == 1 || all_planned, "{self:?}: not reported, {:?}", events[struck]);
    }
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
            for source in Source::ALL {
                for behaviour in Behaviour::ALL {
                    number += 1;
                    let budget = 1 + (number % 3) as u32;
                    let until = Tick(200);
                    let faults = FaultPlan::new(FaultKinds::only(kind), budget, until);
                    let case = Case { seed: number, carrier, source, behaviour, faults };
                    let trace = check(&HEALTHY[0], &case);
                    let is_strike = |what| matches!(what, What::Fault(_));
                    let strikes = trace.events().iter().filter(|event| is_strike(event.what));
                    *struck.entry(kind).or_insert(0) += strikes.count();
                }
            }
        }
    }
    println!("{struck:?}");
    assert!(FaultKind::ALL.iter().all(|kind| struck[kind] >= 100), "{struck:?}");
}
