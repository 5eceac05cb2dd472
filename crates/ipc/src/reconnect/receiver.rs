// SPDX-License-Identifier: BSD-3-Clause
//! Receiving over connections that are made again.
//!
//! With a window, elements may have come whose connection ended before anybody received them. The
//! server has given them away: they lie here, before whatever the next connection brings, and the
//! channel is opened again when they have been received. So no more than a window ever lies here.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Token, timer};
use parking_lot::Mutex;

use super::bounds::Bounds;
use super::keeper::Keeper;
use super::slot::{Now, Slot};
use super::{Handle, Opened, Reopened};
use crate::client::{Client, ReceiverOptions};
use crate::connection::Ended;
use crate::element::Element;
use crate::error::{OpenError, RecvError};
use crate::remote::limits::Stop;
use crate::remote::receiver::RemoteReceiver;
use crate::streams::service::Info;

/// Receives from a channel of a server that may go and come again.
///
/// A receive that begins while there is no connection waits for one, within its limits. A receive
/// that waited for an element when the connection ended ends with [`RecvError::Disconnected`] and
/// has taken nothing. Elements that had come ahead are received first.
pub struct ReconnectingReceiver {
    streams: Arc<Streams>,
    _handle: Handle,
}

pub(super) struct Streams {
    slot: Slot<Arc<RemoteReceiver>>,
    options: ReceiverOptions,
    /// What had come on connections that have ended.
    left: Mutex<VecDeque<Element>>,
    /// Cancelled when nothing of it is left.
    none_left: Mutex<Token>,
}

impl Keeper for Streams {
    type Opened = RemoteReceiver;

    async fn open(&self, client: &Client, name: &str) -> Result<RemoteReceiver, OpenError> {
        client.receiver_with(name, self.options).await
    }

    async fn serve(&self, opened: RemoteReceiver, lost: &Token) {
        let opened = Arc::new(opened);
        self.slot.set(Now::There(opened.clone()));
        lost.cancelled().await;
        let none_left = Token::new();
        let is_left = {
            let mut left = self.left.lock();
            left.extend(std::iter::from_fn(|| opened.try_recv().ok()));
            *self.none_left.lock() = none_left.clone();
            !left.is_empty()
        };
        drop(opened);
        self.slot.set(Now::Away);
        if is_left {
            none_left.cancelled().await;
        }
    }

    fn never(&self, ended: Ended) {
        self.slot.set(Now::Never(ended));
    }
}

impl Streams {
    fn take_left(&self) -> Option<Element> {
        let (element, is_last) = {
            let mut left = self.left.lock();
            (left.pop_front()?, left.is_empty())
        };
        if is_last {
            let none_left = self.none_left.lock().clone();
            none_left.cancel();
        }
        Some(element)
    }

    /// What is left, or a stream that is open.
    async fn next(&self) -> Result<Next, Ended> {
        loop {
            // Asked for before what is left: when more is left, this is cancelled.
            let (now, changed) = self.slot.get();
            if let Some(element) = self.take_left() {
                return Ok(Next::Left(element));
            }
            match now {
                Now::There(remote) if is_live(&remote) => return Ok(Next::Stream(remote)),
                Now::Never(ended) => return Err(ended),
                _ => {}
            }
            changed.cancelled().await;
        }
    }
}

enum Next {
    Left(Element),
    Stream(Arc<RemoteReceiver>),
}

fn is_live(receiver: &Arc<RemoteReceiver>) -> bool {
    receiver.ended().is_none()
}

impl ReconnectingReceiver {
    pub(super) fn start(channel: Reopened, options: ReceiverOptions) -> Self {
        let (place, handle) = channel.place();
        let (left, none_left) = (Mutex::default(), Mutex::default());
        let streams = Arc::new(Streams { slot: Slot::default(), options, left, none_left });
        place.keep(streams.clone());
        Self { streams, _handle: handle }
    }

    /// Waits until the channel is open; gives its description.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`] or [`Ended::Here`].
    pub fn opened(&self) -> Opened<'_, Info> {
        Opened::new(async {
            self.streams.slot.there(is_live).await.map(|(receiver, _)| receiver.info().clone())
        })
    }

    /// An operation that receives an element, waiting for a connection and for one.
    ///
    /// # Errors
    ///
    /// When driven: see [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// As of [`RemoteReceiver::recv`].
    pub fn recv(&self) -> ReconnectingRecv<'_> {
        let stage = Stage::New;
        ReconnectingRecv { streams: &self.streams, bounds: Bounds::default(), stage }
    }

    /// Takes an element that has come ahead, on this connection or one before.
    ///
    /// # Errors
    ///
    /// [`RecvError::WouldBlock`], also without a connection; closed, or disconnected for good.
    pub fn try_recv(&self) -> Result<Element, RecvError> {
        if let Some(element) = self.streams.take_left() {
            return Ok(element);
        }
        match self.streams.slot.get() {
            (Now::There(remote), _) if is_live(&remote) => remote.try_recv(),
            (Now::Never(ended), _) => Err(RecvError::Disconnected(ended)),
            _ => Err(RecvError::WouldBlock),
        }
    }
}

/// A receive that has not been driven yet. See [`ReconnectingReceiver::recv`].
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

    /// Drives it from a thread, which sleeps, or from a coroutine, which is parked.
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
        Ok(Ok(Next::Left(element))) => Ok(element),
        Ok(Ok(Next::Stream(remote))) => bounds.recv(remote.recv()).await,
        Ok(Err(ended)) => Err(RecvError::Disconnected(ended)),
        Err(Stop::Cancelled) => Err(RecvError::Cancelled),
        Err(Stop::TimedOut) => Err(RecvError::TimedOut),
    }
}

impl Future for ReconnectingRecv<'_> {
    type Output = Result<Element, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { streams, bounds, stage } = &mut *self;
        if let Stage::New = stage {
            *stage = Stage::Running(Box::pin(recv(streams, *bounds)));
        }
        // Polled after it was over, it is never ready.
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
