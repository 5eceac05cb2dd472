// SPDX-License-Identifier: BSD-3-Clause
//! Messages both ways over a WebSocket.
//!
//! The plugin's stream is opened before the handshake is answered, so that a refusal is an HTTP
//! status. Then one task carries both directions and ends with the first of them:
//!
//! ```text
//!   client ──▶ socket ──▶ inbound ───▶ stream.send   waits while the plugin refuses:
//!                                                    the socket is not read meanwhile
//!   client ◀── socket ◀── outbound ◀── stream.next   waits while the socket is full:
//!                                                    no frame is taken meanwhile
//!                         keepalive                  pings a silent client
//! ```
//!
//! A frame goes out as a text message if it is UTF-8 and the client's last message was text, or
//! there was none yet; else as a binary one. A client that sends binary gets binary.
//!
//! # Invariants
//!
//! 1. At most one message waits in each direction, beside the bounded buffers of socket and host.
//! 2. However it ends, the stream is dropped and the plugin is notified.
//! 3. The client gets the reason in a close frame (see `status`), and has [`CLOSE_WAIT`] to answer it.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use becket_host::{Entry, Frame, Stream, StreamError};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::asks::has_item;
use super::body::Body;
use super::request::{Arrived, to_host};
use super::tunnel::upgrades;
use crate::config::HttpLimits;
use crate::connections::Phase;
use crate::otlp::Child;
use crate::problem::Problem;
use crate::router::{Route, Table};
use crate::shared::Shared;
use crate::stats::{Open, Refusal};
use crate::status::{Closing, ms, problem_of_call};

/// How long a client has to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Buffers of one socket: small, because there may be thousands.
const READ_BUFFER_BYTES: usize = 8 << 10;
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// How many unanswered pings in a row end a WebSocket.
const SILENT_PINGS_MAX: u32 = 3;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    table: &Table,
    route: &Route,
    entry: &Entry,
    request: Arrived,
) -> Result<Response<Body>, Problem> {
    let Arrived { mut head, .. } = request;
    let accept = handshake(&head).inspect_err(|_| shared.stats.refuse(Refusal::Upgrade))?;
    let mut span = Child::call(&mut head, entry);
    let upgrade = upgrade_of(&mut head);
    let mut opening = entry.stream(to_host(shared, head, Bytes::new())?);
    if let Some(timeout) = route.timeout {
        opening = opening.timeout(timeout);
    }
    let stream = opening.await.map_err(|error| {
        if let Some(span) = &mut span {
            span.called(Err(&error));
        }
        problem_of_call(entry.name(), &error)
    })?;
    shared.stats.websockets.add(1);
    let open = Open::new(&shared.stats, |stats| &stats.websockets_open);
    let limits = table.limits.clone();
    tokio::spawn(run(Arc::clone(shared), limits, upgrade, stream, (open, span)));
    let mut response = Response::new(Body::full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    upgrades(response.headers_mut());
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The client's connection, once it has read the answer.
pub(super) fn upgrade_of(head: &mut Parts) -> OnUpgrade {
    // hyper gives it to whole requests alone, and keeps it in their extensions.
    let mut carrier = Request::new(());
    std::mem::swap(carrier.extensions_mut(), &mut head.extensions);
    let upgrade = hyper::upgrade::on(&mut carrier);
    std::mem::swap(carrier.extensions_mut(), &mut head.extensions);
    upgrade
}

/// The handshake of RFC 6455, section 4.2; the answer to its key.
pub(super) fn handshake(head: &Parts) -> Result<HeaderValue, Problem> {
    let headers = &head.headers;
    let bad = |what: &'static str| Problem::new(StatusCode::BAD_REQUEST, what);
    if head.method != Method::GET || head.version != Version::HTTP_11 {
        return Err(bad("a WebSocket handshake is an HTTP/1.1 GET"));
    }
    if !has_token(headers, CONNECTION, "upgrade") {
        return Err(bad("the handshake has no `connection: upgrade`"));
    }
    if !has_token(headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "the handshake asks for another version of WebSocket",
        )
        .hint("version 13 is spoken here")
        .upgrade());
    }
    headers
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()))
        .and_then(|accept| HeaderValue::from_str(&accept).ok())
        .ok_or_else(|| bad("the handshake has no `sec-websocket-key`"))
}

/// Whether one of the headers `name`, lists of tokens, has `token`.
pub(super) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| has_item(value, token))
}

/// How it ended.
enum End {
    /// The client is gone, or has closed and was answered.
    Gone,
    /// The gateway ends it, with a code and a reason.
    Close(Closing),
    /// What the client sent cannot be parsed: nothing more is read.
    Broken(Closing),
}

async fn run(
    shared: Arc<Shared>,
    limits: HttpLimits,
    upgrade: OnUpgrade,
    stream: Stream,
    _until_its_end: (Open, Option<Child>),
) {
    let connections = Arc::clone(&shared.connections);
    let talk = async {
        // An error means that the client left before it read the answer.
        let Ok(upgraded) = upgrade.await else { return };
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = READ_BUFFER_BYTES;
        config.write_buffer_size = WRITE_BUFFER_BYTES;
        config.max_frame_size = usize::try_from(limits.ws_frame_bytes_max).ok();
        config.max_message_size = usize::try_from(limits.ws_message_bytes_max).ok();
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let end = tokio::select! {
            end = pump(&mut socket, stream, &shared, ms(limits.ws_ping_interval_ms)) => end,
            () = connections.reached(Phase::HandedOver) => {
                End::Close(Closing::new(1001, "the server is going away"))
            }
        };
        // A client that does not close in time is closed anyway.
        let _ = timeout(CLOSE_WAIT, close(socket, end)).await;
    };
    tokio::select! {
        () = talk => {}
        () = connections.reached(Phase::Cut) => {}
    }
}

/// Carries messages until one side ends. The lock is never held across a wait: both directions
/// run in this one task.
async fn pump(socket: &mut Socket, mut stream: Stream, shared: &Shared, ping: Duration) -> End {
    let socket = Mutex::new(socket);
    let sender = stream.sender();
    let speaks_text = AtomicBool::new(true);
    let is_heard = AtomicBool::new(true);
    let is_held_back = AtomicBool::new(false);

    let inbound = async {
        loop {
            let data = match poll_fn(|cx| socket.lock().poll_next_unpin(cx)).await {
                Some(Ok(Message::Text(text))) => {
                    speaks_text.store(true, Relaxed);
                    Bytes::from(text)
                }
                Some(Ok(Message::Binary(data))) => {
                    speaks_text.store(false, Relaxed);
                    data
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    is_heard.store(true, Relaxed);
                    continue;
                }
                Some(Ok(Message::Close(_))) | None => return End::Gone,
                Some(Err(error)) => return end_of(&error),
            };
            is_heard.store(true, Relaxed);
            shared.stats.ws_messages_in.add(1);
            is_held_back.store(true, Relaxed);
            let sent = sender.send(&data).await;
            is_held_back.store(false, Relaxed);
            if let Err(error) = sent {
                match Closing::of_send(&error) {
                    Some(closing) => return End::Close(closing),
                    None => return pending().await,
                }
            }
        }
    };

    let outbound = async {
        loop {
            if let Err(error) = poll_fn(|cx| socket.lock().poll_ready_unpin(cx)).await {
                return end_of(&error);
            }
            let next = poll_fn(|cx| next_or_flush(&mut stream, &socket, cx)).await;
            let (frame, is_last) = match next {
                Err(error) => return end_of(&error),
                Ok(Err(error)) => return End::Close(Closing::of_stream(&error)),
                Ok(Ok(None)) => return End::Close(Closing::new(1000, "")),
                Ok(Ok(Some(frame))) => {
                    let is_last = frame.status.is_terminal();
                    (frame, is_last)
                }
            };
            let message = message_of(frame.body.into_bytes(), speaks_text.load(Relaxed));
            shared.stats.ws_messages_out.add(1);
            if let Err(error) = socket.lock().start_send_unpin(message) {
                return end_of(&error);
            }
            if is_last {
                return End::Close(Closing::new(1000, ""));
            }
        }
    };

    let keepalive = async {
        let mut ticks = interval_at(Instant::now() + ping, ping);
        let mut silent = 0;
        loop {
            ticks.tick().await;
            // Under backpressure the socket is not read, so pongs wait unread.
            if is_heard.swap(false, Relaxed) || is_held_back.load(Relaxed) {
                silent = 0;
                continue;
            }
            if silent == SILENT_PINGS_MAX {
                return End::Close(Closing::new(1001, "no sign of life"));
            }
            silent += 1;
            let ready = poll_fn(|cx| socket.lock().poll_ready_unpin(cx)).await;
            let sent =
                ready.and_then(|()| socket.lock().start_send_unpin(Message::Ping(Bytes::new())));
            if let Err(error) = sent {
                return end_of(&error);
            }
            if let Err(error) = poll_fn(|cx| socket.lock().poll_flush_unpin(cx)).await {
                return end_of(&error);
            }
        }
    };

    tokio::select! {
        end = inbound => end,
        end = outbound => end,
        end = keepalive => end,
    }
}

/// The plugin's next frame; while there is none, what is buffered goes to the client.
fn next_or_flush(
    stream: &mut Stream,
    socket: &Mutex<&mut Socket>,
    cx: &mut Context<'_>,
) -> Poll<Result<Result<Option<Frame>, StreamError>, Error>> {
    if let Poll::Ready(next) = stream.poll_next(cx) {
        return Poll::Ready(Ok(next));
    }
    match socket.lock().poll_flush_unpin(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
    }
}

fn message_of(data: Bytes, speaks_text: bool) -> Message {
    if !speaks_text {
        return Message::Binary(data);
    }
    match Utf8Bytes::try_from(data.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(data),
    }
}

fn end_of(error: &Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            End::Broken(Closing::new(1009, format!("{size} bytes exceed the limit of {max_size}")))
        }
        Error::Capacity(_) => End::Broken(Closing::new(1009, "message too large")),
        Error::Utf8(_) => End::Broken(Closing::new(1007, "a text message is not UTF-8")),
        Error::Protocol(error) => End::Broken(Closing::new(1002, error.to_string())),
        _ => End::Gone,
    }
}

/// Sends the close frame, then reads until the client has closed: closing a socket with unread
/// bytes resets the connection, and the client may lose the frame.
async fn close(mut socket: Socket, end: End) {
    let (closing, is_readable) = match end {
        End::Gone => (None, true),
        End::Close(closing) => (Some(closing), true),
        End::Broken(closing) => (Some(closing), false),
    };
    if let Some(Closing { code, reason }) = closing {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        if socket.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
    }
    if is_readable {
        // Also sends the answer to the client's own close frame.
        while let Some(Ok(_)) = socket.next().await {}
    } else {
        let mut io = socket.into_inner();
        if io.shutdown().await.is_ok() {
            let _ = tokio::io::copy(&mut io, &mut tokio::io::sink()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::UPGRADE;

    use super::*;

    fn head(change: impl FnOnce(&mut Parts)) -> Parts {
        let request = Request::builder()
            .header(UPGRADE, "WebSocket")
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap();
        let (mut head, ()) = request.into_parts();
        change(&mut head);
        head
    }

    #[test]
    fn the_handshake_is_that_of_the_rfc() {
        assert_eq!(handshake(&head(|_| {})).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_wrong_handshake_is_refused() {
        let refused =
            |change: fn(&mut Parts)| handshake(&head(change)).unwrap_err().status.as_u16();
        assert_eq!(refused(|head| head.method = Method::POST), 400);
        assert_eq!(refused(|head| head.version = Version::HTTP_10), 400);
        assert_eq!(refused(|head| drop(head.headers.remove(CONNECTION))), 400);
        assert_eq!(refused(|head| drop(head.headers.remove(SEC_WEBSOCKET_KEY))), 400);
        assert_eq!(refused(|head| drop(head.headers.remove(SEC_WEBSOCKET_VERSION))), 426);
    }

    #[test]
    fn a_client_hears_what_it_speaks() {
        let text = Bytes::from_static(b"text");
        let bytes = Bytes::from_static(b"\xff");
        assert!(message_of(text.clone(), true).is_text());
        assert!(message_of(text, false).is_binary());
        assert!(message_of(bytes, true).is_binary());
    }
}
