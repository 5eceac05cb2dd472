// SPDX-License-Identifier: BSD-3-Clause
//! Receiving over reconnecting connections.
//!
//! With a window, elements may have arrived whose connection ended before they were received. The
//! server has handed them over: they are kept in the [select bridge](super::select_bridge), before
//! the elements of the next connection, and the channel is reopened when they have been received.
//! So at most a window of them, and one per want, are kept.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Token, timer};
use futures_lite::future::or;

use super::availability::{Availability, AvailabilityCell};
use super::bounds::Bounds;
use super::reopen::Reopen;
use super::select_bridge::{ReconnectingWant, SelectBridge};
use super::{Handle, Opened, Reopened};
use crate::client::{Client, ReceiverOptions};
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, RecvError};
use crate::remote::limits::Stop;
use crate::remote::receiver::RemoteReceiver;
use crate::streams::service::Info;

/// Receives from a channel of a server that may restart.
///
/// A receive that begins without a connection waits for one, within its limits. A receive that
/// waited for an element when the connection ended fails with [`RecvError::Disconnected`] and has
/// received nothing. Prefetched elements are received first.
pub struct ReconnectingReceiver {
    streams: Arc<Streams>,
    _handle: Handle,
}

pub(super) struct Streams {
    slot: AvailabilityCell<Arc<RemoteReceiver>>,
    options: ReceiverOptions,
    pub(super) bridge: SelectBridge,
}

impl Reopen for Streams {
    type Opened = RemoteReceiver;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteReceiver, OpenError> {
        client.receiver_with(name, self.options).await
    }

    async fn serve(&self, opened: RemoteReceiver, lost: &Token) {
        let opened = Arc::new(opened);
        self.bridge.open(&opened);
        self.slot.set(Availability::Available(opened.clone()));
        until(lost, self.bridge.serve(Some(&opened))).await;
        let leftover = self.bridge.lost(&opened);
        drop(opened);
        self.slot.set(Availability::Unavailable);
        if let Some(none_leftover) = leftover {
            until(&none_leftover, self.bridge.serve(None)).await;
        }
    }

    fn never(&self, ended: Ended) {
        if let (Availability::Available(remote), _) = self.slot.get()
            && !is_live(&remote)
        {
            let _leftover = self.bridge.lost(&remote);
        }
        self.bridge.never(&ended);
        self.slot.set(Availability::Never(ended));
    }
}

/// Runs `what` until a token is cancelled.
async fn until(token: &Token, what: impl Future<Output = ()>) {
    let cancelled = async {
        token.cancelled().await;
    };
    or(cancelled, what).await;
}

impl Streams {
    /// A leftover element, or an open stream.
    async fn next(&self) -> Result<Next, Ended> {
        loop {
            // Taken before the leftover check: when elements become leftover, `changed` is
            // cancelled.
            let (now, changed) = self.slot.get();
            let taken = self.bridge.take();
            if taken.is_wanted {
                self.bridge.resume();
            }
            if let Some(element) = taken.element {
                return Ok(Next::Leftover(element));
            }
            match now {
                Availability::Never(ended) => return Err(ended),
                _ if taken.is_wanted => return Ok(Next::Bridge),
                Availability::Available(remote) if is_live(&remote) => {
                    return Ok(Next::Stream(remote));
                }
                _ => {}
            }
            changed.cancelled().await;
        }
    }

    /// Removes a want.
    pub(super) fn unwant(&self, outlet: &becket_chan::Receiver<Element>) {
        if self.bridge.unwant(outlet) {
            self.slot.nudge();
        }
    }

    /// Receives behind the waiters at the outlet.
    async fn recv_at_bridge(&self, bounds: Bounds<'_>) -> Result<Element, RecvError> {
        let want = ReconnectingWant::new(self);
        match bounds.over(want.recv()).await {
            Ok(Ok(element)) => Ok(element),
            Ok(Err(_)) => Err(match self.slot.get() {
                (Availability::Never(ended), _) => RecvError::Disconnected(ended),
                _ => RecvError::Closed { reason: want.closed_reason() },
            }),
            Err(stop) => Err(stopped(stop)),
        }
    }
}

fn stopped(stop: Stop) -> RecvError {
    match stop {
        Stop::Cancelled => RecvError::Cancelled,
        Stop::TimedOut => RecvError::TimedOut,
    }
}

enum Next {
    Leftover(Element),
    /// There are wants, which come first.
    Bridge,
    Stream(Arc<RemoteReceiver>),
}

fn is_live(receiver: &Arc<RemoteReceiver>) -> bool {
    receiver.ended().is_none()
}

impl ReconnectingReceiver {
    pub(super) fn start(channel: Reopened, options: ReceiverOptions) -> Self {
        let (spec, handle) = channel.reopen_spec();
        let (slot, bridge) = (AvailabilityCell::default(), SelectBridge::default());
        let streams = Arc::new(Streams { slot, options, bridge });
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
            self.streams.slot.available(is_live).await.map(|(receiver, _)| receiver.info().clone())
        })
    }

    /// Receives an element, waiting for a connection and for an element.
    ///
    /// # Errors
    ///
    /// When driven: see [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// As [`RemoteReceiver::recv`].
    pub fn recv(&self) -> ReconnectingRecv<'_> {
        let stage = Stage::New;
        ReconnectingRecv { streams: &self.streams, bounds: Bounds::default(), stage }
    }

    /// Receives a prefetched element, of this connection or an earlier one.
    ///
    /// # Errors
    ///
    /// [`RecvError::WouldBlock`], also without a connection; closed, or disconnected for good.
    pub fn try_recv(&self) -> Result<Element, RecvError> {
        let taken = self.streams.bridge.take();
        let received = match (taken.element, self.streams.slot.get().0) {
            (Some(element), _) => Ok(element),
            (None, Availability::Available(remote)) if is_live(&remote) => remote.try_recv(),
            (None, Availability::Never(ended)) => Err(RecvError::Disconnected(ended)),
            _ => Err(RecvError::WouldBlock),
        };
        if taken.is_wanted {
            self.streams.bridge.resume();
        }
        received
    }

    /// A local channel in which elements arrive, for a [`select!`](becket_chan::select) over local
    /// and remote channels. While the guard lives, one element at a time is requested; an element
    /// that arrived and was not received when it is dropped is requeued.
    ///
    /// The channel is the same over all connections. Without a connection it is empty; a select
    /// that waits continues to wait, and receives from the next server. It closes when the server's
    /// channel is closed and drained, and when there will be no further connection: its reason
    /// states which. If the channel is open again on a later connection, the next want receives
    /// from it.
    ///
    /// An element that arrived on a connection that has ended is kept, like a prefetched one: it is
    /// received before all others. While a want lives, [`recv`](Self::recv) waits in the same
    /// queue, and survives reconnections too.
    ///
    /// An element passes through the I/O thread. Without a select, `recv` is faster.
    ///
    /// # Cancel safety
    ///
    /// As [`Receiver`](becket_chan::Receiver).
    pub fn want(&self) -> ReconnectingWant<'_> {
        ReconnectingWant::new(&self.streams)
    }
}

/// A receive. See [`ReconnectingReceiver::recv`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ReconnectingRecv<'a> {
    streams: &'a Streams,
    bounds: Bounds<'a>,
    stage: Stage<'a>,
}

enum Stage<'a> {
    New,
    Running(Pin<Box<dyn Future<Output = Result<Element, RecvError>> + Send + 'a>>),
    Over,
}

impl<'a> ReconnectingRecv<'a> {
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
    /// See [`ReconnectingReceiver::recv`].
    pub fn wait(self) -> Result<Element, RecvError> {
        becket_coro::block_on(self)
    }
}

async fn recv(streams: &Streams, bounds: Bounds<'_>) -> Result<Element, RecvError> {
    match bounds.over(streams.next()).await {
        Ok(Ok(Next::Leftover(element))) => Ok(element),
        Ok(Ok(Next::Stream(remote))) => bounds.recv(remote.recv()).await,
        Ok(Ok(Next::Bridge)) => streams.recv_at_bridge(bounds).await,
        Ok(Err(ended)) => Err(RecvError::Disconnected(ended)),
        Err(stop) => Err(stopped(stop)),
    }
}

impl Future for ReconnectingRecv<'_> {
    type Output = Result<Element, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { streams, bounds, stage } = &mut *self;
        if let Stage::New = stage {
            *stage = Stage::Running(Box::pin(recv(streams, *bounds)));
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

impl fmt::Debug for ReconnectingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingReceiver").finish_non_exhaustive()
    }
}
