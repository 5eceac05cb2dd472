// SPDX-License-Identifier: BSD-3-Clause
//! Operations that open a channel, and requests to the server.
//!
//! Each sends its request when it is first polled, once the session is ready. Dropped before it
//! completes, it leaves nothing behind at the server: a stream that was opened for it is ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use becket_chan::{Receiver, unlimited};
use becket_wire::{Credit, Priority, Refused, StreamId};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::receiving::Receiving;
use super::sending::Sending;
use super::side::{ClientSide, Entry};
use super::state::Over;
use super::{ReceiverOptions, refusal};
use crate::connection::Owned;
use crate::dedup::with_producer;
use crate::element::Element;
use crate::error::OpenError;
use crate::remote::receiver::RemoteReceiver;
use crate::remote::sender::RemoteSender;
use crate::remote::wait;
use crate::streams::ignore_refusal;
use crate::streams::service;

type Shared = Arc<Owned<ClientSide>>;

/// Opening a channel to send into. See [`Client::sender`](crate::Client::sender).
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct OpenSender {
    connection: Shared,
    channel: Box<str>,
    priority: Priority,
    /// The producer that numbers the elements.
    producer: Option<u128>,
    stream: Option<StreamId>,
}

/// Opening a channel to receive from. See [`Client::receiver`](crate::Client::receiver).
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct OpenReceiver {
    connection: Shared,
    channel: Box<str>,
    options: ReceiverOptions,
    stream: Option<(StreamId, Receiver<Element>)>,
}

/// A request to the server.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Request<T> {
    connection: Shared,
    operation: u16,
    channel: Box<str>,
    body: Bytes,
    read: fn(Bytes) -> Result<T, OpenError>,
    request: Option<u64>,
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

/// Calls `open` once the session is ready.
fn begin(
    side: &mut ClientSide,
    waker: &Waker,
    open: impl FnOnce(&mut ClientSide) -> Result<(), OpenError>,
) -> Poll<Result<(), OpenError>> {
    match side.poll_ready(waker) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(ended)) => Poll::Ready(Err(OpenError::Disconnected(ended))),
        Poll::Ready(Ok(())) => Poll::Ready(open(side)),
    }
}

impl OpenSender {
    pub(crate) fn new(connection: Shared, channel: &str, priority: Priority) -> Self {
        Self { connection, channel: channel.into(), priority, producer: None, stream: None }
    }

    /// Opens the channel for numbered elements of this producer.
    pub(crate) fn producer(mut self, producer: u128) -> Self {
        self.producer = Some(producer);
        self
    }

    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn wait(self) -> Result<RemoteSender, OpenError> {
        wait::wait(&self.connection.clone(), self)
    }
}

impl Future for OpenSender {
    type Output = Result<RemoteSender, OpenError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { connection, channel, priority, producer, stream } = &mut *self;
        let opened = connection.with(|side, at| {
            if stream.is_none() {
                let (service, name) = match *producer {
                    Some(producer) => (service::SEND_ONCE, with_producer(producer, channel).into()),
                    None => (service::SEND, Bytes::copy_from_slice(channel.as_bytes())),
                };
                let begun = begin(side, context.waker(), |side| {
                    let id = at
                        .session
                        .open(service, *priority, Credit::NONE, name)
                        .map_err(|error| refused(error, channel))?;
                    side.insert(id, Entry::Sending(Sending::new(id)));
                    *stream = Some(id);
                    Ok(())
                });
                match begun {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some(sending) = stream.and_then(|stream| side.sending(stream)) else {
                return Poll::Pending;
            };
            sending.opening.poll(context.waker()).map_err(|over| failed(over, channel))
        });
        let Poll::Ready(opened) = opened else { return Poll::Pending };
        match (opened, stream.take()) {
            (Ok(info), Some(stream)) => {
                Poll::Ready(Ok(RemoteSender::new(connection.clone(), stream, info)))
            }
            (Err(error), stream) => {
                if let Some(stream) = stream {
                    connection.with(|side, at| side.release_handle(at, stream));
                }
                Poll::Ready(Err(error))
            }
            (Ok(_), None) => Poll::Pending,
        }
    }
}

impl Drop for OpenSender {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.connection.with(|side, at| side.release_handle(at, stream));
        }
    }
}

impl OpenReceiver {
    pub(crate) fn new(connection: Shared, channel: &str, options: ReceiverOptions) -> Self {
        Self { connection, channel: channel.into(), options, stream: None }
    }

    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn wait(self) -> Result<RemoteReceiver, OpenError> {
        wait::wait(&self.connection.clone(), self)
    }
}

impl Future for OpenReceiver {
    type Output = Result<RemoteReceiver, OpenError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { connection, channel, options, stream } = &mut *self;
        let ReceiverOptions { window, window_bytes, priority } = *options;
        let opened = connection.with(|side, at| {
            if stream.is_none() {
                let name = Bytes::copy_from_slice(channel.as_bytes());
                let begun = begin(side, context.waker(), |side| {
                    let credit = Receiving::first_credit(window, window_bytes);
                    let id = at
                        .session
                        .open(service::RECEIVE, priority, credit, name)
                        .map_err(|error| refused(error, channel))?;
                    let (inbox, outbox) = unlimited();
                    let entry = Receiving::new(id, (inbox, outbox.clone()), window, window_bytes);
                    side.insert(id, Entry::Receiving(entry));
                    *stream = Some((id, outbox));
                    Ok(())
                });
                match begun {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some(receiving) = stream.as_ref().and_then(|(stream, _)| side.receiving(*stream))
            else {
                return Poll::Pending;
            };
            receiving.opening.poll(context.waker()).map_err(|over| failed(over, channel))
        });
        let Poll::Ready(opened) = opened else { return Poll::Pending };
        match (opened, stream.take()) {
            (Ok(info), Some((stream, inbox))) => {
                let inbox = (inbox, window);
                Poll::Ready(Ok(RemoteReceiver::new(connection.clone(), stream, info, inbox)))
            }
            (Err(error), stream) => {
                if let Some((stream, _)) = stream {
                    connection.with(|side, at| side.release_handle(at, stream));
                }
                Poll::Ready(Err(error))
            }
            (Ok(_), None) => Poll::Pending,
        }
    }
}

impl Drop for OpenReceiver {
    fn drop(&mut self) {
        if let Some((stream, _)) = self.stream.take() {
            self.connection.with(|side, at| side.release_handle(at, stream));
        }
    }
}

impl<T> Request<T> {
    pub(crate) fn new(
        connection: Shared,
        operation: u16,
        channel: &str,
        body: Bytes,
        read: fn(Bytes) -> Result<T, OpenError>,
    ) -> Self {
        Self { connection, operation, channel: channel.into(), body, read, request: None }
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
        let Self { connection, operation, channel, body, read, request } = &mut *self;
        let answer = connection.with(|side, at| {
            if request.is_none() {
                let begun = begin(side, context.waker(), |side| {
                    let number = at
                        .session
                        .request(*operation, body.clone())
                        .map_err(|error| refused(error, channel))?;
                    side.asked(number);
                    *request = Some(number);
                    Ok(())
                });
                match begun {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some(number) = *request else { return Poll::Pending };
            side.poll_answer(number, context.waker()).map_err(OpenError::Disconnected)
        });
        let Poll::Ready(answer) = answer else { return Poll::Pending };
        *request = None;
        Poll::Ready(answer.and_then(|(status, body)| {
            if status == crate::streams::code::OK {
                read(body)
            } else {
                let why = String::from_utf8_lossy(&body).into();
                Err(refusal(status, why, channel))
            }
        }))
    }
}

impl<T> Drop for Request<T> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.connection.with(|side, at| {
                // Refused: it has been answered.
                ignore_refusal(at.session.cancel(request));
                side.drop_request(request);
            });
        }
    }
}

pub(crate) fn from_json<T: DeserializeOwned>(body: Bytes) -> Result<T, OpenError> {
    serde_json::from_slice(&body).map_err(|error| OpenError::BadAnswer(error.to_string().into()))
}
