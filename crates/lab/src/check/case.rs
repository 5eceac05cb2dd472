// SPDX-License-Identifier: BSD-3-Clause
//! One run of a check: executed, repeated, run with each flow alone, recorded, and examined. It is
//! drawn from a seed or comes from a replay.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Make, own};
use crate::adapters::{Transcript, listen, of_adapter};
use crate::adversary::Features;
use crate::bridge::crashes;
use crate::choice::{Choices, Scheduler};
use crate::contract::{FlowId, Limits, Manifest, Secret};
use crate::hygiene::{Canary, Carried, Search, Text, TextKind};
use crate::mutant::Witness;
use crate::pattern::{self, Direction, Pattern};
use crate::replay::{self, Replay};
use crate::rules::{Examined, Examiner, Family, Finding, Parting, Rule, RuleSets};
use crate::source::{End, FlowPlan, GAP_BYTES, STRAY_BYTES};
use crate::trace::{EventKind, Stage, Trace, TraceHash};
use crate::world;

/// Bytes at the start of one flow that also serve as a canary, which is searched for in later texts
/// too.
const CANARY_BYTES_MAX: u64 = 64;
/// Number of flows of a run that are run alone: the first ones.
const ALONE_FLOWS_MAX: usize = 64;
/// Events of a run that are formatted, to search the formatted text.
const SHOWN_EVENTS_MAX: usize = 2048;

/// A run without its adapters.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) run: replay::Case,
    pub(crate) limits: Limits,
    pub(crate) answers: Answers,
}

/// Where the answers of a run come from.
#[derive(Debug, Clone)]
pub(crate) enum Answers {
    /// From its seed; this scheduler picks the next task.
    Drawn(Scheduler),
    /// From a recording. For a flow alone, which is a different run, all answers are 0.
    Kept(Vec<u32>),
}

impl Answers {
    /// All answers are 0: the default schedule.
    pub(super) const PLAINEST: Self = Self::Kept(Vec::new());
}

/// Optional parts of an examination, besides the trace of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deep {
    /// A second run with the same seed.
    again: bool,
    /// A run of each flow alone.
    alone: bool,
    /// The texts of the adapters.
    texts: bool,
}

impl Deep {
    /// All of it.
    pub(crate) const ALL: Self = Self { again: true, alone: true, texts: true };

    /// Only the texts, which need no further run.
    const TEXTS: Self = Self { again: false, alone: false, texts: true };

    /// Only the trace.
    pub(super) const NOTHING: Self = Self { again: false, alone: false, texts: false };

    /// What is needed to detect a violation of this rule.
    pub(crate) const fn for_rule(rule: &Rule) -> Self {
        Self {
            again: matches!(rule.family, Family::Determinism),
            alone: matches!(rule.family, Family::Isolation),
            texts: matches!(rule.family, Family::Hygiene),
        }
    }
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) trace: Trace,
    /// Number of questions that it asked.
    pub(crate) asked: u64,
    pub(crate) hash: TraceHash,
    pub(crate) rule_sets: RuleSets,
    pub(crate) findings: Vec<Finding>,
    pub(crate) features: Features,
    /// An error of the lab itself.
    pub(crate) problem: Option<&'static str>,
}

impl Case {
    /// The run of a mutant's witness.
    pub(crate) fn of_witness(witness: &Witness) -> Self {
        Self {
            run: witness.case(),
            limits: witness.limits,
            answers: Answers::Drawn(Scheduler::Random),
        }
    }

    /// A recorded run.
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

    fn trace(&self, make: Make<'_>, said: &Rc<RefCell<Transcript>>) -> (Trace, u64) {
        let mut trace = Trace::new(self.run.config.max_events);
        let mut choices = self.choices();
        let factory = || listen(of_adapter(|| make(self.limits)), said);
        world::run_with(&self.run, &factory, &mut choices, &mut trace);
        (trace, choices.asked())
    }

    /// Runs it: its trace, and its answers. A panic of an adapter ends it.
    pub(crate) fn record(&self, make: Make<'_>) -> (Trace, Vec<u32>) {
        let mut trace = Trace::new(self.run.config.max_events);
        let mut choices = self.choices().recording();
        let factory = || make(self.limits);
        let run = || world::run_with(&self.run, &factory, &mut choices, &mut trace);
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

    /// The runs of its flows, each alone, as far as [`ALONE_FLOWS_MAX`] allows.
    pub(super) fn each_alone(&self, make: Make<'_>) -> Vec<Trace> {
        let unheard = Rc::default();
        let run = |plan| self.alone(plan).trace(make, &unheard).0;
        self.run.plans.iter().take(ALONE_FLOWS_MAX).map(run).collect()
    }

    /// Runs it, a second time, and each flow alone if there are several and no faults.
    /// `fresh_process` is the trace hash of the same run in a fresh process.
    pub(crate) fn examine(
        &self,
        make: Make<'_>,
        fresh_process: Option<TraceHash>,
        deep: Deep,
        examiner: &mut Examiner,
    ) -> Seen {
        let said = Rc::<RefCell<Transcript>>::default();
        let pair = listen(of_adapter(|| make(self.limits)), &Rc::default());
        let claimed = || [pair.0.manifest(), pair.1.manifest()];
        let before = claimed();
        let (trace, asked) = self.trace(make, &said);
        let unheard = Rc::default();
        // A process that crashes would crash in the other runs as well.
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
        let mut examined = Examined::new(&trace, &self.run, before.each_ref());
        if deep.texts {
            shown = shown_of(&trace);
            texts = said.texts();
            texts.push(Text { kind: TextKind::Report, place: Stage::Network, text: &shown });
            search = Search::new(&self.canaries())
                .and_carried(texts.iter().map(|it| it.text), self.carried(&trace).into_iter());
            examined.texts = &texts;
            examined.search = Some(&search);
        }
        examined.solo = alone.as_deref();
        examined.again = hash_again;
        examined.parts = parts;
        examined.fresh_process = fresh_process;
        examined.claimed_after = Some(after.each_ref());
        let rule_sets = examiner.examine(&examined);
        let findings = match rule_sets.broken {
            0 => Vec::new(),
            _ => examiner.examination().findings().cloned().collect(),
        };
        let features = Features::of(&trace, self.run.plans.len());
        let problem = own::of_run(&trace, &self.run);
        Seen { hash: trace.hash(), asked, rule_sets, findings, features, trace, problem }
    }

    /// What each flow carried in each direction, including bytes that may not be taken.
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
            if let (EventKind::Answered { bytes, .. }, Some(all)) =
                (event.what, answered.get_mut(at))
            {
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

    /// The payload of one flow, which the seed selects, since an adapter that leaks payload leaks
    /// that of any flow; its key; and the identity of the adapters.
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
        let hidden = |name, hidden: Secret| Canary { name, bytes: hidden.bytes().into() };
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

/// A trace as it is shown to people.
fn shown_of(trace: &Trace) -> String {
    let mut text = String::new();
    for event in trace.events().iter().take(SHOWN_EVENTS_MAX) {
        // Writing to a `String` cannot fail.
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

    /// Bytes of an offer after the end, or after a gap, are payload too.
    #[test]
    fn what_may_not_be_taken_is_searched_for() {
        for source in [Source::LateWrite, Source::Malformed] {
            let case = Case::of_witness(&Witness::new(source, Behaviour::Echo).flows(1));
            let (trace, _) = case.record(&HEALTHY[0].make);
            let mut offered = trace.events().iter().filter_map(|event| match event.what {
                EventKind::Offered { place: Stage::Ingress, offset, bytes, .. } => {
                    Some((offset, bytes))
                }
                _ => None,
            });
            let (offset, bytes) = offered.next_back().unwrap();
            let mut stray = vec![0; bytes as usize];
            Pattern::new(case.seed(), FlowId::new(1), Direction::Request).fill(offset, &mut stray);
            assert!(case.canaries().iter().any(|canary| canary.bytes == stray), "{source:?}");
        }
    }
}
