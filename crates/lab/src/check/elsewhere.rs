// SPDX-License-Identifier: BSD-3-Clause
//! The same runs in a fresh process: what it says of them, and how that is read.
//!
//! ```text
//!   check ──► Options::elsewhere ──► a fresh process: hashes(options) ──► its output
//!     ▲                                                                      │
//!     └────── DET-02: each run has the hash that it has there ◄──────────────┘
//! ```
//!
//! One process runs all cases of a check, so that it costs one start and one run each:
//!
//! ```text
//!   becket-lab-hash SEED SCENARIO HASH
//!   becket-lab-hash SEED SABOTEUR HASH
//! ```
//!
//! What comes behind a run in which the process of an adapter crashed is not run: the check has not
//! done it either.
//!
//! Other lines are not read: adapters may write to the same output. A run that an adapter breaks off
//! there by a panic has the hash of what happened until then; of one that cannot begin, that of
//! nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::line::{Ears, in_order};
use super::{Agreements, Crash, Options, Task, tasks};
use crate::adapters::caught;
use crate::rules::Examiner;
use crate::saboteur::Shows;
use crate::scenario::Profile;
use crate::trace::TraceHash;

/// What each line begins with.
const MARK: &str = "becket-lab-hash ";

/// The hashes of all runs of a check, for the check in another process that has asked for them. What
/// is run depends on mode, seeds and adapters of the options; callbacks are not called.
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
    let mut told = |one: &mut Option<(u64, &'static str, TraceHash)>| {
        if let Some((seed, name, hash)) = one {
            // A string takes everything.
            let _taken = writeln!(text, "{MARK}{seed} {name} {hash}");
        }
    };
    in_order(options.jobs, &tasks, &work, Ears { done: &mut |_, _| (), told: &mut told });
    text
}

/// The hash of one run: its seed, and the name of what was run.
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
        Task::Look(saboteur) if saboteur.shows == Shows::InOtherProcess => {
            let case = super::Case::of_witness(&saboteur.witness);
            Some((saboteur.witness.seed, saboteur.name, case.record(&saboteur.make).0.hash()))
        }
        Task::Look(_) => None,
    }
}

/// What the fresh process said.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    hashes: BTreeMap<(u64, String), TraceHash>,
}

impl Hashes {
    /// Reads its output.
    pub(crate) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.strip_prefix(MARK)?.split_ascii_whitespace();
            let (seed, name, hash) = (words.next()?, words.next()?, words.next()?);
            Some(((seed.parse().ok()?, name.to_owned()), TraceHash::parse(hash)?))
        };
        Self { hashes: text.lines().filter_map(line).collect() }
    }

    /// The hash of this run there.
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
