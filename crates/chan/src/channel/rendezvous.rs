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
//! memory. The short path is taken while the channel is open and no value is requeued, if it was
//! made without `timing`; all other cases take the core's general path.

use std::ptr;

use super::{Channel, Outcome};
use crate::core::Core;
use crate::lock::Guard;
use crate::transfer::Direction;
use crate::waiter::{Claimed, Node, WaitQueue};

impl<T> Channel<T> {
    /// Sends to a waiting receiver, or receives from a waiting sender.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`] and [`Channel::try_recv`].
    #[inline(never)]
    pub(super) unsafe fn try_handoff<D: Direction>(&self, slot: *mut T) -> Outcome {
        if !self.core.hint.may::<D>() {
            return Outcome::Blocked;
        }
        let Some(core) = self.core.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.try_handoff_late::<D>(slot) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.try_handoff_locked::<D>(core, slot) }
    }

    /// As [`Self::try_handoff`], while another operation holds the lock.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_handoff`].
    #[inline(never)]
    unsafe fn try_handoff_late<D: Direction>(&self, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { self.try_handoff_locked::<D>(self.core.lock.lock(), slot) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_handoff`].
    #[inline]
    unsafe fn try_handoff_locked<'a, D: Direction>(
        &'a self,
        core: Guard<'a, Core<T>>,
        slot: *mut T,
    ) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            if !is_short(&core) {
                return self.try_locked::<D>(core, slot);
            }
            if self.handoff::<D>(core, slot) { Outcome::Done } else { Outcome::Blocked }
        }
    }

    /// As [`Self::try_handoff`], or queues.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_or_queue`].
    #[inline]
    pub(super) unsafe fn handoff_or_queue<D: Direction>(&self, node: *const Node) -> Outcome {
        loop {
            let mut core = self.core.lock.lock();
            if !is_short(&core) {
                // SAFETY: the caller's promise.
                return unsafe { self.try_or_queue_locked::<D>(core, node) };
            }
            if core.opposite::<D>().is_empty() {
                // SAFETY: the caller's promise.
                unsafe { core.waiters::<D>().push_back(node) };
                self.core.hint.set(!D::SENDS, D::SENDS);
                return Outcome::Blocked;
            }
            // SAFETY: the caller's promise.
            if unsafe { self.handoff::<D>(core, (*node).slot::<T>()) } {
                return Outcome::Done;
            }
        }
    }

    /// Copies the value between `slot` and the slot of the first operation in the opposite queue.
    /// False: the queue is empty, or only operations that other matchers had claimed were in it.
    ///
    /// # Safety
    ///
    /// A send's slot is valid for a read, and on true its value has been moved out; a receive's is
    /// valid for a write, and on true holds a value.
    #[inline]
    pub(super) unsafe fn handoff<D: Direction>(
        &self,
        mut core: Guard<'_, Core<T>>,
        slot: *mut T,
    ) -> bool {
        let Some(other) = core.opposite::<D>().pop_claimed() else {
            self.update_hint(&core);
            return false;
        };
        let others = other.node().slot::<T>();
        let (from, to) = if D::SENDS { (slot, others) } else { (others, slot) };
        // SAFETY: a claimed receiver's slot is valid for a write, a claimed sender's holds its value;
        // the caller's promise.
        unsafe { ptr::copy_nonoverlapping(from, to, 1) };
        if D::SENDS {
            other.node().set_sequence(core.sequence_at(0));
        }
        self.met(core, other);
        true
    }

    /// Ends the wait of the other side after the value was copied, and releases the lock.
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

impl<T> Core<T> {
    /// The wait queue of the other direction.
    #[inline]
    fn opposite<D: Direction>(&mut self) -> &mut WaitQueue {
        if D::SENDS { &mut self.receivers } else { &mut self.senders }
    }
}

/// Whether the short path may be taken.
#[inline]
pub(super) fn is_short<T>(core: &Core<T>) -> bool {
    !(core.closed | core.timed | !core.requeued.is_empty())
}
