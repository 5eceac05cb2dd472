// SPDX-License-Identifier: BSD-3-Clause
//! A chain of filters around whatever answers a request, for any HTTP server.
//!
//! The server brings a request and an answer of its own ([`FilteredRequest`], [`FilteredResponse`]): how their heads are
//! changed, and how their bodies are read whole. What filters are asked, and what becomes of their answers, is here.
//!
//! # Invariants
//!
//! 1. [`request_phase`] returns `Ok(None)` only after every filter has let the request go on.
//! 2. In the response phase exactly those filters are called that gave a context, the last one first. One whose call
//!    ended the request is not among them.
//! 3. A body is read only for a filter that asks for it, and only when its turn has come.

use std::future::{Future, ready};
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};

use super::answer::{Answer, Edit, Malformed, Phase, TooManyHeaders};
use super::{Failure, Filter, Head, Subject};
use crate::otlp::Context;
use crate::problem::Problem;

/// Answers up to this long are looked at to tell text from bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A request on its way from filter to filter.
pub trait FilteredRequest: Send {
    /// Its method, URL and headers.
    fn head(&self) -> Head<'_>;

    /// Changes its headers.
    ///
    /// # Errors
    /// [`TooManyHeaders`].
    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders>;

    /// Another path and query, in place of its own.
    fn set_path(&mut self, path: PathAndQuery);

    /// Its body, which is read whole, once, and stays there for whatever answers it.
    fn body(&mut self) -> impl Future<Output = Result<Bytes, Problem>> + Send;
}

/// An answer on its way back.
pub trait FilteredResponse: Send {
    /// Its status.
    fn status(&self) -> StatusCode;

    /// Its headers.
    fn headers(&self) -> &HeaderMap;

    /// Changes its headers.
    ///
    /// # Errors
    /// [`TooManyHeaders`].
    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders>;

    /// Its body, which is read whole and stays there.
    fn body(&mut self) -> impl Future<Output = Result<Bytes, Problem>> + Send;

    /// Another answer takes its place, and nothing of it is sent.
    fn replace(&mut self, other: Response<Bytes>);
}

/// The filters that are called in the response phase, what each gets back, and the trace that all calls are part of.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    asked: Vec<(usize, HeaderValue)>,
    trace: Option<Context>,
}

impl Contexts {
    /// Without a filter yet.
    pub(crate) fn of_trace(trace: Option<Context>) -> Self {
        Self { asked: Vec::new(), trace }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether one of them gets the answer's body.
    pub(crate) fn wants_body(&self, filters: &[Filter]) -> bool {
        let wants = |(at, _): &(usize, _)| filters.get(*at).is_some_and(|it| it.response_body);
        self.asked.iter().any(wants)
    }
}

/// Calls the filters until one answers the request itself. Notes which of them have a response phase.
///
/// # Errors
/// A filter failed, or the body could not be read for one.
pub(crate) async fn request_phase<R: FilteredRequest>(
    filters: &[Filter],
    client: Option<IpAddr>,
    request: &mut R,
    contexts: &mut Contexts,
) -> Result<Option<Response<Bytes>>, Problem> {
    for (at, filter) in filters.iter().enumerate() {
        let payload = match filter.request_body {
            true => request.body().await?,
            false => Bytes::new(),
        };
        let subject = Subject::Request { client };
        let asking = filter.ask(subject, request.head(), payload, contexts.trace.as_ref());
        let Some((mut answer, text)) = asking.await? else { continue };
        if let Some(status) = answer.respond {
            return respond(filter, Phase::Request, status, answer, text);
        }
        if let Some(path) = answer.path.take() {
            request.set_path(path);
        }
        if let Some(context) = answer.context.take() {
            contexts.asked.push((at, context));
        }
        if let Err(error) = answer.edits().try_for_each(|edit| request.edit(edit)) {
            filter.fail(&Failure::Malformed(error.into()), Phase::Request)?;
        }
    }
    Ok(None)
}

/// Calls the filters of `contexts`. `method` and `uri` are those that the target got; `shown` makes an answer of a
/// failure, which takes the place of `response` and goes on to the next filter.
pub(crate) async fn response_phase<R: FilteredResponse>(
    filters: &[Filter],
    contexts: Contexts,
    (method, uri): (&Method, &Uri),
    response: &mut R,
    shown: impl Fn(Problem) -> Response<Bytes>,
) {
    let Contexts { asked, trace } = contexts;
    for (at, context) in asked.into_iter().rev() {
        let Some(filter) = filters.get(at) else { continue };
        let passed =
            response_filter(filter, &context, (method, uri), response, trace.as_ref()).await;
        if let Err(problem) = passed {
            response.replace(shown(problem));
        }
    }
}

async fn response_filter<R: FilteredResponse>(
    filter: &Filter,
    context: &HeaderValue,
    (method, uri): (&Method, &Uri),
    response: &mut R,
    trace: Option<&Context>,
) -> Result<(), Problem> {
    let payload = match filter.response_body {
        true => response.body().await?,
        false => Bytes::new(),
    };
    let seen = Head { method, uri, headers: response.headers() };
    let subject = Subject::Response { status: response.status(), context };
    let asking = filter.ask(subject, seen, payload, trace);
    let Some((answer, text)) = asking.await? else { return Ok(()) };
    if let Some(status) = answer.respond {
        if let Some(other) = respond(filter, Phase::Response, status, answer, text)? {
            response.replace(other);
        }
        return Ok(());
    }
    if let Err(error) = answer.edits().try_for_each(|edit| response.edit(edit)) {
        filter.fail(&Failure::Malformed(error.into()), Phase::Response)?;
    }
    Ok(())
}

/// The answer that a filter gives itself.
fn respond(
    filter: &Filter,
    phase: Phase,
    status: StatusCode,
    answer: Answer,
    text: becket_host::Body,
) -> Result<Option<Response<Bytes>>, Problem> {
    let body = Bytes::from(text).split_off(answer.body_at());
    let media = (!body.is_empty()).then(|| media_type(&body));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(media) = media {
        headers.insert(CONTENT_TYPE, media);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match answer.edits().try_for_each(|edit| edit.apply(headers)) {
        Ok(()) => Ok(Some(response)),
        Err(error) => {
            filter.fail(&Failure::Malformed(Malformed::from(error)), phase).map(|()| None)
        }
    }
}

/// What the bytes are.
pub(crate) fn media_type(body: &[u8]) -> HeaderValue {
    let is_text = body.len() <= TEXT_BYTES_MAX && (body.is_ascii() || str::from_utf8(body).is_ok());
    HeaderValue::from_static(match is_text {
        true => "text/plain; charset=utf-8",
        false => "application/octet-stream",
    })
}

/// An answer that is there as a whole.
impl FilteredResponse for Response<Bytes> {
    fn status(&self) -> StatusCode {
        Self::status(self)
    }

    fn headers(&self) -> &HeaderMap {
        Self::headers(self)
    }

    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders> {
        edit.apply(self.headers_mut())
    }

    fn body(&mut self) -> impl Future<Output = Result<Bytes, Problem>> + Send {
        ready(Ok(Self::body(self).clone()))
    }

    fn replace(&mut self, other: Response<Bytes>) {
        *self = other;
    }
}
