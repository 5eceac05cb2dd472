// SPDX-License-Identifier: BSD-3-Clause
//! One scenario in one profile, and its verdict.

use super::case::{Answers, Case, Deep, Seen, claims};
use super::orders::{self, Orders, Searched};
use super::{DEVIATIONS_MAX, Make, Options, fresh_process, guided};
use crate::adapters::{Guilty, caught};
use crate::adversary::{Features, OF_NOTHING};
use crate::bridge::crashes;
use crate::choice::Coverage;
use crate::contract::FlowId;
use crate::gate::more_severe;
use crate::replay;
use crate::report::{self, EventReport, FaultReport, SizeReport, size_of};
use crate::rules::{Examiner, Finding, RuleSets, Verdict};
use crate::scenario::{Profile, Scenario, Shown, is_disturbed};
use crate::source::Source;
use crate::trace::{Trace, TraceHash};

/// Why a run is no evidence about the adapters.
const LAB_PANICKED: &str = "the lab itself panicked, which is a bug of the lab";

/// Why a run was not made.
const BEHIND_A_CRASH: &str = "not made: the adapter's process crashed before";

/// Why a run does not repeat, if no rule covers it.
const UNSTEADY: &str = "a run of it does not repeat: it depends on something that is no choice";

/// The flow number of events that concern the whole run.
const RUN: FlowId = FlowId::new(0);

/// A run of a scenario in a profile, with its verdict.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) scenario: &'static Scenario,
    pub(crate) seed: u64,
    pub(crate) verdict: Verdict,
    /// The reason of the verdict, if the findings do not give it.
    pub(crate) reason: Option<&'static str>,
    /// How the process of an adapter crashed in it, if it did.
    pub(crate) crash: Option<&'static str>,
    /// Its failure to show the demand, or its panic, was expected.
    pub(crate) is_known: bool,
    /// The evidence. `None`: it was not run, or did not finish.
    pub(crate) seen: Option<Box<Evidence>>,
    /// The case, if the run has something wrong, until the failure is reported.
    pub(crate) case: Option<Box<Case>>,
}

/// What is kept of an examined run.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) hash: TraceHash,
    pub(crate) rule_sets: RuleSets,
    /// Expected violations.
    pub(crate) known: u128,
    pub(crate) findings: Vec<Finding>,
    /// For each finding the last events before it, until the failure is reported.
    pub(crate) last_events: Vec<Vec<EventReport>>,
    pub(crate) features: Features,
    pub(crate) size: SizeReport,
    pub(crate) faults: Vec<FaultReport>,
    /// Whether it showed what the scenario demands.
    pub(crate) shown: Shown,
    /// The adapters claim what the scenario needs.
    pub(crate) is_supported: bool,
    /// A fresh process was asked, and its output lacks this run.
    pub(crate) is_unproved: bool,
    /// It is one of several orders: how many, and how much of all orders they cover.
    pub(crate) orders: Option<Orders>,
    /// An order differed when it was run again.
    pub(crate) is_unsteady: bool,
    /// Number of events, counted apart from the size that reports have.
    pub(crate) events: u64,
    /// An error of the lab that the run shows.
    pub(crate) problem: Option<&'static str>,
}

impl Evidence {
    /// It did not show what the scenario demands, though it had occasion.
    pub(crate) fn is_otherwise(&self) -> bool {
        self.shown == Shown::Otherwise
    }

    /// The rule sets without expected violations.
    pub(crate) const fn unknown(&self, rule_sets: RuleSets) -> RuleSets {
        RuleSets { broken: rule_sets.broken & !self.known, ..rule_sets }
    }
}

impl Run {
    /// A run that was aborted by a panic; `case` is `None` if it panicked before it began.
    pub(super) fn panicked(
        profile: &Profile,
        scenario: &'static Scenario,
        case: Option<Case>,
        guilty: Guilty,
    ) -> Self {
        let (verdict, reason) = match guilty {
            Guilty::Adapter => (Verdict::Fail, Some("an adapter panicked")),
            Guilty::Lab => (Verdict::LabError, Some(LAB_PANICKED)),
        };
        Self { verdict, reason, case: case.map(Box::new), ..Self::new(profile, scenario) }
    }

    fn new(profile: &Profile, scenario: &'static Scenario) -> Self {
        let seed = profile.config.deterministic_seed;
        let (verdict, reason) = (Verdict::NotApplicable, None);
        let crash = None;
        Self { scenario, seed, verdict, reason, crash, is_known: false, seen: None, case: None }
    }

    /// A run that was skipped: the process of an adapter crashed in an earlier run.
    pub(super) fn behind_a_crash(profile: &Profile, scenario: &'static Scenario) -> Self {
        let (verdict, reason) = (Verdict::Inconclusive, Some(BEHIND_A_CRASH));
        Self { verdict, reason, ..Self::new(profile, scenario) }
    }

    /// The process of an adapter crashed in it: other failures may be consequences.
    pub(super) fn crashed(&mut self, how: &'static str) {
        self.crash = Some(how);
        self.judge();
    }

    /// Derives the verdict from the evidence and from the known failures.
    pub(super) fn judge(&mut self) {
        if let Some(how) = self.crash {
            self.verdict = if self.is_known { Verdict::KnownFail } else { Verdict::Fail };
            self.reason = Some(how);
            return;
        }
        let Some(seen) = &self.seen else {
            if self.is_known && self.verdict == Verdict::Fail {
                self.verdict = Verdict::KnownFail;
            }
            return;
        };
        if let Some(problem) = seen.problem {
            (self.verdict, self.reason) = (Verdict::LabError, Some(problem));
            return;
        }
        let by_rules = Verdict::of(&seen.unknown(seen.rule_sets));
        let is_otherwise = seen.is_otherwise();
        let besides = [
            (
                is_otherwise && !self.is_known,
                (Verdict::Fail, Some(self.scenario.demand.sentence())),
            ),
            (
                seen.is_unproved,
                (Verdict::Inconclusive, Some("the fresh process did not say how it went")),
            ),
            (seen.is_unsteady, (Verdict::Nondeterministic, Some(UNSTEADY))),
            (
                seen.shown == Shown::NoOccasion,
                (Verdict::NotExercised, Some(self.scenario.demand.occasion())),
            ),
            (is_otherwise || seen.known != 0, (Verdict::KnownFail, None)),
            (
                !seen.is_supported,
                (Verdict::Unsupported, Some("the adapters do not claim what it needs")),
            ),
        ];
        (self.verdict, self.reason) = gravest((by_rules, None), besides);
    }

    /// It failed unexpectedly.
    pub(crate) const fn has_failed(&self) -> bool {
        self.verdict.is_failure()
    }

    /// It must be reported to people: it failed, or violated a SHOULD rule.
    pub(super) fn is_wrong(&self) -> bool {
        let is_broken = |seen: &Evidence| seen.unknown(seen.rule_sets).broken != 0;
        self.has_failed() || self.seen.as_deref().is_some_and(is_broken)
    }

    /// The features for the adversary. `None`: it was not run.
    pub(crate) fn features(&self) -> Option<&Features> {
        match &self.seen {
            Some(seen) => Some(&seen.features),
            None if matches!(self.verdict, Verdict::NotApplicable | Verdict::Inconclusive) => None,
            None => Some(&OF_NOTHING),
        }
    }
}

/// The most severe of the verdict by the rules and of all other verdicts that apply. Of two that
/// are equally severe, the first.
pub(super) fn gravest<W, const N: usize>(
    by_rules: (Verdict, W),
    besides: [(bool, (Verdict, W)); N],
) -> (Verdict, W) {
    let holds = besides.into_iter().filter_map(|(holds, said)| holds.then_some(said));
    holds.fold(by_rules, |all, one| if more_severe(all.0, one.0) == all.0 { all } else { one })
}

/// The case of a scenario in a profile; or why the limits of the profile cannot carry it.
pub(crate) fn case_of(
    make: Make<'_>,
    profile: &Profile,
    scenario: &Scenario,
) -> Result<Case, &'static str> {
    let profile = &profile.of(scenario);
    let limits = scenario.limits(profile);
    if let Some(obstacle) = scenario.obstacle(&profile.config, &claims(make, limits)) {
        return Err(obstacle);
    }
    let run = replay::Case {
        config: profile.config.clone(),
        plans: scenario.plans(&profile.config),
        behaviour: profile.behaviour(scenario),
        window_bytes: profile.window_bytes,
        link: profile.link,
        faults: profile.faults,
    };
    let drawn = Answers::Drawn(profile.scheduler);
    let answers = if scenario.orders.is_some() { Answers::PLAINEST } else { drawn };
    Ok(Case { run, limits, answers })
}

/// Runs one scenario in one profile.
pub(super) fn run(
    options: &Options<'_>,
    profile: &Profile,
    scenario: &'static Scenario,
    said: Option<&fresh_process::Hashes>,
    examiner: &mut Examiner,
) -> Run {
    let (make, run) = (options.make, Run::new(profile, scenario));
    let mut case = match case_of(make, profile, scenario) {
        Ok(case) => case,
        Err(obstacle) => return Run { reason: Some(obstacle), ..run },
    };
    let is_supported = scenario.is_supported(&claims(make, case.limits));
    let behaviour = case.run.behaviour;
    let shown_by = |trace: &Trace| match is_disturbed(trace) || !is_supported {
        true => Shown::Yes,
        false => scenario.demand.is_shown(trace, scenario.flows, behaviour),
    };
    let fresh_process = said.map(|said| said.of(run.seed, scenario.name));
    let mut seen = case.examine(make, fresh_process.flatten(), Deep::ALL, examiner);
    let (mut orders, mut is_unsteady) = (None, false);
    if let Some(bounds) = scenario.orders {
        let bounds = bounds.deviating(options.deviations_max);
        let is_otherwise = |trace: &Trace| shown_by(trace) == Shown::Otherwise;
        if Verdict::of(&seen.rule_sets).is_failure() || is_otherwise(&seen.trace) {
            orders = Some(Orders::of_the_first(bounds));
        } else {
            let searched = orders::search(&case, make, bounds, is_otherwise, examiner);
            let Searched { orders: tried, rule_sets, found } = searched;
            orders = Some(tried);
            if let Some(found) = found.filter(|_| tried.has_failed() || seen.rule_sets.broken == 0)
            {
                case.answers = Answers::Kept(found);
                match caught(|| case.examine(make, None, Deep::ALL, examiner)) {
                    Ok(again) => seen = again,
                    Err(guilty) => {
                        *examiner = Examiner::new();
                        return Run::panicked(profile, scenario, Some(case), guilty);
                    }
                }
                let is_wrong = seen.rule_sets.broken != 0 || is_otherwise(&seen.trace);
                is_unsteady = tried.coverage == Coverage::Diverged || !is_wrong;
            }
            seen.rule_sets = seen.rule_sets.join(rule_sets);
        }
    }
    let shown = shown_by(&seen.trace);
    let is_right = |seen: &Seen| seen.rule_sets.broken == 0 && seen.problem.is_none();
    if scenario.source == Source::Swarm && is_right(&seen) && !crashes::has_crashed() {
        let runs = match options.deviations_max {
            DEVIATIONS_MAX => guided::RUNS,
            _ => guided::RUNS_SLOW,
        };
        let guided::Searched { rule_sets, found, .. } = guided::search(&case, make, runs, examiner);
        if let Some(found) = found {
            case = found;
            match caught(|| case.examine(make, None, Deep::ALL, examiner)) {
                Ok(again) => seen = again,
                Err(guilty) => {
                    *examiner = Examiner::new();
                    return Run::panicked(profile, scenario, Some(case), guilty);
                }
            }
            is_unsteady = is_right(&seen);
        }
        seen.rule_sets = seen.rule_sets.join(rule_sets);
    }
    let Seen { hash, rule_sets, findings, features, trace, problem, .. } = seen;
    let (size, faults) = size_of(&trace);
    let evidence = Evidence {
        hash,
        rule_sets,
        known: 0,
        last_events: last_events(&trace, &findings, shown),
        findings,
        features,
        size,
        faults,
        shown,
        is_supported,
        is_unproved: fresh_process == Some(None),
        orders,
        is_unsteady,
        events: trace.events().len() as u64,
        problem,
    };
    let mut run = Run { seen: Some(Box::new(evidence)), ..run };
    run.judge();
    // A run in which a process crashed is wrong whatever the rules report.
    run.case = (run.is_wrong() || crashes::has_crashed()).then(|| Box::new(case));
    run
}

/// The last events before each finding; of a run that only missed its demand, its last ones.
fn last_events(trace: &Trace, findings: &[Finding], shown: Shown) -> Vec<Vec<EventReport>> {
    match findings {
        [] if shown == Shown::Otherwise => {
            vec![report::last_events(trace, RUN, trace.events().len())]
        }
        _ => {
            let until = |it: &Finding| report::last_events(trace, it.flow, it.event);
            findings.iter().map(until).collect()
        }
    }
}
