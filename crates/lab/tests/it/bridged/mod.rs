// SPDX-License-Identifier: BSD-3-Clause
//! What tests of bridges have in common.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeSet;

use becket_lab::check::{self, Make, Mode, Options};
use becket_lab::report::Report;

use crate::long::or_long;

/// Verdicts of a run in which nothing is wrong.
const FINE: [&str; 5] = ["pass", "not-applicable", "not-exercised", "non-strict", "unsupported"];

/// All runs in which something was wrong, in words.
pub(crate) fn wrong(report: &Report) -> Vec<String> {
    let mut wrong = Vec::new();
    for profile in &report.profiles {
        for run in profile.runs.iter().filter(|run| !FINE.contains(&run.verdict)) {
            let (seed, link, faults) = (profile.seed, &profile.link, &profile.faults);
            wrong.push(format!("seed {seed} {link} {faults}: {run:#?}"));
        }
    }
    wrong
}

/// The rules that were broken.
pub(crate) fn broken(report: &Report) -> BTreeSet<&'static str> {
    let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
    runs.flat_map(|run| &run.findings).map(|finding| finding.rule).collect()
}

/// A quick check of the adapters alone.
pub(crate) const fn alone<'a>(name: &'a str, make: Make<'a>) -> Options<'a> {
    Options { gates_of_lab: false, ..Options::quick(name, make) }
}

/// All scenarios in so many profiles.
pub(crate) fn full(name: &str, make: Make<'_>, profiles: u32) -> Report {
    let profiles = Some(profiles);
    check::run(&Options { mode: Mode::Full, profiles, ..alone(name, make) })
}

/// The quick scenarios in `profiles` profiles and all scenarios in half as many; in the short form in a
/// quarter of the first and in one.
pub(crate) fn passes(name: &str, make: Make<'_>, profiles: u32) {
    let quick = or_long(profiles.div_ceil(4), profiles);
    let quick = Options { start_seed: 100, profiles: Some(quick), ..alone(name, make) };
    for report in [check::run(&quick), full(name, make, or_long(1, profiles / 2))] {
        let wrong = wrong(&report);
        assert!(wrong.is_empty(), "{name}, {}:\n{}", report.mode, wrong.join("\n"));
    }
}

/// What is broken is found, in few profiles, by each of these rules.
pub(crate) fn catches(name: &str, make: Make<'_>, rules: &[&str]) {
    let report = full(name, make, or_long(3, 6));
    let broken = broken(&report);
    for rule in rules {
        assert!(broken.contains(rule), "{name}: {rule} is not among {broken:?}");
    }
    assert_eq!(report.exit_code, 1, "{name}: {broken:?}");
}

/// Of all scenarios in so many profiles, these rules are broken and no others; in the short form, of a
/// quarter of the profiles some of these and no others.
pub(crate) fn breaks_only(name: &str, make: Make<'_>, profiles: u32, rules: &[&str]) {
    let report = full(name, make, or_long(profiles / 4, profiles));
    let broken = broken(&report);
    let are_known = !broken.is_empty() && broken.iter().all(|rule| rules.contains(rule));
    let is_right = or_long(are_known, broken.iter().eq(rules));
    assert!(is_right, "{name}: {broken:?}\n{}", wrong(&report).join("\n"));
}
