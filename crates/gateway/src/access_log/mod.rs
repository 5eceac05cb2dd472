// SPDX-License-Identifier: BSD-3-Clause
//! The access log: a line for each request, when its answer is handed over or its client has left.
//!
//! ```text
//!   request ──▶ Record ──▶ … ──▶ dropped with the answer's body ──▶ line ──▶ buffer ──▶ thread ──▶ file
//!                                                                     │         └ at most `buffer_bytes_max`
//!                                                                     └ dropped and counted at the bound
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `line` | how a line reads, as JSON and in the combined format |
//! | `writer` | the buffer, its bound, and the thread that writes it |
//!
//! # Invariants
//!
//! 1. A request never waits for the log: a line goes into the buffer, or is dropped and counted.
//! 2. Each request that reaches the gateway's own code has one record, and that is written once, when it is
//!    dropped: with 499 if there was no answer yet.
//! 3. A line is one line whatever a client sends, and at most a few kilobytes long.

mod line;
mod writer;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{HOST, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use self::writer::Writer;
use crate::config::{AccessLogConfig, AccessLogFormat, Complaint};
use crate::stats::Stats;
use crate::trace::TraceId;

/// As in metrics: the client left before the answer.
const CLIENT_LEFT: u16 = 499;

/// The access log of a gateway.
#[derive(Debug)]
pub(crate) struct AccessLog {
    writer: Writer,
    format: AccessLogFormat,
    has_query: bool,
}

impl AccessLog {
    /// Opens the file and starts the thread. `None` if the log is off.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn start(
        config: &AccessLogConfig,
        stats: &Arc<Stats>,
    ) -> Result<Option<Arc<Self>>, Complaint> {
        if config.format == AccessLogFormat::Off {
            return Ok(None);
        }
        let writer = Writer::start(config, stats)?;
        Ok(Some(Arc::new(Self { writer, format: config.format, has_query: config.query })))
    }

    /// Opens the file again, which may have been renamed, before the next line is written.
    pub(crate) fn reopen(&self) {
        self.writer.reopen();
    }

    /// Writes what is in the buffer; later lines are dropped.
    pub(crate) async fn finish(&self) {
        self.writer.finish().await;
    }

    /// The record of a request that has just come.
    pub(crate) fn record(
        self: &Arc<Self>,
        client: Option<IpAddr>,
        trace: Option<TraceId>,
        head: &Parts,
    ) -> Record {
        let header = |name| head.headers.get(name).cloned();
        Record {
            log: Arc::clone(self),
            came: SystemTime::now(),
            began: Instant::now(),
            client,
            trace,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: header(HOST),
            referer: header(REFERER),
            user_agent: header(USER_AGENT),
            status: CLIENT_LEFT,
            bytes: 0,
        }
    }
}

/// One request; dropped, it is a line.
#[derive(Debug)]
pub(crate) struct Record {
    log: Arc<AccessLog>,
    came: SystemTime,
    began: Instant,
    client: Option<IpAddr>,
    trace: Option<TraceId>,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    status: u16,
    /// Of the answer's body.
    bytes: u64,
}

impl Record {
    /// The client gets an answer with this status.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    pub(crate) fn add_bytes(&mut self, count: usize) {
        self.bytes += count as u64;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let line = match self.log.format {
            AccessLogFormat::Off => return,
            AccessLogFormat::Json => line::json(self),
            AccessLogFormat::Combined => line::combined(self),
        };
        self.log.writer.push(&line);
    }
}
