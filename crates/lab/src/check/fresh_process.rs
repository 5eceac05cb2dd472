// SPDX-License-Identifier: BSD-3-Clause
//! The runs of a check in a fresh process: its output, and how it is parsed.
//!
//! ```text
//!   check ──► Options::fresh_process ──► a fresh process: hashes(options) ──► its output
//!     ▲                                                                      │
//!     └────── DET-02: each run has the hash that it has there ◄──────────────┘
//! ```
//!
//! One process runs all cases of a check, for the cost of one start and one run of each:
//!
//! ```text
//!   becket-lab-hash SEED SCENARIO HASH
//!   becket-lab-hash SEED MUTANT HASH
//! ```
//!
//! Runs after a crash of an adapter's process are left out, as in the check itself.
//!
//! Other lines are ignored: adapters may write to the same output. A run that ends by a panic of an
//! adapter has the hash of the events before it; one that cannot begin has the hash of an empty
//! trace.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::ordered_pool::{Observer, in_order};
use super::{Agreements, Crash, Options, Task, tasks};
use crate::adapters::caught;
use crate::mutant::Shows;
use crate::rules::Examiner;
use crate::scenario::Profile;
use crate::trace::TraceHash;

/// Prefix of each line.
const MARK: &str = "becket-lab-hash ";

/// The hashes of all runs of a check, for the check in another process that asked for them. Mode,
/// seeds and adapters come from the options; callbacks are not called.
#[must_use]
pub fn hashes(options: &Options<'_>) -> String {
    let profiles: Vec<_> = options.seeds().map(Profile::draw).collect();
    let agreements = Agreements::of(options, &profiles);
    let tasks = tasks(options, &agreements, &profiles);
    let crash = Crash::new(false);
    let work = |(at, task): &(usize, Task<'_>), _: &mut Examiner| {
        crash.unless_before(*at, || hash(options, task))?.0
    };
    let mut text = String::new();
    let mut print = |one: &mut Option<(u64, &'static str, TraceHash)>| {
        if let Some((seed, name, hash)) = one {
            // Writing to a `String` cannot fail.
            let _taken = writeln!(text, "{MARK}{seed} {name} {hash}");
        }
    };
    in_order(options.jobs, &tasks, &work, Observer { done: &mut |_, _| (), ordered: &mut print });
    text
}

/// The hash of one run, with its seed and the name of its scenario or mutant.
fn hash(options: &Options<'_>, task: &Task<'_>) -> Option<(u64, &'static str, TraceHash)> {
    match *task {
        Task::Run(profile, scenario) => {
            let seed = profile.config.deterministic_seed;
            let hash = caught(|| {
                let case = super::case_of(options.make, profile, scenario).ok()?;
                Some(case.record(options.make).0.hash())
            });
            Some((seed, scenario.name, hash.unwrap_or(Some(TraceHash::default()))?))
        }
        Task::Look(mutant) if mutant.shows == Shows::InOtherProcess => {
            let case = super::Case::of_witness(&mutant.witness);
            Some((mutant.witness.seed, mutant.name, case.record(&mutant.make).0.hash()))
        }
        Task::Look(_) => None,
    }
}

/// The parsed output of the fresh process.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    hashes: BTreeMap<(u64, String), TraceHash>,
}

impl Hashes {
    /// Parses its output.
    pub(crate) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.strip_prefix(MARK)?.split_ascii_whitespace();
            let (seed, name, hash) = (words.next()?, words.next()?, words.next()?);
            Some(((seed.parse().ok()?, name.to_owned()), TraceHash::parse(hash)?))
        };
        Self { hashes: text.lines().filter_map(line).collect() }
    }

    /// The hash of this run in the fresh process.
    pub(crate) fn of(&self, seed: u64, name: &str) -> Option<TraceHash> {
        self.hashes.get(&(seed, name.to_owned())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_are_not_read() {
        let hash = TraceHash::default();
        let text = format!("hello\n{MARK}7 slow_drip {hash}\n{MARK}8 slow_drip\n{MARK}x y z\n");
        let said = Hashes::parse(&text);
        assert_eq!(said.of(7, "slow_drip"), Some(hash));
        assert_eq!((said.of(8, "slow_drip"), said.of(7, "half_close")), (None, None));
        assert_eq!(said.hashes.len(), 1);
    }
}
