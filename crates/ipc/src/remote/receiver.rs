// SPDX-License-Identifier: BSD-3-Clause
//! Receiving from a channel of another process.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use becket_chan::{Limits, Receiver, Recv, TryRecvError};
use becket_wire::StreamId;
use pin_project_lite::pin_project;

use super::limits::{LimitsWait, limit_methods};
use super::wait;
use crate::blocks::Counts;
use crate::client::side::ClientSide;
use crate::client::state::Over;
use crate::connection::{Ended, Owned};
use crate::element::Element;
use crate::error::RecvError;
use crate::streams::service::Info;

/// Receives from a channel of another process. See [`Client::receiver`](crate::Client::receiver).
///
/// Without a window the server is asked for one element per waiting receive; with a window, that
/// many elements may be prefetched into this process. Either way an element that is not received
/// here is requeued at the front of its channel: when a receive gives up, when its operation or the
/// handle is dropped.
pub struct RemoteReceiver {
    connection: Arc<Owned<ClientSide>>,
    stream: StreamId,
    info: Arc<Info>,
    inbox: Receiver<Element>,
    window: u32,
    /// Received from the inbox since credit was last granted to the server.
    taken: AtomicU32,
}

impl RemoteReceiver {
    pub(crate) fn new(
        connection: Arc<Owned<ClientSide>>,
        stream: StreamId,
        info: Arc<Info>,
        (inbox, window): (Receiver<Element>, u32),
    ) -> Self {
        Self { connection, stream, info, inbox, window, taken: AtomicU32::new(0) }
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

    /// Receives an element, waiting for one if necessary.
    ///
    /// # Errors
    ///
    /// When driven: see [`RecvError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned an element, it has received none.
    pub fn recv(&self) -> RemoteRecv<'_> {
        let (limits, limits_wait) = (Limits::none(), LimitsWait::default());
        let state = State { receiver: self, wants: false, is_over: false, limits, limits_wait };
        RemoteRecv { waiting: None, state }
    }

    /// Receives a prefetched element. A receiver without a window has none.
    ///
    /// # Errors
    ///
    /// [`RecvError::WouldBlock`], closed or disconnected.
    pub fn try_recv(&self) -> Result<Element, RecvError> {
        match self.inbox.try_recv() {
            Ok(element) => {
                self.took();
                Ok(element)
            }
            Err(TryRecvError::Closed) => Err(self.over()),
            Err(_) => Err(RecvError::WouldBlock),
        }
    }

    /// The connection's counters of blocks, over all its channels.
    #[must_use]
    pub fn blocks(&self) -> Counts {
        self.connection.with(|side, _| side.block_counts())
    }

    /// The local channel in which elements arrive, for a [`select!`](becket_chan::select) over
    /// local and remote channels. While the guard lives, one more element is requested; what
    /// arrived and was not received when it is dropped is requeued, as far as it exceeds the
    /// window.
    pub fn want(&self) -> Want<'_> {
        self.want_one(true);
        Want(self)
    }

    /// Requests one more element for a select, or revokes that.
    pub(crate) fn want_one(&self, more: bool) {
        self.connection.with(|side, at| {
            if let Some(receiving) = side.receiving(self.stream) {
                receiving.want(at, more);
            }
        });
    }

    /// The local channel in which elements arrive.
    pub(crate) const fn inbox(&self) -> &Receiver<Element> {
        &self.inbox
    }

    /// Closes this handle and waits until the server has everything that was not received.
    pub fn close(self) -> Closing {
        self.connection.with(|side, at| {
            if let Some(receiving) = side.receiving(self.stream) {
                receiving.close(at);
            }
        });
        Closing(self)
    }

    /// Records a received element: credit is granted to the server once per half window.
    #[inline]
    pub(crate) fn took(&self) {
        if self.window > 0
            && self.taken.fetch_add(1, Ordering::Relaxed) + 1 >= self.window.div_ceil(2)
        {
            self.taken.store(0, Ordering::Relaxed);
            self.rebalance();
        }
    }

    /// Adjusts the credit: the number of waiting receives has changed.
    pub(crate) fn rebalance(&self) {
        self.connection.with(|side, at| {
            if let Some(receiving) = side.receiving(self.stream) {
                receiving.rebalance(at);
            }
        });
    }

    /// Why the stream has ended, if it has.
    pub(crate) fn why_over(&self) -> Option<Over> {
        self.connection
            .with(|side, _| side.receiving(self.stream).and_then(|entry| entry.over.clone()))
    }

    fn over(&self) -> RecvError {
        match self.why_over() {
            Some(Over::Ended(ended)) => RecvError::Disconnected(ended),
            Some(Over::Closed(reason)) => RecvError::Closed { reason },
            Some(Over::Reset { why, .. }) => RecvError::Closed { reason: Some(why) },
            None => RecvError::Closed { reason: None },
        }
    }
}

impl Drop for RemoteReceiver {
    fn drop(&mut self) {
        self.connection.with(|side, at| side.release_handle(at, self.stream));
    }
}

impl fmt::Debug for RemoteReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteReceiver")
            .field("channel", &self.info)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A receive from another process. See [`RemoteReceiver::recv`].
    #[must_use = "an operation does nothing until it is awaited or waited for"]
    pub struct RemoteRecv<'a> {
        // The local receive, once it waits. Dropped before the request is revoked.
        #[pin]
        waiting: Option<Recv<'a, Element>>,
        state: State<'a>,
    }

    impl PinnedDrop for RemoteRecv<'_> {
        fn drop(this: Pin<&mut Self>) {
            this.finish();
        }
    }
}

struct State<'a> {
    receiver: &'a RemoteReceiver,
    /// The server was asked for an element for it.
    wants: bool,
    is_over: bool,
    limits: Limits<'a>,
    limits_wait: LimitsWait<'a>,
}

limit_methods!(RemoteRecv, state.limits);

impl RemoteRecv<'_> {
    /// Drives it from a thread, which sleeps, or from a coroutine, which parks.
    ///
    /// # Errors
    ///
    /// See [`RemoteReceiver::recv`].
    pub fn wait(self) -> Result<Element, RecvError> {
        let receiver = self.state.receiver;
        if !self.state.limits.is_cancelled()
            && let Ok(Ok(element)) = receiver.inbox.recv().now()
        {
            // Nothing was registered yet.
            receiver.took();
            return Ok(element);
        }
        wait::wait(&receiver.connection, self)
    }

    /// Stops waiting: an element that may have arrived for it goes to another receive, or back.
    fn finish(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.waiting.set(None);
        this.state.is_over = true;
        if std::mem::take(&mut this.state.wants) {
            this.state.receiver.rebalance();
        }
    }
}

impl Future for RemoteRecv<'_> {
    type Output = Result<Element, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let (mut waiting, state) = (this.waiting, this.state);
        if state.is_over {
            return Poll::Pending;
        }
        let receiver = state.receiver;
        if waiting.is_none() {
            let done = if state.limits.is_cancelled() {
                Some(Err(RecvError::Cancelled))
            } else {
                match receiver.inbox.try_recv() {
                    Ok(element) => Some(Ok(element)),
                    Err(TryRecvError::Closed) => Some(Err(receiver.over())),
                    Err(_) => None,
                }
            };
            if let Some(done) = done {
                return self.done(done);
            }
            waiting.set(Some(receiver.inbox.recv()));
        }
        // Queued first: an element that the server sends at once finds the receive waiting.
        let mut poll = || waiting.as_mut().as_pin_mut().map(|waiting| waiting.poll(context));
        let mut polled = poll();
        if matches!(polled, Some(Poll::Pending)) && !state.wants && receiver.window == 0 {
            state.wants = true;
            receiver.rebalance();
            // It may have arrived meanwhile, on another thread or during this call.
            polled = poll();
        }
        let done = match polled {
            Some(Poll::Ready(Ok(element))) => Ok(element),
            Some(Poll::Ready(Err(_))) => Err(receiver.over()),
            Some(Poll::Pending) | None => {
                let Poll::Ready(stop) = state.limits_wait.poll(&state.limits, context) else {
                    return Poll::Pending;
                };
                // Another thread may have passed it an element since: this receive returns it.
                match waiting.as_mut().as_pin_mut().and_then(Recv::withdraw) {
                    Some(element) => Ok(element),
                    None => Err(stop.of_recv()),
                }
            }
        };
        self.done(done)
    }
}

impl RemoteRecv<'_> {
    #[inline]
    fn done(
        mut self: Pin<&mut Self>,
        done: Result<Element, RecvError>,
    ) -> Poll<Result<Element, RecvError>> {
        if done.is_ok() {
            // The credit for it was used up.
            self.as_mut().project().state.wants = false;
        }
        self.as_mut().finish();
        if done.is_ok() {
            self.state.receiver.took();
        }
        Poll::Ready(done)
    }
}

/// A request for one element, for as long as this lives. See [`RemoteReceiver::want`].
#[derive(Debug)]
pub struct Want<'a>(&'a RemoteReceiver);

impl Deref for Want<'_> {
    type Target = Receiver<Element>;

    fn deref(&self) -> &Receiver<Element> {
        &self.0.inbox
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.0.want_one(false);
    }
}

/// Waits until the server has everything that was not received. See [`RemoteReceiver::close`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
#[derive(Debug)]
pub struct Closing(RemoteReceiver);

impl Closing {
    /// Waits on a thread or in a coroutine.
    pub fn wait(self) {
        wait::wait(&self.0.connection.clone(), self);
    }
}

impl Future for Closing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let RemoteReceiver { connection, stream, .. } = &self.0;
        connection.with(|side, at| match side.receiving(*stream) {
            Some(receiving) => receiving.poll_closed(at, context.waker()),
            None => Poll::Ready(()),
        })
    }
}
