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
use crate::waiter::{Due, Node};

impl<T> Channel<T> {
    /// Sends to a receiver that waits.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline]
    pub(crate) unsafe fn meet_receiver(&self, value: *const T) -> Tried {
        if !self.gate.hint.may_send() {
            return Tried::Blocked;
        }
        let Some(mut gate) = self.short() else {
            // SAFETY: the caller's promise.
            return unsafe { self.try_send_gate(value) };
        };
        // SAFETY: the caller's promise.
        match unsafe { give(&mut gate, value) } {
            Some(due) => {
                self.met(gate, due);
                Tried::Done
            }
            None => {
                self.tell(&gate);
                Tried::Blocked
            }
        }
    }

    /// Receives from a sender that waits.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline]
    pub(crate) unsafe fn meet_sender(&self, out: *mut T) -> Tried {
        let Some(mut gate) = self.short() else {
            // SAFETY: the caller's promise.
            return unsafe { self.try_recv_gate(out) };
        };
        // SAFETY: the caller's promise.
        match unsafe { take(&mut gate, out) } {
            Some(due) => {
                self.met(gate, due);
                Tried::Done
            }
            None => {
                self.tell(&gate);
                Tried::Blocked
            }
        }
    }

    /// Sends to a receiver that waits, or queues.
    ///
    /// # Safety
    ///
    /// As for [`Channel::send_or_queue`].
    #[inline]
    pub(crate) unsafe fn meet_receiver_or_queue(&self, node: *const Node) -> Queued {
        let Some(mut gate) = self.short() else {
            // SAFETY: the caller's promise.
            return unsafe { self.send_or_queue_gate(node) };
        };
        // SAFETY: the caller's promise.
        unsafe {
            match give(&mut gate, (*node).slot::<T>()) {
                Some(due) => {
                    self.met(gate, due);
                    Queued::Done
                }
                None => {
                    gate.senders.push_back(node);
                    self.tell(&gate);
                    Queued::Waiting
                }
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
        let Some(mut gate) = self.short() else {
            // SAFETY: the caller's promise.
            return unsafe { self.recv_or_queue_gate(node) };
        };
        // SAFETY: the caller's promise.
        unsafe {
            match take(&mut gate, (*node).slot::<T>()) {
                Some(due) => {
                    self.met(gate, due);
                    Queued::Done
                }
                None => {
                    gate.receivers.push_back(node);
                    self.tell(&gate);
                    Queued::Waiting
                }
            }
        }
    }

    /// The lock, if the short way may be taken.
    #[inline]
    fn short(&self) -> Option<Guard<'_, Gate<T>>> {
        let gate = self.gate.lock.lock();
        let long = gate.closed | gate.timed | !gate.returned.is_empty();
        (!long).then_some(gate)
    }

    #[inline]
    fn tell(&self, gate: &Gate<T>) {
        self.gate.hint.set(!gate.receivers.is_empty(), !gate.senders.is_empty());
    }

    #[inline]
    fn met(&self, mut gate: Guard<'_, Gate<T>>, due: Option<Due>) {
        gate.counts.handed += 1;
        self.tell(&gate);
        drop(gate);
        if let Some(due) = due {
            due.fire();
        }
    }
}

/// Gives `*value` to the first receiver in line.
///
/// # Safety
///
/// `value` is valid for a read; if somebody took it, it has been moved out.
#[inline]
unsafe fn give<T>(gate: &mut Gate<T>, value: *const T) -> Option<Option<Due>> {
    let receiver = gate.receivers.pop_claimed()?;
    // SAFETY: a claimed receiver's slot is valid for a write; the caller's promise.
    unsafe { ptr::copy_nonoverlapping(value, receiver.node().slot::<T>(), 1) };
    receiver.node().set_turn(gate.next_turn());
    Some(receiver.matched())
}

/// Takes the value of the first sender in line.
///
/// # Safety
///
/// `out` is valid for a write; if there was a sender, it holds a value.
#[inline]
unsafe fn take<T>(gate: &mut Gate<T>, out: *mut T) -> Option<Option<Due>> {
    let sender = gate.senders.pop_claimed()?;
    // SAFETY: a claimed sender's slot holds its value; the caller's promise.
    unsafe { ptr::copy_nonoverlapping(sender.node().slot::<T>(), out, 1) };
    Some(sender.matched())
}
