// SPDX-License-Identifier: BSD-3-Clause
//! The two handles of a channel.

use std::collections::VecDeque;
use std::fmt;
use std::iter;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::Arc as StdArc;

use crate::batch::{RecvMany, SendMany};
use crate::channel::{Cause, Channel, Tried};
use crate::counters::Snapshot;
use crate::error::{TryRecvError, TrySendError};
use crate::gate::Kind;
use crate::op::{Operation, Recv, Send};
use crate::sync::{Arc, Ordering};

/// Why a channel was closed, in words. See [`Sender::close_with`].
pub type Reason = StdArc<str>;

/// The sending side. Clones send into the same channel; when the last one is dropped, the channel
/// closes.
///
/// Thread safe: any number of threads, tasks and coroutines may use one handle or clones of it.
pub struct Sender<T> {
    pub(crate) channel: Arc<Channel<T>>,
}

/// The receiving side. Clones take from the same channel, each value once; when the last one is
/// dropped, the channel closes and what it holds goes to the undelivered hook.
///
/// Thread safe, as [`Sender`] is.
pub struct Receiver<T> {
    pub(crate) channel: Arc<Channel<T>>,
}

pub(crate) fn handles<T>(channel: Channel<T>) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(channel);
    (Sender { channel: channel.clone() }, Receiver { channel })
}

impl<T> Sender<T> {
    /// An operation that sends `value`, waiting for room (or, on a rendezvous channel, for a
    /// receiver) if it must.
    ///
    /// # Errors
    ///
    /// When driven: closed, timed out or cancelled, with the value inside.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it happened, it sends nothing; its value goes to the undelivered hook.
    #[inline]
    pub fn send(&self, value: T) -> Send<'_, T> {
        Operation::new(&self.channel, MaybeUninit::new(value))
    }

    /// Sends `value` if that needs no waiting.
    ///
    /// # Errors
    ///
    /// Full or closed, with the value inside.
    #[inline]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let value = ManuallyDrop::new(value);
        // SAFETY: the value is valid for a read; it is taken again only if it was not moved out.
        if unsafe { self.channel.send_fast(&raw const *value) } {
            return Ok(());
        }
        self.try_send_rest(ManuallyDrop::into_inner(value))
    }

    /// By value: a value of which nobody else has the address may stay in a register until here.
    #[inline(never)]
    fn try_send_rest(&self, value: T) -> Result<(), TrySendError<T>> {
        let value = ManuallyDrop::new(value);
        // SAFETY: as in `try_send`.
        match unsafe { self.channel.try_send(&raw const *value) } {
            Tried::Done => Ok(()),
            failed => Err(self.try_send_failed(ManuallyDrop::into_inner(value), failed)),
        }
    }

    #[cold]
    fn try_send_failed(&self, value: T, failed: Tried) -> TrySendError<T> {
        if failed == Tried::Closed {
            self.channel.count_send_failure(Cause::Closed);
            TrySendError::Closed(value)
        } else {
            self.channel.count_send_failure(Cause::WouldBlock);
            TrySendError::Full(value)
        }
    }

    /// An operation that sends all values of a queue, in order, as many at a time as there is room
    /// for. What was not sent is still in the queue when it fails or is dropped.
    #[inline]
    pub fn send_many<'a>(&'a self, values: &'a mut VecDeque<T>) -> SendMany<'a, T> {
        SendMany::new(&self.channel, values)
    }
}

impl<T> Receiver<T> {
    /// An operation that receives a value, waiting for one if it must.
    ///
    /// # Errors
    ///
    /// When driven: closed (and drained), timed out or cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it gave its value to anybody, it has taken none: a value that was handed to
    /// it goes to the next receiver, before all that came later.
    #[inline]
    pub fn recv(&self) -> Recv<'_, T> {
        Operation::new(&self.channel, MaybeUninit::uninit())
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    ///
    /// Empty, or closed and drained.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: the place is valid for a write.
        if unsafe { self.channel.recv_fast(value.as_mut_ptr()) } {
            // SAFETY: true put a value there.
            return Ok(unsafe { value.assume_init() });
        }
        self.try_recv_rest()
    }

    #[inline(never)]
    fn try_recv_rest(&self) -> Result<T, TryRecvError> {
        if self.channel.weighs() {
            return self.try_recv_weighed();
        }
        let mut value = MaybeUninit::uninit();
        // SAFETY: the place is valid for a write.
        match unsafe { self.channel.try_recv(value.as_mut_ptr()) } {
            // SAFETY: `Done` put a value there.
            Tried::Done => Ok(unsafe { value.assume_init() }),
            failed => Err(self.try_recv_failed(failed)),
        }
    }

    #[inline(never)]
    fn try_recv_weighed(&self) -> Result<T, TryRecvError> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: the place is valid for a write.
        match unsafe { self.channel.try_recv(value.as_mut_ptr()) } {
            Tried::Done => {
                // SAFETY: `Done` put a value there.
                let value = unsafe { value.assume_init() };
                self.channel.count_received(&value);
                Ok(value)
            }
            failed => Err(self.try_recv_failed(failed)),
        }
    }

    #[cold]
    fn try_recv_failed(&self, failed: Tried) -> TryRecvError {
        if failed == Tried::Closed {
            self.channel.count_receive_failure(Cause::Closed);
            TryRecvError::Closed
        } else {
            self.channel.count_receive_failure(Cause::WouldBlock);
            TryRecvError::Empty
        }
    }

    /// Takes back a value that was received and could not be passed on. See
    /// [`put_back_many`](Self::put_back_many).
    pub fn put_back(&self, value: T) {
        self.channel.uncount_received(&value);
        self.channel.put_back(iter::once(value));
    }

    /// Takes back values that were received and could not be passed on, the oldest first: they stand
    /// in front of all that the channel holds, in this order, and their receives are not counted.
    ///
    /// All come back at once: no other operation sees some of them without the others. Receivers in
    /// line get them in order, also those of a rendezvous channel. Where nobody waits they lie in
    /// front until they are received, on a rendezvous channel too; they take room from a bounded one,
    /// and are not refused if it has none. A conflated channel keeps the last, unless a newer value
    /// came meanwhile; the others go to the undelivered hook. A closed channel takes them too.
    pub fn put_back_many(&self, values: impl IntoIterator<Item = T>) {
        let values: Vec<T> = values.into_iter().collect();
        if values.is_empty() {
            return;
        }
        values.iter().for_each(|value| self.channel.uncount_received(value));
        self.channel.put_back(values.into_iter());
    }

    /// Takes the newest values out of the channel, all but the `keep` oldest of those it holds, and
    /// returns them in order; none, if it holds no more than that.
    ///
    /// All are taken at once: no other operation sees a part of it, and what is taken is newer than
    /// all that stays. They are counted as received. Sends that wait for room find it afterwards:
    /// their values are not among those that are taken. So on a rendezvous channel, which holds
    /// nothing but what was put back, a value in a send's hands stays there; a conflated channel holds
    /// one value at most.
    ///
    /// It never waits, and that there is nothing to take counts as no failure. If another thread
    /// stands in the middle of a send whose value would be among those to be taken, that is given
    /// a moment to be done, as in [`try_recv`](Self::try_recv); then nothing is taken.
    ///
    /// ```
    /// let (tx, rx) = becket_chan::unlimited();
    /// (1..=5).for_each(|n| tx.try_send(n).unwrap());
    /// assert_eq!(rx.split_off(2), [3, 4, 5]);
    /// assert!(rx.try_iter().eq([1, 2]));
    /// ```
    ///
    /// [`put_back_many`](Self::put_back_many) is the opposite if nothing was kept: it puts them in
    /// front, where they would otherwise stand before older ones.
    pub fn split_off(&self, keep: usize) -> Vec<T> {
        self.channel.split_off(keep)
    }

    /// An operation that waits for one value and takes up to `max`, appending them to `values`.
    #[inline]
    pub fn recv_many<'a>(&'a self, values: &'a mut Vec<T>, max: usize) -> RecvMany<'a, T> {
        RecvMany::new(&self.channel, values, max)
    }
}

/// What both handles offer alike.
macro_rules! common {
    ($handle:ident, $count:ident) => {
        impl<T> $handle<T> {
            /// Closes the channel: later sends fail, what is queued can still be received, every
            /// waiter wakes. True if this call closed it.
            pub fn close(&self) -> bool {
                self.channel.close(None)
            }

            /// As [`close`](Self::close), with a reason that both sides can read.
            pub fn close_with(&self, reason: impl Into<Reason>) -> bool {
                self.channel.close(Some(reason.into()))
            }

            /// The reason with which the channel was closed, if it was, and with one.
            pub fn closed_reason(&self) -> Option<Reason> {
                self.channel.reason()
            }

            /// Whether the channel is closed. It may still hold values.
            pub fn is_closed(&self) -> bool {
                self.channel.is_closed()
            }

            /// How many values the channel holds.
            pub fn len(&self) -> usize {
                self.channel.len()
            }

            /// Whether it holds none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether it holds as many as it may. A rendezvous channel is always full.
            pub fn is_full(&self) -> bool {
                self.capacity().is_some_and(|capacity| self.len() >= capacity)
            }

            /// How many values it may hold; `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                self.channel.capacity()
            }

            /// What kind of channel it is.
            pub fn kind(&self) -> Kind {
                self.channel.kind
            }

            /// What the channel has done so far, exactly.
            pub fn snapshot(&self) -> Snapshot {
                self.channel.snapshot()
            }

            /// Whether the other handle belongs to the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.channel, &other.channel)
            }
        }

        impl<T> Clone for $handle<T> {
            fn clone(&self) -> Self {
                self.channel.$count.fetch_add(1, Ordering::Relaxed);
                Self { channel: self.channel.clone() }
            }
        }

        impl<T> fmt::Debug for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("kind", &self.kind())
                    .field("len", &self.len())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }
    };
}

common!(Sender, senders);
common!(Receiver, receivers);

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.channel.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.channel.close(None);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.channel.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.channel.abandon();
        }
    }
}
