// SPDX-License-Identifier: BSD-3-Clause
//! Operations that wait: try under the lock, and queue the node in the same hold of the lock.

use super::{Channel, Kind, Outcome};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::lock::Guard;
use crate::sync::heavy;
use crate::transfer::Direction;
use crate::waiter::Node;

impl<T> Channel<T> {
    /// Sends the value in the node's slot, or receives into it, or appends the node to the wait queue.
    ///
    /// # Safety
    ///
    /// A send's slot holds a value, which on `Done` has been moved out; a receive's is valid for a
    /// write. On `Blocked` the node and its claim stay where they are until the wait has ended.
    #[inline]
    pub(crate) unsafe fn try_or_queue<D: Direction>(&self, node: *const Node) -> Outcome {
        if self.kind == Kind::Rendezvous {
            // SAFETY: the caller's promise.
            return unsafe { self.handoff_or_queue::<D>(node) };
        }
        let mut core = self.core.lock.lock();
        if !D::SENDS {
            // SAFETY: the caller's promise.
            let Some(locked) = (unsafe { self.queue_receive(core, node) }) else {
                return Outcome::Blocked;
            };
            core = locked;
        }
        // SAFETY: the caller's promise.
        unsafe { self.try_or_queue_locked::<D>(core, node) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_or_queue`].
    #[inline(never)]
    pub(super) unsafe fn try_or_queue_locked<'a, D: Direction>(
        &'a self,
        mut core: Guard<'a, Core<T>>,
        node: *const Node,
    ) -> Outcome {
        let mut effects = DeferredEffects::new();
        core.enter(&self.ring);
        // SAFETY: entered; the caller's promise.
        let tried = unsafe { D::locked(&mut core, &self.ring, (*node).slot::<T>(), &mut effects) };
        let queued = match tried {
            LockedOutcome::Done => Outcome::Done,
            LockedOutcome::Closed => Outcome::Closed,
            LockedOutcome::Blocked | LockedOutcome::Busy => {
                // SAFETY: the caller's promise; under the same lock.
                unsafe { core.queue::<D>(&self.ring, node) };
                self.recheck(&mut core, tried, &mut effects);
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

    /// Removes a node from the wait queue, if it is there.
    ///
    /// The readiness of a ring does not depend on waiters, so that only a rendezvous channel's hint
    /// changes; and the ring goes fast with the next operation that completes the hysteresis.
    ///
    /// # Safety
    ///
    /// The node is alive, and was queued here or nowhere.
    #[inline]
    pub(crate) unsafe fn unqueue<D: Direction>(&self, node: *const Node) {
        let mut core = self.core.lock.lock();
        // SAFETY: the caller's promise.
        let was_queued = unsafe { core.waiters::<D>().unlink(node) };
        if was_queued && self.kind == Kind::Rendezvous {
            core.update_hint(&self.ring, &self.core.hint);
        }
    }
}
