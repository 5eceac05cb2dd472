// SPDX-License-Identifier: BSD-3-Clause
//! One scenario in one profile, and what is said of it.

use super::case::{Answers, Case, Deep, Seen, claims};
use super::orders::{self, Orders, Searched};
use super::{DEPARTURES_MAX, Make, Options, elsewhere, guided};
use crate::adapters::{Guilty, caught};
use crate::adversary::{Features, OF_NOTHING};
use crate::bridge::crashes;
use crate::choice::Coverage;
use crate::contract::FlowId;
use crate::gate::graver;
use crate::replay;
use crate::report::{self, EventReport, Size};
use crate::rules::{Examiner, Finding, Marks, Verdict};
use crate::scenario::{Profile, Scenario, Shown, is_disturbed};
use crate::source::Source;
use crate::trace::{Trace, TraceHash};

/// Why a run says nothing of the adapters.
const LAB_PANICKED: &str = "the lab itself panicked, which is a bug of the lab";

/// Why a run was not made.
const BEHIND_A_CRASH: &str = "not made: the adapter's process crashed before";

/// Why a run is not the same twice, if no rule says so.
const UNSTEADY: &str = "a run of it does not repeat: it depends on something that is no choice";

/// The number of no flow: what happens to the run as a whole.
const RUN: FlowId = FlowId::new(0);

/// A run of a scenario in a profile, and all that is said of it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) scenario: &'static Scenario,
    pub(crate) seed: u64,
    pub(crate) verdict: Verdict,
    /// Why, if that is not said by findings.
    pub(crate) reason: Option<&'static str>,
    /// How the process behind an adapter crashed in it, if it did.
    pub(crate) crash: Option<&'static str>,
    /// That it is not carried out, or panics, was expected.
    pub(crate) is_known: bool,
    /// What was seen. `None`: it was not run, or did not come to its end.
    pub(crate) seen: Option<Box<Evidence>>,
    /// What it was made of, if it was run and something is wrong, until it has been told.
    pub(crate) case: Option<Box<Case>>,
}

/// What is kept of a run that was examined.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) hash: TraceHash,
    pub(crate) marks: Marks,
    /// Broken rules that were expected to be.
    pub(crate) known: u128,
    pub(crate) findings: Vec<Finding>,
    /// For each finding the last events until it, until they have been told.
    pub(crate) last_events: Vec<Vec<EventReport>>,
    pub(crate) features: Features,
    /// How much happened.
    pub(crate) size: Size,
    /// Whether it showed what the scenario demands.
    pub(crate) shown: Shown,
    /// The adapters claim what the scenario needs.
    pub(crate) is_supported: bool,
    /// A fresh process was asked, and said nothing of this run.
    pub(crate) is_unproved: bool,
    /// It is one of several orders: how many, and what of all.
    pub(crate) orders: Option<Orders>,
    /// An order was not the same when it was run again.
    pub(crate) is_unsteady: bool,
    /// How many events there were.
    pub(crate) events: u64,
    /// What is wrong with the lab, by what the run left.
    pub(crate) problem: Option<&'static str>,
}

impl Evidence {
    /// It did not show what the scenario demands, though it had occasion.
    pub(crate) fn is_otherwise(&self) -> bool {
        self.shown == Shown::Otherwise
    }

    /// What is said of its rules, but for those that were expected to be broken.
    pub(crate) const fn unknown(&self, marks: Marks) -> Marks {
        Marks { broken: marks.broken & !self.known, ..marks }
    }
}

impl Run {
    /// It was broken off by a panic, if there is a case not before it began.
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

    /// It was not made: the process behind an adapter crashed in a run before it.
    pub(super) fn behind_a_crash(profile: &Profile, scenario: &'static Scenario) -> Self {
        let (verdict, reason) = (Verdict::Inconclusive, Some(BEHIND_A_CRASH));
        Self { verdict, reason, ..Self::new(profile, scenario) }
    }

    /// The process behind an adapter crashed in it: what else is wrong may follow from that.
    pub(super) fn crashed(&mut self, how: &'static str) {
        self.crash = Some(how);
        self.judge();
    }

    /// Says what follows from what was seen, and from what is known.
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
        let by_rules = Verdict::of(&seen.unknown(seen.marks));
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

    /// It failed, and nobody expected that.
    pub(crate) const fn has_failed(&self) -> bool {
        self.verdict.is_failure()
    }

    /// It has to be told to people: it failed, or a rule was broken that says what should be.
    pub(super) fn is_wrong(&self) -> bool {
        let is_broken = |seen: &Evidence| seen.unknown(seen.marks).broken != 0;
        self.has_failed() || self.seen.as_deref().is_some_and(is_broken)
    }

    /// What the adversary looks at. `None`: it was not run.
    pub(crate) fn features(&self) -> Option<&Features> {
        match &self.seen {
            Some(seen) => Some(&seen.features),
            None if matches!(self.verdict, Verdict::NotApplicable | Verdict::Inconclusive) => None,
            None => Some(&OF_NOTHING),
        }
    }
}

/// The gravest of what is said: of what the rules say, and of all besides that holds. Of two that are
/// as grave the first.
pub(super) fn gravest<W, const N: usize>(
    by_rules: (Verdict, W),
    besides: [(bool, (Verdict, W)); N],
) -> (Verdict, W) {
    let holds = besides.into_iter().filter_map(|(holds, said)| holds.then_some(said));
    holds.fold(by_rules, |all, one| if graver(all.0, one.0) == all.0 { all } else { one })
}

/// What is run; or why the limits of the profile cannot carry it.
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
        carrier: profile.carrier,
        faults: profile.faults,
    };
    let drawn = Answers::Drawn(profile.scheduler);
    let answers = if scenario.orders.is_some() { Answers::PLAINEST } else { drawn };
    Ok(Case { run, limits, answers })
}

/// One scenario in one profile.
pub(super) fn run(
    options: &Options<'_>,
    profile: &Profile,
    scenario: &'static Scenario,
    said: Option<&elsewhere::Hashes>,
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
    let elsewhere = said.map(|said| said.of(run.seed, scenario.name));
    let mut seen = case.examine(make, elsewhere.flatten(), Deep::ALL, examiner);
    let (mut orders, mut is_unsteady) = (None, false);
    if let Some(bounds) = scenario.orders {
        let bounds = bounds.departing(options.departures_max);
        let is_otherwise = |trace: &Trace| shown_by(trace) == Shown::Otherwise;
        if Verdict::of(&seen.marks).is_failure() || is_otherwise(&seen.trace) {
            orders = Some(Orders::of_the_first(bounds));
        } else {
            let searched = orders::search(&case, make, bounds, is_otherwise, examiner);
            let Searched { orders: tried, marks, found } = searched;
            orders = Some(tried);
            if let Some(found) = found.filter(|_| tried.has_failed() || seen.marks.broken == 0) {
                case.answers = Answers::Kept(found);
                match caught(|| case.examine(make, None, Deep::ALL, examiner)) {
                    Ok(again) => seen = again,
                    Err(guilty) => {
                        *examiner = Examiner::new();
                        return Run::panicked(profile, scenario, Some(case), guilty);
                    }
                }
                let is_wrong = seen.marks.broken != 0 || is_otherwise(&seen.trace);
                is_unsteady = tried.coverage == Coverage::Diverged || !is_wrong;
            }
            seen.marks = seen.marks.join(marks);
        }
    }
    let shown = shown_by(&seen.trace);
    let is_right = |seen: &Seen| seen.marks.broken == 0 && seen.problem.is_none();
    if scenario.source == Source::Swarm && is_right(&seen) && !crashes::has_crashed() {
        let runs = match options.departures_max {
            DEPARTURES_MAX => guided::RUNS,
            _ => guided::RUNS_SLOW,
        };
        let guided::Searched { marks, found, .. } = guided::search(&case, make, runs, examiner);
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
        seen.marks = seen.marks.join(marks);
    }
    let Seen { hash, marks, findings, features, trace, problem, .. } = seen;
    let evidence = Evidence {
        hash,
        marks,
        known: 0,
        last_events: last_events(&trace, &findings, shown),
        findings,
        features,
        size: Size::of(&trace),
        shown,
        is_supported,
        is_unproved: elsewhere == Some(None),
        orders,
        is_unsteady,
        events: trace.events().len() as u64,
        problem,
    };
    let mut run = Run { seen: Some(Box::new(evidence)), ..run };
    run.judge();
    // One in which a process crashed is wrong whatever the rules say.
    run.case = (run.is_wrong() || crashes::has_crashed()).then(|| Box::new(case));
    run
}

/// The last events until each finding; of a run that only was not carried out, the last ones.
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
