// SPDX-License-Identifier: BSD-3-Clause
//! The rules: requirements on adapters, and the examination of a run.
//!
//! ```text
//!   trace ──► one pass over its events ──► outcome of each rule: held, broken (where, and how),
//!   plans ──►   a little state a flow        not exercised, not applicable
//! ```
//!
//! A rule examines the [trace](crate::trace) and the inputs of the run, never an adapter. It is
//! *held* only if the trace had an event that could have violated it; a rule without such an
//! occasion is not exercised, and one for which the adapters claim no capability is not applicable.
//!
//! | file | holds |
//! |---|---|
//! | `catalogue` | all rules |
//! | `examiner` | the pass over the events |
//! | `flow` | the state per flow during the pass |
//! | `explained` | what users see when a rule is violated, and where to look first |
//! | `recorder` | which rules had occasion, and which were violated |
//! | `verdict` | verdicts and exit codes |
//! | other files | one family of rules each |
//!
//! # Invariants
//!
//! 1. An examination depends on its input alone, and allocates only for findings.
//! 2. The first finding of each rule is kept. It contains numbers and names, never payload.

mod backpressure;
mod catalogue;
mod determinism;
mod errors;
mod examiner;
mod explained;
mod flow;
mod honesty;
mod hygiene;
mod integrity;
mod isolation;
mod lifecycle;
mod liveness;
mod recorder;
mod resources;
mod robustness;
mod verdict;

pub use catalogue::{CATALOGUE, rule};
pub(crate) use catalogue::{bits, ids, of_adapters};
pub use examiner::Examiner;
pub use explained::{Explanation, explanation};
pub use recorder::RuleSets;
pub use verdict::{Exit, Verdict};

use strum::{IntoStaticStr, VariantArray};

use crate::all;
use crate::config::Config;
use crate::contract::{Capability, FlowId, Manifest, Tick};
use crate::hygiene::{Search, Text};
use crate::replay::Case;
use crate::source::FlowPlan;
use crate::target::Behaviour;
use crate::trace::{Event, Trace, TraceHash};

/// The strictness of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Level {
    /// An adapter that violates it does not conform.
    Must,
    /// There may be a reason to violate it.
    Should,
    /// A violation is listed, and does not count.
    May,
}

impl Level {
    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The subject of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Family {
    /// Bytes arrive unchanged, in order, once.
    Integrity,
    /// Flows begin and end correctly.
    Lifecycle,
    /// No side sends more than the other one takes.
    Backpressure,
    /// Flows are independent of each other.
    Isolation,
    /// Failures are reported on their own flow.
    Errors,
    /// Everything ends.
    Liveness,
    /// Faults do no more harm than necessary.
    Robustness,
    /// The same seed gives the same run.
    Determinism,
    /// Payload and secrets appear in no text.
    Hygiene,
    /// Claimed capabilities work, others are refused.
    #[strum(serialize = "capability honesty")]
    Honesty,
    /// Memory and counts stay within the declared limits.
    Resources,
}

impl Family {
    /// All families, in the order of the catalogue.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What is at fault if a rule is violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An adapter.
    Adapter,
    /// The session, the network or the lab; never an adapter.
    Runtime,
}

/// A rule of the catalogue.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Id, which never changes.
    pub id: &'static str,
    /// Strictness.
    pub level: Level,
    /// Family.
    pub family: Family,
    /// What is at fault if it is violated.
    pub of: Subject,
    /// It applies to adapters that claim this capability.
    pub needs: Option<Capability>,
    /// The rule as a sentence.
    pub sentence: &'static str,
}

/// The input of an examination of one run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Examined<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// The plans of the sources.
    pub plans: &'a [FlowPlan],
    /// The behaviour of the target.
    pub behaviour: Behaviour,
    /// The limits of the run.
    pub config: &'a Config,
    /// Bytes of each flow that may be in flight in each direction.
    pub window_bytes: u64,
    /// What the ingress adapter claims.
    pub ingress: &'a Manifest,
    /// What the egress adapter claims.
    pub egress: &'a Manifest,
    /// For each plan the trace of a run with its flow alone, whatever its number is there.
    pub solo: Option<&'a [Trace]>,
    /// The trace hash of a second run with the same seed.
    pub again: Option<TraceHash>,
    /// The first difference to that run, if any.
    pub parts: Option<Parting>,
    /// The trace hash of the same run in a fresh process.
    pub fresh_process: Option<TraceHash>,
    /// What both adapters, ingress first, claim after the run.
    pub claimed_after: Option<[&'a Manifest; 2]>,
    /// The texts of adapters and lab, to be searched.
    pub texts: &'a [Text<'a>],
    /// The canaries and the payload that they are searched for.
    pub search: Option<&'a Search>,
}

impl<'a> Examined<'a> {
    /// A run: its trace, its case, and the manifests of its adapters, ingress first.
    #[must_use]
    pub fn new(trace: &'a Trace, case: &'a Case, manifests: [&'a Manifest; 2]) -> Self {
        let [ingress, egress] = manifests;
        Self {
            trace,
            plans: &case.plans,
            behaviour: case.behaviour,
            config: &case.config,
            window_bytes: case.window_bytes,
            ingress,
            egress,
            solo: None,
            again: None,
            parts: None,
            fresh_process: None,
            claimed_after: None,
            texts: &[],
            search: None,
        }
    }
}

/// The first difference between two runs that should be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parting {
    /// Its index in both traces, from 0.
    pub event: usize,
    /// The event in the first run and in the second one. `None`: that run ended before.
    pub events: [Option<Event>; 2],
}

impl Parting {
    /// The first difference between two traces. `None`: they are equal.
    #[must_use]
    pub fn of(first: &Trace, second: &Trace) -> Option<Self> {
        let (first, second) = (first.events(), second.events());
        let same = first.iter().zip(second).take_while(|(one, other)| one == other).count();
        let events = [first.get(same).copied(), second.get(same).copied()];
        events.iter().any(Option::is_some).then_some(Self { event: same, events })
    }
}

/// The first violation of a rule in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// The flow; 0: the whole run.
    pub flow: FlowId,
    /// Offset in the flow, if the rule is about bytes.
    pub offset: Option<u64>,
    /// Time.
    pub tick: Tick,
    /// Index of the event in the trace, from 0; the length of the trace: the end.
    pub event: usize,
    /// The actual and the expected value.
    pub said: String,
}

/// The outcome of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It could have been violated, and was not.
    Held,
    /// It was violated.
    Violated(Finding),
    /// No event could have violated it.
    NotExercised,
    /// The adapters do not claim the capability that it is about.
    NotApplicable,
}

impl Outcome {
    /// Name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Violated(_) => "violated",
            Self::NotExercised => "not-exercised",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// The result of an examination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// All rules, in the order of the catalogue.
    pub outcomes: Vec<(&'static Rule, Outcome)>,
}

impl Examination {
    /// The violations.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Violated(finding) => Some(finding),
            _ => None,
        })
    }
}

/// Examines one run. To examine many, keep an [`Examiner`].
#[must_use]
pub fn examine(examined: &Examined<'_>) -> Examination {
    let mut examiner = Examiner::new();
    examiner.examine(examined);
    examiner.examination()
}
