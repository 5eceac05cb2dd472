// SPDX-License-Identifier: BSD-3-Clause
//! The two handles and their builder.

use std::collections::VecDeque;
use std::fmt;
use std::mem::ManuallyDrop;

use super::batch::{self, RecvAny, SendAll, SpscRecvMany, SpscSendMany};
use super::channel::{Channel, Cursor, Side};
use super::job::{RecvOne, SendOne, SpscOperation, SpscRecv, SpscSend};
use crate::channel::Kind;
use crate::channel::{FailureCause, Undelivered, Weigh};
use crate::counters::Snapshot;
use crate::error::{SendError, SendManyError, TryRecvError, TrySendError};
use crate::handle::Reason;
use crate::sync::Arc;

/// The only sender of a channel. When it is dropped, the channel closes.
///
/// ```compile_fail
/// let (tx, _rx) = becket_chan::bounded_spsc::<u32>(1);
/// let other = tx.clone(); // there is one
/// ```
pub struct SpscSender<T> {
    pub(super) channel: Arc<Channel<T>>,
    pub(super) cursor: Cursor,
}

/// The only receiver of a channel. When it is dropped, the channel closes, and its values go to the
/// undelivered hook.
pub struct SpscReceiver<T> {
    pub(super) channel: Arc<Channel<T>>,
    pub(super) cursor: Cursor,
}

/// A channel for one sender and one receiver that holds up to `capacity` values, exactly. A
/// capacity of 0 is taken as 1: for handoffs without room there is
/// [`rendezvous`](crate::rendezvous).
///
/// ```
/// let (mut tx, mut rx) = becket_chan::bounded_spsc(1024);
/// let sum: u64 = std::thread::scope(|scope| {
///     scope.spawn(move || (1..=1000).for_each(|n| tx.send(n).wait().unwrap()));
///     rx.iter().sum()
/// });
/// assert_eq!(sum, 500_500);
/// ```
#[must_use]
pub fn bounded_spsc<T>(capacity: usize) -> (SpscSender<T>, SpscReceiver<T>) {
    SpscBuilder::bounded(capacity).build()
}

/// Builds a channel for one sender and one receiver with more options than a capacity.
///
/// It is a builder of its own because the SPSC handles have one kind of channel and one policy for
/// a full one: the sender waits.
///
/// ```
/// use becket_chan::SpscBuilder;
///
/// let (lost, undelivered) = becket_chan::unlimited();
/// let (mut tx, rx) = SpscBuilder::bounded(2)
///     .on_undelivered(move |value: u32| drop(lost.try_send(value)))
///     .build();
/// assert!(tx.try_send(1).is_ok());
/// drop(rx);
/// assert_eq!(undelivered.try_recv(), Ok(1));
/// ```
#[must_use]
pub struct SpscBuilder<T> {
    capacity: usize,
    undelivered: Option<Undelivered<T>>,
    weigh: Option<Weigh<T>>,
}

impl<T> SpscBuilder<T> {
    /// See [`bounded_spsc`].
    pub fn bounded(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), undelivered: None, weigh: None }
    }

    /// As [`Builder::on_undelivered`](crate::Builder::on_undelivered).
    pub fn on_undelivered(mut self, hook: impl Fn(T) + Send + Sync + 'static) -> Self {
        let hook: Undelivered<T> = Box::new(hook);
        self.undelivered = Some(hook);
        self
    }

    /// As [`Builder::weigh`](crate::Builder::weigh).
    pub fn weigh(mut self, weigh: impl Fn(&T) -> u64 + Send + Sync + 'static) -> Self {
        let weigh: Weigh<T> = Box::new(weigh);
        self.weigh = Some(weigh);
        self
    }

    /// Makes the channel.
    #[must_use]
    pub fn build(self) -> (SpscSender<T>, SpscReceiver<T>) {
        let channel = Arc::new(Channel::new(self.capacity, self.undelivered, self.weigh));
        let sender = SpscSender { channel: channel.clone(), cursor: channel.cursor() };
        let receiver = SpscReceiver { cursor: channel.cursor(), channel };
        (sender, receiver)
    }
}

impl<T> SpscSender<T> {
    /// An operation that sends `value`, waiting for room if it must.
    ///
    /// # Errors
    ///
    /// When driven: closed, timed out or cancelled, with the value inside.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, it sends nothing; its value goes to the undelivered hook.
    #[inline]
    pub fn send(&mut self, value: T) -> SpscSend<'_, T> {
        SpscOperation::of(SendOne::new(self, value))
    }

    /// Sends `value` without waiting.
    ///
    /// # Errors
    ///
    /// Full or closed, with the value inside.
    #[inline]
    pub fn try_send(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if !self.channel.has_plain_room(&mut self.cursor, false) {
            return self.try_send_slow(value);
        }
        let value = ManuallyDrop::new(value);
        // SAFETY: there is room, and the value is not used again.
        unsafe { self.channel.send_plain(&mut self.cursor, &raw const *value) }
            .map_err(|value| self.try_send_failed(value))
    }

    #[inline(never)]
    fn try_send_slow(&mut self, value: T) -> Result<(), TrySendError<T>> {
        if !self.channel.has_room(&mut self.cursor, false) {
            return Err(self.try_send_failed(value));
        }
        let value = ManuallyDrop::new(value);
        // SAFETY: there is room, and the value is not used again.
        unsafe { self.channel.send(&mut self.cursor, &raw const *value) }
            .map_err(|value| self.try_send_failed(value))
    }

    /// The error of a send that found the channel closed.
    #[cold]
    pub(super) fn send_failed(&self, value: T) -> SendError<T> {
        self.channel.count_send_failure(FailureCause::Closed);
        SendError::Closed(value)
    }

    #[cold]
    fn try_send_failed(&self, value: T) -> TrySendError<T> {
        if self.channel.is_closed() {
            self.channel.count_send_failure(FailureCause::Closed);
            TrySendError::Closed(value)
        } else {
            self.channel.count_send_failure(FailureCause::WouldBlock);
            TrySendError::Full(value)
        }
    }

    /// An operation that sends all values of a queue, in order, each time as many as there is room
    /// for.
    ///
    /// # Errors
    ///
    /// When driven: closed, timed out or cancelled. Unsent values are still in the queue.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, it may have sent some values; the others are still in the
    /// queue.
    pub fn send_many<'a>(&'a mut self, values: &'a mut VecDeque<T>) -> SpscSendMany<'a, T> {
        SpscOperation::of(SendAll::new(self, values))
    }

    /// Sends from the front of `values` without waiting, and returns how many were sent.
    ///
    /// # Errors
    ///
    /// Full or closed, if no value was sent.
    pub fn try_send_many(&mut self, values: &mut VecDeque<T>) -> Result<usize, SendManyError> {
        let sent = batch::send(&self.channel, &mut self.cursor, values, false);
        if sent > 0 || values.is_empty() {
            return Ok(sent);
        }
        Err(if self.channel.is_closed() {
            self.channel.count_send_failure(FailureCause::Closed);
            SendManyError::Closed
        } else {
            self.channel.count_send_failure(FailureCause::WouldBlock);
            SendManyError::Full
        })
    }
}

impl<T> SpscReceiver<T> {
    /// An operation that receives a value, waiting for one if it must.
    ///
    /// # Errors
    ///
    /// When driven: closed (and drained), timed out or cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, it has taken nothing.
    #[inline]
    pub fn recv(&mut self) -> SpscRecv<'_, T> {
        SpscOperation::of(RecvOne::new(self))
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    ///
    /// Empty, or closed and drained.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if !self.channel.has_plain_value(&mut self.cursor) {
            return self.try_recv_slow();
        }
        // SAFETY: there is a value.
        Ok(unsafe { self.channel.recv_plain(&mut self.cursor) })
    }

    #[inline(never)]
    fn try_recv_slow(&mut self) -> Result<T, TryRecvError> {
        if !self.has_value() {
            return Err(self.try_recv_failed());
        }
        // SAFETY: there is a value.
        Ok(unsafe { self.channel.recv(&mut self.cursor) })
    }

    #[cold]
    fn try_recv_failed(&mut self) -> TryRecvError {
        if self.is_drained() {
            self.channel.count_receive_failure(FailureCause::Closed);
            TryRecvError::Closed
        } else {
            self.channel.count_receive_failure(FailureCause::WouldBlock);
            TryRecvError::Empty
        }
    }

    #[inline]
    pub(super) fn has_value(&mut self) -> bool {
        self.channel.has_value(&mut self.cursor)
    }

    /// Whether the channel is closed and drained. A call that sees the close also sees all values
    /// that were sent before it.
    pub(super) fn is_drained(&mut self) -> bool {
        self.channel.is_closed() && !self.has_value()
    }

    /// An operation that waits for one value and takes up to `max`, appending them to `values`. Its
    /// result is their number; with a `max` of 0 it completes at once.
    ///
    /// # Errors
    ///
    /// When driven: closed (and drained), timed out or cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, it has taken nothing.
    pub fn recv_many<'a>(&'a mut self, values: &'a mut Vec<T>, max: usize) -> SpscRecvMany<'a, T> {
        SpscOperation::of(RecvAny::new(self, values, max))
    }

    /// Appends up to `max` values without waiting, and returns how many.
    ///
    /// # Errors
    ///
    /// Empty, or closed and drained, if there was no value.
    pub fn try_recv_many(
        &mut self,
        values: &mut Vec<T>,
        max: usize,
    ) -> Result<usize, TryRecvError> {
        match batch::recv(&self.channel, &mut self.cursor, values, max) {
            0 if max > 0 => Err(self.try_recv_failed()),
            received => Ok(received),
        }
    }

    /// The received values, until the channel is closed and drained; waits for each as
    /// [`recv`](Self::recv) does.
    pub fn iter(&mut self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.recv().wait().ok())
    }

    /// The available values, without waiting.
    pub fn try_iter(&mut self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_recv().ok())
    }
}

/// The methods that both handles share.
macro_rules! common {
    ($handle:ident, $side:expr) => {
        impl<T> $handle<T> {
            /// Closes the channel: later sends fail, queued values can still be received, the
            /// waiter is woken. True if this call closed it.
            pub fn close(&mut self) -> bool {
                self.channel.close($side, &mut self.cursor, None)
            }

            /// As [`close`](Self::close), with a reason that both sides can read.
            pub fn close_with(&mut self, reason: impl Into<Reason>) -> bool {
                self.channel.close($side, &mut self.cursor, Some(reason.into()))
            }

            /// The reason with which the channel was closed; `None` if it is open or has none.
            pub fn closed_reason(&self) -> Option<Reason> {
                self.channel.reason()
            }

            /// Whether the channel is closed. It may still hold values.
            pub fn is_closed(&self) -> bool {
                self.channel.is_closed()
            }

            /// The number of values that the channel holds.
            pub fn len(&self) -> usize {
                self.channel.len()
            }

            /// Whether the channel holds no value.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether the channel is at its capacity.
            pub fn is_full(&self) -> bool {
                self.len() == self.channel.capacity()
            }

            /// The capacity in values.
            pub fn capacity(&self) -> Option<usize> {
                Some(self.channel.capacity())
            }

            /// The kind of the channel.
            pub fn kind(&self) -> Kind {
                Kind::Bounded
            }

            /// The exact counts of the channel so far.
            pub fn snapshot(&self) -> Snapshot {
                self.channel.snapshot()
            }
        }

        impl<T> fmt::Debug for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("len", &self.len())
                    .field("capacity", &self.channel.capacity())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }
    };
}

common!(SpscSender, Side::Sender);
common!(SpscReceiver, Side::Receiver);

impl<T> Drop for SpscSender<T> {
    fn drop(&mut self) {
        self.channel.close(Side::Sender, &mut self.cursor, None);
    }
}

impl<T> Drop for SpscReceiver<T> {
    fn drop(&mut self) {
        self.channel.abandon(&mut self.cursor);
    }
}
