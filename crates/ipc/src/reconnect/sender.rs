// SPDX-License-Identifier: BSD-3-Clause
//! Sending over reconnecting connections. Nothing is repeated.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Sender, Token, timer};
use becket_wire::Priority;
use futures_lite::future::or;

use super::availability::{Availability, AvailabilityCell};
use super::bounds::Bounds;
use super::pipeline::Pipeline;
use super::reopen::Reopen;
use super::{Handle, Opened, Reopened};
use crate::client::Client;
use crate::client::sending::Posted;
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, SendError};
use crate::remote::limits::Stop;
use crate::remote::sender::RemoteSender;
use crate::streams::service::Info;

/// Sends into a channel of a server that may restart.
///
/// A send that begins without a connection waits for one, within its limits. A send that was in
/// progress when its connection ended is not repeated: it fails with [`SendError::Unknown`] if it
/// was transmitted, with [`SendError::Disconnected`] if not. Sends that begin one after the other
/// are accepted in that order; concurrent sends that waited for a connection in any order.
pub struct ReconnectingSender {
    streams: Arc<Streams>,
    _handle: Handle,
}

pub(super) struct Streams {
    slot: AvailabilityCell<Arc<RemoteSender>>,
    priority: Priority,
    ahead: Pipeline,
}

impl Reopen for Streams {
    type Opened = RemoteSender;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteSender, OpenError> {
        client.sender_with(name, self.priority).await
    }

    async fn serve(&self, opened: RemoteSender, lost: &Token) {
        let opened = Arc::new(opened);
        self.ahead.open(&opened);
        self.slot.set(Availability::Available(opened.clone()));
        let over = async {
            lost.cancelled().await;
        };
        or(over, poll_fn(|context| self.ahead.pump(&opened, context.waker()))).await;
        drop(opened);
        self.slot.set(Availability::Unavailable);
        self.ahead.lost();
    }

    fn never(&self, ended: Ended) {
        self.ahead.never(&ended);
        self.slot.set(Availability::Never(ended));
    }
}

fn is_live(sender: &Arc<RemoteSender>) -> bool {
    sender.ended().is_none()
}

impl ReconnectingSender {
    pub(super) fn start(channel: Reopened) -> Self {
        let (spec, handle) = channel.reopen_spec();
        let (slot, ahead) = (AvailabilityCell::default(), Pipeline::default());
        let streams = Arc::new(Streams { slot, priority: channel.priority, ahead });
        spec.spawn(streams.clone());
        Self { streams, _handle: handle }
    }

    /// Waits until the channel is open; returns its description.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn opened(&self) -> Opened<'_, Info> {
        Opened::new(async {
            self.streams.slot.available(is_live).await.map(|(sender, _)| sender.info().clone())
        })
    }

    /// Sends an element, waiting for a connection, and for room or a receiver.
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; it returns the element.
    ///
    /// # Cancel safety
    ///
    /// As [`RemoteSender::send`].
    pub fn send(&self, element: impl Into<Element>) -> ReconnectingSend<'_> {
        ReconnectingSend::new(self, element.into(), false)
    }

    /// Sends an element if there is a connection and the channel accepts it at once.
    ///
    /// # Errors
    ///
    /// When driven: [`SendError::WouldBlock`], or as for [`send`](Self::send).
    pub fn try_send(&self, element: impl Into<Element>) -> ReconnectingSend<'_> {
        ReconnectingSend::new(self, element.into(), true)
    }

    /// A local channel whose elements are sent ahead: each is received from it while there is a
    /// connection, at most one more than the server has granted credit for, and its acknowledgement
    /// is only counted. With it a send to a server that may restart can be an arm of a
    /// [`select!`](becket_chan::select): without a connection the arm is not ready.
    ///
    /// The channel is the same over all connections, until it closes: when the server's channel is
    /// closed or there will be no further connection, with the reason of either; and when it is
    /// closed locally. If the channel is open again on a later connection, another call returns a
    /// new one.
    ///
    /// Received elements are not repeated. If an element's connection ends before its
    /// acknowledgement, [`flush`](Self::flush) counts it as unknown; as refused, if it was not
    /// transmitted.
    #[must_use]
    pub fn ahead(&self) -> Sender<Element> {
        self.streams.ahead.sender()
    }

    /// Waits until every sent element has been answered, or its connection has ended, and returns
    /// the outcomes of the sends that no operation waited for, over all connections. It does not
    /// wait for another connection.
    pub fn flush(&self) -> ReconnectingFlush<'_> {
        ReconnectingFlush(&self.streams)
    }
}

/// Waits until every sent element has been answered. See [`ReconnectingSender::flush`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ReconnectingFlush<'a>(&'a Streams);

impl ReconnectingFlush<'_> {
    /// Waits on a thread or in a coroutine.
    pub fn wait(self) -> Posted {
        becket_coro::block_on(self)
    }
}

impl Future for ReconnectingFlush<'_> {
    type Output = Posted;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Posted> {
        self.0.ahead.poll_flush(context.waker())
    }
}

/// A send. See [`ReconnectingSender::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ReconnectingSend<'a> {
    streams: &'a Streams,
    is_try: bool,
    bounds: Bounds<'a>,
    stage: Stage<'a>,
}

enum Stage<'a> {
    New(Element),
    Running(Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>),
    Over,
}

impl<'a> ReconnectingSend<'a> {
    fn new(sender: &'a ReconnectingSender, element: Element, is_try: bool) -> Self {
        let (bounds, stage) = (Bounds::default(), Stage::New(element));
        Self { streams: &sender.streams, is_try, bounds, stage }
    }

    /// Gives up `duration` from now.
    pub fn timeout(self, duration: Duration) -> Self {
        self.deadline(timer::after(duration))
    }

    /// Gives up at `deadline`. The earlier of two holds.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.bounds.deadline(deadline);
        self
    }

    /// Gives up when `token` is cancelled.
    pub fn cancel_on(mut self, token: &'a Token) -> Self {
        self.bounds.cancel_on(token);
        self
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which parks.
    ///
    /// # Errors
    ///
    /// See [`ReconnectingSender::send`].
    pub fn wait(self) -> Result<(), SendError> {
        becket_coro::block_on(self)
    }
}

async fn send(
    streams: &Streams,
    element: Element,
    is_try: bool,
    bounds: Bounds<'_>,
) -> Result<(), SendError> {
    let remote = if is_try {
        match streams.slot.get() {
            (Availability::Available(remote), _) if is_live(&remote) => remote,
            (Availability::Never(ended), _) => {
                return Err(SendError::Disconnected { element, ended });
            }
            _ => return Err(SendError::WouldBlock(element)),
        }
    } else {
        match bounds.over(streams.slot.available(is_live)).await {
            Ok(Ok((remote, _))) => remote,
            Ok(Err(ended)) => return Err(SendError::Disconnected { element, ended }),
            Err(Stop::Cancelled) => return Err(SendError::Cancelled(element)),
            Err(Stop::TimedOut) => return Err(SendError::TimedOut(element)),
        }
    };
    let send = if is_try { remote.try_send(element) } else { remote.send(element) };
    bounds.send(send).await
}

impl Future for ReconnectingSend<'_> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { streams, is_try, bounds, stage } = &mut *self;
        if let Stage::New(element) = stage {
            let element = std::mem::take(element);
            *stage = Stage::Running(Box::pin(send(streams, element, *is_try, *bounds)));
        }
        // Polled again after completion it is never ready.
        let Stage::Running(running) = stage else { return Poll::Pending };
        let polled = running.as_mut().poll(context);
        if polled.is_ready() {
            *stage = Stage::Over;
        }
        polled
    }
}

impl fmt::Debug for ReconnectingSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingSender").finish_non_exhaustive()
    }
}
