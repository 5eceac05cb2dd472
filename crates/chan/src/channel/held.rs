// SPDX-License-Identifier: BSD-3-Clause
//! What a select does while it holds the locks of all its channels.

use super::Channel;
use crate::gate::{After, Gate, Kind, Locked};
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
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    #[inline]
    unsafe fn held<R>(&self, act: impl FnOnce(&mut Gate<T>) -> R) -> R {
        // SAFETY: the caller's promise.
        let mut gate = unsafe { self.gate.lock.guard() };
        let was_fast = !gate.is_slow();
        gate.enter(&self.ring);
        let result = act(&mut gate);
        if was_fast {
            gate.tell(&self.ring, &self.gate.hint);
        }
        gate.keep_locked();
        result
    }

    /// Makes the ring slow, and tells what can be found.
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    #[inline]
    pub(crate) unsafe fn enter_held(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|_| ()) };
    }

    /// As [`Self::held`], for what changes what can be found.
    ///
    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    unsafe fn held_telling<R>(&self, act: impl FnOnce(&mut Gate<T>) -> R) -> R {
        // SAFETY: the caller's promise.
        unsafe {
            self.held(|gate| {
                let result = act(gate);
                gate.tell(&self.ring, &self.gate.hint);
                result
            })
        }
    }

    /// Sends if that needs no waiting, for who holds the lock. A weight is not counted here: a
    /// channel that weighs its values is tried without the lock, before.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn send_held(&self, value: *const T) -> (Locked, After<T>) {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        let locked = unsafe { self.held_telling(|gate| gate.send(&self.ring, value, &mut after)) };
        (locked, after)
    }

    /// As [`Self::send_held`].
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn recv_held(&self, out: *mut T) -> (Locked, After<T>) {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        let locked = unsafe { self.held_telling(|gate| gate.recv(&self.ring, out, &mut after)) };
        (locked, after)
    }

    /// # Safety
    ///
    /// As for [`Gate::queue_sender`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn link_sender_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.queue_sender(&self.ring, node)) };
        self.tell_line();
    }

    /// # Safety
    ///
    /// As for [`Gate::queue_receiver`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn link_receiver_held(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|gate| gate.queue_receiver(node)) };
        self.tell_line();
    }

    /// Links the node of an idle claim, if it is not linked.
    ///
    /// # Safety
    ///
    /// As for [`Gate::queue_sender`], but nothing was tried before.
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
    /// As for [`Gate::queue_receiver`], but nothing was tried before.
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

    /// Only on a rendezvous channel does what can be found depend on who is in line. The caller
    /// holds the lock.
    fn tell_line(&self) {
        if self.kind == Kind::Rendezvous {
            // SAFETY: as above.
            unsafe { self.held_telling(|_| ()) };
        }
    }

    /// # Safety
    ///
    /// As for [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn settle_held(&self) -> After<T> {
        let mut after = After::new();
        // SAFETY: the caller's promise.
        unsafe { self.held_telling(|gate| gate.settle(&self.ring, &mut after)) };
        after
    }
}
