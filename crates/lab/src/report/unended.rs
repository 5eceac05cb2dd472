// SPDX-License-Identifier: BSD-3-Clause
//! The report of a check that did not finish: a verdict, the cause, and the kept replays. A build
//! server that expects a report finds one; it has no runs, because their results are unknown.

use serde::Serialize;

use super::{HIDDEN, Report, is_secret_text, quoted};
use crate::adversary::Collapse;
use crate::check::{Mode, Options};
use crate::gate::{Gate, GateResult, healthy};
use crate::rules::Verdict;

/// What is known of a check that did not finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unended {
    /// The cause. Hidden if it looks like a secret.
    pub cause: String,
    /// Files of replays that were kept before. A name that looks like a secret is hidden.
    pub replays: Vec<String>,
}

impl Unended {
    /// The cause for people, without a full stop.
    pub(super) fn said(&self) -> String {
        format!("the check did not end: {}", self.cause)
    }

    /// The commands that repeat the kept replays.
    pub(super) fn commands(&self) -> impl Iterator<Item = String> {
        self.replays.iter().map(|file| format!("becket lab replay {}", quoted(file)))
    }
}

impl Report {
    /// The report of a check that did not finish. `is_failed`: the adapter under test caused that.
    /// Otherwise the verdict is inconclusive.
    #[must_use]
    pub fn unended(
        name: &str,
        (mode, start_seed): (Mode, u64),
        is_failed: bool,
        mut why: Unended,
    ) -> Self {
        for text in why.replays.iter_mut().chain([&mut why.cause]) {
            if is_secret_text(text) {
                *text = HIDDEN.into();
            }
        }
        let gates = Gate::ALL.map(|gate| {
            let is_it = is_failed && gate == Gate::Correctness;
            GateResult {
                gate,
                verdict: if is_it { Verdict::Fail } else { Verdict::Inconclusive },
                counted: 0,
                failed: 0,
                reason: Some(why.said()),
            }
        });
        let options = Options { mode, start_seed, ..Options::quick(name, &healthy) };
        let report = Self::new(&options, &[], &[], &gates, Collapse::default(), &[]);
        Self { unended: Some(why), ..report }
    }
}
