// SPDX-License-Identifier: BSD-3-Clause
//! A request of a route with filters: their phases around the route's target.
//!
//! # Invariants
//!
//! 1. The target is called only after every filter of the route has let the request go on.
//! 2. In the response phase exactly those filters are called that gave a context, the last one first. One whose call
//!    ended the request is not among them.
//! 3. An answer 101 is given to the client as it is: what follows it is no HTTP.

use std::future::poll_fn;
use std::mem;
use std::pin::pin;

use becket_host::Body as HostBody;
use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Body as _;
use tokio::time::timeout;

use super::Public;
use super::asks::Asks;
use super::body::{Body, RequestBody};
use super::buffer::Buffer;
use super::request::Arrived;
use super::unary::media_type;
use super::upstream;
use crate::config::HttpLimits;
use crate::filter::{Answer, Failure, Filter, Head, Phase, Subject, remove_reserved};
use crate::otlp::Context;
use crate::problem::Problem;
use crate::router::{Route, Table, Target};
use crate::shared::Shared;
use crate::status::ms;

/// A filter that is called in the response phase, and what it gets back.
type Asked<'a> = (&'a Filter, HeaderValue);

/// A filter in the response phase, and the request that it is asked about.
struct Asking<'a> {
    filter: &'a Filter,
    context: &'a HeaderValue,
    method: &'a Method,
    uri: &'a Uri,
}

/// The request's head and body, between two filters.
struct Passing {
    head: Box<Parts>,
    body: RequestBody,
}

pub(super) async fn answer(
    public: &Public,
    table: &Table,
    route: &Route,
    request: Arrived,
    asks: Asks,
) -> Response<Body> {
    let shown = |problem: Problem| problem.into_response(asks.json, table.error_hints);
    let Arrived { mut head, body } = request;
    remove_reserved(&mut head.headers);
    if matches!(route.target, Target::Upstream(_)) {
        // Before the filters: afterwards a client's `connection` could name, and remove, what one of them has set; and
        // a filter may set `x-forwarded-user`.
        upstream::remove_foreign(&mut head.headers, asks.websocket);
    }
    let mut passing = Passing { head, body };
    let mut asked = Vec::new();
    let early = request_phase(public, &table.limits, route, &mut passing, &mut asked).await;
    let Passing { head, body } = passing;
    let (method, uri) = (head.method.clone(), head.uri.clone());
    let trace = Context::of(&head.extensions).cloned();
    let mut response = match early {
        Ok(Some(response)) => response,
        Ok(None) => {
            // A filter may have changed what the client asks for.
            let asks = Asks::of(&head.headers);
            let shape = public.shape(table, route, Arrived { head, body }, asks);
            shape.await.unwrap_or_else(shown)
        }
        Err(problem) => shown(problem),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let shared = &public.shared;
    for (filter, context) in asked.into_iter().rev() {
        let limits = &table.limits;
        let asking = Asking { filter, context: &context, method: &method, uri: &uri };
        let phase = response_phase(shared, limits, asking, response, trace.as_ref());
        response = phase.await.unwrap_or_else(shown);
    }
    response
}

/// Calls the filters until one answers the request itself.
async fn request_phase<'a>(
    public: &Public,
    limits: &HttpLimits,
    route: &'a Route,
    passing: &mut Passing,
    asked: &mut Vec<Asked<'a>>,
) -> Result<Option<Response<Body>>, Problem> {
    for filter in &route.filters {
        let payload = match filter.request_body {
            true => passing.body.whole(&public.shared, limits).await?,
            false => Bytes::new(),
        };
        let Parts { method, uri, headers, .. } = &*passing.head;
        let seen = Head { method, uri, headers };
        let subject = Subject::Request { client: public.address };
        let trace = Context::of(&passing.head.extensions);
        let Some((answer, text)) = filter.ask(subject, seen, payload, trace).await? else {
            continue;
        };
        if let Some(status) = answer.respond {
            return respond(filter, Phase::Request, status, answer, text);
        }
        let Answer { path, context, .. } = &answer;
        if let Some(path) = path {
            let mut parts = mem::take(&mut passing.head.uri).into_parts();
            parts.path_and_query = Some(path.clone());
            // A URL that has a path has all else that one with a path needs.
            passing.head.uri = Uri::from_parts(parts).unwrap_or_default();
        }
        if let Some(context) = context {
            asked.push((filter, context.clone()));
        }
        if let Err(error) = answer.apply(&mut passing.head.headers) {
            filter.fail(&Failure::Malformed(error), Phase::Request)?;
        }
    }
    Ok(None)
}

async fn response_phase(
    shared: &Shared,
    limits: &HttpLimits,
    asking: Asking<'_>,
    mut response: Response<Body>,
    trace: Option<&Context>,
) -> Result<Response<Body>, Problem> {
    let Asking { filter, context, method, uri } = asking;
    let payload = match filter.response_body {
        true => {
            let body = mem::take(response.body_mut());
            let bytes = collect(shared, limits, body).await?;
            *response.body_mut() = Body::full(bytes.clone());
            bytes
        }
        false => Bytes::new(),
    };
    let seen = Head { method, uri, headers: response.headers() };
    let subject = Subject::Response { status: response.status(), context };
    let Some((answer, text)) = filter.ask(subject, seen, payload, trace).await? else {
        return Ok(response);
    };
    if let Some(status) = answer.respond {
        let responded = respond(filter, Phase::Response, status, answer, text)?;
        return Ok(responded.unwrap_or(response));
    }
    if let Err(error) = answer.apply(response.headers_mut()) {
        filter.fail(&Failure::Malformed(error), Phase::Response)?;
    }
    Ok(response)
}

/// The answer that a filter gives itself.
fn respond(
    filter: &Filter,
    phase: Phase,
    status: StatusCode,
    answer: Answer,
    text: HostBody,
) -> Result<Option<Response<Body>>, Problem> {
    let body = Bytes::from(text).split_off(answer.body_at());
    let media = (!body.is_empty()).then(|| media_type(&body));
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(media) = media {
        headers.insert(CONTENT_TYPE, media);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match answer.apply(headers) {
        Ok(()) => Ok(Some(response)),
        Err(error) => filter.fail(&Failure::Malformed(error), phase).map(|()| None),
    }
}

/// Reads an answer's body whole.
async fn collect(shared: &Shared, limits: &HttpLimits, body: Body) -> Result<Bytes, Problem> {
    let body = match body.into_whole() {
        Ok(bytes) => return Ok(bytes),
        Err(body) => body,
    };
    let collecting =
        Box::pin(timeout(ms(limits.body_timeout_ms), collect_pieces(shared, limits, body)));
    collecting.await.unwrap_or_else(|_| {
        let cause = format!("it took longer than {} ms", limits.body_timeout_ms);
        Err(unread(StatusCode::GATEWAY_TIMEOUT, cause))
    })
}

async fn collect_pieces(
    shared: &Shared,
    limits: &HttpLimits,
    body: Body,
) -> Result<Bytes, Problem> {
    let mut body = pin!(body);
    let mut stored = Buffer::new(&shared.bodies);
    let broken = |cause: String| unread(StatusCode::BAD_GATEWAY, cause);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| broken(error.to_string()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        let piece = data.copy_to_bytes(data.remaining());
        if stored.len() as u64 + piece.len() as u64 > limits.body_bytes_max {
            let max = limits.body_bytes_max;
            return Err(broken(format!("it is longer than limits.body_bytes_max, {max} bytes")));
        }
        let pushed = stored.push(piece, 0, limits.bodies_bytes_max);
        pushed.map_err(|_| {
            unread(StatusCode::SERVICE_UNAVAILABLE, "there is no room for it".to_owned()).retry()
        })?;
    }
    Ok(stored.freeze())
}

fn unread(status: StatusCode, cause: String) -> Problem {
    Problem::new(status, "the answer could not be read whole for a filter")
        .cause(cause)
        .hint("a filter without `response_body` lets answers pass as they come")
}
