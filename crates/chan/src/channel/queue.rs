// SPDX-License-Identifier: BSD-3-Clause
//! Operations that wait: try under the lock, and queue the node in the same hold of the lock.

use super::{Channel, Kind, Outcome};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::sync::heavy;
use crate::waiter::Node;

impl<T> Channel<T> {
    /// Sends the value in the node's slot, or appends the node to the wait queue.
    ///
    /// # Safety
    ///
    /// The slot holds a value, which on `Done` has been moved out. On `Blocked` the node and its
    /// claim stay where they are until the wait has ended.
    pub(crate) unsafe fn send_or_queue(&self, node: *const Node) -> Outcome {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.handoff_to_receiver_or_queue(node) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_or_queue_locked_core(node) }
    }

    /// # Safety
    ///
    /// As for [`Self::send_or_queue`].
    #[inline(never)]
    pub(crate) unsafe fn send_or_queue_locked_core(&self, node: *const Node) -> Outcome {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        // SAFETY: entered; the caller's promise.
        let sent = unsafe { core.send(&self.ring, (*node).slot::<T>(), &mut effects) };
        let queued = match sent {
            LockedOutcome::Done => Outcome::Done,
            LockedOutcome::Closed => Outcome::Closed,
            LockedOutcome::Blocked | LockedOutcome::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { core.queue_sender(&self.ring, node) };
                self.recheck(&mut core, sent, &mut effects);
                Outcome::Blocked
            }
        };
        self.leave(core, &mut effects);
        queued
    }

    /// Receives into the node's slot, or appends the node to the wait queue.
    ///
    /// # Safety
    ///
    /// The slot is valid for a write. On `Blocked` the node and its claim stay where they are until
    /// the wait has ended.
    pub(crate) unsafe fn recv_or_queue(&self, node: *const Node) -> Outcome {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.handoff_from_sender_or_queue(node) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.recv_or_queue_locked_core(node) }
    }

    /// # Safety
    ///
    /// As for [`Self::recv_or_queue`].
    #[inline(never)]
    pub(crate) unsafe fn recv_or_queue_locked_core(&self, node: *const Node) -> Outcome {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        // SAFETY: entered; the caller's promise.
        let taken = unsafe { core.recv(&self.ring, (*node).slot::<T>(), &mut effects) };
        let queued = match taken {
            LockedOutcome::Done => Outcome::Done,
            LockedOutcome::Closed => Outcome::Closed,
            LockedOutcome::Blocked | LockedOutcome::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { core.queue_receiver(node) };
                self.recheck(&mut core, taken, &mut effects);
                Outcome::Blocked
            }
        };
        self.leave(core, &mut effects);
        queued
    }

    /// The check between a waiter that has just queued and its sleep: an operation of the other
    /// side that claimed before the ring went slow either sees that it did, or is seen here.
    #[inline]
    fn recheck(&self, core: &mut Core<T>, why: LockedOutcome, effects: &mut DeferredEffects<T>) {
        if why == LockedOutcome::Busy {
            heavy();
            core.rebalance(&self.ring, effects);
        }
    }

    /// Removes a sender's node from the wait queue, if it is there.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    #[inline]
    pub(crate) unsafe fn unqueue_sender(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        self.unqueue(|core| unsafe { core.senders.unlink(node) });
    }

    /// Removes a receiver's node from the wait queue, if it is there.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    #[inline]
    pub(crate) unsafe fn unqueue_receiver(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        self.unqueue(|core| unsafe { core.receivers.unlink(node) });
    }

    /// The readiness of a ring does not depend on waiters, so that only a rendezvous channel's hint
    /// changes; and the ring goes fast with the next operation that completes the hysteresis.
    #[inline]
    fn unqueue(&self, unlink: impl FnOnce(&mut Core<T>) -> bool) {
        let mut core = self.core.lock.lock();
        if unlink(&mut core) && self.kind == Kind::Rendezvous {
            core.update_hint(&self.ring, &self.core.hint);
        }
    }
}
