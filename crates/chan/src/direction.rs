// SPDX-License-Identifier: BSD-3-Clause
//! The two directions of an operation: what differs between a send and a receive.

use crate::channel::{Channel, FailureCause, Outcome};
use crate::core::{DeferredEffects, LockedOutcome};
use crate::error::{RecvError, SendError};
use crate::spin::TaskSpin;
use crate::waiter::Node;

/// A direction: [`Sending`] or [`Receiving`]. Sealed.
pub trait Direction: sealed::Direction {
    /// The result of an operation of this direction.
    type Output<T>;

    #[doc(hidden)]
    /// Whether it can be repeated without a new value.
    const REPEATS: bool;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// The fast path: an attempt on the ring. `None`: nothing happened.
    ///
    /// # Safety
    ///
    /// As for [`Self::attempt`]; on `Some` a send's slot holds no value any more.
    unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>>;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// The slow path of an attempt, after [`Self::fast`] did nothing.
    ///
    /// # Safety
    ///
    /// As for [`Self::attempt`].
    unsafe fn slow<T>(channel: &Channel<T>, slot: *mut T) -> Outcome;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The slot is the caller's: a send's holds its value, a receive's is valid for a write.
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T) -> Outcome;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// Whether an attempt may succeed, by a check without the lock.
    fn may<T>(channel: &Channel<T>) -> bool;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// As [`Self::may`], for a thread that spins before it sleeps: whether an attempt is worth it.
    fn may_soon<T>(channel: &Channel<T>) -> bool {
        Self::may(channel)
    }

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// The adaptive spinning of tasks in this direction.
    fn task_spin<T>(channel: &Channel<T>) -> &TaskSpin;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// As for [`Channel::send_or_queue`] and [`Channel::recv_or_queue`].
    unsafe fn queue<T>(channel: &Channel<T>, node: *const Node) -> Outcome;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// The weight of a send's value.
    ///
    /// # Safety
    ///
    /// A send's slot holds its value.
    unsafe fn weigh<T>(channel: &Channel<T>, slot: *const T) -> u64;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// Counts an operation that completed under the lock.
    fn happened<T>(channel: &Channel<T>, weight: u64);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// As for [`Self::attempt`], and the channel's lock is held.
    unsafe fn attempt_held<T>(
        channel: &Channel<T>,
        slot: *mut T,
    ) -> (LockedOutcome, DeferredEffects<T>);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The channel's lock is held since an attempt that did not succeed; for the node, as for
    /// [`Self::queue`].
    unsafe fn link_held<T>(channel: &Channel<T>, node: *const Node);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// As for [`Self::link_held`], except that the node may be linked, and its claim is idle.
    unsafe fn link_alone<T>(channel: &Channel<T>, node: *const Node);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// Counts a queued operation that was matched.
    fn matched<T>(channel: &Channel<T>, node: &Node);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    unsafe fn unqueue<T>(channel: &Channel<T>, node: *const Node);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The operation completed: a receive's slot holds the value, which is moved out.
    unsafe fn done<T>(channel: &Channel<T>, slot: *mut T) -> Self::Output<T>;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The operation did not complete: a send's slot holds the value, which is moved out.
    unsafe fn failed<T>(channel: &Channel<T>, slot: *mut T, cause: FailureCause)
    -> Self::Output<T>;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The operation is dropped; `matched` says whether it had completed.
    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, sequence: u64);
}

mod sealed {
    pub trait Direction: Sized {}
    impl Direction for super::Sending {}
    impl Direction for super::Receiving {}
}

/// From a sender into a channel.
#[derive(Debug, Clone, Copy)]
pub struct Sending;

/// Out of a channel to a receiver.
#[derive(Debug, Clone, Copy)]
pub struct Receiving;

#[allow(private_interfaces, reason = "sealed")]
impl Direction for Sending {
    type Output<T> = Result<(), SendError<T>>;

    const REPEATS: bool = false;

    #[inline]
    unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>> {
        // SAFETY: the caller's promise.
        unsafe { channel.send_fast(slot) }.then_some(Ok(()))
    }

    #[inline]
    unsafe fn slow<T>(channel: &Channel<T>, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { channel.try_send(slot) }
    }

    #[inline]
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { if channel.send_fast(slot) { Outcome::Done } else { channel.try_send(slot) } }
    }

    #[inline]
    fn may<T>(channel: &Channel<T>) -> bool {
        channel.may_send()
    }

    #[inline]
    fn may_soon<T>(channel: &Channel<T>) -> bool {
        channel.ring.may_push_run().unwrap_or_else(|| channel.may_send())
    }

    #[inline]
    fn task_spin<T>(channel: &Channel<T>) -> &TaskSpin {
        &channel.send_spin
    }

    unsafe fn queue<T>(channel: &Channel<T>, node: *const Node) -> Outcome {
        // SAFETY: the slot holds the value, and the node is not shared yet.
        unsafe {
            // A sender's sequence number has no other use: it keeps the weight until the send has
            // completed.
            if let Some(weight) = channel.weight(&*(*node).slot::<T>()) {
                (*node).set_sequence(weight);
            }
            channel.send_or_queue(node)
        }
    }

    unsafe fn attempt_held<T>(
        channel: &Channel<T>,
        slot: *mut T,
    ) -> (LockedOutcome, DeferredEffects<T>) {
        // SAFETY: the caller's promise.
        unsafe { channel.send_held(slot) }
    }

    #[inline]
    unsafe fn weigh<T>(channel: &Channel<T>, slot: *const T) -> u64 {
        // SAFETY: the caller's promise.
        channel.weight(unsafe { &*slot }).unwrap_or(0)
    }

    #[inline]
    fn happened<T>(channel: &Channel<T>, weight: u64) {
        channel.count_sent(weight);
    }

    unsafe fn link_held<T>(channel: &Channel<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { channel.link_sender_held(node) };
    }

    unsafe fn link_alone<T>(channel: &Channel<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { channel.link_sender_alone(node) };
    }

    #[inline]
    fn matched<T>(channel: &Channel<T>, node: &Node) {
        channel.count_sent(node.sequence());
    }

    unsafe fn unqueue<T>(channel: &Channel<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { channel.unqueue_sender(node) }
    }

    #[inline]
    unsafe fn done<T>(_: &Channel<T>, _: *mut T) -> Self::Output<T> {
        Ok(())
    }

    #[cold]
    unsafe fn failed<T>(
        channel: &Channel<T>,
        slot: *mut T,
        cause: FailureCause,
    ) -> Self::Output<T> {
        channel.count_send_failure(cause);
        // SAFETY: the caller's promise.
        let value = unsafe { slot.read() };
        Err(match cause {
            FailureCause::TimedOut | FailureCause::WouldBlock => SendError::TimedOut(value),
            FailureCause::Closed => SendError::Closed(value),
            FailureCause::Cancelled => SendError::Cancelled(value),
        })
    }

    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, _: u64) {
        if !matched {
            // SAFETY: it did not complete, so the value is still in the slot.
            channel.discard(unsafe { slot.read() });
        }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl Direction for Receiving {
    type Output<T> = Result<T, RecvError>;

    const REPEATS: bool = true;

    #[inline]
    unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>> {
        // SAFETY: the caller's promise; on true the slot holds a value, which is counted.
        unsafe { if channel.recv_fast(slot) { Some(Ok(slot.read())) } else { None } }
    }

    #[inline]
    unsafe fn slow<T>(channel: &Channel<T>, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { channel.try_recv(slot) }
    }

    #[inline]
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { if channel.recv_fast(slot) { Outcome::Done } else { channel.try_recv(slot) } }
    }

    #[inline]
    fn may<T>(channel: &Channel<T>) -> bool {
        channel.may_recv()
    }

    #[inline]
    fn task_spin<T>(channel: &Channel<T>) -> &TaskSpin {
        &channel.recv_spin
    }

    unsafe fn queue<T>(channel: &Channel<T>, node: *const Node) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { channel.recv_or_queue(node) }
    }

    unsafe fn attempt_held<T>(
        channel: &Channel<T>,
        slot: *mut T,
    ) -> (LockedOutcome, DeferredEffects<T>) {
        // SAFETY: the caller's promise.
        unsafe { channel.recv_held(slot) }
    }

    #[inline]
    unsafe fn weigh<T>(_: &Channel<T>, _: *const T) -> u64 {
        0
    }

    #[inline]
    fn happened<T>(_: &Channel<T>, _: u64) {}

    unsafe fn link_held<T>(channel: &Channel<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { channel.link_receiver_held(node) };
    }

    unsafe fn link_alone<T>(channel: &Channel<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { channel.link_receiver_alone(node) };
    }

    #[inline]
    fn matched<T>(_: &Channel<T>, _: &Node) {}

    unsafe fn unqueue<T>(channel: &Channel<T>, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { channel.unqueue_receiver(node) }
    }

    #[inline]
    unsafe fn done<T>(channel: &Channel<T>, slot: *mut T) -> Self::Output<T> {
        // SAFETY: the caller's promise.
        unsafe {
            channel.count_received(&*slot);
            Ok(slot.read())
        }
    }

    #[cold]
    unsafe fn failed<T>(channel: &Channel<T>, _: *mut T, cause: FailureCause) -> Self::Output<T> {
        channel.count_receive_failure(cause);
        Err(match cause {
            FailureCause::TimedOut | FailureCause::WouldBlock => RecvError::TimedOut,
            FailureCause::Closed => RecvError::Closed,
            FailureCause::Cancelled => RecvError::Cancelled,
        })
    }

    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, sequence: u64) {
        if matched {
            // SAFETY: the receive was handed a value and did not return it.
            channel.requeue(unsafe { slot.read() }, sequence);
        }
    }
}
