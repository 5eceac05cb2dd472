// SPDX-License-Identifier: BSD-3-Clause
//! Examines the lab's own parts in each check: each is made wrong once, and the lab must detect it.
//!
//! | part | made wrong | seen by |
//! |---|---|---|
//! | source | its chunks have wrong numbers; its bytes, or its plan, ignore the seed | [`of_run`]; INT-10; [`of_plans`] |
//! | session, link, what waits for the egress adapter | bytes are changed there | INT-10, by name |
//! | sink | it is off by one; it compares nothing | INT-10, by name; INT-01 of an adapter that puts out zeros |
//! | trace | it loses an event | [`of_run`] |
//! | counters, report | each number of a report is one more | [`of_report`] |
//!
//! The same detectors work in every run and on the report of every check, not only here. So a lab
//! with such a fault reports it: exit code 4, and its verdicts on adapters are void.

use super::case::{Case, Deep};
use super::{Options, Run};
use crate::adversary::TOGETHER_MAX;
use crate::config::Config;
use crate::contract::Tick;
use crate::gate::{Gate, healthy};
use crate::mutant::{self, MUTANTS, Witness};
use crate::replay;
use crate::report::Report;
use crate::rules::{Examiner, Finding};
use crate::source::{End, Source};
use crate::target::Behaviour;
use crate::trace::{EventKind, Part, Stage, Trace};
use crate::world::planted::{self, Planted};

/// An egress adapter that shows whether the sink compares bytes, and the rule that it must violate.
const ZEROS: (&str, &str) = ("padding_only_diversity", "INT-01");

/// The lab's error that one of its runs shows, if any. Independent of the adapters.
pub(crate) fn of_run(trace: &Trace, case: &replay::Case) -> Option<&'static str> {
    if !trace.is_whole() {
        return Some("the lab's trace has lost an event");
    }
    let mut sides = vec![[Offers::default(); 2]; case.plans.len()];
    for event in trace.events() {
        let at = (event.flow.number() as usize).wrapping_sub(1);
        let Some((sides, plan)) = sides.get_mut(at).zip(case.plans.get(at)) else { continue };
        match event.what {
            EventKind::Offered { place, sequence, offset, bytes, .. } => {
                let is_stray = matches!(plan.end, End::LateWrite | End::Malformed)
                    && place == Stage::Ingress
                    && offset >= plan.bytes();
                let Some(side) = sides.get_mut(place as usize).filter(|_| !is_stray) else {
                    continue;
                };
                let is_next = sequence == side.sequence || sequence == side.sequence + 1;
                let is_first = side.sequence == 0 && sequence == 1;
                if offset != side.taken || !(is_first || side.sequence > 0 && is_next) {
                    return Some("the lab offers a chunk that is not the next");
                }
                (side.sequence, side.offered) = (sequence, bytes);
                let is_source = place == Stage::Ingress;
                let planned = plan.chunks.get((sequence as usize).wrapping_sub(1));
                if is_source && planned.is_none_or(|it| bytes > it.bytes || event.tick < it.at) {
                    return Some("the lab's source offers what its plan does not have");
                }
            }
            EventKind::Took { place, bytes } => {
                if let Some(side) = sides.get_mut(place as usize) {
                    side.taken += bytes.min(std::mem::take(&mut side.offered));
                }
            }
            _ => {}
        }
    }
    None
}

/// What was offered to an adapter for one flow.
#[derive(Debug, Clone, Copy, Default)]
struct Offers {
    sequence: u64,
    offered: u64,
    taken: u64,
}

/// The error in the plans of sources, if any: the lengths of their chunks depend on the seed as the
/// table of `source` states.
fn of_plans() -> Option<&'static str> {
    let is_wrong = |seed: u64| {
        let config = Config { deterministic_seed: seed, ..Config::default() };
        let burst = Source::SmallBurst.plan(&config, 3);
        let drip = Source::SlowDrip.plan(&config, 1);
        let bursts = burst.iter().zip(seed..).all(|(plan, at)| plan.bytes() == 64 + at % 32);
        let drips = drip.iter().flat_map(|plan| &plan.chunks).zip(seed..);
        let mut drips = drips.zip(0..).map(|((chunk, at), number)| {
            (chunk.bytes, chunk.at) == (24 + at % 8, Tick(2 * number))
        });
        !bursts || !drips.all(|is_right| is_right)
    };
    [1, 2, 77].into_iter().any(is_wrong).then_some("the lab's source plans the same for every seed")
}

/// The first wrong number of a report, recounted from the runs.
pub(super) fn of_report(report: &Report, runs: &[Run], options: &Options<'_>) -> Option<String> {
    let wrong = |what: &str, said: u64, is: u64| {
        (said != is).then(|| format!("the report has {said} {what}, and there are {is}"))
    };
    let count =
        |is_one: &dyn Fn(&Run) -> bool| runs.iter().filter(|run| is_one(run)).count() as u64;
    let made = count(&|run| run.verdict != crate::rules::Verdict::NotApplicable);
    let seeds = options.seeds().count() as u64;
    let seen = &report.adversary;
    let featured = count(&|run| run.features().is_some());
    let (sum, kinds) = (seen.classes.iter().sum(), seen.classes.len() as u64);
    let passed = count(&|run| run.features().is_some() && !run.has_failed());
    let mut all = vec![
        wrong("profiles", report.profiles.len() as u64, seeds),
        wrong(
            "runs",
            report.profiles.iter().map(|it| it.runs.len() as u64).sum(),
            runs.len() as u64,
        ),
        wrong("runs that the adversary looked at", seen.runs, featured),
        wrong("runs in classes", sum, featured),
        wrong("different runs", seen.distinct, kinds),
    ];
    let ratio = |count: u64| (1000 * count).checked_div(featured).unwrap_or(0);
    all.push(wrong("thousandths of success", seen.success_per_mille, ratio(passed)));
    if seeds as usize <= TOGETHER_MAX {
        all.push(wrong("thousandths of diversity", seen.diversity_per_mille, ratio(kinds)));
        let commonest = seen.classes.first().copied().unwrap_or(0);
        // Rounded against the adapters.
        let dominant = 1000_u64.saturating_sub(ratio(featured.saturating_sub(commonest)));
        let dominant = if featured == 0 { 0 } else { dominant };
        all.push(wrong("thousandths alike", seen.dominant_per_mille, dominant));
    }
    for gate in Gate::ALL.iter().take(7) {
        let counted = report.gate(*gate).map_or(0, |gate| gate.counted);
        all.push(wrong("runs in a gate", counted, made));
    }
    if let Some(gate) = report.gate(Gate::Correctness) {
        all.push(wrong("failed runs", gate.failed, count(&Run::has_failed)));
    }
    if let Some(gate) = report.gate(Gate::MutantDetection) {
        let of = |is_one: &dyn Fn(&str) -> bool| {
            report.mutants.iter().filter(|it| is_one(it.result)).count() as u64
        };
        let expected = if options.gates_of_lab { MUTANTS.len() as u64 } else { 0 };
        all.push(wrong("mutants", report.mutants.len() as u64, expected));
        all.push(wrong("mutants that were tried", gate.counted, of(&|it| it != "not-tried")));
        all.push(wrong("mutants that survived", gate.failed, of(&|it| it == "survived")));
    }
    for (at, rule) in report.rules.iter().enumerate() {
        let of = |is_one: &dyn Fn(&super::run::Evidence) -> bool| {
            count(&|run| run.seen.as_deref().is_some_and(is_one))
        };
        let is_found = |finding: &Finding| finding.rule == rule.rule;
        let broken = of(&|seen| seen.findings.iter().any(is_found));
        all.push(wrong("runs that break a rule", rule.violated, broken));
        let exercised = of(&|seen| seen.rule_sets.exercised >> at & 1 == 1);
        all.push(wrong("runs with an occasion for a rule", rule.exercised, exercised));
        let applicable = of(&|seen| seen.rule_sets.applicable >> at & 1 == 1);
        all.push(wrong("runs to which a rule applies", rule.applicable, applicable));
    }
    let sizes = report.profiles.iter().flat_map(|it| &it.runs).zip(runs);
    for (said, run) in sizes {
        let events = |it: &super::run::Evidence| it.events;
        let (said, is) = (said.size.as_ref().map_or(0, |it| it.events), run.seen.as_deref());
        all.push(wrong("events in a run", said, is.map_or(0, events)));
    }
    all.into_iter().flatten().next()
}

/// Makes each part wrong, one after another, and returns the first that was not detected.
pub(super) fn examine(report: &Report, runs: &[Run], options: &Options<'_>) -> Option<String> {
    let examiner = &mut Examiner::new();
    if let Some(problem) = of_plans() {
        return Some(problem.into());
    }
    let unseen = Planted::ALL.iter().copied().find(|planted| !is_seen(*planted, examiner));
    if let Some(planted) = unseen {
        return Some(format!("the lab does not see it when it is wrong itself: {planted:?}"));
    }
    let unseen = altered(report).find(|(_, wrong)| of_report(wrong, runs, options).is_none());
    unseen.map(|(what, _)| format!("the lab does not see a wrong number in its report: {what}"))
}

/// A small run of an adapter.
fn seen(make: super::Make<'_>, examiner: &mut Examiner) -> super::case::Seen {
    let witness = Witness::new(Source::SmallBurst, Behaviour::Echo).flows(2);
    Case::of_witness(&witness).examine(make, None, Deep::NOTHING, examiner)
}

/// Whether a wrong part is detected, and the right part raises no alarm.
fn is_seen(planted: Planted, examiner: &mut Examiner) -> bool {
    let names = |of: &super::case::Seen, part: Part| {
        let is_it =
            |finding: &Finding| finding.rule == "INT-10" && finding.said.contains(part.name());
        of.findings.iter().any(is_it)
    };
    let healthy_one = seen(&healthy, examiner);
    if healthy_one.problem.is_some() || healthy_one.rule_sets.broken != 0 {
        return false;
    }
    if planted == Planted::SourcePlan {
        return planted::with(planted, of_plans).is_some();
    }
    if planted == Planted::SinkComparison {
        let (name, rule) = ZEROS;
        let Some(zeros) = mutant::of_name(name) else { return false };
        let mut finds = || {
            let seen = seen(&zeros.make, examiner);
            seen.findings.iter().any(|finding| finding.rule == rule)
        };
        return finds() && !planted::with(planted, finds);
    }
    let wrong = planted::with(planted, || seen(&healthy, examiner));
    match planted {
        Planted::SourceSequence | Planted::Trace => wrong.problem.is_some(),
        Planted::SourceSeed => names(&wrong, Part::Source),
        Planted::Session => names(&wrong, Part::Session),
        Planted::Link => names(&wrong, Part::Link),
        Planted::Boundary => names(&wrong, Part::Boundary),
        Planted::SinkOffset => names(&wrong, Part::Sink),
        Planted::SinkComparison | Planted::SourcePlan => false,
    }
}

/// Copies of the report, each with one number increased.
fn altered(report: &Report) -> impl Iterator<Item = (&'static str, Report)> + '_ {
    type Change = fn(&mut Report);
    const CHANGES: [(&str, Change); 9] = [
        ("adversary runs", |it| it.adversary.runs += 1),
        ("adversary distinct", |it| it.adversary.distinct += 1),
        ("adversary success", |it| it.adversary.success_per_mille += 1),
        ("gate counted", |it| it.gates.iter_mut().take(1).for_each(|gate| gate.counted += 1)),
        ("gate failed", |it| it.gates.iter_mut().take(1).for_each(|gate| gate.failed += 1)),
        ("rule violated", |it| it.rules.iter_mut().take(1).for_each(|rule| rule.violated += 1)),
        ("rule exercised", |it| it.rules.iter_mut().take(1).for_each(|rule| rule.exercised += 1)),
        ("mutants", |it| {
            let mutants = it.gates.iter_mut().filter(|it| it.name == Gate::MutantDetection.name());
            mutants.for_each(|gate| gate.counted += 1);
        }),
        ("profiles", |it| drop(it.profiles.pop())),
    ];
    let has_runs = report.adversary.runs > 0;
    // Without a run the success rate cannot be wrong.
    let applies = move |(what, _): &(&str, Change)| has_runs || *what != "adversary success";
    CHANGES.into_iter().filter(applies).map(|(what, change)| {
        let mut wrong = report.clone();
        change(&mut wrong);
        (what, wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn every_part_that_is_wrong_is_seen_and_named() {
        let examiner = &mut Examiner::new();
        for planted in Planted::ALL.iter().copied() {
            assert!(is_seen(planted, examiner), "{planted:?}");
        }
        let said = planted::with(Planted::Session, || {
            let wrong = seen(&healthy, examiner);
            let finding = wrong.findings.iter().find(|it| it.rule == "INT-10").unwrap();
            let of_adapters = crate::rules::of_adapters(wrong.rule_sets.broken);
            assert_eq!(of_adapters, 0, "no adapter is guilty: {:?}", wrong.findings);
            finding.said.clone()
        });
        assert_eq!(said, "the part that changed a byte is the session, and has to be none");
    }

    /// A part that is wrong all the time, as a bug in it is, ends a check with exit code 4 or, if a
    /// run shows which part is at fault, as a failure of the lab.
    #[test]
    fn a_check_by_a_lab_that_is_wrong_says_so() {
        for planted in Planted::ALL.iter().copied() {
            let report = planted::with(planted, || {
                check::run(&Options { profiles: Some(1), ..Options::quick("memory", &healthy) })
            });
            assert_eq!(report.verdict, "lab-error", "{planted:?}");
            assert_eq!(report.exit_code, 4, "{planted:?}");
        }
        let report =
            check::run(&Options { profiles: Some(1), ..Options::quick("memory", &healthy) });
        assert_eq!((report.verdict, report.exit_code), ("pass", 0));
    }

    #[test]
    fn a_wrong_plan_is_seen() {
        assert!(of_plans().is_none() && planted::with(Planted::SourcePlan, of_plans).is_some());
    }
}
