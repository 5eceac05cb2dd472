// SPDX-License-Identifier: BSD-3-Clause
//! Routes, filters and plugins of a configuration behind another HTTP server than the gateway's own.
//!
//! The gateway is started with [`Builder::embedded`](crate::Builder::embedded) and has no listeners then. The other server
//! asks it for each request:
//!
//! ```text
//!   Gateway::find ──▶ Exchange ──▶ request_phase ──▶ is_upstream: its own proxying ──▶ ResponsePhase
//!   (or an answer)                 (or an answer)    otherwise: answer
//! ```
//!
//! What is asked of filters, and what becomes of their answers, is the same code as in the gateway's own server.
//!
//! # Invariants
//!
//! 1. An [`Exchange`] keeps the routes that it was found by. What was loaded for them is unloaded after the last one is
//!    dropped, or after `limits.drain_ms`.
//! 2. No header in the gateway's name, and none of one hop that a client's `connection` names, passes the first filter.

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use becket_host::EntryKind;
use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Body as _;

use crate::config::{Complaint, Config, tls_upstream, trace_root};
use crate::filter::Contexts;
pub use crate::filter::{Edit, FilteredRequest, FilteredResponse, Head, TooManyHeaders};
use crate::gateway::Gateway;
pub use crate::problem::Problem;
use crate::router::{Route, Routed};
use crate::serve::{self, Arrived, Asks, Body, Public, RequestBody, Server, Upstream};
pub use crate::serve::{HeldBody, Pieces};
use crate::shared::{KeptTable, Shared};
use crate::stats::{EntryStats, InFlight};
use crate::trace;

/// Whether a configuration asks for nothing that only the gateway's own server does.
pub(crate) fn check(config: &Config) -> Result<(), Complaint> {
    if config.trace.is_some() {
        let what = "[trace] is set, and no request has a span here".to_owned();
        let hint = "remove the table; the server that takes the requests may have spans of its own";
        return Err(Complaint::new(trace_root(), what, hint).because(
            "another HTTP server takes the requests, and spans are of the gateway's own",
        ));
    }
    match tls_upstream(config) {
        None => Ok(()),
        Some((path, url)) => {
            let what = format!("`{path}` is `{url}`, and no TLS is spoken to it here");
            let hint = "write http://, or let a tunnel or a sidecar speak TLS";
            Err(Complaint::new(path, what, hint)
                .because("another HTTP server connects to it, and TLS is of the gateway's own"))
        }
    }
}

impl Gateway {
    /// The route of a request, for another server. Waits while a plugin of the route is being replaced, for at most
    /// 30 s.
    ///
    /// # Errors
    /// The answer to a request that no route takes.
    pub async fn find(&self, head: Head<'_>) -> Result<Exchange, Box<Response<Bytes>>> {
        let shared = self.shared();
        let json = Asks::of(head.headers).json;
        let mut kept = shared.kept();
        loop {
            let found = serve::find(shared, &kept, head.method, head.uri.path());
            let shown = |problem: Problem| Box::new(problem.into_response(json, kept.error_hints));
            let route = found.map_err(shown)?.map(|routed| match routed {
                Routed::Known(route) => Arc::clone(route),
                Routed::Opaque(route) => Arc::from(route),
            });
            if let Some(route) = route {
                let in_flight = InFlight::new(Arc::clone(&route.stats));
                let bodies = Bodies { shared: Arc::clone(shared), kept };
                return Ok(Exchange {
                    bodies,
                    route,
                    server: None,
                    failed: Vec::new(),
                    in_flight,
                    contexts: Contexts::default(),
                    json,
                });
            }
            serve::replaced(shared, &kept).await.map_err(shown)?;
            kept = shared.kept();
        }
    }
}

/// A request of another server, from its route to its answer.
#[derive(Debug)]
pub struct Exchange {
    bodies: Bodies,
    route: Arc<Route>,
    /// The upstream server that the request is for, until its outcome is known.
    server: Option<Arc<Server>>,
    /// Those that have failed.
    failed: Vec<Arc<Server>>,
    in_flight: InFlight<Arc<EntryStats>>,
    contexts: Contexts,
    /// Failures are described in JSON.
    json: bool,
}

/// Reads bodies within the limits of the configuration.
#[derive(Debug, Clone)]
pub struct Bodies {
    shared: Arc<Shared>,
    kept: Arc<KeptTable>,
}

impl Bodies {
    /// Reads a request's body whole.
    ///
    /// # Errors
    /// It is too long, too slow, broken, or there is no room for it.
    pub async fn read<P: Pieces>(&self, pieces: P) -> Result<Bytes, Problem> {
        serve::read_pieces(&self.shared, &self.kept.limits, pieces).await
    }
}

impl Exchange {
    /// Calls the route's filters. `Some`: the request is answered, and its target gets nothing of it. That answer has
    /// a response phase, too.
    pub async fn request_phase<R: FilteredRequest>(
        &mut self,
        request: &mut R,
        client: Option<IpAddr>,
    ) -> Option<Response<Bytes>> {
        let passed = self.try_request_phase(request, client).await;
        passed.unwrap_or_else(|problem| Some(self.shown(problem)))
    }

    async fn try_request_phase<R: FilteredRequest>(
        &mut self,
        request: &mut R,
        client: Option<IpAddr>,
    ) -> Result<Option<Response<Bytes>>, Problem> {
        let filters = &self.route.filters;
        if !filters.is_empty() {
            clean(request)?;
        }
        if self.bodies.kept.makes_traces {
            let edits = made_trace(request.head().headers);
            edit_all(request, edits)?;
        }
        let early = crate::filter::request_phase(filters, client, request, &mut self.contexts);
        let early = early.await?;
        if early.is_none() && self.is_upstream() {
            serve::check_path(request.head().uri.path())?;
        }
        Ok(early)
    }

    /// The filters that gave a context, which are to be called with the answer. `None`: no filter did.
    pub fn take_response_phase(&mut self) -> Option<ResponsePhase> {
        let contexts = std::mem::take(&mut self.contexts);
        let Self { bodies, route, json, .. } = self;
        (!contexts.is_empty()).then(|| ResponsePhase {
            bodies: bodies.clone(),
            route: Arc::clone(route),
            contexts,
            json: *json,
        })
    }

    /// Whether the route leads to upstream servers: that is the server's own part.
    #[must_use]
    pub fn is_upstream(&self) -> bool {
        self.route.target.upstream().is_some()
    }

    /// The address of the request's upstream server: `HOST:PORT`, or `HOST`. It is the one whose turn it is, and stays that until
    /// its outcome is reported; after [`Self::server_failed`] it is the next one. `None`: the route has no other server.
    #[must_use]
    pub fn server(&mut self) -> Option<&str> {
        let upstream = self.route.target.upstream()?;
        if self.server.is_none() {
            let has_failed =
                |server: &Arc<Server>| self.failed.iter().any(|it| Arc::ptr_eq(it, server));
            self.server = upstream.in_turn().find(|server| !has_failed(server)).cloned();
        }
        self.server.as_ref().map(|server| server.at.as_str())
    }

    /// Whether the route has a server that has not failed for this request.
    #[must_use]
    pub fn has_more_servers(&self) -> bool {
        let count = self.route.target.upstream().map_or(0, Upstream::count);
        self.failed.len() < count
    }

    /// The server has answered. As in the gateway's own server, 502, 503 and 504 count as failures of it, which eject it after
    /// `eject_after` of them.
    pub fn server_answered(&mut self, status: StatusCode) {
        if let Some(server) = self.server.take() {
            server.answered(status);
        }
    }

    /// The server could not be connected to, or has not answered.
    pub fn server_failed(&mut self, cause: &dyn fmt::Display) {
        if let (Some(server), Some(upstream)) = (self.server.take(), self.route.target.upstream()) {
            upstream.failed(&server, cause, None);
            self.failed.push(server);
        }
    }

    /// How long the upstream server has for what a proxy awaits of it.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        let upstream = self.route.target.upstream();
        upstream.map(|upstream| upstream.timeouts(self.route.timeout)).unwrap_or_default()
    }

    /// Asks the route's entry, or reads its files, and calls the filters that gave a context. Of an entry that is
    /// bidirectional, and of a WebSocket, the answer is a failure: another server has no connection to give away.
    pub async fn answer(
        &mut self,
        head: Box<Parts>,
        body: Bytes,
        client: Option<IpAddr>,
    ) -> Response<AnswerBody> {
        let (method, uri, asks) = (head.method.clone(), head.uri.clone(), Asks::of(&head.headers));
        let Self { bodies: Bodies { shared, kept }, route, json, .. } = self;
        let response = if asks.websocket || route.kind == Some(EntryKind::Bidirectional) {
            let what = "the route leads to a plugin, and no WebSocket is passed on to it here";
            Err(Problem::new(StatusCode::NOT_IMPLEMENTED, what).hint("send a plain HTTP request"))
        } else {
            let public = Public::embedded(Arc::clone(shared), client);
            let arrived = Arrived { head, body: RequestBody::Whole(body) };
            public.shape(kept, route, arrived, asks).await
        };
        let response = response
            .unwrap_or_else(|problem| problem.into_response::<Body>(*json, kept.error_hints));
        let contexts = std::mem::take(&mut self.contexts);
        let filters = &route.filters;
        serve::back(shared, kept, filters, contexts, (&method, &uri), response, *json)
            .await
            .map(AnswerBody)
    }

    /// Reads bodies within the limits.
    #[must_use]
    pub fn bodies(&self) -> Bodies {
        self.bodies.clone()
    }

    /// The answer that shows a failure.
    #[must_use]
    pub fn shown(&self, problem: Problem) -> Response<Bytes> {
        problem.into_response(self.json, self.bodies.kept.error_hints)
    }

    /// Counts the answer that the client got, and the bytes of its body. Without it the request counts as one whose client
    /// left.
    pub fn answered(&mut self, status: StatusCode, body_bytes: usize) {
        self.in_flight.answer(status);
        self.in_flight.add_bytes_out(body_bytes);
    }
}

/// What is left to do for the filters of a request: see [`Exchange::take_response_phase`].
#[derive(Debug)]
pub struct ResponsePhase {
    bodies: Bodies,
    route: Arc<Route>,
    contexts: Contexts,
    json: bool,
}

impl ResponsePhase {
    /// Whether a filter gets the answer's body, so that it has to be there as a whole.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.contexts.wants_body(&self.route.filters)
    }

    /// What that body is put together in.
    #[must_use]
    pub fn hold(&self) -> HeldBody {
        HeldBody::new(&self.bodies.shared, &self.bodies.kept.limits)
    }

    /// Calls the filters, the last one of the route first. `method` and `uri` are those that the target got.
    pub async fn run<R: FilteredResponse>(self, method: &Method, uri: &Uri, response: &mut R) {
        let Self { bodies, route, contexts, json } = self;
        let shown = |problem: Problem| problem.into_response(json, bodies.kept.error_hints);
        let filters = &route.filters;
        crate::filter::response_phase(filters, contexts, (method, uri), response, shown).await;
    }

    /// The answer that shows a failure.
    #[must_use]
    pub fn shown(&self, problem: Problem) -> Response<Bytes> {
        problem.into_response(self.json, self.bodies.kept.error_hints)
    }
}

/// How long an upstream server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Option<Duration>,
    /// To the head of its answer.
    pub answer: Option<Duration>,
    /// Between two pieces of the answer's body.
    pub idle: Option<Duration>,
}

/// The body of an answer, piece by piece.
pub struct AnswerBody(Body);

impl AnswerBody {
    /// Its length, if that is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        self.0.size_hint().exact()
    }

    /// Whether it is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next piece. `None`: it was the last one.
    ///
    /// # Errors
    /// The body ends early.
    pub async fn next(&mut self) -> Option<Result<Bytes, Truncated>> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut self.0).poll_frame(cx)).await?;
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(mut data)) => return Some(Ok(data.copy_to_bytes(data.remaining()))),
                // No target of a plugin has trailers.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(Truncated(error.to_string()))),
            }
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// An answer's body ended before it was whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Truncated(String);

/// Removes what no filter sees of a client: headers in the gateway's name, and those of one hop that `connection` names. A
/// proxy removes the latter later on, and with them what a filter has set under that name.
fn clean<R: FilteredRequest>(request: &mut R) -> Result<(), Problem> {
    let edits = foreign(request.head().headers);
    edit_all(request, edits)
}

fn edit_all<R: FilteredRequest>(request: &mut R, edits: Vec<Edit>) -> Result<(), Problem> {
    edits.into_iter().try_for_each(|edit| request.edit(edit)).map_err(|error| {
        Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error.to_string())
    })
}

/// What gives a `traceparent` to a request without a valid one.
fn made_trace(headers: &HeaderMap) -> Vec<Edit> {
    if trace::find(headers).is_some() {
        return Vec::new();
    }
    let mut made = HeaderMap::new();
    trace::find_or_make(&mut made);
    let edits = made.iter().map(|(name, value)| Edit::Set(name.clone(), value.clone()));
    edits.chain([Edit::Remove(trace::TRACESTATE)]).collect()
}

/// Mostly there is nothing, and then nothing is allocated.
fn foreign(headers: &HeaderMap) -> Vec<Edit> {
    /// What `connection` says of the connection itself.
    const OWN: [&str; 4] = ["close", "keep-alive", "upgrade", "http2-settings"];
    /// Headers by which the server finds the end of the body, and the host.
    const NEEDED: [HeaderName; 3] = [CONTENT_LENGTH, HOST, TRANSFER_ENCODING];
    let reserved = crate::filter::reserved(headers).cloned();
    let mut edits: Vec<_> = reserved.map(Edit::Remove).collect();
    let (mut kept, mut is_changed) = (Vec::new(), false);
    for value in headers.get_all(CONNECTION) {
        for token in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            if OWN.iter().any(|own| token.eq_ignore_ascii_case(own)) {
                kept.push(token);
                continue;
            }
            is_changed = true;
            let name = HeaderName::from_bytes(token.as_bytes());
            edits.extend(name.ok().filter(|name| !NEEDED.contains(name)).map(Edit::Remove));
        }
    }
    if is_changed {
        edits.push(match HeaderValue::from_str(&kept.join(", ")) {
            Ok(value) if !kept.is_empty() => Edit::Set(CONNECTION, value),
            _ => Edit::Remove(CONNECTION),
        });
    }
    edits
}
