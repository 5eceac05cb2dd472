// SPDX-License-Identifier: BSD-3-Clause
//! A request of a route with filters: their phases around the route's target. The chain itself is in `filter`.
//!
//! # Invariants
//!
//! 1. An answer 101 is given to the client as it is: what follows it is no HTTP.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;

use bytes::{Buf, Bytes};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use hyper::body::Body as _;
use tokio::time::{Instant, timeout};

use super::Public;
use super::asks::Asks;
use super::body::{Body, RequestBody};
use super::buffer::Buffer;
use super::request::Arrived;
use super::upstream;
use crate::config::HttpLimits;
use crate::filter::{
    Contexts, Edit, Filter, FilteredRequest, FilteredResponse, Head, TooManyHeaders,
    remove_reserved, request_phase, response_phase,
};
use crate::otlp::Context;
use crate::problem::Problem;
use crate::router::{Route, Table, Target};
use crate::shared::Shared;
use crate::status::ms;

/// The request's head and body, between two filters.
struct Passing<'a> {
    head: Box<Parts>,
    body: RequestBody,
    shared: &'a Shared,
    limits: &'a HttpLimits,
}

impl FilteredRequest for Passing<'_> {
    fn head(&self) -> Head<'_> {
        let Parts { method, uri, headers, .. } = &*self.head;
        Head { method, uri, headers }
    }

    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders> {
        edit.apply(&mut self.head.headers)
    }

    fn set_path(&mut self, path: PathAndQuery) {
        let mut parts = mem::take(&mut self.head.uri).into_parts();
        parts.path_and_query = Some(path);
        // A URL that has a path has all else that one with a path needs.
        self.head.uri = Uri::from_parts(parts).unwrap_or_default();
    }

    fn body(&mut self) -> impl Future<Output = Result<Bytes, Problem>> + Send {
        self.body.whole(self.shared, self.limits)
    }
}

/// An answer, between two filters.
struct Answering<'a> {
    response: Response<Body>,
    shared: &'a Shared,
    limits: &'a HttpLimits,
}

impl FilteredResponse for Answering<'_> {
    fn status(&self) -> StatusCode {
        self.response.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    fn edit(&mut self, edit: Edit) -> Result<(), TooManyHeaders> {
        edit.apply(self.response.headers_mut())
    }

    async fn body(&mut self) -> Result<Bytes, Problem> {
        let body = mem::take(self.response.body_mut());
        let bytes = collect(self.shared, self.limits, body).await?;
        *self.response.body_mut() = Body::full(bytes.clone());
        Ok(bytes)
    }

    fn replace(&mut self, other: Response<Bytes>) {
        self.response = other.map(Body::from);
    }
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
    let trace = Context::of(&head.extensions).cloned();
    let mut passing = Passing { head, body, shared: &public.shared, limits: &table.limits };
    let mut contexts = Contexts::of_trace(trace);
    let early = request_phase(&route.filters, public.address, &mut passing, &mut contexts).await;
    let Passing { head, body, .. } = passing;
    let (method, uri) = (head.method.clone(), head.uri.clone());
    let response = match early {
        Ok(Some(response)) => response.map(Body::from),
        Ok(None) => {
            // A filter may have changed what the client asks for.
            let now = Asks::of(&head.headers);
            let shape = public.shape(table, route, Arrived { head, body }, now);
            shape.await.unwrap_or_else(shown)
        }
        Err(problem) => shown(problem),
    };
    back(&public.shared, table, &route.filters, contexts, (&method, &uri), response, asks.json)
        .await
}

/// The response phase of the filters of `contexts`.
pub(crate) async fn back(
    shared: &Shared,
    table: &Table,
    filters: &[Filter],
    contexts: Contexts,
    seen: (&Method, &Uri),
    response: Response<Body>,
    json: bool,
) -> Response<Body> {
    if contexts.is_empty() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let mut answering = Answering { response, shared, limits: &table.limits };
    let shown = |problem: Problem| problem.into_response(json, table.error_hints);
    response_phase(filters, contexts, seen, &mut answering, shown).await;
    answering.response
}

/// Reads an answer's body whole.
async fn collect(shared: &Shared, limits: &HttpLimits, body: Body) -> Result<Bytes, Problem> {
    let body = match body.into_whole() {
        Ok(bytes) => return Ok(bytes),
        Err(body) => body,
    };
    let collecting =
        Box::pin(timeout(ms(limits.body_timeout_ms), collect_pieces(shared, limits, body)));
    collecting.await.unwrap_or_else(|_| Err(too_slow(limits.body_timeout_ms)))
}

async fn collect_pieces(
    shared: &Shared,
    limits: &HttpLimits,
    body: Body,
) -> Result<Bytes, Problem> {
    let mut body = pin!(body);
    let mut held = HeldBody::new(shared, limits);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| unread(StatusCode::BAD_GATEWAY, error.to_string()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        held.push(data.copy_to_bytes(data.remaining()))?;
    }
    Ok(held.finish())
}

/// An answer's body, put together for a filter.
#[derive(Debug)]
pub struct HeldBody {
    stored: Buffer,
    body_bytes_max: u64,
    bodies_bytes_max: u64,
    timeout_ms: u64,
    since: Instant,
}

impl HeldBody {
    pub(crate) fn new(shared: &Shared, limits: &HttpLimits) -> Self {
        Self {
            stored: Buffer::new(&shared.bodies),
            body_bytes_max: limits.body_bytes_max,
            bodies_bytes_max: limits.bodies_bytes_max,
            timeout_ms: limits.body_timeout_ms,
            since: Instant::now(),
        }
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// It is too long, took too long, or there is no room for it.
    pub fn push(&mut self, piece: Bytes) -> Result<(), Problem> {
        if self.stored.len() as u64 + piece.len() as u64 > self.body_bytes_max {
            let max = self.body_bytes_max;
            let cause = format!("it is longer than limits.body_bytes_max, {max} bytes");
            return Err(unread(StatusCode::BAD_GATEWAY, cause));
        }
        if self.since.elapsed() > ms(self.timeout_ms) {
            return Err(too_slow(self.timeout_ms));
        }
        self.stored.push(piece, 0, self.bodies_bytes_max).map_err(|_| {
            unread(StatusCode::SERVICE_UNAVAILABLE, "there is no room for it".to_owned()).retry()
        })
    }

    /// The whole of it.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.stored.freeze()
    }
}

fn too_slow(timeout_ms: u64) -> Problem {
    unread(StatusCode::GATEWAY_TIMEOUT, format!("it took longer than {timeout_ms} ms"))
}

fn unread(status: StatusCode, cause: String) -> Problem {
    Problem::new(status, "the answer could not be read whole for a filter")
        .cause(cause)
        .hint("a filter without `response_body` lets answers pass as they come")
}
