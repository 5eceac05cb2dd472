// SPDX-License-Identifier: BSD-3-Clause
//! What a backend is: something that moves descriptors for the channels it is attached to.
//!
//! ```text
//!   registry ── name ─► Backend ── attach(carrier, options) ─► Link, one for a channel
//!                                                               │ try_send  try_recv   at once
//!                                                               │ send      recv       awaited
//!                                                               │ close                wakes all
//!                                                               └ detach               once
//! ```
//!
//! # The rules
//!
//! 1. A descriptor is its producer's until `send` has answered `Ok`; then it is one consumer's. A
//!    send that fails has not touched it.
//! 2. Descriptors of one producer arrive in their order.
//! 3. Nothing waits by spinning: an operation that may wait parks, and ends by its time, its token,
//!    or [`Link::close`].
//! 4. A descriptor that has been accepted and that nobody will receive goes to
//!    [`Carrier::undelivered`], once.
//! 5. What is queued is bounded, unless the channel is an unlimited one.
//!
//! The suite of `conformance` (a feature) tests them on any backend.

use std::any::Any;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use becket_chan::{Kind, Sender, bounded};

use crate::counters::Event;
use crate::desc::Desc;
use crate::failure::Failure;
use crate::limits::{Limits, Time};

/// An operation of a backend under way. Dropped, it is given up.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Makes the links of channels. Registered once, by name ([`register`](crate::register)).
pub trait Backend: Send + Sync + 'static {
    /// Attaches to a channel: at most once for each, never for two threads at a time, before its
    /// first operation. Takes a bounded time, whatever the number of channels.
    ///
    /// # Errors
    ///
    /// The channel is not attached then, and may be again.
    fn attach(
        &self,
        carrier: &Arc<dyn Carrier>,
        options: &dyn Any,
    ) -> Result<Box<dyn Link>, Failure>;
}

/// A channel, as a backend sees it.
pub trait Carrier: Send + Sync {
    /// What kind of channel it is to be.
    fn kind(&self) -> Kind;

    /// How many descriptors it may hold; `None`: its kind says it.
    fn capacity(&self) -> Option<usize>;

    /// Counts something that happened to a descriptor of so many bytes. The channel counts each
    /// operation itself, unless the [link does](Link::counts): a link counts what only it can see.
    fn count(&self, event: Event, bytes: u64);

    /// Takes a descriptor that was accepted and that nobody will receive.
    fn undelivered(&self, desc: Desc);

    /// The channel's own way to hand descriptors over: what `zref` is.
    ///
    /// # Errors
    ///
    /// [`Failure::Unsupported`]: it has none.
    fn hand_over(&self) -> Result<Box<dyn Link>, Failure>;

    /// For a backend that works with channels of one kind only.
    fn as_any(&self) -> &dyn Any;
}

/// What a backend has for one channel. Any thread may call anything at any time.
pub trait Link: Send + Sync {
    /// Sends, if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`]; [`Failure::WouldBlock`] if it would have to wait.
    fn try_send(&self, desc: Desc) -> Result<(), Failure>;

    /// Receives, if that needs no waiting.
    ///
    /// # Errors
    ///
    /// As for [`try_send`](Self::try_send).
    fn try_recv(&self) -> Result<Desc, Failure>;

    /// Sends, and waits. It has been tried already.
    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()>;

    /// Receives, and waits. It has been tried already.
    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc>;

    /// Sends, from a thread or a coroutine, which is parked while it has to wait.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    fn send_wait(&self, desc: Desc, limits: Limits<'_>) -> Result<(), Failure> {
        match self.try_send(desc) {
            Err(Failure::WouldBlock) if limits.time != Time::Now => wait(self.send(desc, limits)),
            answer => answer,
        }
    }

    /// Receives, from a thread or a coroutine, which is parked while it has to wait.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    fn recv_wait(&self, limits: Limits<'_>) -> Result<Desc, Failure> {
        match self.try_recv() {
            Err(Failure::WouldBlock) if limits.time != Time::Now => wait(self.recv(limits)),
            answer => answer,
        }
    }

    /// Whether it counts its operations itself ([`Carrier::count`]), so that the channel does not.
    fn counts(&self) -> bool {
        false
    }

    /// Descriptors that were accepted and have not been received.
    fn in_flight(&self) -> usize;

    /// The channel was closed: sends fail, receives take what is there and then fail, whoever waits
    /// wakes. May be called more than once.
    fn close(&self);

    /// The channel lets go of the link: called once, after it was closed. Nothing is received any
    /// more: what is left goes to [`Carrier::undelivered`].
    fn detach(&self) {}
}

/// Drives a future from a thread or a coroutine, which is parked in between.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let (bell, rings) = bounded(1);
    let waker = Waker::from(Arc::new(Bell(bell)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        // The waker is ours: the bell is there.
        let _rung = rings.recv().wait();
    }
}

struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Full: it has been rung, and not been heard yet.
        let _rung_already = self.0.try_send(());
    }
}
