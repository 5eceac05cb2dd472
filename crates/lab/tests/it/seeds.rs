// SPDX-License-Identifier: BSD-3-Clause
//! Healthy pairs in all scenarios, from seed after seed: nothing is found.
//!
//! `BECKET_LAB_SEEDS=500 BECKET_LAB_START=1000 cargo test -p becket-lab --test seeds` makes 500 profiles
//! of 23 scenarios for each of the five pairs, from seed 1000 on.

use becket_lab::adapters::{HEALTHY, Healthy};
use becket_lab::check::{self, Mode, Options};
use becket_lab::scenario::SCENARIOS;

use crate::bridged::alone;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// A check has so many profiles: one that is long tells of its first failure early.
const PROFILES: u64 = 5;

fn passes(pair: &Healthy, from: u64, count: u64) {
    let mut tried = 0;
    for start_seed in (from..from + count).step_by(PROFILES as usize) {
        let profiles = Some(PROFILES.min(from + count - start_seed) as u32);
        let options = alone(pair.name, &pair.make);
        let report = check::run(&Options { mode: Mode::Full, start_seed, profiles, ..options });
        let failures: Vec<_> = report.failures.iter().map(|failure| failure.text()).collect();
        assert!(failures.is_empty(), "{} from {start_seed}:\n{}", pair.name, failures.join("\n"));
        let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
        tried += runs.filter(|run| run.verdict == "pass").count();
    }
    println!("{}: {tried} runs", pair.name);
    let all = count as usize * SCENARIOS.len();
    assert!(tried * 10 >= all * 7, "{}: {tried} of {all}", pair.name);
}

#[test]
fn nothing_is_found_in_healthy_pairs() {
    let (from, count) = (number("BECKET_LAB_START", 1000), number("BECKET_LAB_SEEDS", PROFILES));
    for pair in HEALTHY {
        passes(pair, from, count);
    }
}
