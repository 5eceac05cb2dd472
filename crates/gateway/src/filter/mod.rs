// SPDX-License-Identifier: BSD-3-Clause
//! Filters: unary entries that are called before and after the target of a route.
//!
//! ```text
//!   request ──▶ filter 1 ──▶ filter 2 ──▶ target      phase `request`, in the order of the route
//!                  │ respond    │ respond    │
//!   answer  ◀── filter 1 ◀── filter 2 ◀──────┘        phase `response`, in reverse: those that gave a context
//! ```
//!
//! A filter is called as any entry is, with the head of the request or of the answer, and what the gateway adds in
//! headers whose names begin with `becket-`. Its answer is text (`answer`).
//!
//! | module | what lives there |
//! |---|---|
//! | `answer` | the text of a filter's answer |
//! | `chain` | filters around whatever answers a request, for any HTTP server |
//!
//! # Invariants
//!
//! 1. A filter that fails ends the request with an error, unless its configuration has `fail_open = true`. It fails
//!    if it is not answered, answers another status than `Ok`, or answers text that is malformed.
//! 2. A filter sees headers that begin with `becket-` from the gateway alone.

mod answer;
mod chain;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use becket_host::{Body, CallError, Entry, HttpRequest, NrStatus};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};

pub(crate) use self::answer::{Answer, Malformed, Phase};
pub use self::answer::{Edit, TooManyHeaders};
pub(crate) use self::chain::{Contexts, media_type, request_phase, response_phase};
pub use self::chain::{FilteredRequest, FilteredResponse};
use crate::TARGET;
use crate::config::FilterConfig;
use crate::otlp::{Child, Context};
use crate::problem::Problem;
use crate::repeats::Repeats;
use crate::stats::{FilterResult, FilterStats};

/// The version of what is between gateway and filters.
const VERSION: HeaderValue = HeaderValue::from_static("1");

const FILTER_VERSION: HeaderName = HeaderName::from_static("becket-filter-version");
const PHASE: HeaderName = HeaderName::from_static("becket-phase");
const CLIENT: HeaderName = HeaderName::from_static("becket-client");
const STATUS: HeaderName = HeaderName::from_static("becket-status");
const CONTEXT: HeaderName = HeaderName::from_static("becket-context");

/// A filter of a route.
#[derive(Debug)]
pub(crate) struct Filter {
    /// As the configuration has it.
    name: String,
    /// `None`: its plugin has no such unary entry, so every call fails.
    entry: Option<Entry>,
    request_body: bool,
    response_body: bool,
    fail_open: bool,
    timeout: Option<Duration>,
    stats: Arc<FilterStats>,
    failures: Repeats,
}

/// What a filter is asked about in one phase.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    Request { client: Option<IpAddr> },
    Response { status: StatusCode, context: &'a HeaderValue },
}

impl Subject<'_> {
    fn phase(&self) -> Phase {
        match self {
            Self::Request { .. } => Phase::Request,
            Self::Response { .. } => Phase::Response,
        }
    }
}

/// The head that a filter sees.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Of the request.
    pub method: &'a Method,
    /// Of the request.
    pub uri: &'a Uri,
    /// Of the request, or of the answer.
    pub headers: &'a HeaderMap,
}

/// Why a filter failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("its plugin has no such unary entry")]
    NoEntry,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("it answered the status {0}")]
    Status(NrStatus),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the value of header `{0}` is not UTF-8")]
    Header(HeaderName),
}

impl Filter {
    pub(crate) fn new(
        config: &FilterConfig,
        entry: Option<Entry>,
        stats: Arc<FilterStats>,
    ) -> Self {
        Self {
            name: config.name.clone(),
            entry,
            request_body: config.request_body,
            response_body: config.response_body,
            fail_open: config.fail_open,
            timeout: config.timeout_ms.map(Duration::from_millis),
            stats,
            failures: Repeats::default(),
        }
    }

    /// Calls the filter. `Ok(None)`: it failed, and the request goes on as if it were not there.
    ///
    /// # Errors
    /// It failed, and the request ends.
    async fn ask(
        &self,
        subject: Subject<'_>,
        head: Head<'_>,
        body: Bytes,
        trace: Option<&Context>,
    ) -> Result<Option<(Answer, Body)>, Problem> {
        let mut span = Child::filter(trace, &self.name, subject.phase().name());
        match self.call(&subject, head, body, span.as_ref()).await {
            Ok((answer, body)) => {
                let result = match answer.respond {
                    Some(_) => FilterResult::Respond,
                    None => FilterResult::Continue,
                };
                if let Some(span) = &mut span {
                    span.result(result.name());
                }
                self.stats.count(result);
                Ok(Some((answer, body)))
            }
            Err(failure) => {
                if let Some(span) = &mut span {
                    let skipped = self.fail_open.then_some(FilterResult::Skipped);
                    span.result(skipped.unwrap_or(FilterResult::Failed).name());
                    span.failed("filter", &failure);
                }
                self.fail(&failure, subject.phase()).map(|()| None)
            }
        }
    }

    /// Counts and logs a failure.
    ///
    /// # Errors
    /// The request ends with it.
    #[cold]
    fn fail(&self, failure: &Failure, phase: Phase) -> Result<(), Problem> {
        if let Some(left_out) = self.failures.pass() {
            tracing::warn!(target: TARGET,
                filter = self.name,
                phase = phase.name(),
                error = %failure,
                skipped = self.fail_open,
                not_logged = left_out,
                "a filter failed"
            );
        }
        if self.fail_open {
            self.stats.count(FilterResult::Skipped);
            return Ok(());
        }
        self.stats.count(FilterResult::Failed);
        Err(self.problem(failure, phase))
    }

    async fn call(
        &self,
        subject: &Subject<'_>,
        head: Head<'_>,
        body: Bytes,
        span: Option<&Child>,
    ) -> Result<(Answer, Body), Failure> {
        let entry = self.entry.as_ref().ok_or(Failure::NoEntry)?;
        let mut parts = parts(subject, head);
        if let Some(span) = span {
            span.show(&mut parts.headers);
        }
        let request = HttpRequest::new(Box::new(parts), body).map_err(Failure::Header)?;
        let mut call = entry.call(request);
        if let Some(timeout) = self.timeout {
            call = call.timeout(timeout);
        }
        let answer = call.await?;
        if !answer.status.is_ok() {
            return Err(Failure::Status(answer.status));
        }
        Ok((Answer::parse(&answer.body, subject.phase())?, answer.body))
    }

    fn problem(&self, failure: &Failure, phase: Phase) -> Problem {
        let say = |status| {
            Problem::new(status, format!("filter `{}` failed", self.name))
                .cause(failure.to_string())
        };
        let busy = || say(StatusCode::SERVICE_UNAVAILABLE).hint("try again").retry();
        match failure {
            Failure::Call(CallError::DeadlineExceeded) => say(StatusCode::GATEWAY_TIMEOUT)
                .hint("raise the filter's `timeout_ms`, or see why it is slow"),
            Failure::Call(CallError::PayloadTooLarge { .. }) if phase == Phase::Request => {
                say(StatusCode::PAYLOAD_TOO_LARGE)
                    .hint("send less, or raise `payload_bytes_max` of the filter's plugin")
            }
            Failure::Call(
                CallError::Quota { .. }
                | CallError::Quarantined
                | CallError::PluginFailed
                | CallError::Unloaded
                | CallError::Refused { status: NrStatus::Backpressure },
            )
            | Failure::Status(NrStatus::Backpressure) => busy(),
            Failure::Header(_) if phase == Phase::Request => {
                say(StatusCode::BAD_REQUEST).hint("percent-encode it")
            }
            Failure::Malformed(_) => {
                say(StatusCode::BAD_GATEWAY).hint("the chapter on filters has the form of answers")
            }
            _ => say(StatusCode::BAD_GATEWAY).hint("the log of the gateway may say why"),
        }
    }
}

/// The headers in which the gateway alone speaks to filters.
pub(crate) fn reserved(headers: &HeaderMap) -> impl Iterator<Item = &HeaderName> {
    headers.keys().filter(|name| name.as_str().starts_with(answer::RESERVED))
}

/// Removes what only the gateway says to filters.
pub(crate) fn remove_reserved(headers: &mut HeaderMap) {
    // Mostly there is none, and then nothing is allocated.
    let reserved: Vec<HeaderName> = reserved(headers).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

fn parts(subject: &Subject<'_>, head: Head<'_>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = head.method.clone();
    parts.uri = head.uri.clone();
    parts.headers = head.headers.clone();
    remove_reserved(&mut parts.headers);
    let mut more = |name, value| {
        // A message without room for these has no room for what any filter says, either.
        let _ = parts.headers.try_insert(name, value);
    };
    more(FILTER_VERSION, VERSION);
    more(PHASE, HeaderValue::from_static(subject.phase().name()));
    match subject {
        Subject::Request { client: Some(client) } => {
            if let Ok(client) = HeaderValue::from_str(&client.to_string()) {
                more(CLIENT, client);
            }
        }
        Subject::Request { client: None } => {}
        Subject::Response { status, context } => {
            more(STATUS, HeaderValue::from(status.as_u16()));
            more(CONTEXT, (*context).clone());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_in_the_gateways_name_is_removed() {
        let mut headers = HeaderMap::new();
        for name in ["becket-client", "becket-phase", "becket-x", "becket", "x-becket-echo"] {
            headers.append(name, HeaderValue::from_static("forged"));
        }
        remove_reserved(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["becket", "x-becket-echo"]);
    }
}
