// SPDX-License-Identifier: BSD-3-Clause
//! The parts of a [`Report`](super::Report): names, counts, classes, flags and hashes.

use serde::Serialize;

use crate::check::{Orders, Run};
use crate::choice::Bounds;
use crate::gate::{GateResult, MutantOutcome, MutantResult};
use crate::rules::{Finding, bits};
use crate::scenario::Profile;

/// The outcome of a known failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpectationReport {
    /// Its line in its file, from 1.
    pub line: usize,
    /// The rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// The scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<&'static str>,
    /// Why it is known.
    pub reason: String,
    /// `known-fail`, `unexpected-pass`, `not-exercised`; `not-applicable`: no run matches.
    pub verdict: &'static str,
    /// Matching runs.
    pub runs: u64,
    /// Matching runs that failed as expected.
    pub failed: u64,
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GateReport {
    /// Its name.
    pub name: &'static str,
    /// Verdict.
    pub verdict: &'static str,
    /// Number of runs or mutants that counted.
    pub counted: u64,
    /// Number of those that failed.
    pub failed: u64,
    /// Why it does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A rule, and its number of runs per outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// Its id.
    pub rule: &'static str,
    /// Runs in which it applied.
    pub applicable: u64,
    /// Runs in which it could have been violated.
    pub exercised: u64,
    /// Runs in which it was violated.
    pub violated: u64,
}

/// A profile, and its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfileReport {
    /// Its seed, which repeats it.
    pub seed: u64,
    /// Flows that may be open at once.
    pub max_flows: u32,
    /// Maximum length of a chunk, in bytes.
    pub max_chunk_bytes: u64,
    /// Maximum number of bytes between source and sink.
    pub max_buffered_bytes: u64,
    /// Maximum number of bytes of a flow in an adapter, unless a scenario sets another limit.
    pub flow_bytes_max: u64,
    /// Bytes of a flow that may be in flight.
    pub window_bytes: u64,
    /// The link between the sessions.
    pub link: &'static str,
    /// The faults: `none`, `survivable` or `any`.
    pub faults: &'static str,
    /// The scheduler.
    pub scheduler: &'static str,
    /// The features that the scenario `swarm` kept.
    pub swarm: String,
    /// One for each scenario, in their order.
    pub runs: Vec<RunReport>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The scenario.
    pub scenario: &'static str,
    /// Verdict.
    pub verdict: &'static str,
    /// The reason, if no finding gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The trace hash; empty if there is no trace.
    pub trace: String,
    /// Rules that had occasion.
    pub rules_exercised: u32,
    /// The size of the run. `None`: it was not run, or did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeReport>,
    /// Its class among those of [`CollapseReport`], from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u64>,
    /// For a scenario that is run in every order: the number of orders, and how much of all orders
    /// they cover. Everything else is about the first one that fails, or about the default order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<OrdersReport>,
    /// Faults that were injected.
    pub faults: Vec<FaultReport>,
    /// The first finding of each violated rule.
    pub findings: Vec<FindingReport>,
}

/// The orders of a run that were tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrdersReport {
    /// Number of different orders.
    pub runs: u64,
    /// How much of all orders they cover: see [`Coverage::name`](crate::choice::Coverage::name).
    pub coverage: &'static str,
    /// Choices, counted from the start, that were tried in every way; later ones are the default.
    pub depth_max: u32,
    /// Maximum number of these choices that were not the default in one order.
    pub deviations_max: u32,
}

/// The size of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SizeReport {
    /// Events of its trace.
    pub events: u64,
    /// Virtual time, in ticks of one millisecond.
    pub ticks: u64,
    /// Bytes that were put out by the ingress adapter, as a bucket.
    pub bytes_ingress: &'static str,
    /// Bytes that were put out by the egress adapter, as a bucket.
    pub bytes_egress: &'static str,
}

/// A kind of fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// Name.
    pub kind: &'static str,
    /// How often it was injected.
    pub times: u64,
}

/// A violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// The rule.
    pub rule: &'static str,
    /// The flow; 0: the whole run.
    pub flow: u32,
    /// Offset in the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Time.
    pub tick: u64,
    /// Index of the event in the trace, from 0; the length of the trace: the end.
    pub event: usize,
    /// The actual and the expected value.
    pub said: String,
    /// It was expected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_known: bool,
}

/// An event of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventReport {
    /// Its index in the trace, from 0.
    pub event: usize,
    /// Time.
    pub tick: u64,
    /// The flow; 0: the whole run.
    pub flow: u32,
    /// Kind of event, one of [`EVENT_KINDS`](super::EVENT_KINDS).
    pub kind: &'static str,
    /// Where: source, ingress, network, egress, target, flow or run.
    pub place: &'static str,
    /// The event in words.
    pub said: String,
}

/// How alike runs are, in thousandths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollapseReport {
    /// Number of runs.
    pub runs: u64,
    /// Number of different ones.
    pub distinct: u64,
    /// Share of the commonest ones, over profiles that are examined together: see
    /// [`adversary`](crate::adversary).
    pub dominant_per_mille: u64,
    /// Share of different ones, likewise.
    pub diversity_per_mille: u64,
    /// Share of those that did not fail.
    pub success_per_mille: u64,
    /// The same numbers for the lab's memory adapters, if one of the first two was suspicious.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<VarietyReport>,
    /// Number of runs of each class of equal runs, the largest first.
    pub classes: Vec<u64>,
    /// Number of different values of each feature.
    pub features: Vec<FeatureReport>,
}

/// The variety of the runs of the lab's memory adapters, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VarietyReport {
    /// Share of the commonest ones.
    pub dominant_per_mille: u64,
    /// Share of different ones.
    pub diversity_per_mille: u64,
}

/// A feature in which runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeatureReport {
    /// Name.
    pub feature: &'static str,
    /// Number of different values.
    pub distinct: u64,
}

/// A mutant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MutantReport {
    /// Its name.
    pub name: &'static str,
    /// `killed`, `survived` or `not-tried`.
    pub result: &'static str,
    /// The ids of the rules that kill it.
    pub rules: Vec<&'static str>,
}

/// The duration of a check. The only part of a report that depends on the machine; present on
/// request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Total time, in milliseconds.
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
            link: profile.link.name(),
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
            rules_exercised: seen.map_or(0, |seen| seen.rule_sets.exercised.count_ones()),
            size: seen.map(|seen| seen.size.clone()),
            class,
            orders: seen.and_then(|seen| seen.orders).map(OrdersReport::of),
            faults: seen.map(|seen| seen.faults.clone()).unwrap_or_default(),
            findings: findings.unwrap_or_default(),
        }
    }
}

impl OrdersReport {
    fn of(orders: Orders) -> Self {
        let Orders { runs, coverage, bounds } = orders;
        let Bounds { depth_max, deviations_max, .. } = bounds;
        Self { runs, coverage: coverage.name(), depth_max, deviations_max }
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
    /// The event as one line: see [`replay::step`](crate::replay::step).
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
    pub(super) fn of(mutant: &MutantResult) -> Self {
        let (result, rules) = match &mutant.outcome {
            MutantOutcome::Killed(rules) => ("killed", rules.clone()),
            MutantOutcome::Survived => ("survived", Vec::new()),
            MutantOutcome::NotTried => ("not-tried", Vec::new()),
        };
        Self { name: mutant.name, result, rules }
    }
}
