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
//! 1. A descriptor belongs to its producer until `send` has returned `Ok`; from then on it belongs
//!    to one consumer. A send that fails leaves the descriptor unchanged.
//! 2. Descriptors of one producer arrive in the order in which they were sent.
//! 3. No operation spins: an operation that has to wait parks, and ends by its deadline, its token,
//!    or [`Link::close`].
//! 4. A descriptor that was accepted and will not be received is passed to
//!    [`Carrier::undelivered`], once.
//! 5. The number of queued descriptors is bounded, except in an unlimited channel.
//!
//! The suite in `conformance` (a feature) tests these rules on any backend.

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

/// An operation of a backend in progress. Dropping it cancels the operation.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// Creates the links of channels. Registered once, by name ([`register`](crate::register)).
pub trait Backend: Send + Sync + 'static {
    /// Attaches to a channel. Called at most once per channel, never from two threads at a time,
    /// and before the first operation through the link. It must return in bounded time, whatever
    /// the number of channels.
    ///
    /// # Errors
    ///
    /// The channel is then not attached, and attaching may be retried.
    fn attach(
        &self,
        carrier: &Arc<dyn Carrier>,
        options: &dyn Any,
    ) -> Result<Box<dyn Link>, Failure>;
}

/// A channel, as a backend sees it.
pub trait Carrier: Send + Sync {
    /// The kind of channel to implement.
    fn kind(&self) -> Kind;

    /// The number of descriptors that it may hold; `None`: the kind determines it.
    fn capacity(&self) -> Option<usize>;

    /// Counts an event of a descriptor that names `bytes` bytes. The channel counts each operation
    /// itself, unless the [link does](Link::counts); a link counts what only the link can observe.
    fn count(&self, event: Event, bytes: u64);

    /// Takes a descriptor that was accepted and will not be received.
    fn undelivered(&self, desc: Desc);

    /// For a backend that supports only one type of channel.
    fn as_any(&self) -> &dyn Any;
}

/// A backend's part of one channel. Every method may be called from any thread at any time.
pub trait Link: Send + Sync {
    /// Sends without waiting.
    ///
    /// # Errors
    ///
    /// [`Failure`]; [`Failure::WouldBlock`] if it would have to wait.
    fn try_send(&self, desc: Desc) -> Result<(), Failure>;

    /// Receives without waiting.
    ///
    /// # Errors
    ///
    /// As for [`try_send`](Self::try_send).
    fn try_recv(&self) -> Result<Desc, Failure>;

    /// Sends, and waits if necessary. Called after [`try_send`](Self::try_send) has returned
    /// [`Failure::WouldBlock`].
    fn send<'a>(&'a self, desc: Desc, limits: Limits<'a>) -> Pending<'a, ()>;

    /// Receives, and waits if necessary. Called after [`try_recv`](Self::try_recv) has returned
    /// [`Failure::WouldBlock`].
    fn recv<'a>(&'a self, limits: Limits<'a>) -> Pending<'a, Desc>;

    /// Sends from a thread or a coroutine, which parks while the operation waits.
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

    /// Receives from a thread or a coroutine, which parks while the operation waits.
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

    /// Whether the link counts its operations itself ([`Carrier::count`]); the channel then does
    /// not.
    fn counts(&self) -> bool {
        false
    }

    /// The number of descriptors that were accepted and have not been received.
    fn in_flight(&self) -> usize;

    /// The channel was closed: sends fail, receives drain the channel and then fail, and every
    /// waiting operation wakes. May be called more than once.
    fn close(&self);

    /// The channel drops the link: called once, after `close`. Nothing is received any more; the
    /// descriptors that remain go to [`Carrier::undelivered`].
    fn detach(&self) {}
}

/// Drives a future from a thread or a coroutine, which parks between polls.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let (notify, notified) = bounded(1);
    let waker = Waker::from(Arc::new(Notifier(notify)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        // `waker` holds the sender: the receive cannot fail.
        let _notified = notified.recv().wait();
    }
}

struct Notifier(Sender<()>);

impl Wake for Notifier {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A full channel has a notification pending already.
        let _already_notified = self.0.try_send(());
    }
}
