// SPDX-License-Identifier: BSD-3-Clause
//! Gates, from what was seen in all runs.

use super::Run;
use crate::adversary::Collapse;
use crate::gate::{Gate, GateResult, Mutant, MutantResult, graver};
use crate::rules::{Verdict, rule};

/// All gates, in the order of reports.
pub(super) fn gates(runs: &[Run], mutants: &[Mutant]) -> Vec<GateResult> {
    let result = |gate| match gate {
        Gate::CollapseResistance => collapsed(&collapse(runs)),
        Gate::MutantDetection => detection(mutants),
        Gate::GeneratedBackendParity => GateResult {
            gate,
            verdict: Verdict::NotExercised,
            counted: 0,
            failed: 0,
            reason: Some("no generated backend was compared in this check".into()),
        },
        _ => by_rules(gate, runs),
    };
    Gate::ALL.map(result).into()
}

/// How alike the runs are.
pub(super) fn collapse(runs: &[Run]) -> Collapse {
    Collapse::of(runs.iter().filter_map(|run| {
        let seen = run.seen.as_ref()?;
        let is_broken =
            matches!(run.verdict, Verdict::Fail | Verdict::Nondeterministic | Verdict::LabError);
        Some((seen.features.clone(), !is_broken))
    }))
}

fn by_rules(gate: Gate, runs: &[Run]) -> GateResult {
    let (mut verdict, mut counted, mut failed, mut exercised) = (Verdict::Pass, 0, 0, 0);
    let mut reason = None;
    for run in runs.iter().filter(|run| run.verdict != Verdict::NotApplicable) {
        counted += 1;
        let (one, why) = of_run(gate, run);
        exercised |= run.seen.as_ref().map_or(1, |seen| gate.marks(&seen.marks).exercised);
        if one == Verdict::NotExercised {
            continue;
        }
        failed += u64::from(!matches!(one, Verdict::Pass | Verdict::NonStrict));
        if graver(verdict, one) != verdict {
            reason = Some(format!("{}: {why}", run.scenario.name));
        }
        verdict = graver(verdict, one);
    }
    if counted == 0 {
        let reason = Some("no scenario fits the limits of any profile".into());
        return GateResult { gate, verdict: Verdict::NotExercised, counted, failed, reason };
    }
    if exercised == 0 && verdict == Verdict::Pass {
        (verdict, reason) =
            (Verdict::NotExercised, Some("nothing happened that could have broken a rule".into()));
    }
    GateResult { gate, verdict, counted, failed, reason }
}

/// What one run says in this gate, and why.
fn of_run(gate: Gate, run: &Run) -> (Verdict, &'static str) {
    let Some(seen) = &run.seen else { return (Verdict::Fail, run.reason.unwrap_or("no end")) };
    let marks = gate.marks(&seen.marks);
    let verdict = Verdict::of(&marks);
    if gate == Gate::Correctness && seen.is_otherwise && marks.broken == 0 {
        return (Verdict::Fail, run.reason.unwrap_or("not as demanded"));
    }
    let is_counted = |id: &str| rule(id).is_some_and(|rule| gate.has(rule));
    let finding = seen.findings.iter().find(|finding| is_counted(finding.rule));
    (verdict, finding.map_or("", |finding| finding.rule))
}

fn collapsed(collapse: &Collapse) -> GateResult {
    let gate = Gate::CollapseResistance;
    let suspicion = collapse.suspicion();
    let verdict = match suspicion {
        _ if collapse.runs < 2 => Verdict::NotExercised,
        Some(_) => Verdict::Fail,
        None => Verdict::Pass,
    };
    let reason = match verdict {
        Verdict::NotExercised => Some("one run alone cannot be compared".into()),
        _ => suspicion.map(Into::into),
    };
    let failed = u64::from(verdict == Verdict::Fail);
    GateResult { gate, verdict, counted: collapse.runs, failed, reason }
}

fn detection(mutants: &[Mutant]) -> GateResult {
    let tried = mutants.iter().filter(|mutant| mutant.result != MutantResult::NotTried);
    let counted = tried.count() as u64;
    let mut missed = mutants.iter().filter(|mutant| mutant.result == MutantResult::Missed);
    let first = missed.clone().next();
    let failed = missed.by_ref().count() as u64;
    let verdict = match (counted, failed) {
        (0, _) => Verdict::NotExercised,
        (_, 0) => Verdict::Pass,
        // It is the lab that does not see.
        (_, _) => Verdict::LabError,
    };
    let reason = first.map(|mutant| format!("{} is not found", mutant.name));
    GateResult { gate: Gate::MutantDetection, verdict, counted, failed, reason }
}
