// SPDX-License-Identifier: BSD-3-Clause
//! A receiver as a `Stream`, for tasks.
//!
//! An operation that waits must not move, but a stream that can be used without pinning may move.
//! So the stream has its operation in a box, which it allocates at its first poll and reuses for
//! every receive: one allocation per stream.
//!
//! # Invariants
//!
//! 1. The operation in the box is replaced only after it returned ready, hence only while no wait
//!    queue leads to it.
//! 2. The operation is dropped before the handle that it borrows from.
//!
//! # Safety
//!
//! A stream that owns its receiver borrows from itself: the operation refers to the channel, which
//! is behind the receiver's `Arc` and stays where it is when the stream moves. By invariant 2 the
//! reference ends before the receiver does, and it never leaves this module.

use std::fmt;
use std::future::Future;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};

use crate::channel::Channel;
use crate::handle::{Receiver, Sender};
use crate::op::Operation;
use crate::transfer::{Recv, Transfer};

/// The values of a channel as a stream, until it is closed and drained. See [`Receiver::stream`].
///
/// **Cancel safe**: the future of one step, such as `stream.next()`, may be dropped at any point. A
/// stream that returned pending stays in the wait queue, and may be handed a value there; it keeps
/// that value for its next poll. If the stream is dropped, the value is requeued, in front of all
/// later values.
#[must_use = "a stream does nothing until it is polled"]
pub struct RecvStream<'a, T> {
    /// Before the receiver, which it may borrow from: fields are dropped in this order.
    operation: Option<Pin<Box<Recv<'a, T>>>>,
    receiver: Held<'a, Receiver<T>>,
    /// The operation waits.
    waits: bool,
    ended: bool,
}

impl<T> Receiver<T> {
    /// The received values as a stream for a task, until the channel is closed and drained.
    ///
    /// ```
    /// use futures_lite::StreamExt;
    ///
    /// let (tx, rx) = becket_chan::bounded(4);
    /// tx.try_send(1).unwrap();
    /// tx.try_send(2).unwrap();
    /// tx.close();
    /// # futures_lite::future::block_on(async {
    /// let seen: Vec<_> = rx.stream().collect().await;
    /// assert_eq!(seen, [1, 2]);
    /// # });
    /// ```
    pub fn stream(&self) -> RecvStream<'_, T> {
        RecvStream::new(Held::Borrowed(self))
    }

    /// As [`stream`](Self::stream), but it owns this handle.
    pub fn into_stream<'a>(self) -> RecvStream<'a, T> {
        RecvStream::new(Held::Own(self))
    }
}

impl<'a, T> RecvStream<'a, T> {
    fn new(receiver: Held<'a, Receiver<T>>) -> Self {
        Self { operation: None, receiver, waits: false, ended: false }
    }

    /// The receiver behind it.
    pub fn receiver(&self) -> &Receiver<T> {
        self.receiver.get()
    }

    /// Leaves the wait queue until the next poll. A value that was handed to it there is requeued.
    pub fn leave(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.operation = None;
        }
    }

    /// Leaves the wait queue, as [`leave`](Self::leave), but returns a value that was handed to it
    /// there. See [`Operation::withdraw`].
    pub fn withdraw(&mut self) -> Option<T> {
        let waits = std::mem::take(&mut self.waits);
        self.operation.take_if(|_| waits)?.as_mut().withdraw()
    }

    /// The operation, which waits already or is about to start.
    fn operation(&mut self) -> Pin<&mut Recv<'a, T>> {
        let new = || {
            // SAFETY: the operation is a field of the stream and dropped before the receiver.
            let channel = unsafe { self.receiver.channel() };
            Operation::new(Transfer::new(channel, MaybeUninit::uninit()))
        };
        let operation = match self.operation.take() {
            Some(operation) if self.waits => operation,
            Some(mut operation) => {
                operation.as_mut().set(new());
                operation
            }
            None => Box::pin(new()),
        };
        self.operation.insert(operation).as_mut()
    }
}

impl<T> Stream for RecvStream<'_, T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let polled = this.operation().poll(context);
        this.waits = polled.is_pending();
        polled.map(|received| {
            this.ended = received.is_err();
            received.ok()
        })
    }
}

impl<T> FusedStream for RecvStream<'_, T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> fmt::Debug for RecvStream<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvStream")
            .field("receiver", self.receiver())
            .field("waits", &self.waits)
            .field("ended", &self.ended)
            .finish()
    }
}

/// The handle of a stream or a sink: borrowed or owned.
pub(crate) enum Held<'a, H> {
    Borrowed(&'a H),
    Own(H),
}

/// A handle, for [`Held`].
pub(crate) trait Handle<T> {
    fn channel(&self) -> &Channel<T>;
}

impl<T> Handle<T> for Receiver<T> {
    fn channel(&self) -> &Channel<T> {
        &self.channel
    }
}

impl<T> Handle<T> for Sender<T> {
    fn channel(&self) -> &Channel<T> {
        &self.channel
    }
}

impl<'a, H> Held<'a, H> {
    pub(crate) fn get(&self) -> &H {
        match self {
            Self::Borrowed(handle) => handle,
            Self::Own(handle) => handle,
        }
    }

    /// The channel behind it.
    ///
    /// # Safety
    ///
    /// The reference is not used after the handle is gone.
    pub(crate) unsafe fn channel<T: 'a>(&self) -> &'a Channel<T>
    where
        H: Handle<T>,
    {
        let channel: *const Channel<T> = self.get().channel();
        // SAFETY: the handle has an `Arc` of the channel, so the channel stays where it is while
        // the handle lives; the caller's promise for after that.
        unsafe { &*channel }
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use std::task::Waker;

    use futures_lite::StreamExt;
    use futures_lite::future::{block_on, zip};

    use super::*;
    use crate::{Kind, bounded, conflated, rendezvous, unlimited};

    fn poll<T>(stream: &mut RecvStream<'_, T>) -> Poll<Option<T>> {
        Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_stream_that_leaves_the_queue_requeues_its_value() {
        let (tx, rx) = rendezvous();
        let mut stream = rx.stream();
        assert!(poll(&mut stream).is_pending());
        stream.leave();
        assert_eq!(rx.snapshot().receivers_waiting, 0);
        assert!(tx.try_send(1).is_err());
        assert!(poll(&mut stream).is_pending());
        tx.try_send(2).unwrap();
        stream.leave();
        assert_eq!((rx.try_recv(), rx.snapshot().receives), (Ok(2), 1));
        assert!(poll(&mut stream).is_pending());
    }

    #[test]
    fn a_stream_that_withdraws_returns_its_value() {
        for (tx, rx) in [rendezvous(), bounded(2), conflated(), unlimited()] {
            let mut stream = rx.stream();
            assert_eq!(stream.withdraw(), None);
            assert!(poll(&mut stream).is_pending());
            assert_eq!((stream.withdraw(), rx.snapshot().receivers_waiting), (None, 0));
            assert!(poll(&mut stream).is_pending());
            tx.try_send(1).unwrap();
            assert_eq!((stream.withdraw(), stream.withdraw()), (Some(1), None));
            assert_eq!((rx.len(), rx.snapshot().receives, rx.snapshot().bytes_received), (0, 1, 4));
            assert!(poll(&mut stream).is_pending());
            tx.close();
            assert_eq!(stream.withdraw(), None);
            assert_eq!(poll(&mut stream), Poll::Ready(None));
        }
    }

    #[test]
    fn all_values_come_in_order_and_then_the_end_stays() {
        for (tx, rx) in [rendezvous(), bounded(1), bounded(4), unlimited()] {
            block_on(zip(
                async move {
                    for n in 0..40 {
                        tx.send(n).await.unwrap();
                    }
                },
                async {
                    let mut stream = rx.stream();
                    assert!(!stream.is_terminated());
                    let seen: Vec<_> = (&mut stream).collect().await;
                    assert!(seen.into_iter().eq(0..40));
                    assert!(stream.is_terminated());
                    assert_eq!(stream.next().await, None);
                },
            ));
        }
    }

    #[test]
    fn one_box_serves_every_receive() {
        let (tx, rx) = bounded(2);
        let mut stream = rx.stream();
        assert!(stream.operation.is_none(), "nothing is allocated before the first poll");
        let mut place = None;
        for n in 0..10 {
            if n % 2 == 0 {
                assert!(poll(&mut stream).is_pending());
            }
            tx.try_send(n).unwrap();
            assert_eq!(poll(&mut stream), Poll::Ready(Some(n)));
            let now = stream.operation.as_deref().map(std::ptr::from_ref);
            assert!(now.is_some());
            assert_eq!(*place.get_or_insert(now), now);
        }
    }

    #[test]
    fn a_stream_that_waits_may_be_moved() {
        let (tx, rx) = rendezvous();
        let mut stream = rx.stream();
        assert!(poll(&mut stream).is_pending());
        let mut elsewhere = [stream];
        tx.try_send(5).unwrap();
        assert_eq!(poll(&mut elsewhere[0]), Poll::Ready(Some(5)));
        let (tx, rx) = rendezvous();
        let mut own = rx.into_stream();
        assert!(poll(&mut own).is_pending());
        let mut elsewhere = Box::new(own);
        tx.try_send(6).unwrap();
        assert_eq!(poll(&mut elsewhere), Poll::Ready(Some(6)));
    }

    #[test]
    fn a_value_in_a_stream_that_is_dropped_comes_before_later_ones() {
        for kind in [Kind::Bounded, Kind::Unlimited] {
            let (tx, rx) = if kind == Kind::Bounded { bounded(4) } else { unlimited() };
            let mut stream = rx.clone().into_stream();
            assert!(poll(&mut stream).is_pending());
            (1..4).for_each(|n| tx.try_send(n).unwrap());
            assert_eq!((rx.len(), tx.snapshot().sends), (2, 3), "the first is in the stream");
            drop(stream);
            assert!(rx.try_iter().eq(1..4));
        }
    }

    #[test]
    fn a_step_that_is_dropped_loses_nothing() {
        let (tx, rx) = conflated();
        let mut stream = rx.stream();
        block_on(async {
            let none = futures_lite::future::poll_once(stream.next()).await;
            assert_eq!(none, None);
            tx.try_send(1).unwrap();
            assert_eq!(stream.next().await, Some(1));
        });
    }

    #[test]
    fn a_stream_that_owns_its_receiver_closes_the_channel_with_it() {
        let (tx, rx) = bounded(1);
        let mut stream = rx.into_stream();
        assert!(poll(&mut stream).is_pending());
        assert!(!tx.is_closed());
        drop(stream);
        assert!(tx.try_send(1).unwrap_err().is_closed());
    }

    #[test]
    fn values_may_borrow() {
        let words = String::from("here and there");
        let (tx, rx) = unlimited();
        words.split(' ').for_each(|word| tx.try_send(word).unwrap());
        drop(tx);
        let seen: Vec<&str> = block_on(rx.into_stream().collect());
        assert_eq!(seen, ["here", "and", "there"]);
    }

    #[test]
    fn streams_go_to_threads_and_wait_side_by_side() {
        fn is_free<T: Send + Unpin>(_: &T) {}
        let (left, left_out) = bounded(2);
        let (right, right_out) = bounded(2);
        std::thread::scope(|scope| {
            scope.spawn(move || (0..20).for_each(|n| left.send(n).wait().unwrap()));
            scope.spawn(move || (20..40).for_each(|n| right.send(n).wait().unwrap()));
            let (left, right) = (left_out.into_stream(), right_out.into_stream());
            is_free(&left);
            let both = zip(left.collect::<Vec<u32>>(), right.collect::<Vec<u32>>());
            let (left, right) = scope.spawn(move || block_on(both)).join().unwrap();
            assert!(left.into_iter().chain(right).eq(0..40));
        });
    }
}
