// SPDX-License-Identifier: BSD-3-Clause
//! Options of a check, and its callbacks.

use strum::IntoStaticStr;

use super::{Artefact, Expectations};
use crate::adapters::Pair;
use crate::contract::Limits;
use crate::gate::Parity;
use crate::scenario::Scenario;

/// Creates a pair of adapters with these limits; called repeatedly, from any thread.
pub type Make<'a> = &'a (dyn Fn(Limits) -> Pair + Sync);

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// Three scenarios, three profiles, all mutants.
    #[default]
    Quick,
    /// All scenarios, twenty profiles, all mutants. A rule without occasion makes the check
    /// inconclusive.
    Full,
}

/// Maximum number of profiles of a check.
pub const PROFILES_MAX: u32 = 10_000;
/// Maximum number of threads of a check.
pub const JOBS_MAX: usize = 64;
/// Maximum number of runs for shrinking one failure.
pub const SHRINK_TRIES_MAX: u32 = 1000;
/// Maximum number of deviations from the default schedule where all orders are run.
pub const DEVIATIONS_MAX: u32 = 2;

impl Mode {
    /// Default number of profiles.
    #[must_use]
    pub const fn profiles(self) -> u32 {
        match self {
            Self::Quick => 3,
            Self::Full => 20,
        }
    }

    /// The seeds of the profiles: `count` seeds from `first` on, or the mode's default number.
    pub(crate) fn seeds(
        self,
        first: u64,
        count: Option<u32>,
    ) -> impl Iterator<Item = u64> + Clone + use<> {
        let count = count.unwrap_or(self.profiles()).clamp(1, PROFILES_MAX);
        (0..u64::from(count)).map(move |at| first.wrapping_add(at))
    }

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether a scenario is tried.
    pub(crate) const fn has(self, scenario: &Scenario) -> bool {
        matches!(self, Self::Full) || scenario.is_quick
    }
}

/// Compares generated code with the profile that it was generated from, on these seeds.
pub type Compare<'a> = &'a (dyn Fn(&[u64]) -> Parity + Sync);

/// The progress of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps done. Never decreases.
    pub done: usize,
    /// Steps in total. Increases when there are failures to shrink.
    pub total: usize,
    /// The last step, or the current one if it takes long: a scenario, a mutant, `a fresh process`,
    /// `parity`, `shrinking`.
    pub what: &'static str,
    /// The seed of the profile, if the step was a run.
    pub seed: Option<u64>,
}

/// Options of a check.
///
/// Callbacks are called from any thread, one at a time, while other threads work. Only
/// `fresh_process` and `parity` contribute to the verdict. A panic of a callback ends the check
/// with that panic.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Name of the adapters in the report and in commands that repeat a run. A name that looks like
    /// a secret is hidden.
    pub name: &'a str,
    /// Creates the adapters.
    pub make: Make<'a>,
    /// How much is tried.
    pub mode: Mode,
    /// The seed of the first profile; those of the others follow it.
    pub start_seed: u64,
    /// Number of profiles, from 1 to [`PROFILES_MAX`]. `None`: the mode's default.
    pub profiles: Option<u32>,
    /// Number of threads, from 1 to [`JOBS_MAX`].
    pub jobs: usize,
    /// Whether mutants are tried and generated code is compared, which is evidence about the lab
    /// and not about the adapters. If not, gates 9 and 10 are not exercised.
    pub gates_of_lab: bool,
    /// Capabilities that both adapters must claim, besides their direction.
    pub require: &'a [&'a str],
    /// Called after each step.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// Known failures.
    pub expect: Option<&'a Expectations>,
    /// Receives replays of failed runs: the first of each rule, as soon as all runs before it are
    /// done, and once more after it was shrunk. Order and names are the same for any `jobs`.
    pub artefacts: Option<&'a (dyn Fn(&Artefact<'_>) + Sync)>,
    /// Number of runs for shrinking one failure, at most [`SHRINK_TRIES_MAX`]. Lower it for
    /// adapters that are slow or hang when they fail, such as processes and plugins.
    pub shrink_tries: u32,
    /// Where all orders of a small run are made, the number of deviations of one order from the
    /// default schedule, at most [`DEVIATIONS_MAX`]. Lower it by one for slow adapters.
    pub deviations_max: u32,
    /// Runs [`hashes`](super::hashes) with the same options in a fresh process and returns its
    /// text. `None`: that was not possible, for a reason that the callback knows; then determinism
    /// is not proved, and the check is inconclusive. Called once, before all runs.
    pub fresh_process: Option<&'a (dyn Fn() -> Option<String> + Sync)>,
    /// Compares generated code. Called once, with the seeds of all profiles, after all runs.
    /// `None`: compares the lab's own generated modules, see [`parity`](crate::parity).
    pub parity: Option<Compare<'a>>,
}

impl<'a> Options<'a> {
    /// A quick check from seed 1 on one thread, without callbacks.
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
            deviations_max: DEVIATIONS_MAX,
            fresh_process: None,
            parity: None,
        }
    }

    /// The seeds of the profiles.
    pub(crate) fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        self.mode.seeds(self.start_seed, self.profiles)
    }

    pub(crate) fn tell(&self, progress: Progress) {
        if let Some(report) = self.progress {
            report(progress);
        }
    }
}
