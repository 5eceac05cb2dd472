// SPDX-License-Identifier: BSD-3-Clause
//! Many small runs, guided by what they reach.
//!
//! ```text
//!   drawn anew, or a kept run with something changed ──► run, examined ──► the first that fails is the run
//!             ▲                                             │
//!             └──── kept, if it reached a state that none before it did
//! ```
//!
//! Defects that need two events to meet are rarely hit by chance: a direction ends while its sink
//! has no room, and at the same tick another flow is reset. So runs are small and their buffers
//! tight, two kinds of faults are placed at one tick on purpose, and a run that reached a new state
//! is a starting point for others, as in greybox fuzzing (Zalewski's AFL, 2013; Böhme, Pham and
//! Roychoudhury, 2016).
//!
//! A state is, at each event of a flow:
//!
//! | part | is |
//! |---|---|
//! | flow | the state of its lifecycle |
//! | phase | which of its directions have ended, at the ingress adapter and at the sink; an answer has begun |
//! | pressure | an offer of its source was refused; one of another flow's source was |
//! | pair | the faults and ends of other flows at the same tick, two at most |
//!
//! # Invariants
//!
//! 1. The seed of the case decides all runs, independent of threads and time.
//! 2. A run that is found consists of its plan and its answers. So its file, its shrinking and its
//!    replay work as for every other run.

use std::collections::BTreeSet;

use super::Make;
use super::case::{Answers, Case, claims};
use crate::adapters::caught;
use crate::choice::{Choices, Random};
use crate::config::Config;
use crate::contract::{Class, FlowId, FlowState, Limits, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::replay;
use crate::rules::{Examined, Examiner, RuleSets, Verdict};
use crate::source::{End, FlowPlan, Planned};
use crate::target::Behaviour;
use crate::trace::{EventKind, FaultKind, OutletEvent, Stage, Trace};
use crate::world;

/// Runs per profile.
pub(super) const RUNS: u32 = 320;
/// Runs per profile for slow adapters.
pub(super) const RUNS_SLOW: u32 = 8;
/// Maximum number of runs that are kept as starting points.
const KEPT_MAX: usize = 64;
/// The name of this module's random numbers among those of a seed.
const GUIDED: u64 = 0x6775_6964_6564;
/// Maximum number of events. Most runs take some hundred; a long response through a buffer of a few
/// bytes takes many thousand.
const EVENTS_MAX: u32 = 1 << 18;
/// Faults are injected within the first ticks, up to this one.
const TICKS: u32 = 8;

/// Faults that are combined in pairs.
const KINDS: [FaultKind; 12] = [
    FaultKind::Reset,
    FaultKind::HalfClose,
    FaultKind::Cancel,
    FaultKind::Crash,
    FaultKind::PartialWrite,
    FaultKind::WouldBlock,
    FaultKind::PartialRead,
    FaultKind::SpuriousWake,
    FaultKind::BufferShrink,
    FaultKind::SlowConsumer,
    FaultKind::BlockedConsumer,
    FaultKind::ClockJump,
];

const BEHAVIOURS: [Behaviour; 6] = [
    Behaviour::Echo,
    Behaviour::Echo,
    Behaviour::Discard,
    Behaviour::FixedResponse,
    Behaviour::ChunkedResponse,
    Behaviour::ResetMidstream,
];

/// The result of a search.
pub(super) struct Searched {
    /// Over all runs, which rules applied and had occasion.
    pub(super) rule_sets: RuleSets,
    /// The first run that fails.
    pub(super) found: Option<Case>,
    /// Number of states that were reached.
    #[cfg_attr(not(test), allow(dead_code, reason = "what a test counts"))]
    pub(super) states: usize,
}

/// Runs adapters up to `runs` times with the seed of a case, until a run violates a rule that must
/// hold, or panics.
pub(super) fn search(case: &Case, make: Make<'_>, runs: u32, examiner: &mut Examiner) -> Searched {
    let seed = case.run.config.deterministic_seed;
    let mut random = Random::new(seed).fork(GUIDED);
    let (mut reached, mut kept) = (BTreeSet::new(), Vec::<Case>::new());
    let mut searched = Searched { rule_sets: RuleSets::default(), found: None, states: 0 };
    let mut trace = Trace::new(EVENTS_MAX);
    for _ in 0..runs {
        let it = &mut random;
        let parent = match kept.len() as u32 {
            0 => None,
            count if it.below(3) > 0 => kept.get(it.below(count) as usize),
            _ => None,
        };
        let (one, choices) = match parent {
            Some(parent) => child(parent, it),
            None => (drawn(seed, it), Choices::seeded(it.next())),
        };
        let claimed = claims(make, one.limits);
        if claimed.iter().any(|it| (it.limits.flows_max as usize) < one.run.plans.len()) {
            return searched;
        }
        let mut choices = choices.recording();
        trace.clear();
        let factory = || make(one.limits);
        let ran = caught(|| world::run_with(&one.run, &factory, &mut choices, &mut trace));
        let answers = Answers::Kept(choices.recorded().to_vec());
        let rule_sets = match ran {
            Ok(()) => examiner.examine(&Examined::new(&trace, &one.run, claimed.each_ref())),
            Err(_) => RuleSets::default(),
        };
        searched.rule_sets = searched.rule_sets.join(RuleSets { broken: 0, ..rule_sets });
        if ran.is_err() || Verdict::of(&rule_sets).is_failure() {
            searched.found = Some(Case { answers, ..one });
            break;
        }
        let before = reached.len();
        states(&trace, one.run.plans.len(), &mut reached);
        if reached.len() > before && kept.len() < KEPT_MAX {
            kept.push(Case { answers, ..one });
        }
    }
    searched.states = reached.len();
    searched
}

fn one_of<T: Copy, const N: usize>(it: &mut Random, all: [T; N], otherwise: T) -> T {
    all.get(it.below(N as u32) as usize).copied().unwrap_or(otherwise)
}

/// A small run: a few flows, tight buffers, two kinds of faults at one tick.
fn drawn(seed: u64, it: &mut Random) -> Case {
    let chunk = one_of(it, [64, 128, 256, 1024], 256);
    let config = Config {
        deterministic_seed: seed,
        max_flows: 4,
        max_chunk_bytes: chunk,
        max_buffered_bytes: chunk * one_of(it, [1, 2, 8], 2),
        max_events: EVENTS_MAX,
        ..Config::default()
    };
    let flows = 2 + it.below(3);
    let plans: Vec<_> = (1..=flows).map(|number| plan(number, chunk, it)).collect();
    let room = one_of(it, [chunk / 8, chunk / 4, chunk / 2, chunk], chunk);
    let limits = Limits {
        flows_max: flows,
        buffered_bytes_max: room * u64::from(flows),
        flow_buffered_bytes_max: room,
    };
    let run = replay::Case {
        config,
        plans,
        behaviour: one_of(it, BEHAVIOURS, Behaviour::Echo),
        window_bytes: chunk * one_of(it, [1, 1, 2, 4], 1),
        link: if it.below(3) == 0 { one_of(it, Link::ALL, Link::Stream) } else { Link::Stream },
        faults: pair(it),
    };
    Case { run, limits, answers: Answers::PLAINEST }
}

fn plan(number: u32, chunk: u64, it: &mut Random) -> FlowPlan {
    let opens_at = if it.below(2) == 0 { 0 } else { u64::from(it.below(4)) };
    let every = u64::from(it.below(3));
    let chunks = (0..1 + u64::from(it.below(5))).map(|at| {
        let bytes = one_of(it, [1, 17, chunk / 2, chunk, chunk], chunk);
        Planned { at: Tick(opens_at + every * at), bytes }
    });
    let chunks = chunks.collect();
    let end = one_of(
        it,
        [End::Final, End::Final, End::HalfClose, End::HalfClose, End::Reset],
        End::Final,
    );
    let class = one_of(it, [Class::Normal, Class::Interactive, Class::Bulk], Class::Normal);
    FlowPlan { flow: FlowId::new(number), class, opens_at: Tick(opens_at), chunks, end }
}

/// No faults, or two kinds that are injected at one tick or shortly before it.
fn pair(it: &mut Random) -> FaultPlan {
    if it.below(4) == 0 {
        return FaultPlan::NONE;
    }
    let kinds = FaultKinds::only(one_of(it, KINDS, FaultKind::Reset));
    let kinds = kinds.with(one_of(it, KINDS, FaultKind::HalfClose));
    let until = it.below(TICKS);
    let from = if it.below(2) == 0 { until } else { it.below(until + 1) };
    FaultPlan {
        from: Tick(from.into()),
        ..FaultPlan::new(kinds, 2 + it.below(2), Tick(until.into()))
    }
}

/// A kept run with one change: other faults, another end, another length, or other answers.
fn child(parent: &Case, it: &mut Random) -> (Case, Choices) {
    let mut one = parent.clone();
    let Answers::Kept(mut answers) = one.answers.clone() else {
        return (one, Choices::seeded(it.next()));
    };
    let flows = one.run.plans.len().max(1) as u32;
    let chosen = one.run.plans.get_mut(it.below(flows) as usize);
    match (it.below(6), chosen) {
        (0, _) => one.run.faults = pair(it),
        (1, Some(plan)) => {
            plan.end = one_of(it, [End::Final, End::HalfClose, End::Reset], End::Final);
        }
        (2, Some(plan)) => {
            let longest = one.run.config.max_chunk_bytes;
            let last = plan.chunks.last().copied().unwrap_or(Planned { at: Tick(0), bytes: 1 });
            plan.chunks.push(Planned { bytes: 1 + u64::from(it.below(longest as u32)), ..last });
        }
        (3, _) => return (one, Choices::seeded(it.next())),
        _ => {
            for _ in 0..1 + it.below(4) {
                let at = it.below(answers.len().max(1) as u32) as usize;
                if let Some(answer) = answers.get_mut(at) {
                    *answer = it.below(1 << 10);
                }
            }
        }
    }
    (one, Choices::replayed(answers))
}

/// The state of a flow, as its events show it.
#[derive(Debug, Clone, Copy)]
struct Known {
    state: FlowState,
    ended: [bool; 2],
    has_answer: bool,
    is_stalled: bool,
}

/// Adds the states that a run reached.
fn states(trace: &Trace, flows: usize, reached: &mut BTreeSet<u64>) {
    let new =
        Known { state: FlowState::New, ended: [false; 2], has_answer: false, is_stalled: false };
    let mut all = vec![new; flows];
    let (mut tick, mut pair) = (Tick(0), [0_u64; 2]);
    for event in trace.events() {
        if event.tick != tick {
            (tick, pair) = (event.tick, [0; 2]);
        }
        let at = (event.flow.number() as usize).wrapping_sub(1);
        let meets = match event.what {
            EventKind::Fault(kind) => 1 + kind as u64,
            EventKind::Signalled { said: OutletEvent::Reset | OutletEvent::Failed, .. } => 32,
            EventKind::Signalled { said: OutletEvent::HalfClosed, place: Stage::Ingress } => 33,
            EventKind::StreamOver { is_reset, .. } => 34 + u64::from(is_reset),
            _ => 0,
        };
        if meets != 0 && !pair.contains(&meets) {
            let [_, last] = pair;
            pair = [last, meets];
        }
        let Some(known) = all.get_mut(at) else { continue };
        match event.what {
            EventKind::Moved { state } => known.state = state,
            EventKind::Signalled { said: OutletEvent::HalfClosed | OutletEvent::Closed, place } => {
                if let Some(ended) = known.ended.get_mut(place as usize) {
                    *ended = true;
                }
            }
            EventKind::Answered { .. } => known.has_answer = true,
            EventKind::Stalled => known.is_stalled = true,
            EventKind::Resumed => known.is_stalled = false,
            _ if meets == 0 => continue,
            _ => {}
        }
        let Known { state, ended: [request, answer], has_answer, is_stalled } = *known;
        let others = all.iter().enumerate().any(|(other, it)| other != at && it.is_stalled);
        let flags = [request, answer, has_answer, is_stalled, others];
        let flags = flags.into_iter().fold(0, |flags, flag| flags << 1 | u64::from(flag));
        let [one, other] = pair;
        let (first, second) = (one.min(other), one.max(other));
        reached.insert(((state as u64) << 24) | (first << 16) | (second << 8) | flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{HEALTHY, MemoryEgressAdapter, MemoryIngressAdapter, Pair};
    use crate::check::case_of;
    use crate::contract::{
        Adapter, Cause, Chunk, Context, Descriptor, Done, IngressAdapter, Manifest, Outlet, Took,
    };
    use crate::scenario::{self, Profile};

    fn base(seed: u64) -> Case {
        let scenario = scenario::of_name("swarm").unwrap();
        (0..)
            .find_map(|at| case_of(&HEALTHY[0].make, &Profile::draw(seed + at), scenario).ok())
            .unwrap()
    }

    #[test]
    fn healthy_adapters_fail_none_of_them() {
        let examiner = &mut Examiner::new();
        for healthy in HEALTHY {
            for seed in 0..8 {
                let searched = search(&base(seed), &healthy.make, RUNS, examiner);
                let found = searched.found.map(|case| {
                    let seen = case.examine(&healthy.make, None, super::super::Deep::ALL, examiner);
                    (case, seen.findings)
                });
                assert!(found.is_none(), "{} {seed}: {found:#?}", healthy.name);
                assert!(searched.states > 200, "{} {seed}: {}", healthy.name, searched.states);
            }
        }
    }

    /// If a direction ends while bytes wait in the adapter, it ends at the next poll; if another
    /// flow is reset before that, it never does.
    struct Forgets {
        inner: MemoryIngressAdapter,
        ending: Vec<FlowId>,
    }

    impl Forgets {
        fn end(&mut self, cx: &mut Context<'_>) {
            for flow in self.ending.drain(..) {
                let _over = self.inner.half_close(cx, flow);
            }
        }
    }

    impl Adapter for Forgets {
        fn manifest(&self) -> Manifest {
            self.inner.manifest()
        }

        fn open(&mut self, cx: &mut Context<'_>, flow: FlowId, descriptor: &Descriptor) -> Done {
            self.inner.open(cx, flow, descriptor)
        }

        fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
            if self.inner.buffered_bytes() == 0 {
                return self.inner.half_close(cx, flow);
            }
            self.ending.push(flow);
            cx.wants_poll();
            Ok(())
        }

        fn reset(&mut self, cx: &mut Context<'_>, flow: FlowId, cause: Cause) -> Done {
            self.ending.clear();
            self.inner.reset(cx, flow, cause)
        }

        fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Done {
            self.ending.retain(|other| *other != flow);
            self.inner.close(cx, flow)
        }

        fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
            self.end(cx);
            self.inner.poll(cx, outlet);
        }

        fn deadline(&self) -> Option<Tick> {
            self.inner.deadline()
        }

        fn buffered_bytes(&self) -> u64 {
            self.inner.buffered_bytes()
        }

        fn summary(&self) -> String {
            self.inner.summary()
        }
    }

    impl IngressAdapter for Forgets {
        fn offer(&mut self, cx: &mut Context<'_>, chunk: &Chunk, bytes: &[u8]) -> Took {
            self.inner.offer(cx, chunk, bytes)
        }
    }

    fn forgets(limits: Limits) -> Pair {
        let inner = MemoryIngressAdapter::new(limits);
        let ingress = Forgets { inner, ending: Vec::new() };
        (Box::new(ingress), Box::new(MemoryEgressAdapter::new(limits)))
    }

    /// The profiles of a full check find it, and it is shrunk.
    #[test]
    fn an_end_under_backpressure_that_meets_a_reset_is_found() {
        let examiner = &mut Examiner::new();
        let found = (1..=20).find_map(|seed| search(&base(seed), &forgets, RUNS, examiner).found);
        let case = found.expect("it is found");
        let seen = case.examine(&forgets, None, super::super::Deep::ALL, examiner);
        let Answers::Kept(recording) = &case.answers else { panic!("it was recorded") };
        let replay = replay::Replay {
            adapter: "forgets".into(),
            limits: case.limits,
            scenario: "swarm".into(),
            profile: "1".into(),
            case: case.run.clone(),
            recording: recording.clone(),
            expected: replay::Expected {
                rule: seen.findings.first().map(|it| it.rule.into()),
                trace: seen.hash,
            },
        };
        let small = crate::check::smaller(&forgets, &replay, 1000, |_| ()).expect("it fails");
        let inputs = crate::report::Inputs::of(&small.0.case, &small.0.recording);
        assert!(inputs.sum() <= 12, "{inputs:?}: {:?}", small.0.case);
    }

    #[test]
    fn a_search_is_its_seeds() {
        let examiner = &mut Examiner::new();
        let mut states = |seed| search(&base(seed), &HEALTHY[1].make, 60, examiner).states;
        assert_eq!(states(7), states(7));
        assert_ne!(states(7), states(90));
    }
}
