// SPDX-License-Identifier: BSD-3-Clause
//! A check that ends early, because a plugin ended the process or hangs: the progress reported
//! until then, and the final reports made of it.
//!
//! ```text
//!   at 0            the first adapter is loaded, then checked
//!   kept x.replay   a run of it failed, and was kept
//! ```
//!
//! A report is made for each adapter that was named: the adapter being called has failed, and the
//! others are inconclusive, because their results were lost with the process.

use std::sync::Arc;

use becket_lab::check::Mode;
use becket_lab::report::{Report, Unended};
use parking_lot::Mutex;

use crate::commands::child::ReportPipe;

const AT: &str = "at ";
const KEPT: &str = "kept ";

/// Reports the progress of a check to the parent process, and keeps it in this process.
#[derive(Debug, Clone, Default)]
pub(super) struct ProgressReporter {
    pipe: ReportPipe,
    so_far: Arc<Mutex<SoFar>>,
}

impl ProgressReporter {
    pub(super) fn new(pipe: ReportPipe) -> Self {
        Self { pipe, so_far: Arc::default() }
    }

    /// Reports that the adapter of this number is called from here on.
    pub(super) fn at(&self, number: usize) {
        self.report(&format!("{AT}{number}"));
    }

    /// Reports that the replay of a failed run was written.
    pub(super) fn kept(&self, file: &str) {
        self.report(&format!("{KEPT}{file}"));
    }

    pub(super) fn so_far(&self) -> SoFar {
        self.so_far.lock().clone()
    }

    fn report(&self, line: &str) {
        self.so_far.lock().apply(line);
        self.pipe.send(line);
    }
}

/// The progress of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SoFar {
    at: usize,
    /// Replay files, each with the number of its adapter.
    kept: Vec<(usize, String)>,
}

impl SoFar {
    /// From the lines of a report pipe.
    pub(super) fn of(lines: &[String]) -> Self {
        let mut so_far = Self::default();
        lines.iter().for_each(|line| so_far.apply(line));
        so_far
    }

    /// The adapter that was called last.
    pub(super) fn name<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        names.get(self.at).map(String::as_str)
    }

    fn apply(&mut self, line: &str) {
        if let Some(at) = line.strip_prefix(AT).and_then(|number| number.parse().ok()) {
            self.at = at;
        } else if let Some(file) = line.strip_prefix(KEPT) {
            let kept = (self.at, file.to_owned());
            if !self.kept.contains(&kept) {
                self.kept.push(kept);
            }
        }
    }

    /// The reports of a check of these adapters.
    pub(super) fn reports(&self, names: &[String], begun: (Mode, u64), cause: &str) -> Vec<Report> {
        let report = |(number, name): (usize, &String)| {
            let is_it = number == self.at;
            let of_it = self.kept.iter().filter(|(of, _)| *of == number);
            let cause = match names.get(self.at).filter(|_| !is_it) {
                Some(other) => format!("with {other}, {cause}"),
                None => cause.to_owned(),
            };
            let replays = of_it.map(|(_, file)| file.clone()).collect();
            Report::unended(name, begun, is_it, Unended { cause, replays })
        };
        names.iter().enumerate().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adapter_that_was_called_has_failed_and_has_what_was_kept_of_it() {
        let lines =
            ["at 0", "at 1", "at 0", "kept a.replay", "at 1", "kept b c.replay", "kept b c.replay"];
        let so_far = SoFar::of(&lines.map(str::to_owned));
        let names = ["ring", "plugin:x", "plugin:y"].map(str::to_owned);
        let reports = so_far.reports(&names, (Mode::Quick, 3), "it ended");
        let of = |report: &Report| {
            let Unended { cause, replays } = report.unended.clone().unwrap();
            (report.verdict, report.exit_code, cause, replays.join("+"))
        };
        let with = "with plugin:x, it ended".to_owned();
        assert_eq!(
            reports.iter().map(of).collect::<Vec<_>>(),
            [
                ("inconclusive", 3, with.clone(), "a.replay".to_owned()),
                ("fail", 1, "it ended".to_owned(), "b c.replay".to_owned()),
                ("inconclusive", 3, with, String::new()),
            ]
        );
    }
}
