// SPDX-License-Identifier: BSD-3-Clause
//! What a [`Report`](super::Report) is made of. Names, counts, classes, flags and hashes.

use serde::Serialize;

use crate::check::{Orders, Run};
use crate::choice::Bounds;
use crate::gate::{GateResult, Mutant, MutantResult};
use crate::rules::{Finding, bits};
use crate::scenario::Profile;

/// What became of a failure that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpectationReport {
    /// Where it stands in its file: the line, from 1.
    pub line: usize,
    /// The rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// The scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<&'static str>,
    /// Why it is known.
    pub reason: String,
    /// known-fail, unexpected-pass, not-exercised; not-applicable: it is about no run.
    pub verdict: &'static str,
    /// Runs that it is about.
    pub runs: u64,
    /// Those of them that failed as it says.
    pub failed: u64,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateReport {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub verdict: &'static str,
    /// What counted.
    pub counted: u64,
    /// What of that failed.
    pub failed: u64,
    /// Why it does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A rule, and in how many runs what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// Its id.
    pub rule: &'static str,
    /// Runs in which it applied.
    pub applicable: u64,
    /// Runs in which it could have been broken.
    pub exercised: u64,
    /// Runs in which it was.
    pub broken: u64,
}

/// A profile, and its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfileReport {
    /// Its seed, by which it is repeated.
    pub seed: u64,
    /// Flows that may be open at once.
    pub max_flows: u32,
    /// Bytes of a chunk.
    pub max_chunk_bytes: u64,
    /// Bytes between source and sink.
    pub max_buffered_bytes: u64,
    /// Bytes of a flow in an adapter, unless a scenario says otherwise.
    pub flow_bytes_max: u64,
    /// Bytes of a flow under way.
    pub window_bytes: u64,
    /// How sessions were carried.
    pub carrier: &'static str,
    /// What struck: none, survivable, any.
    pub faults: &'static str,
    /// Who went next.
    pub scheduler: &'static str,
    /// What the scenario `swarm` was left with.
    pub swarm: String,
    /// One for each scenario, in their order.
    pub runs: Vec<RunReport>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The scenario.
    pub scenario: &'static str,
    /// What is said of it.
    pub verdict: &'static str,
    /// Why, if no finding says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The trace as one number; empty: there is none.
    pub trace: String,
    /// Rules that had occasion.
    pub rules_exercised: u32,
    /// How much happened. None: it was not run, or did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeReport>,
    /// Which of the classes of [`CollapseReport`] it is one of, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u64>,
    /// Of a scenario that is run in every order: how many orders, and what of all. The rest is said of
    /// the first that fails, or of the plainest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<OrdersReport>,
    /// Faults that struck.
    pub faults: Vec<FaultReport>,
    /// The first finding of each rule that was broken.
    pub findings: Vec<FindingReport>,
}

/// The orders of a run that were tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrdersReport {
    /// How many, each another.
    pub runs: u64,
    /// What that is of all: see [`Coverage::name`](crate::choice::Coverage::name).
    pub coverage: &'static str,
    /// Choices from the beginning that were tried in every way; behind them each was the plainest.
    pub depth_max: u32,
    /// Of those, how many in one order were not the plainest, at most.
    pub departures_max: u32,
}

/// How much happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SizeReport {
    /// Events of its trace.
    pub events: u64,
    /// Its virtual time, in ticks of a millisecond.
    pub ticks: u64,
    /// Bytes that came out at the ingress adapter, as a bucket.
    pub bytes_ingress: &'static str,
    /// Bytes that came out at the egress adapter, as a bucket.
    pub bytes_egress: &'static str,
}

/// A kind of fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// Which.
    pub kind: &'static str,
    /// How often it struck.
    pub times: u64,
}

/// How a rule was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// The rule.
    pub rule: &'static str,
    /// Whose flow; 0: the run's.
    pub flow: u32,
    /// Where in the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// When.
    pub tick: u64,
    /// Which event of the trace, from 0; one behind the last: the end.
    pub event: usize,
    /// What was found, and what has to be.
    pub said: String,
    /// It was expected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_known: bool,
}

/// An event of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventReport {
    /// Its number in the trace, from 0.
    pub event: usize,
    /// When.
    pub tick: u64,
    /// To which flow; 0: to the run.
    pub flow: u32,
    /// What kind of event, one of [`EVENT_KINDS`](super::EVENT_KINDS).
    pub kind: &'static str,
    /// Where: source, ingress, network, egress, target, flow or run.
    pub place: &'static str,
    /// What, in words.
    pub said: String,
}

/// How alike runs are, in thousandths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollapseReport {
    /// How many.
    pub runs: u64,
    /// How many different ones.
    pub distinct: u64,
    /// The commonest, of profiles that are looked at together: see [`adversary`](crate::adversary).
    pub dominant_per_mille: u64,
    /// Different ones, likewise.
    pub diversity_per_mille: u64,
    /// Those that did not fail.
    pub success_per_mille: u64,
    /// What the lab's memory adapters show in the runs of the two numbers above, if one of those was
    /// suspicious by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<VarietyReport>,
    /// Runs of each class of runs that are alike, the largest first.
    pub classes: Vec<u64>,
    /// In how many ways runs differ in each feature.
    pub features: Vec<FeatureReport>,
}

/// How varied the runs of the lab's memory adapters are, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VarietyReport {
    /// The commonest.
    pub dominant_per_mille: u64,
    /// Different ones.
    pub diversity_per_mille: u64,
}

/// Something in which runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    /// What.
    pub feature: &'static str,
    /// In how many ways.
    pub distinct: u64,
}

/// A saboteur.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MutantReport {
    /// Its name.
    pub name: &'static str,
    /// found, missed or not-tried.
    pub result: &'static str,
    /// By which rules.
    pub rules: Vec<&'static str>,
}

/// How long a check took. The only thing in a report that depends on the machine: it is there when
/// it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// From its beginning to its end, in milliseconds.
    pub elapsed_ms: u64,
}

impl GateReport {
    pub(super) fn of(result: &GateResult) -> Self {
        Self {
            name: result.gate.name(),
            verdict: result.verdict.name(),
            counted: result.counted,
            failed: result.failed,
            reason: result.reason.clone(),
        }
    }
}

impl ProfileReport {
    pub(super) fn of(profile: &Profile, runs: Vec<RunReport>) -> Self {
        let config = &profile.config;
        Self {
            seed: config.deterministic_seed,
            max_flows: config.max_flows,
            max_chunk_bytes: config.max_chunk_bytes,
            max_buffered_bytes: config.max_buffered_bytes,
            flow_bytes_max: profile.flow_bytes_max,
            window_bytes: profile.window_bytes,
            carrier: profile.carrier.name(),
            faults: profile.faults_name(),
            scheduler: profile.scheduler.name(),
            swarm: profile.swarm.to_string(),
            runs,
        }
    }
}

impl RunReport {
    /// A run, and its class.
    pub(super) fn of(run: &Run, class: Option<u64>) -> Self {
        let seen = run.seen.as_deref();
        let finding = |it: &Finding, known| FindingReport::of(it, known & bits([it.rule]) != 0);
        let findings = seen.map(|seen| {
            let findings = seen.findings.iter().map(|it| finding(it, seen.known));
            findings.collect()
        });
        Self {
            scenario: run.scenario.name,
            verdict: run.verdict.name(),
            reason: run.reason,
            trace: seen.map(|seen| seen.hash.to_string()).unwrap_or_default(),
            rules_exercised: seen.map_or(0, |seen| seen.marks.exercised.count_ones()),
            size: seen.map(|seen| seen.size.report()),
            class,
            orders: seen.and_then(|seen| seen.orders).map(OrdersReport::of),
            faults: seen.map(|seen| seen.size.faults()).unwrap_or_default(),
            findings: findings.unwrap_or_default(),
        }
    }
}

impl OrdersReport {
    const fn of(orders: Orders) -> Self {
        let Orders { runs, coverage, bounds } = orders;
        let Bounds { depth_max, departures_max, .. } = bounds;
        Self { runs, coverage: coverage.name(), depth_max, departures_max }
    }
}

impl FindingReport {
    fn of(finding: &Finding, is_known: bool) -> Self {
        Self {
            rule: finding.rule,
            flow: finding.flow.number(),
            offset: finding.offset,
            tick: finding.tick.0,
            event: finding.event,
            said: finding.said.clone(),
            is_known,
        }
    }
}

impl EventReport {
    /// The event as a line, without its end: as [`replay::step`](crate::replay::step) has it.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { event, tick, flow, said, .. } = self;
        let of = match flow {
            0 => "the run  ".into(),
            flow => format!("flow {flow:<3} "),
        };
        format!("{:>5} {tick:>6} ms  {of}{said}", event + 1)
    }
}

impl MutantReport {
    pub(super) fn of(mutant: &Mutant) -> Self {
        let (result, rules) = match &mutant.result {
            MutantResult::Found(rules) => ("found", rules.clone()),
            MutantResult::Missed => ("missed", Vec::new()),
            MutantResult::NotTried => ("not-tried", Vec::new()),
        };
        Self { name: mutant.name, result, rules }
    }
}
