// SPDX-License-Identifier: BSD-3-Clause
//! Which rule finds which saboteur, and which first.
//!
//! Each saboteur has runs of its witness, which are examined as those of a check are. A rule finds it
//! if it is broken there and healthy adapters keep it in the same run. It finds it *first* if no
//! other does at an earlier event of such a run: an engineer reads that one.

use serde::Serialize;

use super::{Options, Part, Steps};
use crate::check::{Case, Deep, Mode, in_threads};
use crate::gate::healthy;
use crate::rules::{CATALOGUE, Examiner, Finding, Subject, bits, ids, of_adapters};
use crate::saboteur::{SABOTEURS, Saboteur, Shows};

/// Seeds of a witness that are tried, unless all that is expected was found before.
const SEEDS_QUICK: u64 = 6;
/// In full mode all of them are.
const SEEDS_FULL: u64 = 20;

/// Rules about adapters that find nothing first or alone, and why. What they say is the harm; another
/// rule names the cause, which comes before.
pub const REASONS: &[(&str, &str)] = &[
    ("INT-06", "whoever keeps a part back has said the end too early before: INT-05, LIF-06"),
    ("INT-07", "whoever keeps a part back has said the end too early before: INT-05, LIF-06"),
    ("INT-08", "what is wrong at the target was put out wrong before it crossed: INT-01, INT-04"),
    ("LIF-02", "states follow what adapters say, and the wrong word comes before: LIF-06"),
    ("BPR-04", "the first byte too many is one too many in an adapter: RES-02"),
    ("ERR-01", "the wrong word is heard before the flow ends by it: ERR-04"),
    ("ERR-02", "the wrong word is heard before the flow ends by it: ERR-04"),
    ("LIV-05", "an end that does not come out leaves the flow without one, seen first: LIV-01"),
    ("LIV-06", "a break that is not told leaves somebody waiting, which is seen first: LIV-02"),
    ("LIV-07", "who is late after faults is late without them too, which is seen first: LIF-09"),
    ("ROB-02", "what a fault took is missed where the adapter says the end, before: INT-05"),
    ("ROB-03", "a flow that was given up leaves its sink waiting, which is seen first: LIV-02"),
    ("ROB-04", "what is refused after a crash is refused before the flow ends by it: ERR-07"),
    ("HYG-02", "an error with a text in it is the wrong one to refuse with: ERR-07, ERR-08"),
];

/// A saboteur, and what finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KillReport {
    /// Its name.
    pub saboteur: &'static str,
    /// What is wrong with it.
    pub wrong: &'static str,
    /// found, missed; not-tried: it shows in a fresh process only, and there was none.
    pub result: &'static str,
    /// Rules that have to find it.
    pub expected: Vec<&'static str>,
    /// Rules that find it.
    pub killers: Vec<&'static str>,
    /// Those of them that did before the others, in some run.
    pub first: Vec<&'static str>,
}

/// A rule, and what it finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleReport {
    /// Its id.
    pub rule: &'static str,
    /// So many saboteurs.
    pub finds: u64,
    /// So many of them first.
    pub finds_first: u64,
    /// Why it finds none first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// What was seen of a saboteur: rules, a bit each.
#[derive(Debug)]
pub(super) struct Looked {
    saboteur: &'static Saboteur,
    killers: u128,
    first: u128,
    is_tried: bool,
}

/// Looks for every saboteur.
pub(super) fn look(options: &Options<'_>, steps: &mut Steps<'_>) -> Vec<Looked> {
    let hashes = options.elsewhere.and_then(|elsewhere| elsewhere());
    let hashes = hashes.map(|text| crate::check::Hashes::parse(&text));
    let seeds = if options.mode == Mode::Full { SEEDS_FULL } else { SEEDS_QUICK };
    let one = |saboteur: &&'static Saboteur, examiner: &mut Examiner| {
        let mut looked = Looked { saboteur, killers: 0, first: 0, is_tried: true };
        if saboteur.shows == Shows::InOtherProcess {
            let hash = hashes.as_ref();
            let hash = hash.and_then(|all| all.of(saboteur.witness.seed, saboteur.name));
            looked.is_tried = hash.is_some();
            if looked.is_tried {
                looked.run(saboteur.witness.seed, hash, examiner);
            }
            return looked;
        }
        let expected = bits(saboteur.expected_rules.iter().copied());
        let first = saboteur.witness.seed;
        for seed in first..first + seeds {
            looked.run(seed, None, examiner);
            if options.mode == Mode::Quick && expected & !looked.killers == 0 {
                break;
            }
        }
        looked
    };
    let all: Vec<_> = SABOTEURS.iter().collect();
    let mut done = |at: usize, _: usize| steps.done(all.get(at).map_or("", |it| it.name));
    in_threads(options.jobs, &all, &one, &mut done)
}

impl Looked {
    /// One run of the witness; what healthy adapters break in it too does not count.
    fn run(
        &mut self,
        seed: u64,
        elsewhere: Option<crate::trace::TraceHash>,
        examiner: &mut Examiner,
    ) {
        let case = Case::of_witness(&self.saboteur.witness.seed(seed));
        let seen = case.examine(&self.saboteur.make, elsewhere, Deep::ALL, examiner);
        let judged = |finding: &&Finding| of_adapters(bits([finding.rule])) != 0;
        let found: Vec<_> = seen.findings.iter().filter(judged).collect();
        if found.is_empty() {
            return;
        }
        let healthy = case.examine(&healthy, None, Deep::ALL, examiner).marks.broken;
        let found = found.into_iter().filter(|it| bits([it.rule]) & healthy == 0);
        let found: Vec<_> = found.collect();
        let first = found.iter().map(|finding| finding.event).min();
        for finding in found {
            self.killers |= bits([finding.rule]);
            if Some(finding.event) == first {
                self.first |= bits([finding.rule]);
            }
        }
    }
}

pub(super) fn reports(all: &[Looked]) -> Vec<KillReport> {
    let report = |looked: &Looked| KillReport {
        saboteur: looked.saboteur.name,
        wrong: looked.saboteur.wrong,
        result: match () {
            () if !looked.is_tried => "not-tried",
            () if looked.killers == 0 => "missed",
            () => "found",
        },
        expected: looked.saboteur.expected_rules.to_vec(),
        killers: ids(looked.killers),
        first: ids(looked.first),
    };
    all.iter().map(report).collect()
}

pub(super) fn rules(all: &[Looked]) -> Vec<RuleReport> {
    let judged = CATALOGUE.iter().enumerate().filter(|(_, rule)| rule.of == Subject::Adapter);
    let report = |(at, rule): (usize, &'static crate::rules::Rule)| {
        let count = |mask: fn(&Looked) -> u128| {
            all.iter().filter(|looked| mask(looked) >> at & 1 != 0).count() as u64
        };
        RuleReport {
            rule: rule.id,
            finds: count(|looked| looked.killers),
            finds_first: count(|looked| looked.first),
            reason: REASONS.iter().find(|(id, _)| *id == rule.id).map(|(_, reason)| *reason),
        }
    };
    judged.map(report).collect()
}

/// Whether saboteurs are found, by the rules that have to.
pub(super) fn found(options: &Options<'_>, kills: &[KillReport]) -> Part {
    let spared_per_mille = if options.mode == Mode::Full { 0 } else { 50 };
    let mut part = Part { spared_per_mille, ..Part::default() };
    for kill in kills.iter().filter(|kill| kill.result != "not-tried") {
        let is_found = kill.expected.iter().all(|rule| kill.killers.contains(rule));
        part.count((!is_found || kill.killers.is_empty()).then(|| {
            let (name, expected, killers) = (kill.saboteur, &kill.expected, &kill.killers);
            format!("{name} is to be found by {expected:?}, and is by {killers:?}")
        }));
    }
    part
}

/// Whether each rule finds something, and something that others do not, or not before. The seeds of a quick one are
/// too few to say so.
pub(super) fn first(options: &Options<'_>, rules: &[RuleReport]) -> Part {
    let mut part = Part::default();
    if options.mode == Mode::Quick {
        return part;
    }
    for rule in rules {
        let is_needed = rule.finds_first > 0 || rule.finds > 0 && rule.reason.is_some();
        // One that shows in a fresh process only finds nothing without one.
        if rule.rule == "DET-02" && options.elsewhere.is_none() {
            continue;
        }
        part.count((!is_needed).then(|| {
            let (rule, finds) = (rule.rule, rule.finds);
            format!("{rule} finds {finds} saboteurs, none of them first, and nothing says why")
        }));
    }
    part
}
