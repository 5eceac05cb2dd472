// SPDX-License-Identifier: BSD-3-Clause
//! What is checked, how, and who is told meanwhile.

use super::{Artefact, Expectations};
use crate::adapters::Pair;
use crate::contract::Limits;
use crate::gate::Parity;
use crate::scenario::Scenario;

/// Makes a pair of adapters with these limits, as often as it is asked, on any thread.
pub type Make<'a> = &'a (dyn Fn(Limits) -> Pair + Sync);

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Three scenarios, three profiles, all saboteurs.
    #[default]
    Quick,
    /// All scenarios, twenty profiles, all saboteurs. A rule that is never exercised is told.
    Full,
}

/// Profiles of a check at most.
pub const PROFILES_MAX: u32 = 10_000;
/// Threads of a check at most.
pub const JOBS_MAX: usize = 64;
/// Runs that making one failure small may take, at most.
pub const SHRINK_TRIES_MAX: u32 = 1000;
/// How often an order departs from the plainest, at most, where all orders are run.
pub const DEPARTURES_MAX: u32 = 2;

impl Mode {
    /// Profiles, unless it is said how many.
    #[must_use]
    pub const fn profiles(self) -> u32 {
        match self {
            Self::Quick => 3,
            Self::Full => 20,
        }
    }

    /// The seeds of its profiles: from `first` on, so many, or as many as it has if it is not said.
    pub(crate) fn seeds(
        self,
        first: u64,
        count: Option<u32>,
    ) -> impl Iterator<Item = u64> + Clone + use<> {
        let count = count.unwrap_or(self.profiles()).clamp(1, PROFILES_MAX);
        (0..u64::from(count)).map(move |at| first.wrapping_add(at))
    }

    /// Its name, in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    /// Whether a scenario is tried.
    pub(crate) const fn has(self, scenario: &Scenario) -> bool {
        matches!(self, Self::Full) || scenario.is_quick
    }
}

/// Compares generated code with what it was generated from, on these seeds.
pub type Compare<'a> = &'a (dyn Fn(&[u64]) -> Parity + Sync);

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// So much is done. It never becomes less.
    pub done: usize,
    /// Of so much. It grows when there are failures to be made small.
    pub total: usize,
    /// What was done last, or is done now if it is long: a scenario, a saboteur, `a fresh process`,
    /// `parity`, `shrinking`.
    pub what: &'static str,
    /// In which profile, if it was a run.
    pub seed: Option<u64>,
}

/// What is checked, and how.
///
/// Callbacks are called from any thread, one at a time, while others work on. None of them changes
/// what is said of an adapter, but for `elsewhere` and `parity`, which find out a part of it. One that
/// panics ends the check with that panic.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the adapters are called in the report, and in commands that repeat a run. A name that
    /// looks like a secret is hidden.
    pub name: &'a str,
    /// Makes them.
    pub make: Make<'a>,
    /// How much is tried.
    pub mode: Mode,
    /// The seed of the first profile; the next has the next.
    pub start_seed: u64,
    /// How many profiles, from 1 to [`PROFILES_MAX`]. `None`: as many as the mode has.
    pub profiles: Option<u32>,
    /// How many threads, from 1 to [`JOBS_MAX`].
    pub jobs: usize,
    /// Whether saboteurs are looked for and generated code is compared, which says something of the lab
    /// and nothing of the adapters. If not, gates 9 and 10 are not exercised.
    pub gates_of_lab: bool,
    /// Names of capabilities that both adapters have to claim, besides the way in which each is used.
    pub require: &'a [&'a str],
    /// Hears after each run how far it is.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Failures that are known.
    pub expect: Option<&'a Expectations>,
    /// Takes replays of failed runs: the first of each rule, as soon as all runs before it are done,
    /// and once more when it was made small. The order and the names are the same for any `jobs`.
    pub artefacts: Option<&'a (dyn Fn(&Artefact<'_>) + Sync)>,
    /// Runs that making one failure small may take; [`SHRINK_TRIES_MAX`] at most. Less is right for
    /// adapters that are slow, or hang when they fail: processes, plugins.
    pub shrink_tries: u32,
    /// Where all orders of a small run are made, how often one of them may depart from the plainest;
    /// [`DEPARTURES_MAX`] at most. One less is right for adapters that are slow.
    pub departures_max: u32,
    /// Runs [`hashes`](super::hashes) of the same options in a fresh process, and gives what it
    /// returned, as text. `None`: that could not be done, and who is called knows why; then
    /// determinism is not proved, and the check inconclusive. Called once, before all runs.
    pub elsewhere: Option<&'a (dyn Fn() -> Option<String> + Sync)>,
    /// Compares generated code. Called once, with the seeds of all profiles, behind all runs. `None`:
    /// what the lab brings along is compared, see [`parity`](crate::parity).
    pub parity: Option<Compare<'a>>,
}

impl<'a> Options<'a> {
    /// A quick check from seed 1 on, on one thread, of which nobody is told before its end.
    #[must_use]
    pub const fn quick(name: &'a str, make: Make<'a>) -> Self {
        Self {
            name,
            make,
            mode: Mode::Quick,
            start_seed: 1,
            profiles: None,
            jobs: 1,
            gates_of_lab: true,
            require: &[],
            progress: None,
            expect: None,
            artefacts: None,
            shrink_tries: SHRINK_TRIES_MAX,
            departures_max: DEPARTURES_MAX,
            elsewhere: None,
            parity: None,
        }
    }

    /// The seeds of its profiles.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        self.mode.seeds(self.start_seed, self.profiles)
    }

    pub(crate) fn tell(&self, progress: Progress) {
        if let Some(hears) = self.progress {
            hears(progress);
        }
    }
}
