// SPDX-License-Identifier: BSD-3-Clause
//! Sending into a channel of another process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use becket_chan::timer::{self, Sleep};
use becket_chan::{Limits, Sender, rendezvous};
use becket_wire::{StreamId, flags};

use super::limits::{LimitsWait, Stop, limit_methods};
use super::wait;
use crate::blocks::Counts;
use crate::client::sending::{Outcome, Posted, Refusal, Stage};
use crate::client::side::ClientSide;
use crate::client::state::Over;
use crate::connection::{Ended, Owned};
use crate::element::Element;
use crate::error::SendError;
use crate::streams::code;
use crate::streams::outgoing::Outgoing;
use crate::streams::service::Info;

/// After its limit has passed, an operation waits this long for the server to report its outcome.
pub(crate) const OUTCOME_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends into a channel of another process. See [`Client::sender`](crate::Client::sender).
///
/// Each send is acknowledged by the server when the channel has accepted the element: a rendezvous
/// completes when a receiver took it, in whichever process. Sends of one handle are accepted in the
/// order in which they began. Dropping the handle ends the stream after the elements that were
/// sent; dropping an operation withdraws its element, unless it was accepted.
pub struct RemoteSender {
    connection: Arc<Owned<ClientSide>>,
    stream: StreamId,
    info: Arc<Info>,
}

impl RemoteSender {
    pub(crate) fn new(
        connection: Arc<Owned<ClientSide>>,
        stream: StreamId,
        info: Arc<Info>,
    ) -> Self {
        Self { connection, stream, info }
    }

    /// The stream, for a caller that puts elements into it itself.
    pub(crate) const fn stream(&self) -> (&Arc<Owned<ClientSide>>, StreamId) {
        (&self.connection, self.stream)
    }

    /// How its connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.connection.ended()
    }

    /// The channel, as the server described it when it was opened.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Sends an element, waiting for room or for a receiver.
    ///
    /// A [`Block`](becket_zcopy::Block) of a pool is sent as a descriptor, and is lent until the
    /// peer has dropped it: see [`blocks`](crate::blocks).
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; it returns the element.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was accepted, the element is withdrawn from the server: as with a local
    /// send, it has then happened or leaves no trace.
    pub fn send(&self, element: impl Into<Element>) -> RemoteSend<'_> {
        RemoteSend::new(self, element.into(), 0)
    }

    /// Sends an element if the channel accepts it at once. Without credit the operation fails
    /// locally; otherwise the server decides.
    ///
    /// # Errors
    ///
    /// [`SendError::WouldBlock`], or as for [`send`](Self::send).
    pub fn try_send(&self, element: impl Into<Element>) -> RemoteSend<'_> {
        RemoteSend::new(self, element.into(), flags::TRY)
    }

    /// A local channel whose elements are sent ahead: each is received from it when the server has
    /// granted credit, and its acknowledgement is only counted. With it a send to another process
    /// can be an arm of a [`select!`](becket_chan::select). It is closed when the stream ends; the
    /// outcome of elements received from it is in the result of [`flush`](Self::flush). A handle
    /// has one such channel at a time: a later call replaces it.
    pub fn ahead(&self) -> Sender<Element> {
        let (sender, receiver) = rendezvous();
        self.connection.with(|side, at| {
            let waker = at.waker(self.stream.number());
            if let Some((sending, blocks)) = side.sending_blocks(self.stream)
                && sending.over.is_none()
            {
                sending.close_outbox();
                sending.outbox = Some(Outgoing::new(self.stream, receiver, waker));
                sending.pump(at, blocks);
            }
        });
        sender
    }

    /// Why the stream has ended, if it has.
    pub(crate) fn why_over(&self) -> Option<Over> {
        self.connection
            .with(|side, _| side.sending(self.stream).and_then(|entry| entry.over.clone()))
    }

    /// Waits until every sent element has been answered, and returns the outcomes of the sends that
    /// no operation waited for.
    pub fn flush(&self) -> Flush<'_> {
        Flush(self)
    }

    pub(crate) fn poll_flush(&self, waker: &Waker) -> Poll<Posted> {
        self.connection.with(|side, _| match side.sending(self.stream) {
            Some(sending) => sending.poll_flush(waker),
            None => Poll::Ready(Posted::default()),
        })
    }

    /// The connection's counters of blocks, over all its channels.
    #[must_use]
    pub fn blocks(&self) -> Counts {
        self.connection.with(|side, _| side.block_counts())
    }

    fn over(&self, over: Over, element: Element) -> SendError {
        match over {
            Over::Closed(reason) => SendError::Closed { element, reason },
            Over::Reset { why, .. } => SendError::Closed { element, reason: Some(why) },
            Over::Ended(ended) => SendError::Disconnected { element, ended },
        }
    }
}

impl Drop for RemoteSender {
    fn drop(&mut self) {
        self.connection.with(|side, at| side.release_handle(at, self.stream));
    }
}

impl fmt::Debug for RemoteSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSender").field("channel", &self.info).finish_non_exhaustive()
    }
}

/// A send into another process. See [`RemoteSender::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct RemoteSend<'a> {
    sender: &'a RemoteSender,
    element: Option<Element>,
    flags: u8,
    stage: Stage,
    limits: Limits<'a>,
    limits_wait: LimitsWait<'a>,
    /// A limit has passed after the element was sent: it waits for the outcome.
    stopped: Option<(Stop, Sleep)>,
}

limit_methods!(
    RemoteSend,
    limits,
    "An element that was sent by then is withdrawn, and the operation ends with the server's answer, within another second."
);

impl<'a> RemoteSend<'a> {
    fn new(sender: &'a RemoteSender, element: Element, flags: u8) -> Self {
        Self {
            sender,
            element: Some(element),
            flags,
            stage: Stage::New,
            limits: Limits::none(),
            limits_wait: LimitsWait::default(),
            stopped: None,
        }
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which parks.
    ///
    /// # Errors
    ///
    /// See [`RemoteSender::send`].
    pub fn wait(self) -> Result<(), SendError> {
        let sender = self.sender;
        wait::wait(&sender.connection, self)
    }

    fn finished(&mut self, outcome: Outcome) -> Result<(), SendError> {
        let element = self.element.take().unwrap_or_default();
        let ended = || self.sender.connection.ended();
        Err(match (outcome, self.stopped.take()) {
            (Outcome::Accepted, _) => return Ok(()),
            (Outcome::Refused(code::WITHDRAWN), Some((stop, _))) => stop.of_send(element),
            (Outcome::Refused(code), _) => {
                SendError::refused(code, element, || match self.sender.why_over() {
                    Some(Over::Closed(reason)) => reason,
                    _ => None,
                })
            }
            (Outcome::NotSent, _) => match ended() {
                Some(ended) => SendError::Disconnected { element, ended },
                None => SendError::Closed { element, reason: None },
            },
            (Outcome::Unknown, _) => SendError::Unknown { element, ended: ended() },
        })
    }

    fn stop(&mut self, stop: Stop) -> SendError {
        stop.of_send(self.element.take().unwrap_or_default())
    }
}

impl Future for RemoteSend<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.stage == Stage::New && this.limits.is_cancelled() {
            return Poll::Ready(Err(this.stop(Stop::Cancelled)));
        }
        let Self { sender, element, flags, stage, .. } = this;
        let Some(to_send) = element.as_ref() else {
            // Polled again after completion.
            return Poll::Pending;
        };
        let polled = sender.connection.with(|side, at| match side.sending_blocks(sender.stream) {
            Some((sending, blocks)) => {
                sending.poll((at, blocks), stage, (to_send, *flags), context.waker())
            }
            None => Poll::Ready(Err(Refusal::Over(Over::Closed(None)))),
        });
        match polled {
            Poll::Ready(Ok(outcome)) => return Poll::Ready(this.finished(outcome)),
            Poll::Ready(Err(refusal)) => {
                let element = this.element.take().unwrap_or_default();
                return Poll::Ready(Err(match refusal {
                    Refusal::WouldBlock => SendError::WouldBlock(element),
                    Refusal::TooLong => SendError::TooLong(element),
                    Refusal::Over(over) => this.sender.over(over, element),
                }));
            }
            Poll::Pending => {}
        }
        if this.stopped.is_none() {
            let Poll::Ready(stop) = this.limits_wait.poll(&this.limits, context) else {
                return Poll::Pending;
            };
            let Stage::Sent(number) = this.stage else {
                this.forget();
                return Poll::Ready(Err(this.stop(stop)));
            };
            this.stopped = Some((stop, timer::sleep(OUTCOME_TIMEOUT)));
            this.sender.connection.with(|side, at| {
                if let Some((sending, blocks)) = side.sending_blocks(this.sender.stream) {
                    sending.withdraw(at, blocks, number);
                }
            });
        }
        let Some((_, outcome_timeout)) = &mut this.stopped else { return Poll::Pending };
        if Pin::new(outcome_timeout).poll(context).is_pending() {
            return Poll::Pending;
        }
        this.forget();
        let element = this.element.take().unwrap_or_default();
        Poll::Ready(Err(SendError::Unknown { element, ended: None }))
    }
}

impl RemoteSend<'_> {
    fn forget(&mut self) {
        let Self { sender, stage, .. } = self;
        sender.connection.with(|side, _| {
            if let Some(sending) = side.sending(sender.stream) {
                sending.forget(stage);
            }
        });
    }
}

impl Drop for RemoteSend<'_> {
    fn drop(&mut self) {
        let Self { sender, stage, .. } = self;
        if let Stage::Waiting(_) | Stage::Sent(_) = stage {
            sender.connection.with(|side, at| {
                if let Some((sending, blocks)) = side.sending_blocks(sender.stream) {
                    if let Stage::Sent(number) = *stage {
                        sending.withdraw(at, blocks, number);
                    }
                    sending.forget(stage);
                }
            });
        }
    }
}

/// Waits until every sent element has been answered. See [`RemoteSender::flush`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Flush<'a>(&'a RemoteSender);

impl Flush<'_> {
    /// Waits on a thread or in a coroutine.
    pub fn wait(self) -> Posted {
        wait::wait(&self.0.connection.clone(), self)
    }
}

impl Future for Flush<'_> {
    type Output = Posted;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Posted> {
        self.0.poll_flush(context.waker())
    }
}
