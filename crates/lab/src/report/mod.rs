// SPDX-License-Identifier: BSD-3-Clause
//! What a check ends with, for programs and people.
//!
//! A report has classes, counts, flags and hashes in it, never payload and never the time: the same
//! check gives the same bytes. Its fields and lists have one order.
//!
//! | file | holds |
//! |---|---|
//! | `json` | the report as JSON |

mod json;

pub use json::json;

use serde::Serialize;

use crate::adversary::Collapse;
use crate::check::{Mode, Options, Run};
use crate::config::is_secret;
use crate::gate::{GateResult, Mutant, MutantResult, graver};
use crate::rules::{CATALOGUE, Exit, Finding, Marks, Subject, Verdict};
use crate::scenario::Profile;

/// The version of the report's form. It grows when a field changes its meaning, or goes.
pub const SCHEMA: &str = "becket-lab-check/1";

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// What was checked.
    pub adapter: String,
    /// How much was tried.
    pub mode: &'static str,
    /// The seed of the first profile.
    pub start_seed: u64,
    /// What is said of all.
    pub verdict: &'static str,
    /// The exit code of a command that ends with it.
    pub exit_code: u8,
    /// The gates, in their order.
    pub gates: Vec<GateReport>,
    /// The profiles, by their seeds.
    pub profiles: Vec<ProfileReport>,
    /// How alike the runs are.
    pub adversary: CollapseReport,
    /// What became of saboteurs.
    pub mutants: Vec<MutantReport>,
    /// Rules that adapters are judged by, that apply, and for which there was no occasion.
    pub not_exercised: Vec<&'static str>,
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
    /// The first finding of each rule that was broken.
    pub findings: Vec<FindingReport>,
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
    /// Which event of the trace.
    pub event: usize,
    /// What was found, and what has to be.
    pub said: String,
}

/// How alike runs are, in thousandths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollapseReport {
    /// How many.
    pub runs: u64,
    /// How many different ones.
    pub distinct: u64,
    /// The commonest.
    pub dominant_per_mille: u64,
    /// Different ones.
    pub diversity_per_mille: u64,
    /// Those without a broken rule.
    pub success_per_mille: u64,
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

impl Report {
    pub(crate) fn new(
        options: &Options<'_>,
        profiles: &[Profile],
        runs: Vec<RunReport>,
        gates: &[GateResult],
        marks: &Marks,
        collapse: Collapse,
        mutants: &[Mutant],
    ) -> Self {
        let not_exercised = not_exercised(marks);
        let of_gates = gates.iter().fold(Verdict::Pass, |all, gate| graver(all, gate.verdict));
        let is_vacuous = options.mode == Mode::Full && !not_exercised.is_empty();
        let of_rules = if is_vacuous { Verdict::NotExercised } else { Verdict::Pass };
        let verdict = graver(of_gates, of_rules);
        let is_blind = gates.iter().any(|gate| {
            gate.gate == crate::gate::Gate::MutantDetection && gate.verdict == Verdict::LabError
        });
        let exit = if is_blind { Exit::Baseline } else { verdict.exit() };
        let each = runs.len() / profiles.len().max(1);
        let mut runs = runs.into_iter();
        let profiles = profiles.iter().map(|profile| {
            let of_profile = runs.by_ref().take(each).collect();
            ProfileReport::of(profile, of_profile)
        });
        Self {
            schema: SCHEMA,
            adapter: if is_secret(options.name) { "(hidden)" } else { options.name }.into(),
            mode: options.mode.name(),
            start_seed: options.start_seed,
            verdict: verdict.name(),
            exit_code: exit.code(),
            gates: gates.iter().map(GateReport::of).collect(),
            profiles: profiles.collect(),
            adversary: CollapseReport::of(collapse),
            mutants: mutants.iter().map(MutantReport::of).collect(),
            not_exercised,
        }
    }

    /// What a gate says.
    #[must_use]
    pub fn gate(&self, gate: crate::gate::Gate) -> Option<&GateReport> {
        self.gates.iter().find(|report| report.name == gate.name())
    }
}

/// Rules for which there was no occasion in any run.
fn not_exercised(marks: &Marks) -> Vec<&'static str> {
    let idle = marks.applicable & !marks.exercised;
    let rules = CATALOGUE.iter().enumerate();
    let rules = rules.filter(|(at, rule)| idle >> at & 1 != 0 && rule.of == Subject::Adapter);
    rules.map(|(_, rule)| rule.id).collect()
}

impl GateReport {
    fn of(result: &GateResult) -> Self {
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
    fn of(profile: &Profile, runs: Vec<RunReport>) -> Self {
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
            runs,
        }
    }
}

impl RunReport {
    pub(crate) fn of(run: &Run) -> Self {
        let seen = run.seen.as_ref();
        let findings = seen.map(|seen| seen.findings.iter().map(FindingReport::of).collect());
        Self {
            scenario: run.scenario.name,
            verdict: run.verdict.name(),
            reason: run.reason,
            trace: seen.map(|seen| seen.hash.to_string()).unwrap_or_default(),
            rules_exercised: seen.map_or(0, |seen| seen.marks.exercised.count_ones()),
            findings: findings.unwrap_or_default(),
        }
    }
}

impl FindingReport {
    fn of(finding: &Finding) -> Self {
        Self {
            rule: finding.rule,
            flow: finding.flow.number(),
            offset: finding.offset,
            tick: finding.tick.0,
            event: finding.event,
            said: finding.said.clone(),
        }
    }
}

impl CollapseReport {
    const fn of(collapse: Collapse) -> Self {
        Self {
            runs: collapse.runs,
            distinct: collapse.distinct,
            dominant_per_mille: collapse.dominant,
            diversity_per_mille: collapse.diversity,
            success_per_mille: collapse.success,
        }
    }
}

impl MutantReport {
    fn of(mutant: &Mutant) -> Self {
        let (result, rules) = match &mutant.result {
            MutantResult::Found(rules) => ("found", rules.clone()),
            MutantResult::Missed => ("missed", Vec::new()),
            MutantResult::NotTried => ("not-tried", Vec::new()),
        };
        Self { name: mutant.name, result, rules }
    }
}
