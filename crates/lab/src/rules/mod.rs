// SPDX-License-Identifier: BSD-3-Clause
//! What an adapter must, should and may do, and whether it did.
//!
//! ```text
//!   trace ──► one pass over its events ──► outcome of each rule: held, broken (where, and how),
//!   plans ──►   a little state a flow        not exercised, not applicable
//! ```
//!
//! A rule looks at the [trace](crate::trace) and at what the run was made of, never at an adapter. It
//! is *held* only if the trace had something that could have broken it; a rule that had no occasion is
//! not exercised, and one for which the adapters claim no capability is not applicable.
//!
//! | file | holds |
//! |---|---|
//! | `catalogue` | all rules |
//! | `examiner` | the pass over the events |
//! | `flow` | what is known of a flow meanwhile |
//! | `explained` | what users see when a rule is broken, and where to look first |
//! | `tally` | which rules had occasion, and which were broken |
//! | `verdict` | what a check ends with, and with which exit code |
//! | the others | one family of rules each |
//!
//! # Invariants
//!
//! 1. An examination depends on its input alone, and takes memory only for findings.
//! 2. Of each rule the first finding is kept. It has numbers and names in it, never payload.

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
mod resources;
mod robustness;
mod tally;
mod verdict;

pub use catalogue::{CATALOGUE, rule};
pub(crate) use catalogue::{bits, ids, of_adapters};
pub use examiner::Examiner;
pub use explained::{Explanation, explanation};
pub use tally::Marks;
pub use verdict::{Exit, Verdict};

use crate::config::Config;
use crate::contract::{Capability, FlowId, Manifest, Tick};
use crate::hygiene::{Search, Text};
use crate::source::FlowPlan;
use crate::target::Behaviour;
use crate::trace::{Event, Trace, TraceHash};
use crate::world::Setup;

/// How much a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Who breaks it does not conform.
    Must,
    /// There may be a reason to break it.
    Should,
    /// It is told, and judged by nobody.
    May,
}

impl Level {
    /// As reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Bytes arrive as they are, in order, once.
    Integrity,
    /// Flows begin and end as they should.
    Lifecycle,
    /// Nobody gives more than is taken.
    Backpressure,
    /// Flows do not know of one another.
    Isolation,
    /// Failures are told where they belong.
    Errors,
    /// Everything comes to its end.
    Liveness,
    /// Faults do not do more harm than they have to.
    Robustness,
    /// The same seed is the same run.
    Determinism,
    /// Payload and secrets stay where they are.
    Hygiene,
    /// What is claimed works, and what is not is refused.
    Honesty,
    /// Memory and numbers stay within what is declared.
    Resources,
}

impl Family {
    /// All of them, in the order of the catalogue.
    pub const ALL: [Self; 11] = [
        Self::Integrity,
        Self::Lifecycle,
        Self::Backpressure,
        Self::Isolation,
        Self::Errors,
        Self::Liveness,
        Self::Robustness,
        Self::Determinism,
        Self::Hygiene,
        Self::Honesty,
        Self::Resources,
    ];

    /// Its name, in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Lifecycle => "lifecycle",
            Self::Backpressure => "backpressure",
            Self::Isolation => "isolation",
            Self::Errors => "errors",
            Self::Liveness => "liveness",
            Self::Robustness => "robustness",
            Self::Determinism => "determinism",
            Self::Hygiene => "hygiene",
            Self::Honesty => "capability honesty",
            Self::Resources => "resources",
        }
    }
}

/// Who breaks a rule, if it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The adapters.
    Adapter,
    /// The session, the network or the lab: an adapter cannot.
    Runtime,
}

/// A rule of the catalogue.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Its name, which it keeps for ever.
    pub id: &'static str,
    /// How much it asks.
    pub level: Level,
    /// What it is about.
    pub family: Family,
    /// Whom it judges.
    pub of: Subject,
    /// It is applied to adapters that claim this.
    pub needs: Option<Capability>,
    /// What it says.
    pub sentence: &'static str,
}

/// Everything that a verdict on one run is made of.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Examined<'a> {
    /// What happened.
    pub trace: &'a Trace,
    /// What the sources were to do.
    pub plans: &'a [FlowPlan],
    /// What the target was to do.
    pub behaviour: Behaviour,
    /// The limits of the run.
    pub config: &'a Config,
    /// Bytes of each flow that may be under way each way.
    pub window_bytes: u64,
    /// What the ingress adapter claims.
    pub ingress: &'a Manifest,
    /// What the egress adapter claims.
    pub egress: &'a Manifest,
    /// For each plan the trace of a run in which its flow was alone, whatever its number was there.
    pub solo: Option<&'a [Trace]>,
    /// The hash of the same run, once more.
    pub again: Option<TraceHash>,
    /// Where that run is first another, if it is.
    pub parts: Option<Parting>,
    /// The hash of the same run in a fresh process.
    pub elsewhere: Option<TraceHash>,
    /// What both adapters, ingress first, claim when the run is over.
    pub claimed_after: Option<[&'a Manifest; 2]>,
    /// What adapters and lab say, to be searched.
    pub texts: &'a [Text<'a>],
    /// For what it is searched.
    pub search: Option<&'a Search>,
}

impl<'a> Examined<'a> {
    /// A run: its trace, what it was made of, and the manifests of its adapters, ingress first.
    #[must_use]
    pub fn new(trace: &'a Trace, setup: &'a Setup<'a>, manifests: [&'a Manifest; 2]) -> Self {
        let [ingress, egress] = manifests;
        Self {
            trace,
            plans: &setup.plans,
            behaviour: setup.behaviour,
            config: setup.config,
            window_bytes: setup.window_bytes,
            ingress,
            egress,
            solo: None,
            again: None,
            parts: None,
            elsewhere: None,
            claimed_after: None,
            texts: &[],
            search: None,
        }
    }
}

/// Where two runs that should be the same part: the first event that is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parting {
    /// Its number in both traces, from 0.
    pub event: usize,
    /// What it is in the first run, and in the second. `None`: that has ended before.
    pub events: [Option<Event>; 2],
}

impl Parting {
    /// Of two traces. `None`: they are the same.
    #[must_use]
    pub fn of(first: &Trace, second: &Trace) -> Option<Self> {
        let (first, second) = (first.events(), second.events());
        let same = first.iter().zip(second).take_while(|(one, other)| one == other).count();
        let events = [first.get(same).copied(), second.get(same).copied()];
        events.iter().any(Option::is_some).then_some(Self { event: same, events })
    }
}

/// How a rule was broken, for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// Whose flow it was; 0: the run's.
    pub flow: FlowId,
    /// Where in the flow, if it is about bytes.
    pub offset: Option<u64>,
    /// When.
    pub tick: Tick,
    /// The number of the event in the trace, from 0; one behind the last: the end.
    pub event: usize,
    /// What was found, and what has to be.
    pub said: String,
}

/// What an examination says of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It could have been broken, and was not.
    Held,
    /// It was broken.
    Broken(Finding),
    /// Nothing happened that could have broken it.
    NotExercised,
    /// The adapters do not claim what it is about.
    NotApplicable,
}

impl Outcome {
    /// As reports have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken(_) => "broken",
            Self::NotExercised => "not-exercised",
            Self::NotApplicable => "not-applicable",
        }
    }
}

/// What came of an examination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// Each rule of the catalogue, in its order.
    pub outcomes: Vec<(&'static Rule, Outcome)>,
}

impl Examination {
    /// What was broken.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.outcomes.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Broken(finding) => Some(finding),
            _ => None,
        })
    }
}

/// Examines one run. Who examines many keeps an [`Examiner`].
#[must_use]
pub fn examine(examined: &Examined<'_>) -> Examination {
    let mut examiner = Examiner::new();
    examiner.examine(examined);
    examiner.examination()
}
