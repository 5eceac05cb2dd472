// SPDX-License-Identifier: BSD-3-Clause
//! What a worker reports, in the host: its log and its metrics, what it counts, and the messages of its watchdog.
//!
//! A worker may log a burst of messages, and then so many a second: what it logs beyond that is dropped and
//! counted, and the next message is preceded by how many there were.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use becket_host::{Answers, ReportedCounts, escape_controls, log_message};
use bytes::Bytes;
use tracing::{Level, event};

use crate::protocol::{decode_log, decode_metrics, notice};

/// Messages that a worker may log at once.
const BURST: f64 = 4096.0;
/// Messages a second that it may log for longer.
const PER_SECOND: f64 = 1024.0;
/// Notices that are kept until the plugin is there.
const EARLY_MAX: usize = 64;
/// Levels of messages.
const ERROR: u32 = 1;
const WARN: u32 = 2;

/// See the module's documentation.
pub(crate) struct Reported {
    plugin: String,
    /// The worker's process.
    pid: u32,
    state: Arc<Stuck>,
    /// Messages that may be logged now, at the moment of the last one.
    allowed: f64,
    last: Instant,
    /// Messages that were dropped since the last one.
    dropped: u64,
    answers: Option<Answers>,
    /// What came before [`Self::attach`]: the count of dropped messages, and changes of metrics and counts.
    early: (u64, VecDeque<(u16, Bytes)>),
}

/// Threads of a worker that are stuck in the plugin.
#[derive(Default)]
pub(crate) struct Stuck {
    /// The plugin has no other worker.
    pub(crate) is_only: bool,
    pub(crate) now: AtomicU32,
    /// The worker passes no calls on to the plugin.
    pub(crate) is_quarantined: AtomicBool,
}

impl Reported {
    /// Of a worker that runs the plugin of this name in this process.
    pub(crate) fn new(plugin: String, pid: u32, state: Arc<Stuck>) -> Self {
        Self {
            plugin,
            pid,
            state,
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
        let (dropped, early) = std::mem::take(&mut self.early);
        if dropped > 0 {
            answers.log_dropped(dropped);
        }
        early.iter().for_each(|(code, body)| self.notice(*code, 0, body));
    }

    /// A notice of the worker's; `of` is its number.
    pub(crate) fn notice(&mut self, code: u16, of: u64, body: &[u8]) {
        match code {
            notice::LOG | notice::WATCHDOG => self.log(code, of, body),
            notice::METRICS | notice::COUNTS => match self.answers {
                Some(answers) if code == notice::METRICS => Self::metrics(answers, body),
                Some(answers) => self.counts(answers, body),
                None if self.early.1.len() < EARLY_MAX => {
                    self.early.1.push_back((code, Bytes::copy_from_slice(body)));
                }
                None => {}
            },
            _ => {}
        }
    }

    /// The worker has ended: no thread of it is stuck any more.
    pub(crate) fn ended(&mut self) {
        self.set_stuck(0, false);
    }

    fn counts(&mut self, answers: Answers, body: &[u8]) {
        let Ok(counts) = serde_json::from_slice::<ReportedCounts>(body) else { return };
        answers.counted(&counts);
        self.set_stuck(counts.blocked_now, counts.is_quarantined);
    }

    fn set_stuck(&self, now: u32, is_quarantined: bool) {
        self.state.now.store(now, Ordering::Relaxed);
        let was_quarantined = self.state.is_quarantined.swap(is_quarantined, Ordering::Relaxed);
        // Of several workers the others go on: it refuses its calls itself.
        if let Some(answers) = self.answers
            && self.state.is_only
            && was_quarantined != is_quarantined
        {
            answers.set_quarantined(is_quarantined);
        }
    }

    fn metrics(answers: Answers, body: &[u8]) {
        // What is no change of a metric ends the notice: nothing awaits an answer to it.
        let _ = decode_metrics(body, |name, help, change| answers.metric(name, help, change));
    }

    fn log(&mut self, code: u16, dropped_there: u64, body: &[u8]) {
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
        if code == notice::WATCHDOG {
            return self.log_watchdog(level, &message);
        }
        log_message(&self.plugin, level, &from, &message);
    }

    fn log_watchdog(&self, level: u32, message: &str) {
        const TARGET: &str = "becket::watchdog";
        let (plugin, pid, message) = (&self.plugin, self.pid, escape_controls(message));
        match level {
            ..=ERROR => event!(target: TARGET, Level::ERROR, plugin, pid, "{message}"),
            WARN => event!(target: TARGET, Level::WARN, plugin, pid, "{message}"),
            _ => event!(target: TARGET, Level::INFO, plugin, pid, "{message}"),
        }
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
        let mut reported = Reported::new(String::new(), 0, Arc::default());
        let start = Instant::now();
        let allowed = |reported: &mut Reported, at: Duration| {
            (0..10_000).filter(|_| reported.is_allowed(start + at)).count()
        };
        assert_eq!(allowed(&mut reported, Duration::ZERO), BURST as usize);
        assert_eq!(allowed(&mut reported, Duration::from_millis(500)), PER_SECOND as usize / 2);
        assert_eq!(allowed(&mut reported, Duration::from_secs(100)), BURST as usize);
    }
}
