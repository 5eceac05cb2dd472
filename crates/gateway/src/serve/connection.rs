// SPDX-License-Identifier: BSD-3-Clause
//! One connection: its protocol, its drain, its idle limit.
//!
//! The first four bytes tell HTTP/2 with prior knowledge (`PRI `) from HTTP/1, which has no such
//! method. They are read before the protocol is chosen, in as many pieces as they arrive, and are
//! what the protocol reads first (`guard`).
//!
//! # Invariants
//!
//! 1. A connection without a request in progress ends after `header_read_timeout_ms`, at most half
//!    as much later, whether it trickles headers or is silent. Two ticks without activity make
//!    that time, counted from the opening or the last activity; a request costs no timer. Pings of an
//!    HTTP/2 client, and their acknowledgements, are no activity.
//! 2. Draining lets the requests in progress finish and takes no other; a connection that has not
//!    sent a byte yet ends at once.
//! 3. When the listener was handed over, a connection of HTTP/1 ends with its next answer, which has `connection:
//!    close`, and not before: a request that is on its way is not lost. HTTP/2 says which requests it took (GOAWAY).

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::bare::Bare;
use super::body::Body;
use super::first::First;
use super::guard::{Activity, Busy, Guarded};
use super::peer::Peer;
use super::request::Arrived;
use super::socket::Socket;
use crate::TARGET;
use crate::clients::{Seat, TooMany};
use crate::config::HttpLimits;
use crate::connections::{Connections, Permit, Phase, Signal};
use crate::stats::{Refusal, Stats};
use crate::status::ms;

/// What a listener serves.
pub(crate) trait Serve: Clone + Send + Sync + 'static {
    /// What serves the connection of this client.
    fn of(&self, peer: Peer) -> Self;
    /// A place for one more connection of this client.
    fn seat(&self, _: &Peer) -> Result<Option<Seat>, TooMany> {
        Ok(None)
    }
    fn answer(&self, request: Arrived) -> impl Future<Output = Response<Body>> + Send;
    fn limits(&self) -> HttpLimits;
    /// Whether answers that say what failed also say what to try.
    fn error_hints(&self) -> bool;
    fn stats(&self) -> &Stats;
    /// Drops what is kept of a configuration that is no longer in force.
    fn refresh(&self) {}
}

/// The parser's own bound on headers, kept on its stack.
const HEADERS_MAX_ON_STACK: u32 = 100;

pub(super) async fn run<S: Serve>(
    serve: S,
    mut socket: Socket,
    permit: Permit,
    connections: Arc<Connections>,
) {
    let limits = serve.limits();
    let head_max = ms(limits.header_read_timeout_ms);
    let opened = Instant::now();
    let mut first = First::default();
    tokio::select! {
        // The bytes first: a request that has already arrived is answered, also while draining.
        biased;
        read = timeout(head_max, first.read(&mut socket)) => match read {
            Ok(Ok(())) if !first.is_empty() => {}
            Err(_) if !first.is_empty() => return serve.stats().refuse(Refusal::HeaderTimeout),
            Ok(_) | Err(_) => return,
        },
        () = connections.reached(Phase::Draining) => return,
    }
    let is_http2 = first.is_http2();
    socket.set_nodelay();
    let activity = Arc::new(Activity::default());
    let stall_max = ms(limits.write_stall_timeout_ms);
    if is_http2 {
        activity.writes_no_heads();
    } else if connections.phase() >= Phase::HandedOver {
        activity.leaves();
    }
    let bare = Bare::new(&limits, serve.error_hints());
    let io = Guarded::new(socket, first, Arc::clone(&activity), stall_max, bare, permit);
    let io = TokioIo::new(if is_http2 { io.http2() } else { io });
    // Shared by this connection's requests alone, so that counting them costs no other core.
    let serve = Arc::new(serve);
    let service = service_fn({
        let (serve, activity) = (Arc::clone(&serve), Arc::clone(&activity));
        move |request| {
            let (serve, busy) = (Arc::clone(&serve), Busy::new(&activity));
            let request = Arrived::from(request);
            async move {
                let mut response = serve.answer(request).await;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    busy.activity().writes_no_heads();
                } else if busy.activity().is_leaving() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response.body_mut().keep(busy);
                Ok::<_, Infallible>(response)
            }
        }
    });
    let ended = if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams_max)
            .max_header_list_size(limits.header_bytes_max)
            .keep_alive_interval(head_max)
            .keep_alive_timeout(head_max);
        let connection = builder.serve_connection(io, service);
        drive(connection, Phase::HandedOver, &*serve, &activity, opened, head_max, &connections)
            .await
    } else {
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(None).max_header_size(limits.header_bytes_max as usize);
        if limits.headers_max != HEADERS_MAX_ON_STACK {
            builder.max_headers(limits.headers_max as usize);
        }
        let connection = builder.serve_connection(io, service).with_upgrades();
        drive(connection, Phase::Draining, &*serve, &activity, opened, head_max, &connections).await
    };
    match ended {
        Ended::Idle if activity.has_unfinished() => serve.stats().refuse(Refusal::HeaderTimeout),
        Ended::Idle | Ended::Cut | Ended::Done(Ok(())) => {}
        Ended::Done(Err(error)) => count(serve.stats(), &error),
    }
}

fn count(stats: &Stats, error: &hyper::Error) {
    if error.is_parse_too_large() {
        stats.refuse(Refusal::HeaderTooLarge);
    } else if error.is_parse() {
        stats.refuse(Refusal::Malformed);
    }
    tracing::debug!(target: TARGET, %error, "connection ended");
}

enum Ended {
    Done(hyper::Result<()>),
    Idle,
    Cut,
}

/// Both of hyper's connections end the same way.
trait Connection: Future<Output = hyper::Result<()>> {
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<S> Connection for http1::UpgradeableConnection<TokioIo<Guarded>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

impl<S> Connection for http2::Connection<TokioIo<Guarded>, S, TokioExecutor>
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        Self::graceful_shutdown(self);
    }
}

/// Completes at the next signal after those that `signal` has seen.
async fn changed(mut signal: watch::Receiver<Signal>) {
    let _ = signal.changed().await;
}

/// From the phase `leaves_at` on, the protocol takes no other request.
async fn drive(
    connection: impl Connection,
    leaves_at: Phase,
    serve: &impl Serve,
    activity: &Activity,
    opened: Instant,
    idle_max: Duration,
    connections: &Connections,
) -> Ended {
    let mut connection = pin!(connection);
    let half = (idle_max / 2).max(Duration::from_millis(1));
    let mut ticks = interval_at(opened + half, half);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle_ticks = 0;
    // A task's waker stays the same, so a wait for the next signal is polled once to leave it there,
    // and again only when there is one.
    let mut signal = connections.signal();
    let mut next = Box::pin(changed(signal.clone()));
    let mut is_armed = false;
    let drained = poll_fn(|cx| {
        if let Poll::Ready(done) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(Ended::Done(done)));
        }
        while ticks.poll_tick(cx).is_ready() {
            idle_ticks = if activity.was_idle() { idle_ticks + 1 } else { 0 };
            if idle_ticks == 2 {
                return Poll::Ready(Some(Ended::Idle));
            }
        }
        while !is_armed || signal.has_changed().unwrap_or(false) {
            let phase = signal.borrow_and_update().phase;
            if phase >= leaves_at {
                return Poll::Ready(None);
            }
            if phase == Phase::HandedOver {
                activity.leaves();
            }
            serve.refresh();
            next.set(changed(signal.clone()));
            is_armed = next.as_mut().poll(cx).is_pending();
        }
        Poll::Pending
    })
    .await;
    if let Some(ended) = drained {
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        done = connection => Ended::Done(done),
        () = connections.reached(Phase::Cut) => Ended::Cut,
    }
}
