// SPDX-License-Identifier: BSD-3-Clause
//! The steps of a select while it holds the locks of all its channels.

use super::{Channel, Kind};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::lock::RawLock;
use crate::waiter::Node;

impl<T> Channel<T> {
    /// The lock by itself, and the operations of a select that holds it.
    pub(crate) fn raw(&self) -> &RawLock {
        self.core.lock.raw()
    }

    /// Runs `act` on the core of a channel whose lock is held through [`Self::raw`].
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    #[inline]
    unsafe fn held<R>(&self, act: impl FnOnce(&mut Core<T>) -> R) -> R {
        // SAFETY: the caller's promise.
        let mut core = unsafe { self.core.lock.guard() };
        let was_fast = !core.is_slow();
        core.enter(&self.ring);
        let result = act(&mut core);
        if was_fast {
            core.update_hint(&self.ring, &self.core.hint);
        }
        core.keep_locked();
        result
    }

    /// Makes the ring slow, and publishes the readiness hint.
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    #[inline]
    pub(crate) unsafe fn enter_held(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|_| ()) };
    }

    /// As [`Self::held`], for an action that changes readiness.
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    unsafe fn held_updating_hint<R>(&self, act: impl FnOnce(&mut Core<T>) -> R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            self.held(|core| {
                let result = act(core);
                core.update_hint(&self.ring, &self.core.hint);
                result
            })
        }
    }

    /// Sends without waiting, for a caller that holds the lock. The weight is not counted here: a
    /// channel that weighs its values is tried without the lock before.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn send_held(&self, value: *const T) -> (LockedOutcome, DeferredEffects<T>) {
        let mut effects = DeferredEffects::new();
        // SAFETY: the caller's promise.
        let locked =
            unsafe { self.held_updating_hint(|core| core.send(&self.ring, value, &mut effects)) };
        (locked, effects)
    }

    /// As [`Self::send_held`].
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn recv_held(&self, out: *mut T) -> (LockedOutcome, DeferredEffects<T>) {
        let mut effects = DeferredEffects::new();
        // SAFETY: the caller's promise.
        let locked =
            unsafe { self.held_updating_hint(|core| core.recv(&self.ring, out, &mut effects)) };
        (locked, effects)
    }

    /// # Safety
    ///
    /// As for [`Core::queue_sender`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn link_sender_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|core| core.queue_sender(&self.ring, node)) };
        self.update_rendezvous_hint();
    }

    /// # Safety
    ///
    /// As for [`Core::queue_receiver`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn link_receiver_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|core| core.queue_receiver(node)) };
        self.update_rendezvous_hint();
    }

    /// Links the node of an idle claim, unless it is linked.
    ///
    /// # Safety
    ///
    /// As for [`Core::queue_sender`], but nothing was tried before.
    pub(crate) unsafe fn link_sender_alone(&self, node: *const Node) {
        self.raw().lock();
        // SAFETY: the lock was taken above.
        unsafe {
            if !(*node).is_linked() {
                self.link_sender_held(node);
            }
            self.raw().unlock();
        }
    }

    /// As [`Self::link_sender_alone`].
    ///
    /// # Safety
    ///
    /// As for [`Core::queue_receiver`], but nothing was tried before.
    pub(crate) unsafe fn link_receiver_alone(&self, node: *const Node) {
        self.raw().lock();
        // SAFETY: the lock was taken above.
        unsafe {
            if !(*node).is_linked() {
                self.link_receiver_held(node);
            }
            self.raw().unlock();
        }
    }

    /// Updates the hint after the wait queue has changed: only on a rendezvous channel does
    /// readiness depend on the waiters. The caller holds the lock.
    fn update_rendezvous_hint(&self) {
        if self.kind == Kind::Rendezvous {
            // SAFETY: as above.
            unsafe { self.held_updating_hint(|_| ()) };
        }
    }

    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn rebalance_held(&self) -> DeferredEffects<T> {
        let mut effects = DeferredEffects::new();
        // SAFETY: the caller's promise.
        unsafe { self.held_updating_hint(|core| core.rebalance(&self.ring, &mut effects)) };
        effects
    }
}
