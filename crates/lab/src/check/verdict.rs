// SPDX-License-Identifier: BSD-3-Clause
//! Gates, from the evidence of all runs.

use super::run::gravest;
use super::{Agreements, Run, case_of};
use crate::adversary::{Collapse, Features};
use crate::gate::{Gate, GateResult, MutantOutcome, MutantResult, Parity, healthy, more_severe};
use crate::rules::{Verdict, bits};
use crate::scenario::Profile;
use crate::trace::Stage;

/// All gates, in the order of reports.
pub(super) fn gates(
    runs: &[Run],
    collapse: &Collapse,
    mutants: &[MutantResult],
    agreements: &Agreements,
    parity: Option<GateResult>,
) -> Vec<GateResult> {
    let result = |gate| match gate {
        Gate::CollapseResistance => collapsed(collapse),
        Gate::MutantDetection => detection(mutants),
        Gate::GeneratedBackendParity => parity.clone().unwrap_or_else(|| Parity::default().gate()),
        Gate::RuntimeIntegration => negotiated(by_rules(gate, runs), agreements),
        _ => by_rules(gate, runs),
    };
    Gate::ALL.map(result).into()
}

/// How alike the runs are.
pub(super) fn collapse(runs: &[Run]) -> Collapse {
    let look = |run: &Run| Some((run.features()?.clone(), !run.has_failed()));
    let profiles: Vec<_> = runs.chunk_by(|one, other| one.seed == other.seed).collect();
    let seen: Vec<Vec<_>> =
        profiles.iter().map(|of| of.iter().filter_map(look).collect()).collect();
    Collapse::of_profiles(&seen, |row| {
        let runs = profiles.get(row).unwrap_or_default().iter().copied().flatten();
        runs.filter(|run| run.features().is_some()).filter_map(reference).collect()
    })
}

/// The features of the memory adapters in the same run.
fn reference(run: &Run) -> Option<Features> {
    let case = case_of(&healthy, &Profile::draw(run.seed), run.scenario).ok()?;
    let (trace, _) = case.record(&healthy);
    Some(Features::of(&trace, case.run.plans.len()))
}

fn by_rules(gate: Gate, runs: &[Run]) -> GateResult {
    let (mut verdict, mut counted, mut failed, mut exercised) = (Verdict::Pass, 0, 0, 0);
    let mut reason = None;
    for run in runs.iter().filter(|run| run.verdict != Verdict::NotApplicable) {
        counted += 1;
        let (one, why) = of_run(gate, run);
        exercised |= run.seen.as_ref().map_or(1, |seen| gate.rule_sets(&seen.rule_sets).exercised);
        if one == Verdict::NotExercised {
            continue;
        }
        failed += u64::from(one.is_failure());
        if more_severe(verdict, one) != verdict {
            reason = Some(format!("{}: {why}", run.scenario.name));
        }
        verdict = more_severe(verdict, one);
    }
    if counted == 0 {
        let reason = Some("no scenario fits the limits of any profile".into());
        return GateResult { gate, verdict: Verdict::NotExercised, counted, failed, reason };
    }
    if exercised == 0 && verdict == Verdict::Pass {
        (verdict, reason) = (
            Verdict::NotExercised,
            Some("nothing happened that could have violated a rule".into()),
        );
    }
    GateResult { gate, verdict, counted, failed, reason }
}

/// The verdict of one run in this gate, and its reason.
fn of_run(gate: Gate, run: &Run) -> (Verdict, &'static str) {
    if let (Gate::Correctness, Some(how)) = (gate, run.crash) {
        return (run.verdict, how);
    }
    let Some(seen) = &run.seen else { return (run.verdict, run.reason.unwrap_or("no end")) };
    if let Some(problem) = seen.problem {
        return (Verdict::LabError, problem);
    }
    let all = gate.rule_sets(&seen.rule_sets);
    let unknown = seen.unknown(all);
    let finding = seen.findings.iter().find(|it| unknown.broken & bits([it.rule]) != 0);
    let by_rules = (Verdict::of(&unknown), finding.map_or("", |finding| finding.rule));
    let is_otherwise = gate == Gate::Correctness && seen.is_otherwise();
    let is_proof = matches!(gate, Gate::Correctness | Gate::RuntimeIntegration);
    let besides = [
        (
            is_otherwise && !run.is_known,
            (Verdict::Fail, run.reason.unwrap_or(run.scenario.demand.sentence())),
        ),
        (
            is_proof && seen.is_unsteady,
            (Verdict::Nondeterministic, run.reason.unwrap_or("an order does not repeat")),
        ),
        (is_proof && seen.is_unproved, (Verdict::Inconclusive, run.reason.unwrap_or("not proved"))),
        (is_otherwise || all.broken != unknown.broken, (Verdict::KnownFail, "expected to fail")),
    ];
    gravest(by_rules, besides)
}

/// The same result, unless the negotiation failed.
fn negotiated(result: GateResult, agreements: &Agreements) -> GateResult {
    let Some((place, disagreement)) = agreements.disagreement() else { return result };
    let verdict = more_severe(result.verdict, disagreement.verdict());
    if verdict == result.verdict {
        return result;
    }
    let place = if place == Stage::Egress { "egress" } else { "ingress" };
    GateResult { verdict, reason: Some(format!("{place}: {disagreement}")), ..result }
}

fn collapsed(collapse: &Collapse) -> GateResult {
    let gate = Gate::CollapseResistance;
    let suspicions = collapse.suspicions();
    let (verdict, reason) = match suspicions.as_slice() {
        _ if collapse.runs < 2 => {
            (Verdict::NotExercised, Some("one run alone cannot be compared".into()))
        }
        [] => (Verdict::Pass, None),
        all => (Verdict::Fail, Some(all.join("; "))),
    };
    let failed = u64::from(verdict == Verdict::Fail);
    GateResult { gate, verdict, counted: collapse.runs, failed, reason }
}

fn detection(mutants: &[MutantResult]) -> GateResult {
    let tried = mutants.iter().filter(|mutant| mutant.outcome != MutantOutcome::NotTried);
    let counted = tried.count() as u64;
    let mut survivors = mutants.iter().filter(|mutant| mutant.outcome == MutantOutcome::Survived);
    let first = survivors.clone().next();
    let failed = survivors.by_ref().count() as u64;
    let verdict = match (counted, failed) {
        (0, _) => Verdict::NotExercised,
        (_, 0) => Verdict::Pass,
        // The lab is at fault, not the adapter under test.
        (_, _) => Verdict::LabError,
    };
    let reason = first.map(|mutant| format!("{} survived", mutant.name));
    GateResult { gate: Gate::MutantDetection, verdict, counted, failed, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::run::Evidence;
    use crate::report::SizeReport;
    use crate::rules::{CATALOGUE, Level, Rule, RuleSets, Subject};
    use crate::scenario::{SCENARIOS, Shown};
    use crate::trace::TraceHash;

    /// A run in which all rules had occasion, and these were violated.
    fn run(broken: &[&str], change: impl FnOnce(&mut Evidence)) -> Run {
        let all = u128::MAX >> (128 - CATALOGUE.len());
        let broken = bits(broken.iter().copied());
        let mut seen = Evidence {
            hash: TraceHash::default(),
            rule_sets: RuleSets { applicable: all, exercised: all, broken },
            known: 0,
            findings: Vec::new(),
            last_events: Vec::new(),
            features: Features::default(),
            size: SizeReport::default(),
            faults: Vec::new(),
            shown: Shown::Yes,
            is_supported: true,
            is_unproved: false,
            orders: None,
            is_unsteady: false,
            events: 0,
            problem: None,
        };
        change(&mut seen);
        let (scenario, verdict) = (&SCENARIOS[0], Verdict::NotApplicable);
        let seen = Some(Box::new(seen));
        let (reason, crash, is_known, case) = (None, None, false, None);
        let mut run = Run { scenario, seed: 1, verdict, reason, crash, is_known, seen, case };
        run.judge();
        run
    }

    fn gate(gate: Gate, runs: &[Run]) -> (Verdict, u64, u64) {
        let GateResult { verdict, counted, failed, .. } = by_rules(gate, runs);
        (verdict, counted, failed)
    }

    fn rules(of: Subject, level: Level) -> impl Iterator<Item = &'static Rule> {
        CATALOGUE.iter().filter(move |rule| rule.of == of && rule.level == level)
    }

    const OF_RUNS: [Gate; 7] = [
        Gate::Correctness,
        Gate::FlowLifecycle,
        Gate::RuntimeIntegration,
        Gate::Backpressure,
        Gate::ErrorResetIsolation,
        Gate::SequenceIntegrity,
        Gate::TraceHygiene,
    ];

    #[test]
    fn one_failed_run_of_many_fails_the_gates_that_are_about_it() {
        let healthy = || run(&[], |_| ());
        for rule in rules(Subject::Adapter, Level::Must).chain(rules(Subject::Runtime, Level::Must))
        {
            for at in 0..3 {
                let mut runs = [healthy(), healthy(), healthy()];
                runs[at] = run(&[rule.id], |_| ());
                let verdict = runs[at].verdict;
                assert!(verdict.is_failure(), "{}", rule.id);
                for of in OF_RUNS {
                    let expected =
                        if of.has(rule) { (verdict, 3, 1) } else { (Verdict::Pass, 3, 0) };
                    assert_eq!(gate(of, &runs), expected, "{} {}", rule.id, of.name());
                }
            }
        }
    }

    #[test]
    fn a_violation_of_a_should_rule_is_reported_and_does_not_fail() {
        for rule in rules(Subject::Adapter, Level::Should) {
            let runs = [run(&[], |_| ()), run(&[rule.id], |_| ())];
            assert_eq!(runs[1].verdict, Verdict::NonStrict, "{}", rule.id);
            assert!(runs[1].is_wrong() && !runs[0].is_wrong());
            assert_eq!(gate(Gate::Correctness, &runs), (Verdict::NonStrict, 2, 0), "{}", rule.id);
        }
    }

    #[test]
    fn what_was_not_as_demanded_fails_whatever_else_was_broken() {
        for broken in [&[][..], &["INT-09"]] {
            let runs = [run(broken, |seen| seen.shown = Shown::Otherwise)];
            let reason = Some(SCENARIOS[0].demand.sentence());
            assert_eq!((runs[0].verdict, runs[0].reason), (Verdict::Fail, reason));
            assert_eq!(gate(Gate::Correctness, &runs), (Verdict::Fail, 1, 1), "{broken:?}");
        }
    }

    /// A known failure of a run hides no other failure.
    #[test]
    fn of_what_is_said_of_a_run_the_gravest_counts() {
        let known = |seen: &mut Evidence| seen.known = bits(["INT-04"]);
        let runs = [run(&["INT-04"], known)];
        assert_eq!((runs[0].verdict, runs[0].is_wrong()), (Verdict::KnownFail, false));
        assert_eq!(gate(Gate::Correctness, &runs), (Verdict::KnownFail, 1, 0));

        let runs = [run(&["INT-04", "INT-09"], known)];
        assert_eq!((runs[0].verdict, runs[0].is_wrong()), (Verdict::NonStrict, true));
        assert_eq!(gate(Gate::SequenceIntegrity, &runs), (Verdict::NonStrict, 1, 0));

        let runs = [run(&["INT-04", "INT-03"], known)];
        assert_eq!(runs[0].verdict, Verdict::Fail);
        assert_eq!(gate(Gate::SequenceIntegrity, &runs), (Verdict::Fail, 1, 1));

        // There is no evidence, which is no failure of the adapter.
        let unproved = |seen: &mut Evidence| {
            known(seen);
            seen.is_unproved = true;
        };
        let runs = [run(&["INT-04"], unproved)];
        assert_eq!(runs[0].verdict, Verdict::Inconclusive);
        assert_eq!(gate(Gate::Correctness, &runs), (Verdict::Inconclusive, 1, 0));
        assert_eq!(gate(Gate::SequenceIntegrity, &runs), (Verdict::KnownFail, 1, 0));

        let unsupported = |seen: &mut Evidence| seen.is_supported = false;
        assert_eq!(run(&[], unsupported).verdict, Verdict::Unsupported);
        let run = run(&["INT-09"], unsupported);
        assert_eq!((run.verdict, run.is_wrong()), (Verdict::NonStrict, true));
    }

    #[test]
    fn a_mutant_that_survives_is_an_error_of_the_lab() {
        let mutant = |name, outcome| MutantResult { name, outcome };
        let killed = || mutant("killed", MutantOutcome::Killed(vec!["INT-01"]));
        let (survived, idle) =
            (mutant("survived", MutantOutcome::Survived), mutant("idle", MutantOutcome::NotTried));
        let gate = |mutants: &[MutantResult]| {
            let GateResult { verdict, counted, failed, .. } = detection(mutants);
            (verdict, counted, failed)
        };
        assert_eq!(gate(&[killed(), idle.clone()]), (Verdict::Pass, 1, 0));
        assert_eq!(gate(&[killed(), survived, killed()]), (Verdict::LabError, 3, 1));
        assert_eq!(gate(&[idle]), (Verdict::NotExercised, 0, 0));
    }

    #[test]
    fn a_gate_without_an_occasion_does_not_pass() {
        let idle = |of: Gate| {
            move |seen: &mut Evidence| {
                seen.rule_sets.exercised &= !of.rule_sets(&seen.rule_sets).exercised;
            }
        };
        for of in OF_RUNS {
            let runs = [run(&[], idle(of)), run(&[], idle(of))];
            assert_eq!(gate(of, &runs), (Verdict::NotExercised, 2, 0), "{}", of.name());
            let runs = [run(&[], idle(of)), run(&[], |_| ())];
            assert_eq!(gate(of, &runs), (Verdict::Pass, 2, 0), "{}", of.name());
            assert_eq!(gate(of, &[]), (Verdict::NotExercised, 0, 0), "{}", of.name());
        }
    }
}
