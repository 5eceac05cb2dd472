// SPDX-License-Identifier: BSD-3-Clause
//! The two handles of a channel.

use std::collections::VecDeque;
use std::fmt;
use std::iter;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::Arc as StdArc;

use crate::batch::{ManyReceived, ManySent, RecvMany, SendMany};
use crate::channel::{Channel, FailureCause, Outcome};
use crate::channel::{Kind, Overflow};
use crate::counters::Snapshot;
use crate::error::{TryRecvError, TrySendError};
use crate::op::Operation;
use crate::sync::{Arc, Ordering};
use crate::transfer::{Recv, Send, Transfer};

/// The reason of a close, as text. See [`Sender::close_with`].
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
    /// Dropped before it completed, it sends nothing; its value goes to the undelivered hook.
    #[inline]
    pub fn send(&self, value: T) -> Send<'_, T> {
        Operation::new(Transfer::new(&self.channel, MaybeUninit::new(value)))
    }

    /// Sends `value` without waiting.
    ///
    /// A receive of another thread that has begun to take a value may not have freed its slot yet,
    /// even if later receives are over: the channel can be full for that moment.
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
        // SAFETY: not moved out. A read makes a copy, whose address is passed in place of `value`'s:
        // so the fast path may keep a value of some words in registers.
        self.try_send_slow(unsafe { (&raw const *value).read() })
    }

    /// By value: a value whose address has not escaped may stay in a register until here.
    #[inline(never)]
    fn try_send_slow(&self, value: T) -> Result<(), TrySendError<T>> {
        let value = ManuallyDrop::new(value);
        // SAFETY: as in `try_send`.
        match unsafe { self.channel.try_send(&raw const *value) } {
            Outcome::Done => Ok(()),
            failed => Err(self.try_send_failed(ManuallyDrop::into_inner(value), failed)),
        }
    }

    #[cold]
    fn try_send_failed(&self, value: T, failed: Outcome) -> TrySendError<T> {
        if failed == Outcome::Closed {
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
    #[inline]
    pub fn send_many<'a>(&'a self, values: &'a mut VecDeque<T>) -> SendMany<'a, T> {
        Operation::new(ManySent::new(&self.channel, values))
    }
}

impl<T> Sender<T> {
    /// What a bounded channel does with a value for which it has no room.
    pub fn overflow(&self) -> Overflow {
        self.channel.overflow()
    }

    /// Changes the policy of a bounded channel. Sends that wait for room complete at once, if the
    /// new policy does not wait: their values are stored, and the oldest ones dropped, or they are
    /// dropped themselves. The other kinds always have room, or never, and ignore it.
    ///
    /// ```
    /// use becket_chan::{Overflow, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// assert!(tx.try_send(1).is_ok() && tx.try_send(2).is_err());
    /// tx.set_overflow(Overflow::DropOldest);
    /// assert!(tx.try_send(2).is_ok());
    /// assert_eq!(rx.try_recv(), Ok(2));
    /// ```
    pub fn set_overflow(&self, overflow: Overflow) {
        self.channel.set_overflow(overflow);
    }

    /// Sets the undelivered hook of a channel that was built without one: see
    /// [`Builder::on_undelivered`](crate::Builder::on_undelivered). Values that were dropped before
    /// do not reach it. False: the channel has a hook, which stays.
    pub fn set_on_undelivered(
        &self,
        hook: impl Fn(T) + std::marker::Send + Sync + 'static,
    ) -> bool {
        self.channel.set_undelivered(Box::new(hook))
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
    /// Dropped before it returned a value, it has taken none: a value that was handed to it is
    /// requeued and goes to the next receiver, before all later values.
    #[inline]
    pub fn recv(&self) -> Recv<'_, T> {
        Operation::new(Transfer::new(&self.channel, MaybeUninit::uninit()))
    }

    /// Receives a value if there is one.
    ///
    /// A send of another thread that has begun may not have published its value yet, even if later
    /// sends are over: the channel can be empty for that moment.
    ///
    /// # Errors
    ///
    /// Empty, or closed and drained.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: the slot is valid for a write.
        if unsafe { self.channel.recv_fast(value.as_mut_ptr()) } {
            // SAFETY: on true the slot holds a value.
            return Ok(unsafe { value.assume_init() });
        }
        // Into a slot of its own, whose address is passed: so the fast path may keep a value of some
        // words in registers.
        let mut value = MaybeUninit::uninit();
        match self.try_recv_slow(&mut value) {
            // SAFETY: on `Ok` the slot holds a value.
            Ok(()) => Ok(unsafe { value.assume_init() }),
            Err(error) => Err(error),
        }
    }

    /// On `Ok` the slot holds a value.
    #[inline(never)]
    fn try_recv_slow(&self, slot: &mut MaybeUninit<T>) -> Result<(), TryRecvError> {
        if self.channel.weighs() {
            return self.try_recv_weighed(slot);
        }
        // SAFETY: the slot is valid for a write.
        match unsafe { self.channel.try_recv(slot.as_mut_ptr()) } {
            Outcome::Done => Ok(()),
            failed => Err(self.try_recv_failed(failed)),
        }
    }

    #[inline(never)]
    fn try_recv_weighed(&self, slot: &mut MaybeUninit<T>) -> Result<(), TryRecvError> {
        // SAFETY: the slot is valid for a write.
        match unsafe { self.channel.try_recv(slot.as_mut_ptr()) } {
            Outcome::Done => {
                // SAFETY: on `Done` the slot holds a value.
                unsafe { self.channel.count_returned(slot.as_mut_ptr()) };
                Ok(())
            }
            failed => Err(self.try_recv_failed(failed)),
        }
    }

    #[cold]
    fn try_recv_failed(&self, failed: Outcome) -> TryRecvError {
        if failed == Outcome::Closed {
            self.channel.count_receive_failure(FailureCause::Closed);
            TryRecvError::Closed
        } else {
            self.channel.count_receive_failure(FailureCause::WouldBlock);
            TryRecvError::Empty
        }
    }

    /// Requeues a value that was received and could not be passed on. See
    /// [`put_back_many`](Self::put_back_many).
    pub fn put_back(&self, value: T) {
        self.channel.uncount_received(&value);
        self.channel.put_back(iter::once(value));
    }

    /// Requeues values that were received and could not be passed on, the oldest first: they come
    /// in front of all values of the channel, in this order, and their receives are subtracted from
    /// the count.
    ///
    /// All are requeued at once: no other operation sees some of them without the others. Waiting
    /// receivers get them in order, also on a rendezvous channel. While no receiver waits, they
    /// stay in front until they are received, on a rendezvous channel too; they take room from a
    /// bounded channel, and are accepted even if it has none. A conflated channel keeps the last,
    /// unless a newer value arrived meanwhile; the other values go to the undelivered hook. A
    /// closed channel accepts them too.
    pub fn put_back_many(&self, values: impl IntoIterator<Item = T>) {
        let values: Vec<T> = values.into_iter().collect();
        if values.is_empty() {
            return;
        }
        values.iter().for_each(|value| self.channel.uncount_received(value));
        self.channel.put_back(values.into_iter());
    }

    /// Removes the newest values from the channel, all except the `keep` oldest, and returns them
    /// in order; none, if it holds at most `keep` values.
    ///
    /// All are removed at once: no other operation sees some of them without the others, and the
    /// removed values are newer than all that stay. They are counted as received. Sends that wait
    /// for room find it afterwards: their values are not among the removed ones. So on a rendezvous
    /// channel, which holds only requeued values, the value of a waiting send stays with the send;
    /// a conflated channel holds one value at most.
    ///
    /// It never waits, and an empty result counts as no failure. If another thread is in the middle
    /// of a send whose value would be among the removed ones, that send gets a moment to complete,
    /// as in [`try_recv`](Self::try_recv); after that nothing is removed.
    ///
    /// ```
    /// let (tx, rx) = becket_chan::unlimited();
    /// (1..=5).for_each(|n| tx.try_send(n).unwrap());
    /// assert_eq!(rx.split_off(2), [3, 4, 5]);
    /// assert!(rx.try_iter().eq([1, 2]));
    /// ```
    ///
    /// [`put_back_many`](Self::put_back_many) is the inverse if nothing was kept: it requeues in
    /// front; otherwise the values would come before the older ones that stayed.
    pub fn split_off(&self, keep: usize) -> Vec<T> {
        self.channel.split_off(keep)
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
    /// Dropped before it completed, it has taken nothing, as with [`recv`](Self::recv).
    #[inline]
    pub fn recv_many<'a>(&'a self, values: &'a mut Vec<T>, max: usize) -> RecvMany<'a, T> {
        Operation::new(ManyReceived::new(&self.channel, values, max))
    }
}

/// The methods that both handles share.
macro_rules! common {
    ($handle:ident, $count:ident) => {
        impl<T> $handle<T> {
            /// Closes the channel: later sends fail, queued values can still be received, every
            /// waiter is woken. True if this call closed it.
            pub fn close(&self) -> bool {
                self.channel.close(None)
            }

            /// As [`close`](Self::close), with a reason that both sides can read.
            pub fn close_with(&self, reason: impl Into<Reason>) -> bool {
                self.channel.close(Some(reason.into()))
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

            /// The number of operations that wait on this side of the channel.
            pub fn waiting(&self) -> usize {
                self.channel.core.lock.lock().$count.len()
            }

            /// Whether the channel is at its capacity. A rendezvous channel is always full.
            pub fn is_full(&self) -> bool {
                self.capacity().is_some_and(|capacity| self.len() >= capacity)
            }

            /// The capacity in values; `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                self.channel.capacity()
            }

            /// The kind of the channel.
            pub fn kind(&self) -> Kind {
                self.channel.kind
            }

            /// The exact counts of the channel so far.
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
