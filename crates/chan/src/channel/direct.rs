// SPDX-License-Identifier: BSD-3-Clause
//! The short paths where a receive waits and nothing is stored: a value goes from the send straight
//! into the slot of the receive that has waited longest, and a receive that finds nothing is
//! queued.
//!
//! So go the values of a channel whose receivers are faster than its senders: every receive waits,
//! and every send finds one that does. The ring is slow then and stays so, and neither path stores a
//! value or takes one out. So what the hint says stays true, no words are given back, and nothing
//! has to be deferred but one wake: each path is one hold of the lock.
//!
//! They are taken while the ring is slow, the channel is open and not timed, nothing is stored
//! (published or not), and no send waits; all other cases take the core's general path.

use std::ptr;

use super::{Channel, Outcome};
use crate::core::Core;
use crate::lock::Guard;
use crate::ring::Ring;
use crate::transfer::Sending;
use crate::waiter::Node;

impl<T> Channel<T> {
    /// Sends after a bounded channel's ring was found slow.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    pub(super) unsafe fn send_slow(&self, value: *const T) -> Outcome {
        if let Some(core) = self.core.lock.try_lock() {
            // SAFETY: the caller's promise; the value is still there after the first line.
            unsafe {
                let Some(core) = self.hand_over(core, value) else { return Outcome::Done };
                if core.is_slow() || !self.suspends() {
                    return self.try_locked::<Sending>(core, value.cast_mut());
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_stored(value) }
    }

    /// Copies the value into the slot of the receive that has waited longest, and releases the
    /// lock. `Some`: nothing was sent, and the general path must be taken.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on `None` its value has been moved out.
    // Always inlined: each value of a channel whose receivers wait goes this way.
    #[inline(always)]
    pub(super) unsafe fn hand_over<'a>(
        &'a self,
        mut core: Guard<'a, Core<T>>,
        value: *const T,
    ) -> Option<Guard<'a, Core<T>>> {
        if core.receivers.is_empty() || !core.is_direct(&self.ring) {
            return Some(core);
        }
        // None: the waits were ended by others.
        let Some(receiver) = core.receivers.pop_claimed() else { return Some(core) };
        // SAFETY: a claimed receiver's slot is valid for a write; the caller's promise.
        unsafe { ptr::copy_nonoverlapping(value, receiver.node().slot::<T>(), 1) };
        receiver.node().set_sequence(core.sequence_at(self.ring.head_position()));
        core.counts.handed += 1;
        core.quiet_operations = 0;
        let due = receiver.matched();
        drop(core);
        if let Some(due) = due {
            due.fire();
        }
        None
    }

    /// Queues a receive that would find nothing. `Some`: it was not queued, and the general path
    /// must be taken.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_or_queue`].
    #[inline]
    pub(super) unsafe fn queue_receive<'a>(
        &'a self,
        mut core: Guard<'a, Core<T>>,
        node: *const Node,
    ) -> Option<Guard<'a, Core<T>>> {
        if !core.is_direct(&self.ring) {
            return Some(core);
        }
        core.quiet_operations = 0;
        // SAFETY: the caller's promise; an attempt would be blocked.
        unsafe { core.receivers.push_back(node) };
        None
    }
}

impl<T> Core<T> {
    /// Whether the short paths may be taken.
    #[inline]
    fn is_direct(&self, ring: &Ring<T>) -> bool {
        self.slow && !(self.closed | self.timed) && self.senders.is_empty() && !self.holds_any(ring)
    }
}
