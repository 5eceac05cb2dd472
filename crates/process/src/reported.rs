// SPDX-License-Identifier: BSD-3-Clause
//! What a worker reports, in the host: its log and its metrics.
//!
//! A worker may log a burst of messages, and then so many a second: what it logs beyond that is dropped and
//! counted, and the next message is preceded by how many there were.

use std::collections::VecDeque;
use std::time::Instant;

use becket_host::{Answers, log_message};
use bytes::Bytes;

use crate::protocol::{decode_log, decode_metrics, notice};

/// Messages that a worker may log at once.
const BURST: f64 = 4096.0;
/// Messages a second that it may log for longer.
const PER_SECOND: f64 = 1024.0;
/// Notices that are kept until the plugin is there.
const EARLY_MAX: usize = 64;
/// The level of a warning.
const WARN: u32 = 2;

/// See the module's documentation.
pub(crate) struct Reported {
    plugin: String,
    /// Messages that may be logged now, at the moment of the last one.
    allowed: f64,
    last: Instant,
    /// Messages that were dropped since the last one.
    dropped: u64,
    answers: Option<Answers>,
    /// What came before [`Self::attach`]: the count of dropped messages, and changes of metrics.
    early: (u64, VecDeque<Bytes>),
}

impl Reported {
    /// Of a worker that runs the plugin of this name.
    pub(crate) fn new(plugin: String) -> Self {
        Self {
            plugin,
            allowed: BURST,
            last: Instant::now(),
            dropped: 0,
            answers: None,
            early: Default::default(),
        }
    }

    /// The plugin is there.
    pub(crate) fn attach(&mut self, answers: Answers) {
        self.answers = Some(answers);
        let (dropped, metrics) = std::mem::take(&mut self.early);
        if dropped > 0 {
            answers.log_dropped(dropped);
        }
        metrics.iter().for_each(|body| self.metrics(body));
    }

    /// A notice of the worker's; `of` is its number.
    pub(crate) fn notice(&mut self, code: u16, of: u64, body: &[u8]) {
        match code {
            notice::LOG => self.log(of, body),
            notice::METRICS => self.metrics(body),
            _ => {}
        }
    }

    fn metrics(&mut self, body: &[u8]) {
        let Some(answers) = self.answers else {
            if self.early.1.len() < EARLY_MAX {
                self.early.1.push_back(Bytes::copy_from_slice(body));
            }
            return;
        };
        // What is no change of a metric ends the notice: nothing awaits an answer to it.
        let _ = decode_metrics(body, |name, help, change| answers.metric(name, help, change));
    }

    fn log(&mut self, dropped_there: u64, body: &[u8]) {
        let Ok((level, from, message)) = decode_log(body) else { return };
        self.count(dropped_there);
        if !self.is_allowed(Instant::now()) {
            self.count(1);
            return;
        }
        if self.dropped > 0 {
            let messages = std::mem::take(&mut self.dropped);
            let text = format!("{messages} messages of this log were dropped");
            log_message(&self.plugin, WARN, "becket", &text);
        }
        log_message(&self.plugin, level, &from, &message);
    }

    fn count(&mut self, dropped: u64) {
        self.dropped = self.dropped.saturating_add(dropped);
        match self.answers {
            Some(answers) if dropped > 0 => answers.log_dropped(dropped),
            Some(_) => {}
            None => self.early.0 = self.early.0.saturating_add(dropped),
        }
    }

    fn is_allowed(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        self.allowed = (self.allowed + passed * PER_SECOND).min(BURST);
        if self.allowed < 1.0 {
            return false;
        }
        self.allowed -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let mut reported = Reported::new(String::new());
        let start = Instant::now();
        let allowed = |reported: &mut Reported, at: Duration| {
            (0..10_000).filter(|_| reported.is_allowed(start + at)).count()
        };
        assert_eq!(allowed(&mut reported, Duration::ZERO), BURST as usize);
        assert_eq!(allowed(&mut reported, Duration::from_millis(500)), PER_SECOND as usize / 2);
        assert_eq!(allowed(&mut reported, Duration::from_secs(100)), BURST as usize);
    }
}
