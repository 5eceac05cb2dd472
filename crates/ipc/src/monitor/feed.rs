// SPDX-License-Identifier: BSD-3-Clause
//! The source of a monitor's reports: a source in this process, or a recording.

use std::io::{BufRead, Read};
use std::sync::Arc;

use super::source::Source;
use super::tame::REPORT_BYTES_MAX;
use super::{Query, Report, ReportError};

/// Fetches reports.
pub trait Feed: Send {
    /// Fetches one report. Blocks until it is available.
    ///
    /// # Errors
    ///
    /// [`FeedError`]: after `Ended` and `Lost` there are no further reports.
    fn next(&mut self, query: &Query) -> Result<Report, FeedError>;

    /// A short description of the source.
    fn origin(&self) -> String;

    /// Whether reports are current. A recording is not, and is read without waiting.
    fn is_live(&self) -> bool {
        true
    }
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// There are no more: the process ended, or the recording did.
    #[error("there are no more reports")]
    Ended,
    /// The connection to the process is lost.
    #[error("the process cannot be reached any more: {cause}")]
    Lost {
        /// The cause.
        cause: String,
    },
    /// The process refuses reports.
    #[error("the process offers no report to a monitor: {cause}")]
    Refused {
        /// The cause.
        cause: String,
    },
    /// The report is invalid.
    #[error("invalid report: {0}")]
    Report(#[from] ReportError),
}

/// Reports of a source in this process.
#[derive(Debug)]
pub struct LocalFeed<S> {
    source: Arc<S>,
    origin: String,
}

impl<S: Source> LocalFeed<S> {
    /// Reports of `source`, which is shown as `origin`.
    pub fn new(source: Arc<S>, origin: impl Into<String>) -> Self {
        Self { source, origin: origin.into() }
    }
}

impl<S: Source> Feed for LocalFeed<S> {
    fn next(&mut self, query: &Query) -> Result<Report, FeedError> {
        Ok(self.source.collect(query))
    }

    fn origin(&self) -> String {
        self.origin.clone()
    }
}

/// Reports of a recording: one JSON object per line. Filter, order and page are applied to the
/// recorded rows; rows that were not recorded are missing.
#[derive(Debug)]
pub struct ReplayFeed<R> {
    lines: R,
    origin: String,
    line: u64,
}

impl<R: BufRead + Send> ReplayFeed<R> {
    /// Reports of `lines`, which are shown as `origin`.
    pub fn new(lines: R, origin: impl Into<String>) -> Self {
        Self { lines, origin: origin.into(), line: 0 }
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }
}

impl<R: BufRead + Send> Feed for ReplayFeed<R> {
    fn next(&mut self, query: &Query) -> Result<Report, FeedError> {
        loop {
            let mut line = Vec::new();
            // Two bytes more than the maximum: the newline, and one by which a line that is too
            // long is detected.
            let read = (&mut self.lines)
                .take(REPORT_BYTES_MAX as u64 + 2)
                .read_until(b'\n', &mut line)
                .map_err(|error| FeedError::Lost { cause: error.to_string() })?;
            self.line += 1;
            if read == 0 {
                return Err(FeedError::Ended);
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                let mut report = Report::from_json(line)?;
                query.choose(&mut report);
                return Ok(report);
            }
        }
    }

    fn origin(&self) -> String {
        self.origin.clone()
    }

    fn is_live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChannelReport, ChannelSort, Page, SCHEMA, Select};
    use super::*;

    #[test]
    fn a_recording_is_read_line_by_line_to_its_end() {
        let mut text = Vec::new();
        for at_ns in [1, 2] {
            let report = Report { schema: SCHEMA, at_ns, ..Report::default() };
            text.extend(report.to_json().unwrap());
            text.extend(b"\n\n");
        }
        let mut feed = ReplayFeed::new(text.as_slice(), "recording");
        let query = Query::default();
        assert_eq!(feed.next(&query).unwrap().at_ns, 1);
        assert_eq!(feed.next(&query).unwrap().at_ns, 2);
        assert_eq!(feed.next(&query), Err(FeedError::Ended));
    }

    #[test]
    fn filter_order_and_page_apply_to_the_recorded_rows() {
        let row = |id, name: &str, len| ChannelReport {
            id,
            name: name.to_owned(),
            len,
            ..ChannelReport::default()
        };
        let rows = vec![row(1, "orders", 3), row(2, "other", 9), row(3, "order log", 7)];
        let channels = Page { total: 500, matched: 500, rows, ..Page::default() };
        let report = Report { schema: SCHEMA, channels, ..Report::default() };
        let line = report.to_json().unwrap();
        let mut feed = ReplayFeed::new(line.as_slice(), "recording");
        let channels = Select {
            sort: ChannelSort::Depth,
            filter: "order".into(),
            rows: 9,
            pin: Some(2),
            ..Select::default()
        };
        let page = feed.next(&Query { channels, ..Query::default() }).unwrap().channels;
        assert_eq!(page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [3, 1]);
        assert_eq!((page.total, page.matched, page.pinned.unwrap().id), (500, 2, 2));
    }

    #[test]
    fn a_line_that_is_no_report_is_an_error() {
        let mut feed = ReplayFeed::new(b"\nhello\n".as_slice(), "recording");
        let error = feed.next(&Query::default()).unwrap_err();
        assert!(matches!(error, FeedError::Report(ReportError::Json { .. })), "{error}");
        assert_eq!(feed.line(), 2);
    }

    #[test]
    fn a_line_without_end_is_refused_not_read() {
        let lines = std::io::BufReader::new(std::io::repeat(b'['));
        let mut feed = ReplayFeed::new(lines, "recording");
        let error = feed.next(&Query::default()).unwrap_err();
        assert!(matches!(error, FeedError::Report(ReportError::TooLong { .. })), "{error}");
    }
}
