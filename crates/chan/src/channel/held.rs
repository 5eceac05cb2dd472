// SPDX-License-Identifier: BSD-3-Clause
//! What a select does while it holds the locks of all its channels.

use super::Channel;
use crate::gate::{After, Gate, Locked};
use crate::lock::RawLock;
use crate::waiter::Node;

impl<T> Channel<T> {
    /// The lock by itself, and what a select does while it holds it.
    pub(crate) fn raw(&self) -> &RawLock {
        self.gate.lock.raw()
    }

    /// The gate of a channel whose lock is held through [`Self::raw`].
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`].
    unsafe fn held<R>(&self, act: impl FnOnce(&mut Gate<T>) -> R) -> R {
        // SAFETY: the caller's promise.
        let mut gate = unsafe { self.gate.lock.guard() };
        gate.enter(&self.ring);
        let result = act(&mut gate);
        gate.tell(&self.ring, &self.gate.hint);
        gate.keep_locked();
        result
    }

    /// Sends if that needs no waiting, for who holds the lock. A weight is not counted here: a
    /// channel that weighs its values is tried without the lock, before.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`] and [`Lock::guard`].
    pub(crate) unsafe fn send_held(&self, value: *const T) -> (Locked, After<T>) {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        let locked = unsafe { self.held(|gate| gate.send(&self.ring, value, &mut after)) };
        (locked, after)
    }

    /// As [`Self::send_held`].
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`] and [`Lock::guard`].
    pub(crate) unsafe fn recv_held(&self, out: *mut T) -> (Locked, After<T>) {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        let locked = unsafe { self.held(|gate| gate.recv(&self.ring, out, &mut after)) };
        (locked, after)
    }

    /// # Safety
    ///
    /// As for [`Gate::queue_sender`] and [`Lock::guard`].
    pub(crate) unsafe fn link_sender_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.queue_sender(&self.ring, node)) };
    }

    /// # Safety
    ///
    /// As for [`Gate::queue_receiver`] and [`Lock::guard`].
    pub(crate) unsafe fn link_receiver_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.queue_receiver(node)) };
    }

    /// # Safety
    ///
    /// As for [`Lock::guard`].
    pub(crate) unsafe fn settle_held(&self) -> After<T> {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.settle(&self.ring, &mut after)) };
        after
    }
}
