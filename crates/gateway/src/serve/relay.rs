// SPDX-License-Identifier: BSD-3-Clause
//! The bodies of a request to another server and of its answer, piece by piece.
//!
//! # Invariants
//!
//! 1. A piece is taken from one side when the other asks for it, and one is held at most.
//! 2. The limits of bodies hold as they do where a body is read whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use becket_host::Body as HostBody;
use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{Data, RequestBody, too_large, too_slow};
use super::guard::Busy;
use super::stream::Truncated;
use crate::TARGET;
use crate::config::HttpLimits;
use crate::otlp::Child;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::stats::{EntryStats, InFlight, Refusal};
use crate::status::ms;

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
pub(super) struct Sending(Mutex<SendingState>);

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
    pub(super) fn new(body: RequestBody, limits: &HttpLimits, stats: &Arc<EntryStats>) -> Self {
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

    /// When the last piece was taken.
    pub(super) fn moved(&self) -> Instant {
        self.0.lock().moved
    }

    /// What was wrong with the client's side, if that ended the request.
    pub(super) fn problem(&self, shared: &Shared, limits: &HttpLimits) -> Option<Problem> {
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
pub(super) struct Relay(pub(super) Arc<Sending>);

/// The client's side ended early.
#[derive(Debug, thiserror::Error)]
#[error("the request ended early")]
pub(super) struct Ended;

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
    /// Ends with the body.
    span: Option<Child>,
    idle_timeout: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    /// It broke off; the error follows once what came before is sent.
    is_cut: bool,
    in_flight: Option<InFlight<Arc<EntryStats>>>,
    busy: Option<Busy>,
}

impl Relayed {
    pub(super) fn new(body: Incoming, idle_timeout: Duration, span: Option<Child>) -> Self {
        Self { body, span, idle_timeout, idle: None, is_cut: false, in_flight: None, busy: None }
    }

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
                    if let Some(span) = &mut self.span {
                        span.failed("cut_off", &error);
                    }
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
    use std::task::Waker;

    use super::*;

    /// From it the time to the head of the answer counts.
    #[test]
    fn the_last_piece_that_was_taken_is_noted() {
        let body = RequestBody::Whole(Bytes::from("body"));
        let sending = Sending::new(body, &HttpLimits::default(), &Arc::default());
        let sending = Arc::new(sending);
        let mut cx = Context::from_waker(Waker::noop());
        let mut relay = Relay(Arc::clone(&sending));
        for piece in [Some("body"), None] {
            let before = Instant::now();
            let Poll::Ready(next) = Pin::new(&mut relay).poll_frame(&mut cx) else { panic!() };
            let data = next.map(|frame| frame.unwrap().into_data().unwrap());
            assert_eq!(data.as_deref(), piece.map(str::as_bytes));
            assert!(sending.moved() >= before);
        }
    }
}
