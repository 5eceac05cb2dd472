// SPDX-License-Identifier: BSD-3-Clause
//! One run of a check: made, repeated, with each flow alone, listened to, and examined. Drawn from a
//! seed, or kept in a replay.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Make, own};
use crate::adapters::{Said, listen, of_adapter};
use crate::adversary::Features;
use crate::bridge::crashes;
use crate::choice::{Choices, Scheduler};
use crate::contract::{FlowId, Hidden, Limits, Manifest};
use crate::hygiene::{Canary, Carried, Search, Text, TextKind};
use crate::pattern::{self, Direction, Pattern};
use crate::replay::{self, Replay};
use crate::rules::{Examined, Examiner, Family, Finding, Marks, Parting, Rule};
use crate::saboteur::Witness;
use crate::source::{End, FlowPlan, GAP_BYTES, STRAY_BYTES};
use crate::trace::{Place, Trace, TraceHash, What};
use crate::world;

/// Bytes at the start of what one flow carries that are a canary too, which is looked for also in
/// texts that nobody has at hand yet.
const CANARY_BYTES_MAX: u64 = 64;
/// Of a run of more flows so many are run alone: the first.
const ALONE_FLOWS_MAX: usize = 64;
/// Events of a run that are shown, for what is shown to be searched.
const SHOWN_EVENTS_MAX: usize = 2048;

/// What a run is made of, but for the adapters.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) run: replay::Case,
    pub(crate) limits: Limits,
    pub(crate) answers: Answers,
}

/// Where the answers of a run come from.
#[derive(Debug, Clone)]
pub(crate) enum Answers {
    /// From its seed; who goes next is decided by this.
    Drawn(Scheduler),
    /// They were recorded. A flow alone, which is another run, has the plainest ones.
    Kept(Vec<u32>),
}

impl Answers {
    /// The plainest.
    pub(super) const PLAINEST: Self = Self::Kept(Vec::new());
}

/// How much is looked at, besides the trace of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deep {
    /// The same run once more.
    again: bool,
    /// Each flow alone.
    alone: bool,
    /// What is said.
    texts: bool,
}

impl Deep {
    /// Everything.
    pub(crate) const ALL: Self = Self { again: true, alone: true, texts: true };

    /// What is said, and nothing that takes another run.
    const TEXTS: Self = Self { again: false, alone: false, texts: true };

    /// The trace alone.
    pub(super) const NOTHING: Self = Self { again: false, alone: false, texts: false };

    /// What it takes to see that a rule is broken.
    pub(crate) const fn for_rule(rule: &Rule) -> Self {
        Self {
            again: matches!(rule.family, Family::Determinism),
            alone: matches!(rule.family, Family::Isolation),
            texts: matches!(rule.family, Family::Hygiene),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) trace: Trace,
    /// What it asked.
    pub(crate) asked: u64,
    pub(crate) hash: TraceHash,
    pub(crate) marks: Marks,
    pub(crate) findings: Vec<Finding>,
    pub(crate) features: Features,
    /// What is wrong with the lab.
    pub(crate) problem: Option<&'static str>,
}

impl Case {
    /// A saboteur's.
    pub(crate) fn of_witness(witness: &Witness) -> Self {
        let config = witness.config();
        Self {
            run: replay::Case::from(&witness.setup(&config)),
            limits: witness.limits,
            answers: Answers::Drawn(Scheduler::Random),
        }
    }

    /// A run that was kept.
    pub(crate) fn of_replay(replay: &Replay) -> Self {
        Self {
            run: replay.case.clone(),
            limits: replay.limits,
            answers: Answers::Kept(replay.recording.clone()),
        }
    }

    const fn seed(&self) -> u64 {
        self.run.config.deterministic_seed
    }

    fn choices(&self) -> Choices {
        match &self.answers {
            Answers::Drawn(scheduler) => Choices::scheduled(self.seed(), *scheduler),
            Answers::Kept(answers) => Choices::replayed(answers.clone()),
        }
    }

    fn trace(&self, make: Make<'_>, said: &Rc<RefCell<Said>>) -> (Trace, u64) {
        let mut trace = Trace::new(self.run.config.max_events);
        let mut choices = self.choices();
        let factory = || listen(of_adapter(|| make(self.limits)), said);
        world::run_with(&self.run.setup(), &factory, &mut choices, &mut trace);
        (trace, choices.asked())
    }

    /// Runs it: its trace, and the answers to what it asked. A panic of an adapter ends it.
    pub(crate) fn record(&self, make: Make<'_>) -> (Trace, Vec<u32>) {
        let mut trace = Trace::new(self.run.config.max_events);
        let mut choices = self.choices().recording();
        let factory = || make(self.limits);
        let setup = self.run.setup();
        let run = || world::run_with(&setup, &factory, &mut choices, &mut trace);
        let _is_panic = catch_unwind(AssertUnwindSafe(run)).is_err();
        (trace, choices.into_recording())
    }

    /// The run of one flow alone.
    fn alone(&self, plan: &FlowPlan) -> Self {
        let plans = vec![FlowPlan { flow: FlowId::new(1), ..plan.clone() }];
        let answers = match &self.answers {
            Answers::Drawn(scheduler) => Answers::Drawn(*scheduler),
            Answers::Kept(_) => Answers::Kept(Vec::new()),
        };
        Self { run: replay::Case { plans, ..self.run.clone() }, limits: self.limits, answers }
    }

    /// The runs of its flows, each alone, as far as they are made.
    pub(super) fn each_alone(&self, make: Make<'_>) -> Vec<Trace> {
        let unheard = Rc::default();
        let run = |plan| self.alone(plan).trace(make, &unheard).0;
        self.run.plans.iter().take(ALONE_FLOWS_MAX).map(run).collect()
    }

    /// Runs it, once more, and each flow alone if there is more than one and no fault strikes.
    /// `elsewhere` is the hash of the same run in a fresh process.
    pub(crate) fn examine(
        &self,
        make: Make<'_>,
        elsewhere: Option<TraceHash>,
        deep: Deep,
        examiner: &mut Examiner,
    ) -> Seen {
        let said = Rc::<RefCell<Said>>::default();
        let pair = listen(of_adapter(|| make(self.limits)), &Rc::default());
        let claimed = || [pair.0.manifest(), pair.1.manifest()];
        let before = claimed();
        let (trace, asked) = self.trace(make, &said);
        let unheard = Rc::default();
        // A process that crashes would crash in all the others too.
        let deep = if crashes::has_crashed() { Deep::TEXTS } else { deep };
        let again = deep.again.then(|| self.trace(make, &unheard).0);
        let hash_again = again.as_ref().map(Trace::hash);
        let differs = again.filter(|again| again.hash() != trace.hash());
        let parts = differs.and_then(|again| Parting::of(&trace, &again));
        let alone = deep.alone && self.run.faults.is_none() && self.run.plans.len() > 1;
        let alone = alone.then(|| self.each_alone(make));
        let after = claimed();

        let said = said.borrow();
        let (mut texts, shown, search);
        let setup = self.run.setup();
        let mut examined = Examined::new(&trace, &setup, before.each_ref());
        if deep.texts {
            shown = shown_of(&trace);
            texts = said.texts();
            texts.push(Text { kind: TextKind::Report, place: Place::Network, text: &shown });
            search = Search::new(&self.canaries())
                .and_carried(texts.iter().map(|it| it.text), self.carried(&trace).into_iter());
            examined.texts = &texts;
            examined.search = Some(&search);
        }
        examined.solo = alone.as_deref();
        examined.again = hash_again;
        examined.parts = parts;
        examined.elsewhere = elsewhere;
        examined.claimed_after = Some(after.each_ref());
        let marks = examiner.examine(&examined);
        let findings = match marks.broken {
            0 => Vec::new(),
            _ => examiner.examination().findings().cloned().collect(),
        };
        let features = Features::of(&trace, self.run.plans.len());
        let problem = own::of_run(&trace, &setup);
        Seen { hash: trace.hash(), asked, marks, findings, features, trace, problem }
    }

    /// What all flows carried, each way, with what may not be taken.
    fn carried(&self, trace: &Trace) -> Vec<Carried> {
        let (seed, plans) = (self.seed(), &self.run.plans);
        let pattern = |plan: &FlowPlan, direction| Pattern::new(seed, plan.flow, direction);
        let request = |plan| {
            let bytes = FlowPlan::bytes(plan) + GAP_BYTES + STRAY_BYTES;
            Carried { pattern: pattern(plan, Direction::Request), bytes }
        };
        let mut carried: Vec<_> = plans.iter().map(request).collect();
        if self.run.behaviour.is_echo() {
            return carried;
        }
        let mut answered = vec![0; plans.len()];
        for event in trace.events() {
            let at = (event.flow.number() as usize).wrapping_sub(1);
            if let (What::Answered { bytes, .. }, Some(all)) = (event.what, answered.get_mut(at)) {
                *all += bytes;
            }
        }
        carried.extend(
            plans.iter().zip(answered).map(|(plan, bytes)| Carried {
                pattern: pattern(plan, Direction::Response),
                bytes,
            }),
        );
        carried
    }

    /// What one of the flows carries, which the seed decides: who tells payload tells any flow's. And
    /// its key, and the identity of the adapters.
    pub(crate) fn canaries(&self) -> Vec<Canary> {
        let seed = self.seed();
        let count = self.run.plans.len().max(1) as u64;
        let Some(plan) = self.run.plans.get((seed % count) as usize) else { return Vec::new() };
        let part = |direction, from: u64, bytes: u64| {
            let mut part = vec![0; bytes as usize];
            Pattern::new(seed, plan.flow, direction).fill(from, &mut part);
            Canary { name: "payload", bytes: part }
        };
        let bytes = plan.bytes();
        let hidden = |name, hidden: Hidden| Canary { name, bytes: hidden.bytes().into() };
        let mut canaries = vec![
            part(Direction::Request, 0, bytes.min(CANARY_BYTES_MAX)),
            hidden("key", pattern::key(seed, plan.flow)),
            hidden("configuration", pattern::identity(seed)),
        ];
        match plan.end {
            End::LateWrite => canaries.push(part(Direction::Request, bytes, STRAY_BYTES)),
            End::Malformed => {
                canaries.push(part(Direction::Request, bytes + GAP_BYTES, STRAY_BYTES));
            }
            End::Final | End::HalfClose | End::Reset => {}
        }
        if !self.run.behaviour.is_echo() {
            canaries.push(part(Direction::Response, 0, CANARY_BYTES_MAX / 2));
        }
        canaries
    }
}

/// What both adapters claim with these limits, ingress first.
pub(super) fn claims(make: Make<'_>, limits: Limits) -> [Manifest; 2] {
    of_adapter(|| {
        let (ingress, egress) = make(limits);
        [ingress.manifest(), egress.manifest()]
    })
}

/// A trace as people are shown it.
fn shown_of(trace: &Trace) -> String {
    let mut text = String::new();
    for event in trace.events().iter().take(SHOWN_EVENTS_MAX) {
        // A string takes everything.
        let _taken = writeln!(text, "{} {} {:?}", event.tick.0, event.flow, event.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::HEALTHY;
    use crate::source::Source;
    use crate::target::Behaviour;

    /// Who tells what is offered behind the end, or behind a gap, tells payload too.
    #[test]
    fn what_may_not_be_taken_is_searched_for() {
        for source in [Source::LateWrite, Source::Malformed] {
            let case = Case::of_witness(&Witness::new(source, Behaviour::Echo).flows(1));
            let (trace, _) = case.record(&HEALTHY[0].make);
            let mut offered = trace.events().iter().filter_map(|event| match event.what {
                What::Offered { place: Place::Ingress, offset, bytes, .. } => Some((offset, bytes)),
                _ => None,
            });
            let (offset, bytes) = offered.next_back().unwrap();
            let mut stray = vec![0; bytes as usize];
            Pattern::new(case.seed(), FlowId::new(1), Direction::Request).fill(offset, &mut stray);
            assert!(case.canaries().iter().any(|canary| canary.bytes == stray), "{source:?}");
        }
    }
}
