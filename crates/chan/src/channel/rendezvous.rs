// SPDX-License-Identifier: BSD-3-Clause
//! The rendezvous kind: a handoff under the lock, and nothing is stored.
//!
//! ```text
//!   sender finds a receiver in the queue:   value ──► the receiver's slot, wake it
//!   receiver finds a sender in the queue:   value ◄── the sender's slot, wake it
//!   neither: the node is queued, in the same hold of the lock
//! ```
//!
//! The copy is the only one: the value goes from one operation's memory into the other operation's
//! memory. The short path is taken while the channel is open and no value is requeued; all other
//! cases take the core's general path.

use std::ptr;

use super::{Channel, Outcome};
use crate::core::Core;
use crate::lock::Guard;
use crate::waiter::{Claimed, Node};

impl<T> Channel<T> {
    /// Sends to a waiting receiver.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn handoff_to_receiver(&self, value: *const T) -> Outcome {
        if !self.core.hint.may_send() {
            return Outcome::Blocked;
        }
        let Some(core) = self.core.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.handoff_to_receiver_late(value) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.handoff_to_receiver_from(core, value) }
    }

    /// As [`Self::handoff_to_receiver`], while another operation holds the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    unsafe fn handoff_to_receiver_late(&self, value: *const T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { self.handoff_to_receiver_from(self.core.lock.lock(), value) }
    }

    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline]
    unsafe fn handoff_to_receiver_from<'a>(
        &'a self,
        core: Guard<'a, Core<T>>,
        value: *const T,
    ) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            if !is_short(&core) {
                return self.try_send_locked(core, value);
            }
            if self.give(core, value) { Outcome::Done } else { Outcome::Blocked }
        }
    }

    /// Receives from a waiting sender.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn handoff_from_sender(&self, out: *mut T) -> Outcome {
        if !self.core.hint.may_recv() {
            return Outcome::Blocked;
        }
        let Some(core) = self.core.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.handoff_from_sender_late(out) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.handoff_from_sender_from(core, out) }
    }

    /// As [`Self::handoff_from_sender`], while another operation holds the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    unsafe fn handoff_from_sender_late(&self, out: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { self.handoff_from_sender_from(self.core.lock.lock(), out) }
    }

    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline]
    unsafe fn handoff_from_sender_from<'a>(
        &'a self,
        core: Guard<'a, Core<T>>,
        out: *mut T,
    ) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            if !is_short(&core) {
                return self.try_recv_locked(core, out);
            }
            if self.take(core, out) { Outcome::Done } else { Outcome::Blocked }
        }
    }

    /// Sends to a waiting receiver, or queues.
    ///
    /// # Safety
    ///
    /// As for [`Channel::send_or_queue`].
    #[inline]
    pub(crate) unsafe fn handoff_to_receiver_or_queue(&self, node: *const Node) -> Outcome {
        loop {
            let Some(mut core) = self.short() else {
                // SAFETY: the caller's promise.
                return unsafe { self.send_or_queue_locked_core(node) };
            };
            if core.receivers.is_empty() {
                // SAFETY: the caller's promise.
                unsafe { core.senders.push_back(node) };
                self.core.hint.set(false, true);
                return Outcome::Blocked;
            }
            // SAFETY: the caller's promise.
            if unsafe { self.give(core, (*node).slot::<T>()) } {
                return Outcome::Done;
            }
        }
    }

    /// Receives from a waiting sender, or queues.
    ///
    /// # Safety
    ///
    /// As for [`Channel::recv_or_queue`].
    #[inline]
    pub(crate) unsafe fn handoff_from_sender_or_queue(&self, node: *const Node) -> Outcome {
        loop {
            let Some(mut core) = self.short() else {
                // SAFETY: the caller's promise.
                return unsafe { self.recv_or_queue_locked_core(node) };
            };
            if core.senders.is_empty() {
                // SAFETY: the caller's promise.
                unsafe { core.receivers.push_back(node) };
                self.core.hint.set(true, false);
                return Outcome::Blocked;
            }
            // SAFETY: the caller's promise.
            if unsafe { self.take(core, (*node).slot::<T>()) } {
                return Outcome::Done;
            }
        }
    }

    /// The lock, if the short path may be taken.
    #[inline]
    fn short(&self) -> Option<Guard<'_, Core<T>>> {
        let core = self.core.lock.lock();
        is_short(&core).then_some(core)
    }

    /// Copies `*value` to the first receiver in the queue. False: every receiver there had been
    /// claimed by other matchers, and the queue is empty.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on true it has been moved out.
    #[inline]
    unsafe fn give(&self, mut core: Guard<'_, Core<T>>, value: *const T) -> bool {
        let Some(receiver) = core.receivers.pop_claimed() else {
            self.update_hint(&core);
            return false;
        };
        // SAFETY: a claimed receiver's slot is valid for a write; the caller's promise.
        unsafe { ptr::copy_nonoverlapping(value, receiver.node().slot::<T>(), 1) };
        receiver.node().set_sequence(core.sequence_at(0));
        self.met(core, receiver);
        true
    }

    /// Takes the value of the first sender in the queue, as [`Self::give`].
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on true it holds a value.
    #[inline]
    pub(super) unsafe fn take(&self, mut core: Guard<'_, Core<T>>, out: *mut T) -> bool {
        let Some(sender) = core.senders.pop_claimed() else {
            self.update_hint(&core);
            return false;
        };
        // SAFETY: a claimed sender's slot holds its value; the caller's promise.
        unsafe { ptr::copy_nonoverlapping(sender.node().slot::<T>(), out, 1) };
        self.met(core, sender);
        true
    }

    #[inline(never)]
    fn met(&self, mut core: Guard<'_, Core<T>>, other: Claimed) {
        let due = other.matched();
        core.counts.handed += 1;
        self.update_hint(&core);
        drop(core);
        if let Some(due) = due {
            due.fire();
        }
    }

    #[inline]
    fn update_hint(&self, core: &Core<T>) {
        self.core.hint.set(!core.receivers.is_empty(), !core.senders.is_empty());
    }
}

/// Whether the short path may be taken.
#[inline]
pub(super) fn is_short<T>(core: &Core<T>) -> bool {
    !(core.closed | core.timed | !core.requeued.is_empty())
}
