// SPDX-License-Identifier: BSD-3-Clause
//! The rendezvous kind's short way: from hand to hand, under the lock.
//!
//! ```text
//!   sender finds a receiver in line:   value ──► the receiver's slot, wake it
//!   receiver finds a sender in line:   value ◄── the sender's slot, wake it
//!   neither: a place in the line, in the same hold of the lock
//! ```
//!
//! The copy is the only one: the value goes from one operation's memory into the other's. The short
//! way is taken while the channel is open and nothing was given back; everything else goes the
//! gate's long way.

use std::ptr;

use super::{Channel, Queued, Tried};
use crate::gate::Gate;
use crate::lock::Guard;
use crate::waiter::{Claimed, Node};

impl<T> Channel<T> {
    /// Sends to a receiver that waits.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn meet_receiver(&self, value: *const T) -> Tried {
        if !self.gate.hint.may_send() {
            return Tried::Blocked;
        }
        let Some(gate) = self.gate.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.meet_receiver_late(value) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.meet_receiver_from(gate, value) }
    }

    /// As [`Self::meet_receiver`], where another operation has the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    unsafe fn meet_receiver_late(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { self.meet_receiver_from(self.gate.lock.lock(), value) }
    }

    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline]
    unsafe fn meet_receiver_from<'a>(&'a self, gate: Guard<'a, Gate<T>>, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            if !is_short(&gate) {
                return self.try_send_locked(gate, value);
            }
            if self.give(gate, value) { Tried::Done } else { Tried::Blocked }
        }
    }

    /// Receives from a sender that waits.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn meet_sender(&self, out: *mut T) -> Tried {
        if !self.gate.hint.may_recv() {
            return Tried::Blocked;
        }
        let Some(gate) = self.gate.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.meet_sender_late(out) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.meet_sender_from(gate, out) }
    }

    /// As [`Self::meet_sender`], as [`Self::meet_receiver_late`].
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    unsafe fn meet_sender_late(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { self.meet_sender_from(self.gate.lock.lock(), out) }
    }

    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline]
    unsafe fn meet_sender_from<'a>(&'a self, gate: Guard<'a, Gate<T>>, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            if !is_short(&gate) {
                return self.try_recv_locked(gate, out);
            }
            if self.take(gate, out) { Tried::Done } else { Tried::Blocked }
        }
    }

    /// Sends to a receiver that waits, or queues.
    ///
    /// # Safety
    ///
    /// As for [`Channel::send_or_queue`].
    #[inline]
    pub(crate) unsafe fn meet_receiver_or_queue(&self, node: *const Node) -> Queued {
        loop {
            let Some(mut gate) = self.short() else {
                // SAFETY: the caller's promise.
                return unsafe { self.send_or_queue_gate(node) };
            };
            if gate.receivers.is_empty() {
                // SAFETY: the caller's promise.
                unsafe { gate.senders.push_back(node) };
                self.gate.hint.set(false, true);
                return Queued::Waiting;
            }
            // SAFETY: the caller's promise.
            if unsafe { self.give(gate, (*node).slot::<T>()) } {
                return Queued::Done;
            }
        }
    }

    /// Receives from a sender that waits, or queues.
    ///
    /// # Safety
    ///
    /// As for [`Channel::recv_or_queue`].
    #[inline]
    pub(crate) unsafe fn meet_sender_or_queue(&self, node: *const Node) -> Queued {
        loop {
            let Some(mut gate) = self.short() else {
                // SAFETY: the caller's promise.
                return unsafe { self.recv_or_queue_gate(node) };
            };
            if gate.senders.is_empty() {
                // SAFETY: the caller's promise.
                unsafe { gate.receivers.push_back(node) };
                self.gate.hint.set(true, false);
                return Queued::Waiting;
            }
            // SAFETY: the caller's promise.
            if unsafe { self.take(gate, (*node).slot::<T>()) } {
                return Queued::Done;
            }
        }
    }

    /// The lock, if the short way may be taken.
    #[inline]
    fn short(&self) -> Option<Guard<'_, Gate<T>>> {
        let gate = self.gate.lock.lock();
        is_short(&gate).then_some(gate)
    }

    /// Gives `*value` to the first receiver in line. False: each that was there had been claimed by
    /// others, and the line is empty.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on true it has been moved out.
    #[inline]
    unsafe fn give(&self, mut gate: Guard<'_, Gate<T>>, value: *const T) -> bool {
        let Some(receiver) = gate.receivers.pop_claimed() else {
            self.tell(&gate);
            return false;
        };
        // SAFETY: a claimed receiver's slot is valid for a write; the caller's promise.
        unsafe { ptr::copy_nonoverlapping(value, receiver.node().slot::<T>(), 1) };
        receiver.node().set_turn(gate.next_turn());
        self.met(gate, receiver);
        true
    }

    /// Takes the value of the first sender in line, as [`Self::give`].
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on true it holds a value.
    #[inline]
    unsafe fn take(&self, mut gate: Guard<'_, Gate<T>>, out: *mut T) -> bool {
        let Some(sender) = gate.senders.pop_claimed() else {
            self.tell(&gate);
            return false;
        };
        // SAFETY: a claimed sender's slot holds its value; the caller's promise.
        unsafe { ptr::copy_nonoverlapping(sender.node().slot::<T>(), out, 1) };
        self.met(gate, sender);
        true
    }

    #[inline(never)]
    fn met(&self, mut gate: Guard<'_, Gate<T>>, other: Claimed) {
        let due = other.matched();
        gate.counts.handed += 1;
        self.tell(&gate);
        drop(gate);
        if let Some(due) = due {
            due.fire();
        }
    }

    #[inline]
    fn tell(&self, gate: &Gate<T>) {
        self.gate.hint.set(!gate.receivers.is_empty(), !gate.senders.is_empty());
    }
}

/// Whether the short way may be taken.
#[inline]
fn is_short<T>(gate: &Gate<T>) -> bool {
    !(gate.closed | gate.timed | !gate.returned.is_empty())
}
