// SPDX-License-Identifier: BSD-3-Clause
//! Whether generated code behaves like the profile that it was generated from.
//!
//! ```text
//!   profile ──► interpreted backend, plan, lifecycle ──► trace ─┐
//!      │                                                        ├─ the same, to the last event?
//!      └──► generated module: constants, table, backend ─► trace ─┘
//! ```
//!
//! Both sides get the same inputs, from the same seeds, and the hashes of the results are compared.
//! The first difference is reported: the constant with both values, or the event with what both
//! sides did.
//!
//! | what | comparison |
//! |---|---|
//! | text | the compiled file, with the generator's output for its profile |
//! | constants | each by name, with the value of the profile |
//! | lifecycle | every event in every state |
//! | plan | the plans of the sources for a seed |
//! | drive | all effects of seven hundred calls of every kind, valid and invalid, drawn from a seed |
//! | run | the trace of a run: of the profile itself, with its faults, and of each scenario |
//!
//! A run of the generated side uses nothing of the profile: limits, plan, target, link, window,
//! faults and backend are those of the module.
//!
//! | file | holds |
//! |---|---|
//! | `plug` | generated modules in the lab |
//! | `face` | backends as adapters |
//! | `compare` | one comparison of each kind |
//! | `text` | a module's text, and the constant in which it differs |
//! | `report` | the result of all comparisons, for programs and people |
//! | `demo` | a run of a generated backend |
//!
//! # Invariants
//!
//! 1. The result depends on the options, except `jobs`, and on the modules.
//! 2. There is always something to compare: parity passes or fails.
//! 3. A module that panics fails that comparison; others continue.

mod compare;
mod demo;
mod face;
mod plug;
mod report;
mod text;

pub(crate) use compare::interpreted;
pub use demo::{Demo, DemoError, demo};
pub use plug::{Described, Generated, Planned};
pub use report::{CaseReport, Difference, ParityReport, SCHEMA, json};
pub use text::{TextDifference, of_text};

use self::compare::{Kind, Subject};
use crate::check::{Mode, in_threads};
use crate::generate::example::steady;
use crate::generate::{STEADY, STEADY_TEXT};
use crate::rules::Examiner;
use crate::scenario::{SCENARIOS, Scenario};

/// Options of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Quick: three scenarios, three seeds. Full: all, twenty seeds.
    pub mode: Mode,
    /// The first seed.
    pub start_seed: u64,
    /// Number of seeds, from 1 to [`PROFILES_MAX`](crate::check::PROFILES_MAX). `None`: as many as
    /// a check of this mode has.
    pub seeds: Option<u32>,
    /// Number of threads, from 1 to [`JOBS_MAX`](crate::check::JOBS_MAX).
    pub jobs: usize,
}

impl Options {
    /// The comparisons of a quick check, from seed 1 on one thread.
    #[must_use]
    pub const fn quick() -> Self {
        Self { mode: Mode::Quick, start_seed: 1, seeds: None, jobs: 1 }
    }

    fn seeds(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        self.mode.seeds(self.start_seed, self.seeds)
    }
}

/// Compares the lab's own generated module with its profile.
#[must_use]
pub fn run(options: &Options) -> ParityReport {
    let generated = crate::plug!(steady);
    match STEADY.profile() {
        Ok(profile) => compared(options, &Subject { profile, text: Some(STEADY_TEXT), generated }),
        Err(error) => ParityReport::unreadable(options, &error),
    }
}

/// Compares a module with a profile: for a module of another crate, turned into a [`Generated`] by
/// [`plug!`](crate::plug). Its text is not compared; [`of_text`] does that.
#[must_use]
pub fn run_one(
    options: &Options,
    profile: &crate::generate::Profile,
    generated: Generated,
) -> ParityReport {
    compared(options, &Subject { profile: profile.clone(), text: None, generated })
}

fn compared(options: &Options, subject: &Subject<'_>) -> ParityReport {
    let once = subject.text.map(Kind::Text).into_iter().chain([Kind::Constants, Kind::Lifecycle]);
    let has = |scenario: &&Scenario| options.mode.has(scenario) && subject.carries(scenario);
    let each = options.seeds().flat_map(|seed| {
        let scenarios = SCENARIOS.iter().filter(has);
        let scenarios = scenarios.map(move |scenario| Kind::Scenario(seed, scenario));
        [Kind::Plan(seed), Kind::Drive(seed), Kind::Run(seed)].into_iter().chain(scenarios)
    });
    let tasks: Vec<_> = once.chain(each).collect();
    let work = |kind: &Kind<'_>, _: &mut Examiner| subject.compare(kind);
    ParityReport::new(options, in_threads(options.jobs, &tasks, &work, &mut |_, _| ()))
}
