// SPDX-License-Identifier: BSD-3-Clause
//! Operations that open a channel, and requests to the server.
//!
//! Each sends its request when it is first polled, once the session is ready. Dropped before it
//! completes, it leaves nothing behind at the server: a stream that was opened for it is ended.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use becket_chan::unlimited;
use becket_wire::{Credit, Priority, Refused, StreamId};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::receiving::Receiving;
use super::sending::Sending;
use super::side::{ClientSide, Entry};
use super::state::Over;
use super::{ReceiverOptions, refusal};
use crate::connection::{At, Owned};
use crate::dedup::with_producer;
use crate::error::OpenError;
use crate::remote::receiver::RemoteReceiver;
use crate::remote::sender::RemoteSender;
use crate::remote::wait;
use crate::streams::service::{self, Info};
use crate::streams::{code, ignore_refusal};

type Shared = Arc<Owned<ClientSide>>;

/// A request to the server.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Request<T> {
    connection: Shared,
    operation: Pin<Box<dyn Future<Output = Result<T, OpenError>> + Send>>,
}

/// Opening a channel to send into. See [`Client::sender`](crate::Client::sender).
pub type OpenSender = Request<RemoteSender>;

/// Opening a channel to receive from. See [`Client::receiver`](crate::Client::receiver).
pub type OpenReceiver = Request<RemoteReceiver>;

impl<T> Request<T> {
    fn new(
        connection: Shared,
        operation: impl Future<Output = Result<T, OpenError>> + Send + 'static,
    ) -> Self {
        Self { connection, operation: Box::pin(operation) }
    }

    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn wait(self) -> Result<T, OpenError> {
        wait::wait(&self.connection.clone(), self)
    }
}

impl<T> Future for Request<T> {
    type Output = Result<T, OpenError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.operation.as_mut().poll(context)
    }
}

/// Opens a channel to send into; with a producer, for elements that it numbers.
pub(super) fn sender(
    connection: &Shared,
    channel: &str,
    priority: Priority,
    producer: Option<u128>,
) -> OpenSender {
    let (service, name) = match producer {
        Some(producer) => (service::SEND_ONCE, with_producer(producer, channel).into()),
        None => (service::SEND, Bytes::copy_from_slice(channel.as_bytes())),
    };
    let (shared, channel) = (connection.clone(), Box::<str>::from(channel));
    Request::new(connection.clone(), async move {
        let stream = begin(&shared, &channel, |side, at| {
            let id = at.session.open(service, priority, Credit::NONE, name.clone())?;
            side.insert(id, Entry::Sending(Sending::new(id)));
            Ok(id)
        });
        let stream = stream.await?;
        let info = opened(&shared, &channel, stream).await?;
        Ok(RemoteSender::new(shared, stream, info))
    })
}

/// Opens a channel to receive from.
pub(super) fn receiver(
    connection: &Shared,
    channel: &str,
    options: ReceiverOptions,
) -> OpenReceiver {
    let ReceiverOptions { window, window_bytes, priority } = options;
    let name = Bytes::copy_from_slice(channel.as_bytes());
    let (shared, channel) = (connection.clone(), Box::<str>::from(channel));
    Request::new(connection.clone(), async move {
        let (inbox, outbox) = unlimited();
        let stream = begin(&shared, &channel, |side, at| {
            let credit = Receiving::first_credit(window, window_bytes);
            let id = at.session.open(service::RECEIVE, priority, credit, name.clone())?;
            let ends = (inbox.clone(), outbox.clone());
            let entry = Receiving::new(id, ends, window, window_bytes);
            side.insert(id, Entry::Receiving(entry));
            Ok(id)
        });
        let stream = stream.await?;
        let info = opened(&shared, &channel, stream).await?;
        Ok(RemoteReceiver::new(shared, stream, info, (outbox, window)))
    })
}

/// Sends a request about a channel, and reads its answer.
pub(super) fn request<T: 'static>(
    connection: &Shared,
    operation: u16,
    channel: &str,
    body: Bytes,
    read: fn(Bytes) -> Result<T, OpenError>,
) -> Request<T> {
    let (shared, channel) = (connection.clone(), Box::<str>::from(channel));
    Request::new(connection.clone(), async move {
        let number = begin(&shared, &channel, |side, at| {
            let number = at.session.request(operation, body.clone())?;
            side.asked(number);
            Ok(number)
        });
        let number = number.await?;
        let dropped = OnDrop::new(|| {
            shared.with(|side, at| {
                // Refused: it has been answered.
                ignore_refusal(at.session.cancel(number));
                side.drop_request(number);
            });
        });
        let answer =
            poll_fn(|context| shared.with(|side, _| side.poll_answer(number, context.waker())));
        let answer = answer.await;
        dropped.disarm();
        let (status, body) = answer.map_err(OpenError::Disconnected)?;
        if status == code::OK {
            return read(body);
        }
        Err(refusal(status, String::from_utf8_lossy(&body).into(), &channel))
    })
}

/// Calls `open` once the session is ready.
async fn begin<R>(
    connection: &Shared,
    channel: &str,
    mut open: impl FnMut(&mut ClientSide, &mut At<'_>) -> Result<R, Refused>,
) -> Result<R, OpenError> {
    let begun = poll_fn(|context| {
        connection.with(|side, at| match side.poll_ready(context.waker()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(ended)) => Poll::Ready(Err(OpenError::Disconnected(ended))),
            Poll::Ready(Ok(())) => {
                Poll::Ready(open(side, at).map_err(|error| refused(error, channel)))
            }
        })
    });
    begun.await
}

/// Waits until the server has accepted a stream, which is ended if it has not or if the wait is
/// dropped.
async fn opened(
    connection: &Shared,
    channel: &str,
    stream: StreamId,
) -> Result<Arc<Info>, OpenError> {
    let unopened = OnDrop::new(|| connection.with(|side, at| side.release_handle(at, stream)));
    let info = poll_fn(|context| {
        connection.with(|side, _| match side.opening(stream) {
            Some(opening) => opening.poll(context.waker()),
            None => Poll::Pending,
        })
    });
    let info = info.await.map_err(|over| failed(over, channel))?;
    unopened.disarm();
    Ok(info)
}

/// Calls a function when it is dropped, unless it is disarmed.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    fn new(call: F) -> Self {
        Self(Some(call))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

fn refused(refused: Refused, channel: &str) -> OpenError {
    let why: Arc<str> = refused.to_string().into();
    match refused {
        Refused::TooMany => OpenError::TooMany,
        Refused::TooLong => OpenError::NotFound(channel.into()),
        _ => OpenError::Refused { code: 0, why },
    }
}

fn failed(over: Over, channel: &str) -> OpenError {
    match over {
        Over::Closed(_) => OpenError::NotFound(channel.into()),
        Over::Reset { code, why } => refusal(code, why, channel),
        Over::Ended(ended) => OpenError::Disconnected(ended),
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(body: Bytes) -> Result<T, OpenError> {
    serde_json::from_slice(&body).map_err(|error| OpenError::BadAnswer(error.to_string().into()))
}
