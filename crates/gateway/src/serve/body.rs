// SPDX-License-Identifier: BSD-3-Clause
//! Bodies in, with their limits, and bodies out.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use becket_host::Body as HostBody;
use bytes::{Buf, Bytes};
use http::StatusCode;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use super::buffer::{Buffer, NoRoom};
use super::files::FileBody;
use super::guard::Busy;
use super::record::Records;
use super::relay::Relayed;
use super::stream::{FrameBody, Truncated};
use crate::config::HttpLimits;
use crate::problem::Problem;
use crate::shared::Shared;
use crate::stats::{EntryStats, InFlight, Refusal};
use crate::status::ms;

/// Bytes of a body, which hyper reads where they are: a plugin's answer is not copied on its way out.
#[derive(Debug, Default)]
pub(crate) struct Data {
    bytes: HostBody,
    /// How many of them were read.
    read: usize,
}

impl Data {
    pub(super) fn new(bytes: HostBody) -> Self {
        Self { bytes, read: 0 }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.read
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.read = self.bytes.len().min(self.read.saturating_add(count));
    }
}

/// A request's body.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Arriving(Incoming),
    /// It was read already.
    Whole(Bytes),
}

impl RequestBody {
    /// At least so many bytes will come.
    pub(super) fn announced(&self) -> u64 {
        match self {
            Self::Arriving(body) => body.size_hint().lower(),
            Self::Whole(bytes) => bytes.len() as u64,
        }
    }

    /// Reads it whole, and keeps it so.
    pub(super) async fn whole(
        &mut self,
        shared: &Shared,
        limits: &HttpLimits,
    ) -> Result<Bytes, Problem> {
        let before = std::mem::replace(self, Self::Whole(Bytes::new()));
        let bytes = read(shared, limits, before).await?;
        *self = Self::Whole(bytes.clone());
        Ok(bytes)
    }
}

/// An answer's body.
#[derive(Debug)]
pub(crate) enum Body {
    /// The whole body; empty once hyper took it. The connection is busy until then.
    Full(Data, Option<Busy>),
    /// A plugin's frames, as they come.
    Frames(Box<FrameBody>),
    /// An upstream server's answer, as it comes.
    Relayed(Box<Relayed>),
    /// A part of a file.
    File(Box<FileBody>),
    /// One of these, with whose end the request's records end.
    Recorded(Box<Recorded>),
}

/// A body with the records of its request.
#[derive(Debug)]
pub(crate) struct Recorded {
    body: Body,
    records: Box<Records>,
}

impl Body {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::whole(HostBody::from(bytes.into()))
    }

    /// A plugin's answer.
    pub(super) fn whole(bytes: HostBody) -> Self {
        Self::Full(Data::new(bytes), None)
    }

    /// All of its bytes, if they are there.
    pub(super) fn into_whole(self) -> Result<Bytes, Self> {
        match self {
            Self::Full(Data { bytes, read: 0 }, _) => Ok(bytes.into()),
            body => Err(body),
        }
    }

    /// Counts the request's bytes out, and keeps it in flight while a stream lasts.
    pub(super) fn count(&mut self, in_flight: InFlight<&EntryStats>, stats: &Arc<EntryStats>) {
        match self {
            Self::Full(data, _) => in_flight.add_bytes_out(data.remaining()),
            Self::Frames(frames) => frames.count(in_flight.outlive(stats)),
            Self::Relayed(relayed) => relayed.count(in_flight.outlive(stats)),
            Self::File(file) => file.count(in_flight.outlive(stats)),
            Self::Recorded(recorded) => recorded.body.count(in_flight, stats),
        }
    }

    /// Keeps the connection busy until hyper took the whole body.
    pub(super) fn keep(&mut self, busy: Busy) {
        match self {
            Self::Full(_, kept) => *kept = Some(busy),
            Self::Frames(frames) => frames.keep(busy),
            Self::Relayed(relayed) => relayed.keep(busy),
            Self::File(file) => file.keep(busy),
            Self::Recorded(recorded) => recorded.body.keep(busy),
        }
    }

    /// Ends the records of its request with the body.
    pub(super) fn recorded(self, records: Box<Records>) -> Self {
        Self::Recorded(Box::new(Recorded { body: self, records }))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Full(Data::default(), None)
    }
}

impl hyper::body::Body for Body {
    type Data = Data;
    type Error = Truncated;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Truncated>>> {
        match self.get_mut() {
            Self::Full(data, _) if !data.has_remaining() => Poll::Ready(None),
            Self::Full(data, busy) => {
                if let Some(busy) = busy.take() {
                    busy.hands_over();
                }
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))))
            }
            Self::Frames(frames) => {
                frames.poll_next(cx).map(|next| next.map(|r| r.map(Frame::data)))
            }
            Self::Relayed(relayed) => {
                relayed.poll_next(cx).map(|next| next.map(|r| r.map(Frame::data)))
            }
            Self::File(file) => file.poll_next(cx).map(|next| next.map(|r| r.map(Frame::data))),
            Self::Recorded(recorded) => {
                let next = ready!(Pin::new(&mut recorded.body).poll_frame(cx));
                if let Some(Ok(frame)) = &next {
                    let data = frame.data_ref();
                    recorded.records.add_bytes(data.map_or(0, Buf::remaining));
                }
                Poll::Ready(next)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(data, _) => !data.has_remaining(),
            Self::Frames(_) => false,
            Self::Relayed(relayed) => relayed.is_end_stream(),
            Self::File(file) => file.rest() == 0,
            Self::Recorded(recorded) => recorded.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(data, _) => SizeHint::with_exact(data.remaining() as u64),
            Self::Frames(_) => SizeHint::default(),
            Self::Relayed(relayed) => relayed.size_hint(),
            Self::File(file) => SizeHint::with_exact(file.rest()),
            Self::Recorded(recorded) => recorded.body.size_hint(),
        }
    }
}

/// Reads a request's body whole. One that arrived with its headers, or in one piece, is not
/// copied and sets no timer.
pub(super) async fn read(
    shared: &Shared,
    limits: &HttpLimits,
    body: RequestBody,
) -> Result<Bytes, Problem> {
    let body = match body {
        RequestBody::Arriving(body) => body,
        RequestBody::Whole(bytes) => return Ok(bytes),
    };
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // Boxed: a request without a body does not pay for its size.
    Box::pin(read_pieces(shared, limits, body)).await
}

/// A request's body as it comes.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn next(&mut self) -> impl Future<Output = Option<Result<Bytes, String>>> + Send;

    /// At least so many bytes will come.
    fn announced(&self) -> u64;
}

impl Pieces for Incoming {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers are not part of the payload.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }

    fn announced(&self) -> u64 {
        self.size_hint().lower()
    }
}

/// Reads a request's body whole, within its limits.
pub(crate) async fn read_pieces<P: Pieces>(
    shared: &Shared,
    limits: &HttpLimits,
    pieces: P,
) -> Result<Bytes, Problem> {
    if pieces.announced() > limits.body_bytes_max {
        return Err(too_large(shared, limits));
    }
    let collected = timeout(ms(limits.body_timeout_ms), collect(shared, limits, pieces));
    collected.await.unwrap_or_else(|_| {
        let what = format!("the body took longer than {} ms", limits.body_timeout_ms);
        Err(too_slow(shared, what, "limits.body_timeout_ms"))
    })
}

async fn collect<P: Pieces>(
    shared: &Shared,
    limits: &HttpLimits,
    mut pieces: P,
) -> Result<Bytes, Problem> {
    let mut stored = Buffer::new(&shared.bodies);
    loop {
        let data = match timeout(ms(limits.body_idle_timeout_ms), pieces.next()).await {
            Ok(Some(Ok(data))) => data,
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                shared.stats.refuse(Refusal::Malformed);
                return Err(Problem::new(StatusCode::BAD_REQUEST, "the body could not be read")
                    .cause(error)
                    .close());
            }
            Err(_) => {
                let what = format!("the body paused for {} ms", limits.body_idle_timeout_ms);
                return Err(too_slow(shared, what, "limits.body_idle_timeout_ms"));
            }
        };
        if stored.len() as u64 + data.len() as u64 > limits.body_bytes_max {
            return Err(too_large(shared, limits));
        }
        let rest = pieces.announced();
        stored
            .push(data, rest, limits.bodies_bytes_max)
            .map_err(|error| no_room(shared, limits, &error))?;
    }
    Ok(stored.freeze())
}

fn no_room(shared: &Shared, limits: &HttpLimits, error: &NoRoom) -> Problem {
    shared.stats.refuse(Refusal::Bodies);
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no room for the body");
    match error {
        NoRoom::Budget => problem
            .cause(format!(
                "the bodies of all requests may have {} bytes together",
                limits.bodies_bytes_max
            ))
            .hint("try again, or raise limits.bodies_bytes_max"),
        NoRoom::Pages(error) => problem
            .cause(format!("the system gives no memory: {error}"))
            .hint("try again, or lower limits.bodies_bytes_max to what the machine has"),
    }
    .retry()
    .close()
}

pub(super) fn too_large(shared: &Shared, limits: &HttpLimits) -> Problem {
    shared.stats.refuse(Refusal::BodyTooLarge);
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is longer than {} bytes", limits.body_bytes_max),
    )
    .hint("send less, or raise limits.body_bytes_max")
    .close()
}

pub(super) fn too_slow(shared: &Shared, what: String, setting: &str) -> Problem {
    shared.stats.refuse(Refusal::BodyTimeout);
    Problem::new(StatusCode::REQUEST_TIMEOUT, what)
        .hint(format!("send faster, or raise {setting}"))
        .close()
}
