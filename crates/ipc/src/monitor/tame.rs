// SPDX-License-Identifier: BSD-3-Clause
//! Validation of external input: a report is as untrusted as the process that wrote it.

use serde::{Deserialize, Serialize};

use super::query::Page;
use super::report::{
    ChannelReport, CoroutineRow, Held, Histogram, PluginReport, PluginWorker, Report,
    RolloutReport, SCHEMA, SessionReport, WorkerReport,
};

/// The maximum number of rows per list of a report.
pub const ROWS_MAX: usize = 1024;
/// The maximum length of a text in a report, in bytes. Longer ones are truncated.
pub const TEXT_BYTES_MAX: usize = 128;
/// The maximum size of a report as JSON, in bytes.
pub const REPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The maximum number of workers, over all runtimes, and over all plugins.
pub(super) const WORKERS_MAX: usize = 1024;
/// The maximum number of causes of one plugin's or session's errors.
const CAUSES_MAX: usize = 32;
/// The maximum number of buckets of one histogram.
const BUCKETS_MAX: usize = 128;
/// The maximum number of coroutines that hold a worker.
pub(super) const HELD_MAX: usize = 16;

/// Why a report or a query is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It exceeds the maximum.
    #[error("it has {bytes} bytes, at most {bytes_max} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The maximum.
        bytes_max: usize,
    },
    /// It has another schema.
    #[error("it has schema {found}, expected {SCHEMA}")]
    Schema {
        /// Its schema.
        found: u32,
    },
    /// It is not JSON of this shape.
    #[error("it is not a report: {cause}")]
    Json {
        /// The parser's error.
        cause: String,
    },
}

impl ReportError {
    pub(super) fn json(error: serde_json::Error) -> Self {
        Self::Json { cause: error.to_string() }
    }
}

/// Only the first field: an unknown schema may have another shape.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Version {
    schema: u32,
}

impl Report {
    /// As JSON, on one line.
    ///
    /// # Errors
    ///
    /// It exceeds [`REPORT_BYTES_MAX`]: the names and causes returned by closures are out of
    /// bounds.
    pub fn to_json(&self) -> Result<Vec<u8>, ReportError> {
        let bytes = serde_json::to_vec(self).map_err(ReportError::json)?;
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(ReportError::TooLong { bytes: bytes.len(), bytes_max: REPORT_BYTES_MAX });
        }
        Ok(bytes)
    }

    /// Parses a report from another process: truncated to its bounds, without control characters.
    ///
    /// # Errors
    ///
    /// It is too long, not JSON of this shape, or of another schema.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(ReportError::TooLong { bytes: bytes.len(), bytes_max: REPORT_BYTES_MAX });
        }
        let version: Version = serde_json::from_slice(bytes).map_err(ReportError::json)?;
        if version.schema != SCHEMA {
            return Err(ReportError::Schema { found: version.schema });
        }
        let mut report: Self = serde_json::from_slice(bytes).map_err(ReportError::json)?;
        report.tame();
        Ok(report)
    }

    pub(super) fn tame(&mut self) {
        text(&mut self.process.name);
        self.channels.tame();
        self.coroutines.rows.tame();
        self.coroutines.held.truncate(HELD_MAX);
        self.coroutines.held.iter_mut().for_each(Tame::tame);
        self.workers.truncate(WORKERS_MAX);
        self.workers.iter_mut().for_each(Tame::tame);
        self.plugins.tame();
        let mut workers_left = WORKERS_MAX;
        for plugin in self.plugins.pinned.iter_mut().chain(&mut self.plugins.rows) {
            plugin.workers.truncate(workers_left);
            workers_left -= plugin.workers.len();
        }
        self.sessions.tame();
    }
}

/// Truncates to at most `bytes_max` bytes, at a character, and replaces characters that affect a
/// terminal.
pub(super) fn tame_text(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    if text.chars().any(is_unfit) {
        *text = text.chars().map(|c| if is_unfit(c) { '?' } else { c }).collect();
        // The replacement is never longer than the character.
    }
}

/// Control characters, and those that change the direction of the text.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value with bounds.
pub(super) trait Tame {
    fn tame(&mut self);
}

impl<T: Tame> Tame for Page<T> {
    fn tame(&mut self) {
        self.rows.truncate(ROWS_MAX);
        self.rows.iter_mut().chain(&mut self.pinned).for_each(Tame::tame);
    }
}

impl Tame for ChannelReport {
    fn tame(&mut self) {
        text(&mut self.name);
        text(&mut self.kind);
    }
}

impl Tame for CoroutineRow {
    fn tame(&mut self) {
        text(&mut self.name);
        text(&mut self.site);
        text(&mut self.state);
        text(&mut self.runtime);
    }
}

impl Tame for Held {
    fn tame(&mut self) {
        text(&mut self.what);
    }
}

impl Tame for WorkerReport {
    fn tame(&mut self) {
        text(&mut self.runtime);
    }
}

impl Tame for PluginReport {
    fn tame(&mut self) {
        text(&mut self.name);
        text(&mut self.placement);
        causes(&mut self.errors);
        self.latency.tame();
        self.workers.iter_mut().for_each(Tame::tame);
        self.rollout.iter_mut().chain(&mut self.last_rollout).for_each(Tame::tame);
    }
}

impl Tame for RolloutReport {
    fn tame(&mut self) {
        text(&mut self.version);
        text(&mut self.last_error);
        text(&mut self.result);
        text(&mut self.cause);
    }
}

impl Tame for PluginWorker {
    fn tame(&mut self) {
        text(&mut self.state);
        if let Some(end) = &mut self.last_end {
            text(&mut end.reason);
            text(&mut end.status);
        }
    }
}

impl Tame for SessionReport {
    fn tame(&mut self) {
        text(&mut self.transport);
        causes(&mut self.refused);
    }
}

impl Tame for Histogram {
    fn tame(&mut self) {
        self.upper_ns.truncate(BUCKETS_MAX);
        self.counts.truncate(self.upper_ns.len() + 1);
    }
}

fn text(text: &mut String) {
    tame_text(text, TEXT_BYTES_MAX);
}

fn causes(causes: &mut Vec<(String, u64)>) {
    causes.truncate(CAUSES_MAX);
    causes.iter_mut().for_each(|(cause, _)| text(cause));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::report::WorkerEnd;
    use super::*;

    #[test]
    fn a_report_round_trips() {
        let report = Report {
            schema: SCHEMA,
            at_ns: 5,
            workers: vec![WorkerReport { runtime: "main".into(), ..WorkerReport::default() }],
            channels: Page {
                total: 9,
                rows: vec![ChannelReport { name: "orders".into(), ..ChannelReport::default() }],
                ..Page::default()
            },
            plugins: Page {
                rows: vec![PluginReport {
                    errors: vec![("timeout".into(), 3)],
                    latency: Histogram {
                        upper_ns: vec![10, 20],
                        counts: vec![1, 2, 3],
                        sum_ns: 70,
                    },
                    ..PluginReport::default()
                }],
                ..Page::default()
            },
            ..Report::default()
        };
        assert_eq!(Report::from_json(&report.to_json().unwrap()), Ok(report));
    }

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_are_zero() {
        let report = Report::from_json(br#"{"schema":1,"new":[1],"process":{"pid":7}}"#).unwrap();
        assert_eq!((report.process.pid, report.channels.rows.len()), (7, 0));
        let other = Report::from_json(br#"{"schema":9,"process":"of another shape"}"#);
        assert_eq!(other, Err(ReportError::Schema { found: 9 }));
    }

    #[test]
    fn a_report_beyond_its_bounds_is_truncated() {
        let row = ChannelReport { name: "a\u{1b}]0;x\u{7}\u{202e}b".into(), ..Default::default() };
        let mut report = Report { schema: SCHEMA, ..Report::default() };
        report.channels.rows = vec![row; 2 * ROWS_MAX];
        report.workers = vec![WorkerReport::default(); 2 * WORKERS_MAX];
        report.process.name = "é".repeat(TEXT_BYTES_MAX);
        let end = WorkerEnd { status: "\u{1b}[31m".into(), ..Default::default() };
        let worker = PluginWorker { last_end: Some(end), ..Default::default() };
        let rollout = RolloutReport { last_error: "\u{1b}[31m".into(), ..Default::default() };
        let plugin = PluginReport {
            workers: vec![worker; WORKERS_MAX - 1],
            rollout: Some(rollout.clone()),
            last_rollout: Some(rollout),
            ..Default::default()
        };
        report.plugins.rows = vec![plugin; 3];
        let read = Report::from_json(&report.to_json().unwrap()).unwrap();
        let workers: Vec<_> = read.plugins.rows.iter().map(|plugin| plugin.workers.len()).collect();
        assert_eq!(workers, [WORKERS_MAX - 1, 1, 0]);
        let end = read.plugins.rows[1].workers[0].last_end.as_ref().unwrap();
        assert_eq!(end.status, "?[31m");
        let plugin = &read.plugins.rows[0];
        for rollout in [&plugin.rollout, &plugin.last_rollout] {
            assert_eq!(rollout.as_ref().unwrap().last_error, "?[31m");
        }
        assert_eq!((read.channels.rows.len(), read.workers.len()), (ROWS_MAX, WORKERS_MAX));
        assert_eq!(read.channels.rows[0].name, "a?]0;x??b");
        assert_eq!(read.process.name, "é".repeat(TEXT_BYTES_MAX / 2));
        let long = vec![b'['; REPORT_BYTES_MAX + 1];
        assert!(matches!(Report::from_json(&long), Err(ReportError::TooLong { .. })));
        assert!(matches!(Report::from_json(&[b'['; 1000]), Err(ReportError::Json { .. })));
    }

    proptest! {
        #[test]
        fn a_validated_text_is_short_and_has_no_control_character(mut dirty in "\\PC*\\p{C}{0,80}\\PC*") {
            tame_text(&mut dirty, 40);
            prop_assert!(dirty.len() <= 40);
            prop_assert!(!dirty.chars().any(char::is_control));
        }

        #[test]
        fn arbitrary_bytes_are_handled(bytes: Vec<u8>) {
            let _ = Report::from_json(&bytes);
            let _ = super::super::Query::from_json(&bytes);
        }
    }
}
