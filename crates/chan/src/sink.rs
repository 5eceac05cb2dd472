// SPDX-License-Identifier: BSD-3-Clause
//! A sender as a `Sink`, for tasks. With the feature `sink`.
//!
//! A sink must accept a value before it is known whether there is room, so it has one place of its
//! own: the operation that sends the value, in a box that is allocated for the first value and
//! reused for all. `start_send` creates the operation and tries it; if it must wait, it is in the
//! channel's wait queue from then on, and `poll_ready`, `poll_flush` and `poll_close` wait for it.
//! So a sink holds at most one value that the channel has not accepted, on every kind:
//!
//! | kind | `poll_ready` and `poll_flush` wait while |
//! |---|---|
//! | rendezvous | the last value has not been taken by a receiver |
//! | bounded | there was no room for the last value, and there is none yet |
//! | bounded that drops the oldest | every slot is between claim and publication, for a moment |
//! | bounded that drops the latest, conflated, unlimited | – |
//!
//! # Invariants
//!
//! 1. The operation in the box is replaced only after it returned ready, hence only while no wait
//!    queue leads to it.
//! 2. The operation is dropped before the handle that it borrows from.
//!
//! # Safety
//!
//! As for [`RecvStream`](crate::RecvStream), by invariant 2. An operation whose value is taken back
//! is unlinked first, in its place.

use std::fmt;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_sink::Sink;

use crate::error::{SendError, TrySendError};
use crate::handle::Sender;
use crate::op::Operation;
use crate::stream::Held;
use crate::transfer::{Send, Transfer};

/// Sends the values put into it. See [`Sender::sink`].
///
/// Each error contains the value that was not sent: [`Closed`](TrySendError::Closed) when the
/// channel or the sink is closed, [`Full`](TrySendError::Full) from a `start_send` before which
/// `poll_ready` had not returned ready.
///
/// **Cancel safe**: the future of one step, such as `sink.send(value)`, may be dropped; a value
/// that the sink has accepted by then stays in the wait queue and is sent. If the sink is dropped
/// with a value that the channel has not accepted, the value goes to the undelivered hook. Flush it
/// or close it first.
#[must_use = "a sink does nothing unless it is polled"]
pub struct SendSink<'a, T> {
    /// Before the sender, which it may borrow from: fields are dropped in this order.
    operation: Option<Pin<Box<Send<'a, T>>>>,
    /// `None` once the sink is closed.
    sender: Option<Held<'a, Sender<T>>>,
    /// The operation waits.
    waits: bool,
}

impl<T> Sender<T> {
    /// A sink for a task, with backpressure, by the trait `Sink`.
    ///
    /// Closing the sink sends the value it holds and ends the sink, not the channel: the channel
    /// closes by [`close`](Self::close) or when the last sender is dropped.
    pub fn sink(&self) -> SendSink<'_, T> {
        SendSink::new(Held::Borrowed(self))
    }

    /// As [`sink`](Self::sink), but it owns this handle and drops it when it is closed. If that was
    /// the last sender, the channel closes with it.
    pub fn into_sink<'a>(self) -> SendSink<'a, T> {
        SendSink::new(Held::Own(self))
    }
}

impl<'a, T> SendSink<'a, T> {
    fn new(sender: Held<'a, Sender<T>>) -> Self {
        Self { operation: None, sender: Some(sender), waits: false }
    }

    /// The sender behind it; `None` once the sink is closed.
    pub fn sender(&self) -> Option<&Sender<T>> {
        self.sender.as_ref().map(Held::get)
    }

    /// Takes back the value that the channel has not accepted, and removes it from the wait queue.
    /// `None`: the channel has accepted everything.
    pub fn take_back(&mut self) -> Option<T> {
        if !std::mem::take(&mut self.waits) {
            return None;
        }
        self.operation.as_mut()?.as_mut().withdraw()
    }

    /// Waits until it holds no value.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), TrySendError<T>>> {
        match &mut self.operation {
            Some(operation) if self.waits => {
                let polled = operation.as_mut().poll(context);
                self.waits = polled.is_pending();
                polled.map_err(|error| TrySendError::Closed(SendError::into_inner(error)))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn start(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if self.waits {
            return Err(TrySendError::Full(value));
        }
        let Some(sender) = &self.sender else {
            return Err(TrySendError::Closed(value));
        };
        // SAFETY: the operation is a field of the sink and dropped before the sender.
        let channel = unsafe { sender.channel() };
        let new = Operation::new(Transfer::new(channel, MaybeUninit::new(value)));
        match &mut self.operation {
            Some(operation) => operation.as_mut().set(new),
            None => self.operation = Some(Box::pin(new)),
        }
        self.waits = true;
        // The task polls with its waker later; the operation keeps its position in the wait queue.
        match self.poll_sent(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }
}

impl<T> Sink<T> for SendSink<'_, T> {
    type Error = TrySendError<T>;

    /// Ready also when the channel is closed: `start_send` reports that and returns the value.
    fn poll_ready(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), TrySendError<T>>> {
        self.get_mut().poll_sent(context)
    }

    fn start_send(self: Pin<&mut Self>, value: T) -> Result<(), TrySendError<T>> {
        self.get_mut().start(value)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), TrySendError<T>>> {
        self.get_mut().poll_sent(context)
    }

    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), TrySendError<T>>> {
        let this = self.get_mut();
        let sent = this.poll_sent(context);
        if sent.is_ready() {
            this.operation = None;
            this.sender = None;
        }
        sent
    }
}

impl<T> fmt::Debug for SendSink<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendSink")
            .field("sender", &self.sender())
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use std::future::poll_fn;

    use futures_lite::future::{block_on, zip};

    use super::*;
    use crate::{Builder, Overflow, Receiver, bounded, conflated, rendezvous, unlimited};

    type Step = Poll<Result<(), TrySendError<u32>>>;

    fn noop<R>(poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready(sink: &mut SendSink<'_, u32>) -> Step {
        noop(|context| Pin::new(sink).poll_ready(context))
    }

    fn flush(sink: &mut SendSink<'_, u32>) -> Step {
        noop(|context| Pin::new(sink).poll_flush(context))
    }

    fn close(sink: &mut SendSink<'_, u32>) -> Step {
        noop(|context| Pin::new(sink).poll_close(context))
    }

    fn start(sink: &mut SendSink<'_, u32>, value: u32) -> Result<(), TrySendError<u32>> {
        Pin::new(sink).start_send(value)
    }

    const READY: Step = Poll::Ready(Ok(()));

    #[test]
    fn a_bounded_channel_takes_its_capacity_and_the_sink_one_more() {
        let (tx, rx) = bounded(2);
        let mut sink = tx.sink();
        for n in 0..3 {
            assert_eq!(ready(&mut sink), READY);
            start(&mut sink, n).unwrap();
        }
        assert!(ready(&mut sink).is_pending() && flush(&mut sink).is_pending());
        assert_eq!(start(&mut sink, 9), Err(TrySendError::Full(9)));
        assert_eq!((rx.len(), tx.snapshot().senders_waiting), (2, 1));
        assert_eq!(rx.try_recv(), Ok(0));
        assert_eq!((ready(&mut sink), flush(&mut sink)), (READY, READY));
        assert!(rx.try_iter().eq([1, 2]));
    }

    #[test]
    fn what_the_channel_has_not_accepted_can_be_taken_back() {
        let (tx, rx) = bounded(1);
        let mut sink = tx.sink();
        assert_eq!(sink.take_back(), None);
        start(&mut sink, 1).unwrap();
        assert_eq!(sink.take_back(), None);
        start(&mut sink, 2).unwrap();
        assert_eq!((sink.take_back(), tx.snapshot().senders_waiting), (Some(2), 0));
        assert_eq!((ready(&mut sink), sink.take_back()), (READY, None));
        start(&mut sink, 3).unwrap();
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!((sink.take_back(), rx.try_recv()), (None, Ok(3)));
        assert_eq!(rx.snapshot().sends, 2);
    }

    #[test]
    fn a_rendezvous_is_flushed_when_the_value_was_taken() {
        let (tx, rx) = rendezvous();
        let mut sink = tx.sink();
        assert_eq!(flush(&mut sink), READY);
        start(&mut sink, 1).unwrap();
        assert!(flush(&mut sink).is_pending() && ready(&mut sink).is_pending());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(flush(&mut sink), READY);
    }

    #[test]
    fn a_channel_that_never_makes_a_send_wait_is_always_ready() {
        let drops = Builder::bounded(1).overflow(Overflow::DropOldest).build();
        for (tx, rx) in [conflated(), unlimited(), drops] {
            let mut sink = tx.sink();
            for n in 0..10 {
                assert_eq!(ready(&mut sink), READY);
                start(&mut sink, n).unwrap();
                assert_eq!(flush(&mut sink), READY);
            }
            assert_eq!(rx.try_iter().last(), Some(9));
        }
    }

    #[test]
    fn it_is_queued_from_the_start_of_the_send() {
        let (tx, rx) = bounded(1);
        tx.try_send(0).unwrap();
        let mut sink = tx.sink();
        start(&mut sink, 1).unwrap();
        let mut later = std::pin::pin!(tx.send(2));
        assert!(noop(|context| later.as_mut().poll(context)).is_pending());
        assert!(rx.try_iter().eq([0, 1, 2]));
        assert_eq!(flush(&mut sink), READY);
    }

    #[test]
    fn a_value_that_was_not_sent_is_returned_in_the_error() {
        let (tx, rx) = bounded(1);
        let mut sink = tx.sink();
        start(&mut sink, 1).unwrap();
        start(&mut sink, 2).unwrap();
        rx.close();
        assert_eq!(flush(&mut sink), Poll::Ready(Err(TrySendError::Closed(2))));
        assert_eq!(ready(&mut sink), READY);
        assert_eq!(start(&mut sink, 3), Err(TrySendError::Closed(3)));
        assert_eq!(close(&mut sink), READY);
        assert_eq!(start(&mut sink, 4), Err(TrySendError::Closed(4)));
        assert_eq!(tx.snapshot().send_failures.closed, 2, "what the channel itself refused");
    }

    #[test]
    fn a_value_that_it_holds_when_it_is_dropped_is_undelivered() {
        let (lost, heard) = unlimited();
        let hook = move |value| lost.try_send(value).unwrap();
        let (tx, rx) = Builder::bounded(1).on_undelivered(hook).build();
        let mut sink = tx.sink();
        start(&mut sink, 1).unwrap();
        start(&mut sink, 2).unwrap();
        drop(sink);
        assert!(heard.try_iter().eq([2]));
        assert!(rx.try_iter().eq([1]));
        assert_eq!(tx.snapshot().senders_waiting, 0);
    }

    #[test]
    fn closing_it_sends_what_it_holds_and_drops_its_own_handle() {
        let (tx, rx) = bounded(1);
        let mut sink = tx.sink();
        start(&mut sink, 1).unwrap();
        start(&mut sink, 2).unwrap();
        assert!(close(&mut sink).is_pending());
        assert_eq!(rx.try_recv(), Ok(1));
        assert_eq!(close(&mut sink), READY);
        drop(sink);
        assert!(!tx.is_closed(), "the handle is somebody else's");
        let mut own = tx.into_sink();
        assert!(own.sender().is_some());
        assert_eq!(close(&mut own), READY);
        assert!(rx.is_closed() && own.sender().is_none());
        assert_eq!(rx.try_recv(), Ok(2));
    }

    #[test]
    fn a_sink_that_waits_may_be_moved() {
        let (tx, rx) = rendezvous();
        let mut sink = tx.into_sink();
        start(&mut sink, 7).unwrap();
        let mut elsewhere = [sink];
        assert_eq!(rx.try_recv(), Ok(7));
        assert_eq!(flush(&mut elsewhere[0]), READY);
    }

    #[test]
    fn a_task_that_waits_for_it_is_woken() {
        async fn feed(mut sink: SendSink<'_, u32>) {
            for n in 0..30 {
                poll_fn(|context| Pin::new(&mut sink).poll_ready(context)).await.unwrap();
                start(&mut sink, n).unwrap();
            }
            poll_fn(|context| Pin::new(&mut sink).poll_close(context)).await.unwrap();
        }
        async fn hear(rx: Receiver<u32>) {
            for n in 0..30 {
                assert_eq!(rx.recv().await, Ok(n));
            }
            assert!(rx.recv().await.is_err());
        }
        for (tx, rx) in [rendezvous(), bounded(1), bounded(4), unlimited()] {
            block_on(zip(feed(tx.into_sink()), hear(rx)));
        }
    }
}
