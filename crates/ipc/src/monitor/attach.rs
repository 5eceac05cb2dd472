// SPDX-License-Identifier: BSD-3-Clause
//! Reports of another process, over a connection to its server.
//!
//! An answer holds some dozen kilobytes. If a report does not fit, it is requested with half as
//! many rows, and so from then on. The rest of a list is fetched by further requests, so that a
//! report has the requested rows, however small the answers are. Each row states when its counts
//! were read; the report's own time and its sums are those of the first answer.

use becket_wire::codes;

use super::feed::{Feed, FeedError};
use super::query::{Page, Query, Select};
use super::report::Report;
use super::tame::ROWS_MAX;
use crate::client::Client;
use crate::connection::Ended;
use crate::error::OpenError;
use crate::streams::code;

/// Reports of the process that a client is connected to.
#[derive(Debug)]
pub struct ClientFeed {
    client: Client,
    origin: String,
    /// The number of rows of one list that an answer had room for.
    rows_max: u32,
}

impl ClientFeed {
    /// Over `client`, shown as `origin`.
    pub fn new(client: Client, origin: impl Into<String>) -> Self {
        Self { client, origin: origin.into(), rows_max: ROWS_MAX as u32 }
    }

    /// One answer, and its query: with fewer rows, if necessary.
    fn ask(&mut self, query: &Query) -> Result<Report, FeedError> {
        let too_long = code::errno(code::TOO_LONG);
        loop {
            let mut query = query.clone();
            query.limit(self.rows_max);
            match self.client.wait(self.client.report(query.to_json().into())) {
                Ok(answer) => return Ok(Report::from_json(&answer)?),
                Err(OpenError::Refused { code, .. }) if code == too_long && self.rows_max > 1 => {
                    self.rows_max /= 2;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Requests more until a list has as many rows as the query asks for, or there are no more.
    /// `only` makes a query for this list alone.
    fn complete<S: Clone, T>(
        &mut self,
        select: &Select<S>,
        page: &mut Page<T>,
        only: impl Fn(Select<S>) -> Query,
        list: impl Fn(Report) -> Page<T>,
    ) -> Result<(), FeedError> {
        let wanted = select.rows.min(ROWS_MAX as u32);
        loop {
            let got = page.rows.len() as u32;
            if got == 0 || got >= wanted || u64::from(page.first + got) >= page.matched {
                return Ok(());
            }
            let rest =
                Select { first: page.first + got, rows: wanted - got, pin: None, ..select.clone() };
            let more = list(self.ask(&only(rest))?);
            // Rows disappeared meanwhile: the list is complete.
            if more.rows.is_empty() {
                return Ok(());
            }
            page.rows.extend(more.rows);
        }
    }
}

impl Feed for ClientFeed {
    fn next(&mut self, query: &Query) -> Result<Report, FeedError> {
        let mut report = self.ask(query)?;
        self.complete(
            &query.channels,
            &mut report.channels,
            |channels| Query { channels, ..Query::nothing() },
            |report| report.channels,
        )?;
        self.complete(
            &query.coroutines,
            &mut report.coroutines.rows,
            |coroutines| Query { coroutines, ..Query::nothing() },
            |report| report.coroutines.rows,
        )?;
        self.complete(
            &query.plugins,
            &mut report.plugins,
            |plugins| Query { plugins, ..Query::nothing() },
            |report| report.plugins,
        )?;
        self.complete(
            &query.sessions,
            &mut report.sessions,
            |sessions| Query { sessions, ..Query::nothing() },
            |report| report.sessions,
        )?;
        Ok(report)
    }

    fn origin(&self) -> String {
        self.origin.clone()
    }
}

fn failed(error: OpenError) -> FeedError {
    match error {
        // The peer announced its end.
        OpenError::Disconnected(Ended::ByPeer { code: codes::DONE, .. }) => FeedError::Ended,
        OpenError::Disconnected(ended) => FeedError::Lost { cause: ended.to_string() },
        OpenError::Unsupported(_) => {
            FeedError::Refused { cause: "its program offers no report to clients".into() }
        }
        OpenError::Refused { why, .. } => FeedError::Refused { cause: why.to_string() },
        other => FeedError::Refused { cause: other.to_string() },
    }
}
