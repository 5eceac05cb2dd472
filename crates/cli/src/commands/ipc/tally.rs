// SPDX-License-Identifier: BSD-3-Clause
//! Counts of elements and bytes, and the progress line that shows them on a terminal.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::ui::{Progress, Ui, text};

/// How often the line is rewritten.
const PERIOD: Duration = Duration::from_millis(200);

/// Elements and bytes so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) elements: u64,
    pub(super) bytes: u64,
    began: Instant,
    progress: Progress,
    /// `None` without a terminal: no wake-ups are needed.
    ticks: Option<Interval>,
}

impl Tally {
    /// Starts at zero. The line is shown unless it would be mixed with lines of data on stdout.
    pub(super) fn new(ui: &Ui, writes_stdout: bool) -> Self {
        let in_the_way = writes_stdout && io::stdout().is_terminal();
        let progress = if in_the_way { Progress::new(false) } else { ui.progress() };
        let ticks = progress.is_shown().then(|| {
            let mut ticks = interval(PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { elements: 0, bytes: 0, began: Instant::now(), progress, ticks }
    }

    /// Counts one element.
    pub(super) fn add(&mut self, bytes: u64) {
        self.elements += 1;
        self.bytes += bytes;
    }

    /// Waits until the line is to be rewritten. Cancel safe.
    pub(super) async fn tick(&mut self) {
        match &mut self.ticks {
            Some(ticks) => drop(ticks.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Rewrites the line, with `more` at its end.
    pub(super) fn show(&self, more: &str) {
        self.progress.set(&format!("{}{more}", self.text()));
    }

    /// Removes the line.
    pub(super) fn hide(&self) {
        self.progress.set("");
    }

    /// `1 234 elements (56 789 bytes) in 1.20 s`.
    pub(super) fn text(&self) -> String {
        format!(
            "{} ({}) in {}",
            text::plural(self.elements, "element"),
            text::plural(self.bytes, "byte"),
            text::duration(self.began.elapsed())
        )
    }

    /// Since the beginning.
    pub(super) fn took_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
