// SPDX-License-Identifier: BSD-3-Clause
//! A request that is passed on to another server, and its answer.
//!
//! ```text
//!   client ──▶ Relay ──▶ hyper's client, with its pool ──▶ server      a piece is read when the server takes one
//!   client ◀── Relayed ◀───────────────────────────────── server      a piece is read when the client takes one
//! ```
//!
//! The bodies are in `relay`, WebSockets in `tunnel`, the servers and their health in `servers`.
//!
//! # Invariants
//!
//! 1. No header of one hop passes, in either direction, nor what a client writes in the gateway's name
//!    (`forwarded`, `x-forwarded-*`). A handshake of a WebSocket is made anew for the other hop.
//! 2. A request is sent to a second server only if no connection to the first was opened: no server gets a request
//!    that another one may have begun to answer.
//! 3. A path with a segment `.` or `..`, also one that is percent-encoded, is refused: the server would see another
//!    path than the routes and filters.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::Public;
use super::asks::Asks;
use super::body::{Body, too_large};
use super::connector::Connector;
use super::relay::{Relay, Relayed, Sending};
use super::request::Arrived;
use super::servers::{Server, Servers};
use super::tunnel::{Asked, upgrades};
use super::ws::has_token;
use crate::TARGET;
use crate::config::UpstreamConfig;
use crate::embed::Timeouts;
use crate::otlp::Child;
use crate::problem::Problem;
use crate::repeats::Repeats;
use crate::router::{Route, Table};
use crate::stats::Stats;
use crate::status::ms;
use crate::tls::{ClientTls, hint_of};

/// The time to the head of an answer, where the route has no `timeout_ms`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an idle connection is kept. Servers mostly keep theirs for longer, so it is this side that closes.
const IDLE_KEPT: Duration = Duration::from_secs(30);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Begins the headers that say whence a request comes.
const X_FORWARDED: &str = "x-forwarded-";

/// Headers of one hop, beside those that `connection` names.
const OF_ONE_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The servers of a route.
pub(crate) struct Upstream {
    client: Client<Connector, Relay>,
    connect_timeout: Duration,
    servers: Servers,
    idle_timeout: Duration,
    websocket_idle_timeout: Duration,
    failures: Repeats,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Upstream {
    pub(crate) fn new(
        config: &UpstreamConfig,
        tls: Option<ClientTls>,
        route: &str,
        stats: &Stats,
    ) -> Self {
        let connector = Connector::new(ms(config.connect_timeout_ms), tls);
        let servers = Servers::new(config, &connector, route, stats);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_KEPT)
            .pool_max_idle_per_host(config.idle_connections_max as usize)
            .build(connector);
        Self {
            client,
            connect_timeout: ms(config.connect_timeout_ms),
            servers,
            idle_timeout: ms(config.idle_timeout_ms),
            websocket_idle_timeout: ms(config.websocket_idle_timeout_ms),
            failures: Repeats::default(),
        }
    }

    /// The servers, those that take requests first, the one whose turn it is at their head.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.in_turn()
    }

    pub(crate) fn count(&self) -> usize {
        self.servers.count()
    }

    /// What a proxy awaits of a server. `of_route` is the route's `timeout_ms`.
    pub(crate) fn timeouts(&self, of_route: Option<Duration>) -> Timeouts {
        Timeouts {
            connect: Some(self.connect_timeout),
            answer: Some(of_route.unwrap_or(ANSWER_TIMEOUT)),
            idle: Some(self.idle_timeout),
        }
    }

    /// The server has not answered.
    #[cold]
    pub(crate) fn failed(&self, server: &Server, error: &dyn fmt::Display, hint: Option<&str>) {
        server.failed();
        if let Some(left_out) = self.failures.pass() {
            tracing::warn!(target: TARGET,
                server = server.at.as_str(),
                %error,
                hint,
                not_logged = left_out,
                "an upstream server failed"
            );
        }
    }
}

pub(super) async fn answer(
    public: &Public,
    table: &Table,
    route: &Route,
    upstream: &Upstream,
    request: Arrived,
    asks: Asks,
) -> Result<Response<Body>, Problem> {
    let limits = &table.limits;
    let Arrived { mut head, body } = request;
    check_path(head.uri.path())?;
    let websocket = match asks.websocket {
        true => Some(Asked::take(&public.shared, &mut head)?),
        false => None,
    };
    if route.filters.is_empty() {
        // Otherwise before the filters, which may set some of these.
        remove_foreign(&mut head.headers, asks.websocket);
    }
    change_request(public, &mut head);
    if body.announced() > limits.body_bytes_max {
        return Err(too_large(&public.shared, limits));
    }
    let sending = Arc::new(Sending::new(body, limits, &route.stats));
    let mut failed = None;
    for (attempt, server) in (0..).zip(upstream.servers.in_turn()) {
        let mut span = Child::attempt(&head, &server.at, attempt);
        if let Some(span) = &span {
            span.show(&mut head.headers);
        }
        let request = to_server(&head, server, Relay(Arc::clone(&sending)))?;
        let timeout = route.timeout.unwrap_or(ANSWER_TIMEOUT);
        let sent = within(&sending, timeout, upstream.client.request(request)).await;
        match sent {
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                return upgraded(public, upstream, server, response, websocket, span);
            }
            Some(Ok(response)) => return Ok(to_client(upstream, server, response, span)),
            Some(Err(error)) => {
                if let Some(span) = &mut span {
                    span.failed("connection", &root(&error));
                }
                if let Some(problem) = sending.problem(&public.shared, limits) {
                    return Err(problem);
                }
                upstream.failed(server, &root(&error), hint_of(root(&error)));
                let goes_on = error.is_connect();
                failed = Some(of_error(&error));
                if !goes_on {
                    break;
                }
            }
            None => {
                if let Some(span) = &mut span {
                    span.failed("timeout", &"no answer came in time");
                }
                if let Some(problem) = sending.problem(&public.shared, limits) {
                    return Err(problem);
                }
                let cause = format!("no answer came within {} ms", timeout.as_millis());
                upstream.failed(server, &cause, None);
                return Err(unanswered(StatusCode::GATEWAY_TIMEOUT)
                    .cause(cause)
                    .hint("raise `timeout_ms` of the route, or see why the server is slow"));
            }
        }
    }
    Err(failed.unwrap_or_else(|| unanswered(StatusCode::BAD_GATEWAY)))
}

/// Awaits the answer's head, for so long after the last piece of the request was taken.
async fn within<F: Future>(sending: &Sending, timeout: Duration, answer: F) -> Option<F::Output> {
    let mut answer = pin!(answer);
    let mut waiting = pin!(sleep_until(sending.moved() + timeout));
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return Some(answer),
            () = &mut waiting => {
                let until = sending.moved() + timeout;
                if until <= Instant::now() {
                    return None;
                }
                waiting.as_mut().reset(until);
            }
        }
    }
}

fn unanswered(status: StatusCode) -> Problem {
    Problem::new(status, "the upstream server did not answer")
}

fn of_error(error: &Error) -> Problem {
    let root = root(error);
    let is_late = {
        let io = root.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    let status = if is_late { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    // An io error's text has no address.
    let hint = hint_of(root).unwrap_or("see whether it runs, and its log");
    unanswered(status).cause(root.to_string()).hint(hint)
}

/// The innermost cause.
fn root(error: &Error) -> &(dyn std::error::Error + 'static) {
    let mut root: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

/// Refuses a path that the server could see as another one than routes and filters do.
pub(crate) fn check_path(path: &str) -> Result<(), Problem> {
    if !has_dots(path) {
        return Ok(());
    }
    let what = "the path has a segment `.` or `..`";
    Err(Problem::new(StatusCode::BAD_REQUEST, what)
        .cause("the server would see another path than the routes")
        .hint("send the path without it"))
}

/// Whether a path has a segment of dots, however that is written.
fn has_dots(path: &str) -> bool {
    if !path.contains('.') && !path.contains('%') {
        return false;
    }
    let mut plain = path.to_ascii_lowercase();
    for (code, character) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
        plain = plain.replace(code, character);
    }
    plain.split('/').any(|segment| segment == "." || segment == "..")
}

/// Removes the headers of one hop.
fn remove_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_ONE_HOP) {
        headers.remove(name);
    }
}

/// Removes what is not for the server: headers of one hop, except those of a handshake that is passed on, and those that
/// only a gateway writes.
pub(super) fn remove_foreign(headers: &mut HeaderMap, is_handshake: bool) {
    let is_upgrade = is_handshake && has_token(headers, CONNECTION, "upgrade");
    remove_hop(headers);
    if is_upgrade {
        upgrades(headers);
    }
    headers.remove(FORWARDED);
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(X_FORWARDED)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

/// Makes the client's head one of the gateway.
fn change_request(public: &Public, head: &mut Parts) {
    let headers = &mut head.headers;
    // hyper frames the body by what it is.
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    // HTTP/2 has the host in the URL.
    let authority = head.uri.authority().map(|authority| authority.as_str());
    let authority = authority.and_then(|host| HeaderValue::from_str(host).ok());
    let proto = HeaderValue::from_static(if public.is_tls { "https" } else { "http" });
    let client = public.address.and_then(|client| HeaderValue::from_str(&client.to_string()).ok());
    let host = headers.remove(HOST).or(authority);
    for (name, value) in
        [(X_FORWARDED_FOR, client), (X_FORWARDED_HOST, host), (X_FORWARDED_PROTO, Some(proto))]
    {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    // RFC 9113, section 8.2.3: HTTP/2 may have a cookie in several, of which HTTP/1.1 takes one.
    if headers.get_all(COOKIE).iter().count() > 1 {
        let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(cookie) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            headers.insert(COOKIE, cookie);
        }
    }
}

fn to_server(head: &Parts, server: &Server, body: Relay) -> Result<Request<Relay>, Problem> {
    let mut request = Request::new(body);
    let uri = server.uri(head.uri.path_and_query().cloned());
    *request.uri_mut() = uri.map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "the request has no path that can be passed on")
    })?;
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    *request.version_mut() = Version::HTTP_11;
    Ok(request)
}

/// The server speaks another protocol from now on.
fn upgraded(
    public: &Public,
    upstream: &Upstream,
    server: &Server,
    response: Response<Incoming>,
    websocket: Option<Asked>,
    mut span: Option<Child>,
) -> Result<Response<Body>, Problem> {
    let Some(websocket) = websocket.filter(|_| Asked::is_accepted_by(&response)) else {
        upstream.failed(server, &"it answered 101, for which it was not asked", None);
        return Err(unanswered(StatusCode::BAD_GATEWAY)
            .cause("it changes to another protocol, for which it was not asked"));
    };
    if let Some(span) = &mut span {
        span.responded(response.status());
    }
    server.answered(response.status());
    let mut answer = Response::new(Body::full(Bytes::new()));
    *answer.status_mut() = response.status();
    answer.headers_mut().clone_from(response.headers());
    remove_hop(answer.headers_mut());
    upgrades(answer.headers_mut());
    websocket.begin(&public.shared, response, upstream.websocket_idle_timeout, span);
    Ok(answer)
}

fn to_client(
    upstream: &Upstream,
    server: &Server,
    response: Response<Incoming>,
    mut span: Option<Child>,
) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(span) = &mut span {
        span.responded(head.status);
    }
    server.answered(head.status);
    remove_hop(&mut head.headers);
    let relayed = Relayed::new(body, upstream.idle_timeout, span);
    // The client's protocol decides.
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Response::from_parts(head, Body::Relayed(Box::new(relayed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_found_however_they_are_written() {
        for path in
            ["/..", "/a/../b", "/.", "/a/%2e%2E/b", "/a/..%2fb", "/a\\..\\b", "/a%5C%2e./b", "/a/."]
        {
            assert!(has_dots(path), "{path}");
        }
        for path in ["/", "/a.b", "/...", "/.well-known/x", "/a/..b", "/%20", "/a%2fb"] {
            assert!(!has_dots(path), "{path}");
        }
    }

    #[test]
    fn headers_of_one_hop_are_those_and_the_ones_named() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own"),
            ("connection", "x-other"),
            ("x-own", "1"),
            ("x-other", "1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-connection", "x"),
            ("x-stays", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_hop(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-stays"]);
    }
}
