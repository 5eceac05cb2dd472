// SPDX-License-Identifier: BSD-3-Clause
//! Operations that wait: try under the lock, and in the same hold take a place in the line.

use super::{Channel, Queued};
use crate::gate::{After, Gate, Kind, Locked};
use crate::sync::heavy;
use crate::waiter::Node;

impl<T> Channel<T> {
    /// Sends the value in the node's slot, or gives the node a place in the line.
    ///
    /// # Safety
    ///
    /// The slot holds a value, which on `Done` has been moved out. On `Waiting` the node and its
    /// claim stay where they are until the wait has ended.
    pub(crate) unsafe fn send_or_queue(&self, node: *const Node) -> Queued {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.meet_receiver_or_queue(node) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_or_queue_gate(node) }
    }

    /// # Safety
    ///
    /// As for [`Self::send_or_queue`].
    #[inline(never)]
    pub(crate) unsafe fn send_or_queue_gate(&self, node: *const Node) -> Queued {
        let mut after = After::new();
        let mut gate = self.enter();
        // SAFETY: entered; the caller's promise.
        let sent = unsafe { gate.send(&self.ring, (*node).slot::<T>(), &mut after) };
        let queued = match sent {
            Locked::Done => Queued::Done,
            Locked::Closed => Queued::Closed,
            Locked::Blocked | Locked::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { gate.queue_sender(&self.ring, node) };
                self.look_again(&mut gate, sent, &mut after);
                Queued::Waiting
            }
        };
        self.leave(gate, &mut after);
        queued
    }

    /// Receives into the node's slot, or gives the node a place in the line.
    ///
    /// # Safety
    ///
    /// The slot is valid for a write. On `Waiting` the node and its claim stay where they are until
    /// the wait has ended.
    pub(crate) unsafe fn recv_or_queue(&self, node: *const Node) -> Queued {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.meet_sender_or_queue(node) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.recv_or_queue_gate(node) }
    }

    /// # Safety
    ///
    /// As for [`Self::recv_or_queue`].
    #[inline(never)]
    pub(crate) unsafe fn recv_or_queue_gate(&self, node: *const Node) -> Queued {
        let mut after = After::new();
        let mut gate = self.enter();
        // SAFETY: entered; the caller's promise.
        let taken = unsafe { gate.recv(&self.ring, (*node).slot::<T>(), &mut after) };
        let queued = match taken {
            Locked::Done => Queued::Done,
            Locked::Closed => Queued::Closed,
            Locked::Blocked | Locked::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { gate.queue_receiver(node) };
                self.look_again(&mut gate, taken, &mut after);
                Queued::Waiting
            }
        };
        self.leave(gate, &mut after);
        queued
    }

    /// What stands between a waiter that has just queued and its sleep: an operation of the other
    /// side that claimed before the ring went slow either sees that it did, or is seen here.
    #[inline]
    fn look_again(&self, gate: &mut Gate<T>, why: Locked, after: &mut After<T>) {
        if why == Locked::Busy {
            heavy();
            gate.settle(&self.ring, after);
        }
    }

    /// Takes a sender's node out of the line, if it is there.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    #[inline]
    pub(crate) unsafe fn unqueue_sender(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        self.unqueue(|gate| unsafe { gate.senders.unlink(node) });
    }

    /// Takes a receiver's node out of the line, if it is there.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    #[inline]
    pub(crate) unsafe fn unqueue_receiver(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        self.unqueue(|gate| unsafe { gate.receivers.unlink(node) });
    }

    /// What can be found on a ring does not depend on who waits for it, so that only a rendezvous
    /// channel's hint changes; and the ring goes fast with the next operation that finds it calm.
    #[inline]
    fn unqueue(&self, unlink: impl FnOnce(&mut Gate<T>) -> bool) {
        let mut gate = self.gate.lock.lock();
        if unlink(&mut gate) && self.kind == Kind::Rendezvous {
            gate.tell(&self.ring, &self.gate.hint);
        }
    }
}
