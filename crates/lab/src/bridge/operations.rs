// SPDX-License-Identifier: BSD-3-Clause
//! Anything that sends and receives items with futures, such as existing channels.
//!
//! | the flow | the channel |
//! |---|---|
//! | bytes | a `send` of an item |
//! | half-close | `close`, after the last send has completed |
//! | reset | `abandon`, by default `close`; a pending send is dropped |
//! | the end comes out | a `recv` returns nothing |
//! | an error | the flow has failed |
//!
//! An offer is cut into items of `item_bytes_max`. A pending send holds its item: so for a channel
//! of `n` items a flow holds up to `n + 2`, including the rest of the item that came out last.
//!
//! Pending futures are sometimes dropped, as the seed decides, and created anew, where
//! [`Operations`] declares that this loses nothing: while they wait, and also between the wake and
//! the next poll, when a receive may already have been assigned an item.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::rest::Rest;
use super::{Conduit, Failure};

/// A pending operation.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Failure>>>>;

/// Both ends of a channel, which carries one flow.
pub trait Operations {
    /// Sends an item. No other send is pending.
    fn send(&mut self, item: Bytes) -> Pending<()>;

    /// Receives the next item; `None`: the channel is closed and empty. No other receive is
    /// pending.
    fn recv(&mut self) -> Pending<Option<Bytes>>;

    /// Nothing more is sent: the sending end is dropped.
    fn close(&mut self);

    /// The flow is reset. The receiver must notice, by the end or by an error.
    fn abandon(&mut self) {
        self.close();
    }

    /// Whether a pending receive may be dropped without losing anything, even after it was woken
    /// and before it is polled.
    fn may_cancel_recv(&self) -> bool {
        false
    }

    /// Whether a pending send may be dropped and its item [is returned](Self::returned). After a
    /// wake, the item is returned unless it was sent.
    fn may_cancel_send(&self) -> bool {
        false
    }

    /// The item of the send that was dropped last.
    fn returned(&mut self) -> Option<Bytes> {
        None
    }
}

/// The ends of a channel, which carry a flow.
pub struct Ends<O> {
    /// Declared before the channel, whose handles the futures may have: fields are dropped in this
    /// order.
    receiving: Option<Pending<Option<Bytes>>>,
    sending: Option<Pending<()>>,
    channel: O,
    item_bytes_max: usize,
    rest: Rest,
}

impl<O: Operations> Ends<O> {
    /// An item has at most `item_bytes_max` bytes, which is at least one.
    #[must_use]
    pub fn new(channel: O, item_bytes_max: usize) -> Self {
        let item_bytes_max = item_bytes_max.max(1);
        Self { receiving: None, sending: None, channel, item_bytes_max, rest: Rest::default() }
    }

    /// Waits until no send is pending.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(sending) = &mut self.sending {
            let sent = ready!(sending.as_mut().poll(cx));
            self.sending = None;
            sent?;
        }
        Poll::Ready(Ok(()))
    }

    fn start(&mut self, cx: &mut Context<'_>, item: Bytes) -> Poll<Result<(), Failure>> {
        self.sending = Some(self.channel.send(item));
        self.poll_sent(cx)
    }
}

impl<O: Operations> Conduit for Ends<O> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Failure>> {
        ready!(self.poll_sent(cx))?;
        let item = bytes.get(..bytes.len().min(self.item_bytes_max)).unwrap_or_default();
        // Pending or not: the send owns the item.
        match self.start(cx, Bytes::copy_from_slice(item)) {
            Poll::Ready(Err(failure)) => Poll::Ready(Err(failure)),
            _ => Poll::Ready(Ok(item.len())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.poll_sent(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.poll_sent(cx))?;
        self.channel.close();
        Poll::Ready(Ok(()))
    }

    fn abandon(&mut self) {
        self.sending = None;
        self.channel.abandon();
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Failure>> {
        while self.rest.is_empty() {
            let channel = &mut self.channel;
            let receiving = self.receiving.get_or_insert_with(|| channel.recv());
            let received = ready!(receiving.as_mut().poll(cx));
            self.receiving = None;
            match received? {
                Some(item) => self.rest.put(item),
                None => return Poll::Ready(Ok(0)),
            }
        }
        Poll::Ready(Ok(self.rest.take(into)))
    }

    fn cancel_write(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if !self.channel.may_cancel_send() || self.sending.take().is_none() {
            return Ok(());
        }
        let Some(item) = self.channel.returned() else {
            return Err(Failure::new("the item of a send that was given up did not come back"));
        };
        match self.start(cx, item) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => {
                Err(Failure::new("there was room, and the waiting sender was not woken"))
            }
        }
    }

    fn cancel_read(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if !self.channel.may_cancel_recv() || self.receiving.take().is_none() {
            return Ok(());
        }
        let mut receiving = self.channel.recv();
        match receiving.as_mut().poll(cx) {
            Poll::Pending => {
                self.receiving = Some(receiving);
                Ok(())
            }
            Poll::Ready(_) => {
                Err(Failure::new("there was an item, and the waiting receiver was not woken"))
            }
        }
    }

    fn drop_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if !self.channel.may_cancel_send() || self.sending.take().is_none() {
            return Poll::Ready(Ok(()));
        }
        match self.channel.returned() {
            Some(item) => self.start(cx, item),
            // It was sent before it was dropped.
            None => Poll::Ready(Ok(())),
        }
    }

    fn drop_read(&mut self) {
        if self.channel.may_cancel_recv() {
            self.receiving = None;
        }
    }
}

impl<O> fmt::Debug for Ends<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends")
            .field("sends", &self.sending.is_some())
            .field("receives", &self.receiving.is_some())
            .field("rest", &self.rest)
            .finish_non_exhaustive()
    }
}
