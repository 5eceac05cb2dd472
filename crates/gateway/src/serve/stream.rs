// SPDX-License-Identifier: BSD-3-Clause
//! One body in, a plugin's frames out: as they are, or as server-sent events.
//!
//! A client whose `accept` names `text/event-stream` gets its head at once and one event a frame:
//!
//! ```text
//! data: a frame that is UTF-8, one line each      event: binary
//! data: and its next line                         data: a frame that is not, in Base64
//!
//! event: end                                      event: error
//! data: the last frame's bytes, mostly none       data: {"error":…,"cause":…,"status":502}
//! ```
//!
//! Every other client gets the frames' bytes as the body, chunk by chunk. Its head waits for the
//! first frame, so that a stream that fails before it has its proper status; one that fails later
//! can only be cut off.
//!
//! # Invariants
//!
//! 1. A frame is taken from the plugin only when the connection asks for one: a client that does
//!    not read holds the plugin back.
//! 2. The stream is dropped with the body, also when the client leaves: the plugin is notified.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use becket_host::{Entry, Frame, NrStatus, Stream, StreamError};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use super::asks::EVENTS;
use super::body::{self, Body, Data};
use super::guard::Busy;
use super::request::{Arrived, to_host};
use crate::TARGET;
use crate::otlp::Child;
use crate::problem::Problem;
use crate::router::{Route, Table};
use crate::shared::Shared;
use crate::stats::{EntryStats, InFlight};
use crate::status::{problem_of_call, problem_of_stream};

pub(super) async fn answer(
    shared: &Shared,
    table: &Table,
    route: &Route,
    entry: &Entry,
    request: Arrived,
    events: bool,
) -> Result<Response<Body>, Problem> {
    let Arrived { mut head, body } = request;
    let body = body::read(shared, &table.limits, body).await?;
    route.stats.add_bytes_in(body.len());
    let mut span = Child::call(&mut head, entry);
    let mut opening = entry.stream(to_host(shared, head, body)?);
    if let Some(timeout) = route.timeout {
        opening = opening.timeout(timeout);
    }
    let entry = entry.name();
    let mut stream = opening.await.map_err(|error| {
        if let Some(span) = &mut span {
            span.called(Err(&error));
        }
        problem_of_call(entry, &error)
    })?;
    let first = if events {
        None
    } else {
        let first = poll_fn(|cx| stream.poll_next(cx)).await;
        Some(first.map_err(|error| {
            if let Some(span) = &mut span {
                span.streamed(&error);
            }
            problem_of_stream(entry, &error)
        })?)
    };
    let media = match (&route.content_type, events) {
        (_, true) => HeaderValue::from_static(EVENTS),
        (Some(media), false) => media.clone(),
        (None, false) => HeaderValue::from_static("application/octet-stream"),
    };
    let mut response = Response::new(Body::Frames(Box::new(FrameBody {
        entry: entry.to_owned(),
        span,
        stream: Some(stream),
        first,
        events,
        hints: table.error_hints,
        is_cut: false,
        in_flight: None,
        busy: None,
    })));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A plugin's frames as a body.
#[derive(Debug)]
pub(crate) struct FrameBody {
    entry: String,
    /// Ends with the body.
    span: Option<Child>,
    /// `None` once it ended.
    stream: Option<Stream>,
    /// What the head waited for.
    first: Option<Option<Frame>>,
    events: bool,
    hints: bool,
    /// The stream failed; the error follows once what came before is sent.
    is_cut: bool,
    in_flight: Option<InFlight<Arc<EntryStats>>>,
    busy: Option<Busy>,
}

/// The stream ended early: the connection is cut, so that the client sees an incomplete body.
#[derive(Debug, thiserror::Error)]
#[error("the stream ended early")]
pub(crate) struct Truncated;

impl FrameBody {
    pub(super) fn count(&mut self, in_flight: InFlight<Arc<EntryStats>>) {
        self.in_flight = Some(in_flight);
    }

    pub(super) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Data, Truncated>>> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(self.is_cut.then_some(Err(Truncated)));
            };
            let next = match self.first.take() {
                Some(first) => Ok(first),
                None => ready!(stream.poll_next(cx)),
            };
            if !matches!(&next, Ok(Some(frame)) if frame.status.is_ok()) {
                self.stream = None;
            }
            if let (Err(error), Some(span)) = (&next, &mut self.span) {
                span.streamed(error);
            }
            let data = match next {
                next if self.events => Data::new(self.event(next).into()),
                Ok(frame) => frame.map(|frame| Data::new(frame.body)).unwrap_or_default(),
                Err(error) => {
                    tracing::debug!(target: TARGET, entry = self.entry, %error, "stream cut off");
                    // hyper drops what is buffered when a body fails, and flushes it when a body is
                    // pending: so it is pending once before it fails.
                    self.is_cut = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            // An empty chunk ends a chunked body.
            if data.has_remaining() {
                if let Some(in_flight) = &self.in_flight {
                    in_flight.add_bytes_out(data.remaining());
                }
                if let Some(busy) = &self.busy {
                    busy.hands_over();
                }
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }

    fn event(&self, next: Result<Option<Frame>, StreamError>) -> Bytes {
        match next {
            Ok(Some(frame)) => encode(frame.status, &frame.body),
            Ok(None) => encode(NrStatus::StreamEnd, b""),
            Err(error) => {
                let json = problem_of_stream(&self.entry, &error).to_json(self.hints);
                Bytes::from(format!("event: error\ndata: {json}\n\n"))
            }
        }
    }
}

/// One event. Lines end as the client's parser ends them: at `\r\n`, `\n` or `\r`.
fn encode(status: NrStatus, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 32);
    match str::from_utf8(data) {
        Ok(text) => {
            if status == NrStatus::StreamEnd {
                out.put_slice(b"event: end\n");
            }
            for line in text.split('\n') {
                for line in line.strip_suffix('\r').unwrap_or(line).split('\r') {
                    out.put_slice(b"data: ");
                    out.put_slice(line.as_bytes());
                    out.put_u8(b'\n');
                }
            }
        }
        Err(_) => {
            let name: &[u8] = match status {
                NrStatus::StreamEnd => b"event: end\ndata: ",
                _ => b"event: binary\ndata: ",
            };
            out.put_slice(name);
            out.put_slice(data_encoding::BASE64.encode(data).as_bytes());
            out.put_u8(b'\n');
        }
    }
    out.put_u8(b'\n');
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_event_whatever_is_in_it() {
        for (data, event) in [
            (&b"one"[..], "data: one\n\n"),
            (b"", "data: \n\n"),
            (b"a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            (b"ends\n", "data: ends\ndata: \n\n"),
            (b"\n\nevent: end", "data: \ndata: \ndata: event: end\n\n"),
            (b"\xff\x00", "event: binary\ndata: /wA=\n\n"),
        ] {
            assert_eq!(encode(NrStatus::Ok, data), event, "{data:?}");
        }
        assert_eq!(encode(NrStatus::StreamEnd, b""), "event: end\ndata: \n\n");
        assert_eq!(encode(NrStatus::StreamEnd, b"\xff"), "event: end\ndata: /w==\n\n");
    }
}
