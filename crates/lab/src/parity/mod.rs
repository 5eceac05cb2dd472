// SPDX-License-Identifier: BSD-3-Clause
//! Whether generated code does what it was generated of.
//!
//! ```text
//!   profile ──► interpreted backend, plan, lifecycle ──► trace ─┐
//!      │                                                        ├─ the same, to the last event?
//!      └──► generated module: constants, table, backend ─► trace ─┘
//! ```
//!
//! Both sides are put through the same, from the same seeds, and the hashes of what came of it are
//! compared. Of what differs the first is told: the constant with both values, or the event with what
//! both did there.
//!
//! | what | is compared |
//! |---|---|
//! | text | the file that was compiled, with what the generator gives of its profile |
//! | constants | each by name, with what the profile says |
//! | lifecycle | every event in every state |
//! | plan | what sources give for a seed |
//! | drive | all that comes of seven hundred calls of every kind, right and wrong, drawn from a seed |
//! | run | the trace of a run: of the profile itself, with its faults, and of each scenario |
//!
//! A run of the generated side has nothing of the profile: limits, plan, target, carrier, window,
//! faults and backend are those of the module.
//!
//! | file | holds |
//! |---|---|
//! | `plug` | generated modules in the lab |
//! | `face` | backends as adapters of the contract |
//! | `compare` | one comparison of each kind |
//! | `text` | a module's text, and the constant in which it differs |
//! | `report` | what came of all, for programs and people |
//! | `demo` | a generated backend at work |
//!
//! # Invariants
//!
//! 1. What parity says depends on its options, but for `jobs`, and on the modules.
//! 2. There is always something to compare: parity passes or fails.
//! 3. A module that panics has failed that comparison; the others go on.

mod compare;
mod demo;
mod face;
mod plug;
mod report;
mod text;

pub use demo::{Demo, DemoError, demo};
pub use plug::{Generated, Planned, Said};
pub use report::{CaseReport, Difference, ParityReport, SCHEMA, json};
pub use text::{TextDifference, of_text};

use self::compare::{Kind, Subject};
use crate::check::{Mode, in_threads};
use crate::generate::BUILTIN;
use crate::rules::Examiner;
use crate::scenario::SCENARIOS;

/// How much is compared.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Quick: three scenarios, three seeds. Full: all, twenty seeds.
    pub mode: Mode,
    /// The first seed.
    pub start_seed: u64,
    /// How many seeds, from 1 to [`PROFILES_MAX`](crate::check::PROFILES_MAX). `None`: as many as a check
    /// of this mode has.
    pub seeds: Option<u32>,
    /// How many threads, from 1 to [`JOBS_MAX`](crate::check::JOBS_MAX).
    pub jobs: usize,
}

impl Options {
    /// What a quick check compares, from seed 1 on, on one thread.
    #[must_use]
    pub const fn quick() -> Self {
        Self { mode: Mode::Quick, start_seed: 1, seeds: None, jobs: 1 }
    }

    fn seeds(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        self.mode.seeds(self.start_seed, self.seeds)
    }
}

/// Compares the modules that the lab brings along with what they were generated of.
#[must_use]
pub fn run(options: &Options) -> ParityReport {
    let subjects = BUILTIN.iter().map(|builtin| {
        let generated = (builtin.generated)();
        builtin.profile().map(|profile| Subject { profile, text: Some(builtin.text), generated })
    });
    match subjects.collect::<Result<Vec<_>, _>>() {
        Ok(subjects) => compared(options, &subjects),
        Err(error) => ParityReport::unreadable(options, &error),
    }
}

/// Compares a module with a profile: one of somebody's own crate, brought into the lab by
/// [`plug!`](crate::plug). Its text is not looked at; [`of_text`] does that.
#[must_use]
pub fn run_one(
    options: &Options,
    profile: &crate::generate::Profile,
    generated: Generated,
) -> ParityReport {
    compared(options, &[Subject { profile: profile.clone(), text: None, generated }])
}

fn compared(options: &Options, subjects: &[Subject<'_>]) -> ParityReport {
    let scenarios = SCENARIOS.iter().filter(|scenario| options.mode.has(scenario));
    let tasks: Vec<_> = subjects
        .iter()
        .flat_map(|subject| {
            let text = subject.text.map(Kind::Text);
            let once = text.into_iter().chain([Kind::Constants, Kind::Lifecycle]);
            let scenarios = scenarios.clone();
            let each = options.seeds().flat_map(move |seed| {
                let of_seed = [Kind::Plan(seed), Kind::Drive(seed), Kind::Run(seed)];
                let fitting = scenarios.clone().filter(|scenario| subject.carries(scenario));
                let scenarios = fitting.map(move |scenario| Kind::Scenario(seed, scenario));
                of_seed.into_iter().chain(scenarios)
            });
            once.chain(each).map(move |kind| (subject, kind))
        })
        .collect();
    let work = |(subject, kind): &(&Subject<'_>, Kind<'_>), _: &mut Examiner| subject.compare(kind);
    ParityReport::new(options, in_threads(options.jobs, &tasks, &work, &mut |_, _| ()))
}
