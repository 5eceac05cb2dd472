// SPDX-License-Identifier: BSD-3-Clause
//! A check that a plugin ended, or hangs: what was told of it until then, and the reports that say so.
//!
//! ```text
//!   at 0            the first adapter is loaded, then checked
//!   kept x.replay   a run of it failed, and was kept
//! ```
//!
//! A report is made for each adapter that was named: the one that was called has failed, and nothing can
//! be said of the others, whose reports have gone with the process.

use std::sync::Arc;

use becket_lab::check::Mode;
use becket_lab::report::{Report, Unended};
use parking_lot::Mutex;

use crate::commands::supervised::Voice;

const AT: &str = "at ";
const KEPT: &str = "kept ";

/// Tells how far a check is: whoever waits for it, and this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Teller {
    voice: Voice,
    so_far: Arc<Mutex<SoFar>>,
}

impl Teller {
    pub(super) fn new(voice: Voice) -> Self {
        Self { voice, so_far: Arc::default() }
    }

    /// The adapter of this number is called from here on.
    pub(super) fn at(&self, number: usize) {
        self.say(&format!("{AT}{number}"));
    }

    /// A replay of a failed run is there.
    pub(super) fn kept(&self, file: &str) {
        self.say(&format!("{KEPT}{file}"));
    }

    pub(super) fn so_far(&self) -> SoFar {
        self.so_far.lock().clone()
    }

    fn say(&self, line: &str) {
        self.so_far.lock().hear(line);
        self.voice.say(line);
    }
}

/// How far a check came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SoFar {
    at: usize,
    /// Files, with the number of the adapter that they are of.
    kept: Vec<(usize, String)>,
}

impl SoFar {
    /// From what was told, line by line.
    pub(super) fn of(told: &[String]) -> Self {
        let mut so_far = Self::default();
        told.iter().for_each(|line| so_far.hear(line));
        so_far
    }

    /// The adapter that was called last.
    pub(super) fn name<'a>(&self, names: &'a [String]) -> Option<&'a str> {
        names.get(self.at).map(String::as_str)
    }

    fn hear(&mut self, line: &str) {
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
        let told =
            ["at 0", "at 1", "at 0", "kept a.replay", "at 1", "kept b c.replay", "kept b c.replay"];
        let so_far = SoFar::of(&told.map(str::to_owned));
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
