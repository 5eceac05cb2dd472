// SPDX-License-Identifier: BSD-3-Clause
//! The kill matrix: which rule kills which mutant, and which one first.
//!
//! The witness of each mutant is run and examined like a run of a check. A rule kills the mutant if
//! it is violated in such a run and healthy adapters do not violate it there. It does so *first* if
//! no other rule is violated at an earlier event: an engineer reads the first one.

use serde::Serialize;

use super::{Options, Part, Steps};
use crate::check::{Mode, in_threads};
use crate::gate::Killers;
use crate::mutant::{MUTANTS, Mutant, Shows};
use crate::rules::{CATALOGUE, Examiner, Subject, bits, ids};
use crate::trace::TraceHash;

/// Seeds of a witness in quick mode, unless all expected rules killed the mutant before.
const SEEDS_QUICK: u64 = 6;
/// Seeds of a witness in full mode.
const SEEDS_FULL: u64 = 20;

/// Rules about adapters that kill no mutant first or alone, and why. They describe the harm;
/// another rule covers the cause, which comes before.
pub const REASONS: &[(&str, &str)] = &[
    ("INT-06", "an adapter that keeps a part back has reported the end too early: INT-05, LIF-06"),
    ("INT-07", "an adapter that keeps a part back has reported the end too early: INT-05, LIF-06"),
    ("INT-08", "what is wrong at the target was put out wrong before it crossed: INT-01, INT-04"),
    ("LIF-02", "states follow what adapters say, and the wrong word comes before: LIF-06"),
    ("BPR-04", "the first byte too many is one too many in an adapter: RES-02"),
    ("ERR-01", "the wrong word is heard before the flow ends by it: ERR-04"),
    ("ERR-02", "the wrong word is heard before the flow ends by it: ERR-04"),
    ("LIV-05", "an end that does not come out leaves the flow without one, seen first: LIV-01"),
    ("LIV-06", "a reset that is not reported leaves its sink waiting, which is seen first: LIV-02"),
    ("LIV-07", "a flow that ends late after faults does so without them, seen first: LIF-09"),
    ("ROB-02", "what a fault took is missed where the adapter says the end, before: INT-05"),
    ("ROB-03", "a flow that was given up leaves its sink waiting, which is seen first: LIV-02"),
    ("ROB-04", "what is refused after a crash is refused before the flow ends by it: ERR-07"),
    ("HYG-02", "an error with a text in it is the wrong one to refuse with: ERR-07, ERR-08"),
];

/// A mutant, and the rules that kill it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KillReport {
    /// Name.
    pub mutant: &'static str,
    /// Its defect.
    pub wrong: &'static str,
    /// `killed`, `survived`, or `not-tried`: it deviates only in a fresh process, and there was none.
    pub result: &'static str,
    /// Rules that must kill it.
    pub expected: Vec<&'static str>,
    /// Rules that kill it.
    pub killers: Vec<&'static str>,
    /// Rules that kill it first in some run.
    pub first: Vec<&'static str>,
}

/// A rule, and the mutants that it kills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleReport {
    /// Its id.
    pub rule: &'static str,
    /// Number of mutants that it kills.
    pub finds: u64,
    /// Number of mutants that it kills first.
    pub finds_first: u64,
    /// Why it kills none first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// The rules that killed a mutant, one bit each.
#[derive(Debug)]
pub(super) struct Looked {
    mutant: &'static Mutant,
    killers: u128,
    first: u128,
    is_tried: bool,
}

/// Tries every mutant.
pub(super) fn look(options: &Options<'_>, steps: &mut Steps<'_>) -> Vec<Looked> {
    let hashes = options.fresh_process.and_then(|fresh_process| fresh_process());
    let hashes = hashes.map(|text| crate::check::Hashes::parse(&text));
    let seeds = if options.mode == Mode::Full { SEEDS_FULL } else { SEEDS_QUICK };
    let one = |mutant: &&'static Mutant, examiner: &mut Examiner| {
        let mut looked = Looked { mutant, killers: 0, first: 0, is_tried: true };
        if mutant.shows == Shows::InOtherProcess {
            let hash = hashes.as_ref();
            let hash = hash.and_then(|all| all.of(mutant.witness.seed, mutant.name));
            looked.is_tried = hash.is_some();
            if looked.is_tried {
                looked.run(mutant.witness.seed, hash, examiner);
            }
            return looked;
        }
        let expected = bits(mutant.expected_rules.iter().copied());
        let first = mutant.witness.seed;
        for seed in first..first + seeds {
            looked.run(seed, None, examiner);
            if options.mode == Mode::Quick && expected & !looked.killers == 0 {
                break;
            }
        }
        looked
    };
    let all: Vec<_> = MUTANTS.iter().collect();
    let mut done = |at: usize, _: usize| steps.done(all.get(at).map_or("", |it| it.name));
    in_threads(options.jobs, &all, &one, &mut done)
}

impl Looked {
    /// One run of the witness.
    fn run(&mut self, seed: u64, fresh_process: Option<TraceHash>, examiner: &mut Examiner) {
        let Killers { all, first } = Killers::of(self.mutant, seed, fresh_process, examiner);
        self.killers |= all;
        self.first |= first;
    }
}

pub(super) fn reports(all: &[Looked]) -> Vec<KillReport> {
    let report = |looked: &Looked| KillReport {
        mutant: looked.mutant.name,
        wrong: looked.mutant.wrong,
        result: match () {
            () if !looked.is_tried => "not-tried",
            () if looked.killers == 0 => "survived",
            () => "killed",
        },
        expected: looked.mutant.expected_rules.to_vec(),
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

/// Whether mutants are killed by the rules that must.
pub(super) fn found(options: &Options<'_>, kills: &[KillReport]) -> Part {
    let spared_per_mille = if options.mode == Mode::Full { 0 } else { 50 };
    let mut part = Part { spared_per_mille, ..Part::default() };
    for kill in kills.iter().filter(|kill| kill.result != "not-tried") {
        let is_found = kill.expected.iter().all(|rule| kill.killers.contains(rule));
        part.count((!is_found || kill.killers.is_empty()).then(|| {
            let (name, expected, killers) = (kill.mutant, &kill.expected, &kill.killers);
            format!("{name} is to be found by {expected:?}, and is by {killers:?}")
        }));
    }
    part
}

/// Whether each rule kills a mutant that no other rule kills, or not before. The seeds of quick
/// mode are too few for that.
pub(super) fn first(options: &Options<'_>, rules: &[RuleReport]) -> Part {
    let mut part = Part::default();
    if options.mode == Mode::Quick {
        return part;
    }
    for rule in rules {
        let is_needed = rule.finds_first > 0 || rule.finds > 0 && rule.reason.is_some();
        // A rule about fresh processes kills nothing without one.
        if rule.rule == "DET-02" && options.fresh_process.is_none() {
            continue;
        }
        part.count((!is_needed).then(|| {
            let (rule, finds) = (rule.rule, rule.finds);
            format!("{rule} finds {finds} mutants, none of them first, and nothing says why")
        }));
    }
    part
}
