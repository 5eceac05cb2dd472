// SPDX-License-Identifier: BSD-3-Clause
//! The two directions of an operation: what differs between a send and a receive.

use crate::channel::{Cause, Channel, Queued, Tried};
use crate::error::{RecvError, SendError};
use crate::gate::{After, Locked};
use crate::spin::Brief;
use crate::waiter::Node;

/// A direction: [`Sending`] or [`Receiving`]. Sealed.
pub trait Direction: sealed::Direction {
    /// What an operation of this direction comes to.
    type Output<T>;

    #[doc(hidden)]
    /// Whether it can happen again without being given a value.
    const REPEATS: bool;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// An attempt on the ring, if nothing is in the way. `None`: nothing happened.
    ///
    /// # Safety
    ///
    /// As for [`Self::attempt`]; on `Some` a send's slot holds no value any more.
    unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>>;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// What is left of an attempt when [`Self::fast`] did nothing.
    ///
    /// # Safety
    ///
    /// As for [`Self::attempt`].
    unsafe fn rest<T>(channel: &Channel<T>, slot: *mut T) -> Tried;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The slot is the caller's: a send's holds its value, a receive's is valid for a write.
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T) -> Tried;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// Whether an attempt may do, as far as a look without the lock tells.
    fn may<T>(channel: &Channel<T>) -> bool;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// Whether it is worth trying for a thread that looks before it sleeps.
    fn may_soon<T>(channel: &Channel<T>) -> bool {
        Self::may(channel)
    }

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// How long a task looks before it waits.
    fn looks<T>(channel: &Channel<T>) -> &Brief;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// As for [`Channel::send_or_queue`] and [`Channel::recv_or_queue`].
    unsafe fn queue<T>(channel: &Channel<T>, node: *const Node) -> Queued;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// What a send's value weighs.
    ///
    /// # Safety
    ///
    /// A send's slot holds its value.
    unsafe fn weigh<T>(channel: &Channel<T>, slot: *const T) -> u64;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// An operation that was attempted under the lock happened.
    fn happened<T>(channel: &Channel<T>, weight: u64);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// As for [`Self::attempt`], and the channel's lock is held.
    unsafe fn attempt_held<T>(channel: &Channel<T>, slot: *mut T) -> (Locked, After<T>);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The channel's lock is held since an attempt that did not do; for the node, as for
    /// [`Self::queue`].
    unsafe fn link_held<T>(channel: &Channel<T>, node: *const Node);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// As for [`Self::link_held`], but for a node that may be linked, and of a claim that is idle.
    unsafe fn link_alone<T>(channel: &Channel<T>, node: *const Node);

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// A queued operation happened.
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
    /// The operation happened: a receive's slot holds the value, which is taken.
    unsafe fn done<T>(channel: &Channel<T>, slot: *mut T) -> Self::Output<T>;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The operation did not happen: a send's slot holds the value, which is taken.
    unsafe fn failed<T>(channel: &Channel<T>, slot: *mut T, cause: Cause) -> Self::Output<T>;

    #[doc(hidden)]
    #[allow(private_interfaces, reason = "sealed")]
    /// # Safety
    ///
    /// The operation is dropped, and `matched` says whether it had happened.
    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, turn: u64);
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
    unsafe fn rest<T>(channel: &Channel<T>, slot: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { channel.try_send(slot) }
    }

    #[inline]
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { if channel.send_fast(slot) { Tried::Done } else { channel.try_send(slot) } }
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
    fn looks<T>(channel: &Channel<T>) -> &Brief {
        &channel.send_looks
    }

    unsafe fn queue<T>(channel: &Channel<T>, node: *const Node) -> Queued {
        // SAFETY: the slot holds the value, and the node is nobody else's yet.
        unsafe {
            // A sender's turn has no other use: it keeps the weight until the send has happened.
            if let Some(weight) = channel.weight(&*(*node).slot::<T>()) {
                (*node).set_turn(weight);
            }
            channel.send_or_queue(node)
        }
    }

    unsafe fn attempt_held<T>(channel: &Channel<T>, slot: *mut T) -> (Locked, After<T>) {
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
        channel.count_sent(node.turn());
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
    unsafe fn failed<T>(channel: &Channel<T>, slot: *mut T, cause: Cause) -> Self::Output<T> {
        channel.count_send_failure(cause);
        // SAFETY: the caller's promise.
        let value = unsafe { slot.read() };
        Err(match cause {
            Cause::TimedOut | Cause::WouldBlock => SendError::TimedOut(value),
            Cause::Closed => SendError::Closed(value),
            Cause::Cancelled => SendError::Cancelled(value),
        })
    }

    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, _: u64) {
        if !matched {
            // SAFETY: it did not happen, so that the value is still in the slot.
            channel.lose(unsafe { slot.read() });
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
    unsafe fn rest<T>(channel: &Channel<T>, slot: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { channel.try_recv(slot) }
    }

    #[inline]
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { if channel.recv_fast(slot) { Tried::Done } else { channel.try_recv(slot) } }
    }

    #[inline]
    fn may<T>(channel: &Channel<T>) -> bool {
        channel.may_recv()
    }

    #[inline]
    fn looks<T>(channel: &Channel<T>) -> &Brief {
        &channel.recv_looks
    }

    unsafe fn queue<T>(channel: &Channel<T>, node: *const Node) -> Queued {
        // SAFETY: the caller's promise.
        unsafe { channel.recv_or_queue(node) }
    }

    unsafe fn attempt_held<T>(channel: &Channel<T>, slot: *mut T) -> (Locked, After<T>) {
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
    unsafe fn failed<T>(channel: &Channel<T>, _: *mut T, cause: Cause) -> Self::Output<T> {
        channel.count_receive_failure(cause);
        Err(match cause {
            Cause::TimedOut | Cause::WouldBlock => RecvError::TimedOut,
            Cause::Closed => RecvError::Closed,
            Cause::Cancelled => RecvError::Cancelled,
        })
    }

    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, turn: u64) {
        if matched {
            // SAFETY: it was handed a value and did not give it to anybody.
            channel.give_back(unsafe { slot.read() }, turn);
        }
    }
}
