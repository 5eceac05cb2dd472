// SPDX-License-Identifier: BSD-3-Clause
//! Receiving.
//!
//! ```text
//!   the server ──► task (pull, offers) ──► inbox ──► recv, lease, a select
//!                     ▲                      │
//!                     │ credit: receives     └── more than are wanted: requeued
//!                     └── that wait + window
//! ```
//!
//! The inbox is a local channel of messages. The task asks the server for as many messages as
//! receives wait, and for a window more if there is one.

use std::fmt;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use becket_chan::{Limits, TryRecvError, unlimited};
use bytes::Bytes;
use futures_lite::future::poll_once;

use crate::channel::{Channel, OUTCOME_TIMEOUT};
use crate::counters::Snapshot;
use crate::delivery::{Delivery, Home};
use crate::error::{AckError, RecvError};
use crate::limits::{at_most, within};
use crate::operation::{Close, Lease, Operation, Recv};
use crate::options::Kind;
use crate::{offers, pull};

/// How long a receive that does not wait waits for the server's answer.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Receives from a channel. Clones take from the same channel, each value once, and share its
/// counters.
///
/// Thread safe. When the last clone is dropped, what was requested and not received is requeued; the
/// channel is not closed.
#[derive(Clone)]
pub struct Receiver {
    inner: Arc<Inner>,
}

struct Inner {
    home: Arc<Home>,
    inbox: becket_chan::Receiver<Delivery>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.home.leave();
    }
}

impl Receiver {
    pub(crate) fn new(channel: &Arc<Channel>, window: usize) -> Self {
        let is_rendezvous = channel.kind == Kind::Rendezvous;
        // An offer that is taken ahead of a receive would be stored.
        let window = if is_rendezvous { 0 } else { window };
        // Bounded by the credit.
        let (filled, inbox) = unlimited();
        let home = Arc::new(Home::new(channel.clone(), window, inbox.clone()));
        let ends = (filled, inbox.clone());
        // Without its task, when the thread has ended, the inbox is closed.
        if is_rendezvous {
            channel.engine.spawn(offers::run(home.clone(), ends));
        } else {
            channel.engine.spawn(pull::run(home.clone(), ends));
        }
        Self { inner: Arc::new(Inner { home, inbox }) }
    }

    /// An operation that receives a value, waiting for one, and acknowledges it: it returns the
    /// value once the server has confirmed that the message will not be delivered again.
    ///
    /// If the confirmation does not arrive within `ack_wait`, the value is returned nevertheless: should
    /// the acknowledgement have been lost, another process may receive it too.
    ///
    /// # Errors
    ///
    /// When driven: closed (and drained), timed out or cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned a value, it has taken none: a message that arrived for it goes to
    /// the next receive of this process, or is requeued. One whose acknowledgement was in flight stays in this
    /// process until a receive of it returns its value, however many receives and leases of it are dropped. When the
    /// last receiver is dropped instead, the connection's thread sends it to the server again: as a new message, with
    /// another [`sequence`](Delivery::sequence), behind newer ones. The value is lost only with the process, or with
    /// all handles of a connection whose server is away.
    pub fn recv(&self) -> Recv<'_> {
        Operation::new(move |limits| async move { self.counted(self.receive(limits).await) })
    }

    /// An operation that receives a message, waiting for one, and leaves its acknowledgement to the
    /// caller: a message whose work was not done when its receiver died is delivered again.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// As for [`recv`](Self::recv).
    pub fn lease(&self) -> Lease<'_> {
        Operation::new(move |limits| async move { self.counted(self.take(limits).await) })
    }

    /// An operation that receives a value if there is one: one round trip, and another for the
    /// acknowledgement.
    ///
    /// # Errors
    ///
    /// When driven: [`RecvError::WouldBlock`] or closed. A rendezvous has no value to ask for:
    /// [`RecvError::Unsupported`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned a value, it has received none; but a message that was on its way
    /// to it is delivered again only after `ack_wait`.
    pub fn try_recv(&self) -> Recv<'_> {
        Operation::new(move |limits| async move { self.counted(self.try_receive(limits).await) })
    }

    /// The local channel in which messages arrive, for a [`select!`](becket_chan::select) together
    /// with local channels. While the guard lives, one more message is requested; what arrived and
    /// was not received when it is dropped is requeued, as far as it exceeds the window. So keep it for
    /// as long as the loop around the select runs.
    ///
    /// It closes when the channel is closed and drained.
    #[must_use]
    pub fn want(&self) -> Want<'_> {
        self.inner.home.wanted.fetch_add(1, Ordering::SeqCst);
        self.inner.home.changed.notify_one();
        Want(&self.inner)
    }

    /// As [`Sender::close`](crate::Sender::close).
    pub fn close(&self) -> Close<'_> {
        Operation::new(move |limits| self.channel().close(None, limits))
    }

    /// As [`Sender::close_with`](crate::Sender::close_with).
    pub fn close_with(&self, reason: impl Into<Arc<str>>) -> Close<'_> {
        let reason = Some(reason.into());
        Operation::new(move |limits| self.channel().close(reason, limits))
    }

    /// Whether the channel is known to be closed. It may still hold values.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel().is_closed()
    }

    /// The reason with which the channel was closed, if it is known to be and has one.
    #[must_use]
    pub fn closed_reason(&self) -> Option<Arc<str>> {
        self.channel().reason()
    }

    /// The kind of the channel.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.channel().kind
    }

    /// The exact counts of this process.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.channel().counters.snapshot()
    }

    fn channel(&self) -> &Channel {
        &self.inner.home.channel
    }

    fn counted<T>(&self, result: Result<T, RecvError>) -> Result<T, RecvError> {
        if let Err(error) = &result {
            self.channel().counters.not_received(error);
        }
        result
    }

    fn closed(&self) -> RecvError {
        RecvError::Closed { reason: self.channel().reason() }
    }

    async fn receive(&self, limits: Limits<'_>) -> Result<Bytes, RecvError> {
        loop {
            let delivery = self.take(limits).await?;
            if let Some(value) = self.acknowledge(delivery, limits).await? {
                return Ok(value);
            }
        }
    }

    /// A message from the inbox that is still this process's.
    async fn take(&self, limits: Limits<'_>) -> Result<Delivery, RecvError> {
        loop {
            let mut receive = pin!(self.inner.inbox.recv().limits(limits));
            // Queued first: a message that arrives at once finds the receive waiting.
            let received = match poll_once(receive.as_mut()).await {
                Some(received) => received,
                None => {
                    let _want = self.want();
                    receive.await
                }
            };
            match received {
                Ok(delivery) if delivery.is_expired() => delivery.expire(),
                Ok(mut delivery) => {
                    delivery.taken();
                    return Ok(delivery);
                }
                Err(becket_chan::RecvError::TimedOut) => return Err(RecvError::TimedOut),
                Err(becket_chan::RecvError::Cancelled) => return Err(RecvError::Cancelled),
                Err(_) => return Err(self.closed()),
            }
        }
    }

    /// The value of an acknowledged message. `None`: the server delivers it again.
    async fn acknowledge(
        &self,
        delivery: Delivery,
        limits: Limits<'_>,
    ) -> Result<Option<Bytes>, RecvError> {
        let mut taken = Taken { delivery: Some(delivery) };
        let (confirmed, stop) = match within(limits, taken.confirm()).await {
            Ok(confirmed) => (Some(confirmed), None),
            // Not begun: it goes back. Begun: it gets time to end.
            Err(stop) if !taken.is_acking() => return Err(stop.of_recv()),
            Err(stop) => (at_most(OUTCOME_TIMEOUT, taken.confirm()).await, Some(stop)),
        };
        match (confirmed, stop) {
            (Some(Ok(()) | Err(AckError::Unknown)), _) => {
                Ok(taken.delivery.take().map(Delivery::receive))
            }
            (Some(Err(AckError::Expired)), None) => {
                drop(taken.delivery.take());
                Ok(None)
            }
            (Some(Err(AckError::Expired)), Some(stop)) => {
                drop(taken.delivery.take());
                Err(stop.of_recv())
            }
            (None, Some(stop)) => Err(stop.of_recv()),
            (None, None) => Ok(None),
        }
    }

    async fn try_receive(&self, limits: Limits<'_>) -> Result<Bytes, RecvError> {
        if self.channel().kind == Kind::Rendezvous {
            return Err(RecvError::Unsupported);
        }
        if limits.is_cancelled() {
            return Err(RecvError::Cancelled);
        }
        loop {
            let delivery = match self.inner.inbox.try_recv() {
                Ok(delivery) if delivery.is_expired() => {
                    delivery.expire();
                    continue;
                }
                Ok(mut delivery) => {
                    delivery.taken();
                    delivery
                }
                Err(TryRecvError::Closed) => return Err(self.closed()),
                Err(_) => {
                    let asked = at_most(TRY_TIMEOUT, pull::one(&self.inner.home));
                    let found = within(limits, asked).await.map_err(|stop| stop.of_recv())?;
                    match found.flatten() {
                        Some(mut delivery) => {
                            delivery.taken();
                            delivery
                        }
                        None if self.is_drained().await => return Err(self.closed()),
                        None => return Err(RecvError::WouldBlock),
                    }
                }
            };
            if let Some(value) = self.acknowledge(delivery, limits).await? {
                return Ok(value);
            }
        }
    }

    async fn is_drained(&self) -> bool {
        self.is_closed() && self.inner.home.is_drained().await
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("channel", &self.channel().name)
            .field("kind", &self.channel().kind)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// A message that a receive acknowledges. Dropped, it goes to the front of the inbox.
struct Taken {
    delivery: Option<Delivery>,
}

impl Taken {
    async fn confirm(&mut self) -> Result<(), AckError> {
        match &mut self.delivery {
            Some(delivery) => delivery.confirm().await,
            None => Err(AckError::Expired),
        }
    }

    fn is_acking(&self) -> bool {
        self.delivery.as_ref().is_some_and(Delivery::is_acking)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            delivery.put_back();
        }
    }
}

/// A request for one message, for as long as this lives. See [`Receiver::want`].
pub struct Want<'a>(&'a Inner);

impl Deref for Want<'_> {
    type Target = becket_chan::Receiver<Delivery>;

    fn deref(&self) -> &becket_chan::Receiver<Delivery> {
        &self.0.inbox
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.0.home.wanted.fetch_sub(1, Ordering::SeqCst);
        self.0.home.changed.notify_one();
    }
}

impl fmt::Debug for Want<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Want").field(&self.0.inbox).finish()
    }
}
