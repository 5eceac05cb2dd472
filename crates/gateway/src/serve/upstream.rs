// SPDX-License-Identifier: BSD-3-Clause
//! A request that is passed on to another server, and its answer.
//!
//! ```text
//!   client ──▶ Relay ──▶ hyper's client, with its pool ──▶ server      a piece is read when the server takes one
//!   client ◀── Relayed ◀───────────────────────────────── server      a piece is read when the client takes one
//! ```
//!
//! # Invariants
//!
//! 1. No header of one hop passes, in either direction, nor what a client writes in the gateway's name
//!    (`forwarded`, `x-forwarded-*`).
//! 2. At most one piece of a body is held, beside the buffers of the two connections.
//! 3. A request is sent to a second server only if no connection to the first was opened: no server gets a request
//!    that another one may have begun to answer.
//! 4. A path with a segment `.` or `..`, also one that is percent-encoded, is refused: the server would see another
//!    path than the routes and filters.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use becket_host::Body as HostBody;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Public;
use super::body::{Body, Data, RequestBody, too_large, too_slow};
use super::guard::Busy;
use super::request::Arrived;
use super::stream::Truncated;
use crate::TARGET;
use crate::config::{HttpLimits, UpstreamConfig};
use crate::problem::Problem;
use crate::repeats::Repeats;
use crate::router::{Route, Table};
use crate::stats::{EntryStats, InFlight, Refusal};
use crate::status::ms;

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
    client: Client<HttpConnector, Relay>,
    servers: Vec<Authority>,
    /// The number of the next one.
    next: AtomicUsize,
    idle_timeout: Duration,
    failures: Repeats,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Upstream {
    pub(crate) fn new(config: &UpstreamConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ms(config.connect_timeout_ms)));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_KEPT)
            .pool_max_idle_per_host(config.idle_connections_max as usize)
            .build(connector);
        let uris = config.urls.iter().filter_map(|url| url.parse::<Uri>().ok());
        let servers = uris.filter_map(|uri| uri.into_parts().authority).collect();
        Self {
            client,
            servers,
            next: AtomicUsize::new(0),
            idle_timeout: ms(config.idle_timeout_ms),
            failures: Repeats::default(),
        }
    }

    /// The servers, the one whose turn it is first.
    fn in_turn(&self) -> impl Iterator<Item = &Authority> {
        let first = self.next.fetch_add(1, Relaxed) % self.servers.len().max(1);
        let (after, before) = self.servers.split_at_checked(first).unwrap_or_default();
        before.iter().chain(after)
    }

    #[cold]
    fn failed(&self, server: &Authority, error: &dyn fmt::Display) {
        if let Some(left_out) = self.failures.pass() {
            tracing::warn!(target: TARGET,
                server = server.as_str(),
                %error,
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
) -> Result<Response<Body>, Problem> {
    let limits = &table.limits;
    let Arrived { mut head, body } = request;
    if has_dots(head.uri.path()) {
        let what = "the path has a segment `.` or `..`";
        return Err(Problem::new(StatusCode::BAD_REQUEST, what)
            .cause("the server would see another path than the routes")
            .hint("send the path without it"));
    }
    change_request(public, &mut head);
    if body.announced() > limits.body_bytes_max {
        return Err(too_large(&public.shared, limits));
    }
    let sending = Arc::new(Sending::new(body, limits, &route.stats));
    let mut failed = None;
    for server in upstream.in_turn() {
        let request = to_server(&head, server, Relay(Arc::clone(&sending)))?;
        let timeout = route.timeout.unwrap_or(ANSWER_TIMEOUT);
        let sent = within(&sending, timeout, upstream.client.request(request)).await;
        match sent {
            Some(Ok(response)) => return to_client(upstream, server, response),
            Some(Err(error)) => {
                if let Some(problem) = sending.problem(public, limits) {
                    return Err(problem);
                }
                upstream.failed(server, &root(&error));
                let goes_on = error.is_connect();
                failed = Some(of_error(&error));
                if !goes_on {
                    break;
                }
            }
            None => {
                if let Some(problem) = sending.problem(public, limits) {
                    return Err(problem);
                }
                let cause = format!("no answer came within {} ms", timeout.as_millis());
                upstream.failed(server, &cause);
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
    unanswered(status).cause(root.to_string()).hint("see whether it runs, and its log")
}

/// The innermost cause.
fn root(error: &Error) -> &(dyn std::error::Error + 'static) {
    let mut root: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
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

/// Makes the client's head one of the gateway.
fn change_request(public: &Public, head: &mut Parts) {
    let headers = &mut head.headers;
    remove_hop(headers);
    // hyper frames the body by what it is.
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    headers.remove(FORWARDED);
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(X_FORWARDED)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
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

fn to_server(head: &Parts, server: &Authority, body: Relay) -> Result<Request<Relay>, Problem> {
    let mut request = Request::new(body);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(server.clone());
    parts.path_and_query = head.uri.path_and_query().cloned();
    let uri = Uri::from_parts(parts);
    *request.uri_mut() = uri.map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "the request has no path that can be passed on")
    })?;
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    *request.version_mut() = Version::HTTP_11;
    Ok(request)
}

fn to_client(
    upstream: &Upstream,
    server: &Authority,
    response: Response<Incoming>,
) -> Result<Response<Body>, Problem> {
    let (mut head, body) = response.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        upstream.failed(server, &"it answered 101, for which it was not asked");
        return Err(unanswered(StatusCode::BAD_GATEWAY)
            .cause("it changes to another protocol, for which it was not asked"));
    }
    remove_hop(&mut head.headers);
    let relayed = Relayed {
        body,
        idle_timeout: upstream.idle_timeout,
        idle: None,
        is_cut: false,
        in_flight: None,
        busy: None,
    };
    // The client's protocol decides.
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Ok(Response::from_parts(head, Body::Relayed(Box::new(relayed))))
}

/// Why the client's side of a request ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    TooLarge,
    /// Between two pieces.
    Paused,
    /// As a whole.
    Slow,
    Malformed,
}

/// The body of a request on its way to a server.
#[derive(Debug)]
struct Sending(Mutex<SendingState>);

#[derive(Debug)]
struct SendingState {
    body: RequestBody,
    sent: u64,
    bytes_max: u64,
    idle_timeout: Duration,
    /// When the whole has to be there.
    ends: Instant,
    /// When the last piece was taken.
    moved: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
    fate: Option<Fate>,
    stats: Arc<EntryStats>,
}

impl Sending {
    fn new(body: RequestBody, limits: &HttpLimits, stats: &Arc<EntryStats>) -> Self {
        let now = Instant::now();
        Self(Mutex::new(SendingState {
            body,
            sent: 0,
            bytes_max: limits.body_bytes_max,
            idle_timeout: ms(limits.body_idle_timeout_ms),
            ends: now + ms(limits.body_timeout_ms),
            moved: now,
            waiting: None,
            fate: None,
            stats: Arc::clone(stats),
        }))
    }

    fn moved(&self) -> Instant {
        self.0.lock().moved
    }

    /// What was wrong with the client's side, if that ended the request.
    fn problem(&self, public: &Public, limits: &HttpLimits) -> Option<Problem> {
        let shared = &public.shared;
        Some(match self.0.lock().fate? {
            Fate::TooLarge => too_large(shared, limits),
            Fate::Paused => {
                let what = format!("the body paused for {} ms", limits.body_idle_timeout_ms);
                too_slow(shared, what, "limits.body_idle_timeout_ms")
            }
            Fate::Slow => {
                let what = format!("the body took longer than {} ms", limits.body_timeout_ms);
                too_slow(shared, what, "limits.body_timeout_ms")
            }
            Fate::Malformed => {
                shared.stats.refuse(Refusal::Malformed);
                Problem::new(StatusCode::BAD_REQUEST, "the body could not be read").close()
            }
        })
    }
}

impl SendingState {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fate>> {
        let body = match &mut self.body {
            RequestBody::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                return Poll::Ready(Ok(Some(bytes).filter(|bytes| !bytes.is_empty())));
            }
            RequestBody::Arriving(body) => body,
        };
        loop {
            let Poll::Ready(next) = Pin::new(&mut *body).poll_frame(cx) else {
                let (idle, ends) = (Instant::now() + self.idle_timeout, self.ends);
                let sleep = || Box::pin(sleep_until(idle.min(ends)));
                ready!(self.waiting.get_or_insert_with(sleep).as_mut().poll(cx));
                let is_over = Instant::now() >= ends;
                return Poll::Ready(Err(if is_over { Fate::Slow } else { Fate::Paused }));
            };
            self.waiting = None;
            match next {
                // Trailers are not part of the payload.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Ok(Some(data))),
                    Err(_trailers) => {}
                },
                Some(Err(_)) => return Poll::Ready(Err(Fate::Malformed)),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn poll_checked(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fate>> {
        let piece = ready!(self.poll_piece(cx))?;
        self.moved = Instant::now();
        if let Some(piece) = &piece {
            self.sent += piece.len() as u64;
            if self.sent > self.bytes_max {
                return Poll::Ready(Err(Fate::TooLarge));
            }
            self.stats.add_bytes_in(piece.len());
        }
        Poll::Ready(Ok(piece))
    }
}

/// One attempt to send it. Another one follows only if this was not polled.
struct Relay(Arc<Sending>);

/// The client's side ended early.
#[derive(Debug, thiserror::Error)]
#[error("the request ended early")]
struct Ended;

impl hyper::body::Body for Relay {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        let mut sending = self.0.0.lock();
        Poll::Ready(match ready!(sending.poll_checked(cx)) {
            Ok(piece) => piece.map(|piece| Ok(Frame::data(piece))),
            Err(fate) => {
                sending.fate = Some(fate);
                Some(Err(Ended))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.0.0.lock().body {
            RequestBody::Arriving(body) => body.is_end_stream(),
            RequestBody::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.0.lock().body {
            RequestBody::Arriving(body) => body.size_hint(),
            RequestBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// A server's answer on its way to the client.
#[derive(Debug)]
pub(crate) struct Relayed {
    body: Incoming,
    idle_timeout: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    /// It broke off; the error follows once what came before is sent.
    is_cut: bool,
    in_flight: Option<InFlight<Arc<EntryStats>>>,
    busy: Option<Busy>,
}

impl Relayed {
    pub(super) fn count(&mut self, in_flight: InFlight<Arc<EntryStats>>) {
        self.in_flight = Some(in_flight);
    }

    pub(super) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub(super) fn is_end_stream(&self) -> bool {
        !self.is_cut && self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Data, Truncated>>> {
        if self.is_cut {
            return Poll::Ready(Some(Err(Truncated)));
        }
        loop {
            let next = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(next) => next.transpose().map_err(|error| error.to_string()),
                Poll::Pending => {
                    let timeout = self.idle_timeout;
                    let sleep = || Box::pin(sleep_until(Instant::now() + timeout));
                    ready!(self.idle.get_or_insert_with(sleep).as_mut().poll(cx));
                    Err(format!("nothing came for {} ms", timeout.as_millis()))
                }
            };
            self.idle = None;
            match next {
                Ok(None) => return Poll::Ready(None),
                Ok(Some(frame)) => {
                    // Trailers do not pass.
                    let Ok(data) = frame.into_data() else { continue };
                    // An empty chunk ends a chunked body.
                    if data.is_empty() {
                        continue;
                    }
                    if let Some(in_flight) = &self.in_flight {
                        in_flight.add_bytes_out(data.len());
                    }
                    if let Some(busy) = &self.busy {
                        busy.hands_over();
                    }
                    return Poll::Ready(Some(Ok(Data::new(HostBody::from(data)))));
                }
                Err(error) => {
                    tracing::debug!(target: TARGET, error, "an upstream server's answer was cut off");
                    // As in `stream`: what is buffered is flushed before the connection is cut.
                    self.is_cut = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
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

    #[test]
    fn servers_take_turns() {
        let urls = ["http://a", "http://b", "http://c"].map(str::to_owned).to_vec();
        let upstream = Upstream::new(&UpstreamConfig { urls, ..UpstreamConfig::default() });
        let turn = || upstream.in_turn().map(Authority::as_str).collect::<Vec<_>>().concat();
        assert_eq!([turn(), turn(), turn(), turn()], ["abc", "bca", "cab", "abc"]);
    }
}
