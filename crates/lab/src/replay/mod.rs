// SPDX-License-Identifier: BSD-3-Clause
//! A run in a file: repeated, displayed, compared, turned into a test.
//!
//! ```text
//!   a failure ──► Replay ──to_text──► file ──parse──► Replay ──run──► the same trace
//!                                                        ├── steps      one line an event
//!                                                        ├── Diff       beside a healthy trace
//!                                                        └── as_test    a Rust test
//! ```
//!
//! A replay contains the inputs of the run, not their generator: limits, the plan of each flow, the
//! target, the link, the faults and every answer. So it repeats whatever happens to the generators.
//! What a run does with them may change with the lab; then the trace differs, and the replay
//! reports that.
//!
//! | file | holds |
//! |---|---|
//! | `case` | the inputs of a run |
//! | `file` | how a replay is written and read |
//! | `words` | names, numbers and answers in the file, each with its bounds |
//! | `error` | why a file cannot be read |
//! | `steps` | a trace, line by line |
//! | `diff` | two traces side by side |
//! | `as_test` | a replay as a Rust test |

mod as_test;
mod case;
mod diff;
mod error;
mod file;
mod steps;
pub(crate) mod words;

pub use as_test::as_test;
pub use case::Case;
pub use diff::Diff;
pub use error::ReplayError;
pub use file::{FILE_BYTES_MAX, VERSION};
pub(crate) use steps::said;
pub(crate) use steps::what;
pub use steps::{step, steps};
pub use words::ANSWERS_MAX;

use crate::choice::Choices;
use crate::contract::{EgressAdapter, IngressAdapter, Limits};
use crate::shrink::Candidate;
use crate::trace::{Trace, TraceHash};
use crate::world::{self, Factory};

/// A recorded run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Name of the adapters, as in the options of a check.
    pub adapter: String,
    /// Limits of the adapters.
    pub limits: Limits,
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the profile; in a check, its seed.
    pub profile: String,
    /// The inputs of the run.
    pub case: Case,
    /// The answers to the questions of the run.
    pub recording: Vec<u32>,
    /// The result of the run.
    pub expected: Expected,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Id of the violated rule, if any.
    pub rule: Option<String>,
    /// The hash of its trace.
    pub trace: TraceHash,
}

impl Replay {
    /// Runs it again with adapters that were newly created with its limits. Crashes are not
    /// injected, so a run with a crash gives another trace: see [`run_with`](Self::run_with).
    pub fn run(
        &self,
        adapters: (&mut dyn IngressAdapter, &mut dyn EgressAdapter),
    ) -> (Trace, Choices) {
        let mut choices = Choices::replayed(self.recording.clone()).recording();
        let mut trace = Trace::new(self.case.config.max_events);
        world::run(&self.case, adapters, &mut choices, &mut trace);
        (trace, choices)
    }

    /// Runs it again with adapters from a factory, as a check does: a crash replaces an adapter.
    pub fn run_with(&self, factory: Factory<'_>) -> (Trace, Choices) {
        let mut choices = Choices::replayed(self.recording.clone()).recording();
        let mut trace = Trace::new(self.case.config.max_events);
        world::run_with(&self.case, factory, &mut choices, &mut trace);
        (trace, choices)
    }

    /// Whether a trace equals the recorded one.
    #[must_use]
    pub fn is_repeated_by(&self, trace: &Trace) -> bool {
        trace.hash() == self.expected.trace
    }

    /// The run as a candidate for shrinking.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        Candidate { case: self.case.clone(), recording: self.recording.clone() }
    }

    /// The same failure in a smaller run with this trace.
    #[must_use]
    pub fn with(&self, smaller: Candidate, trace: &Trace) -> Self {
        let Candidate { case, recording } = smaller;
        let expected = Expected { trace: trace.hash(), ..self.expected.clone() };
        Self { case, recording, expected, ..self.clone() }
    }
}
