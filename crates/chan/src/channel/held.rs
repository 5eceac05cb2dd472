// SPDX-License-Identifier: BSD-3-Clause
//! The steps of a select: a receive that records when its value left the channel ([`Sequence`]),
//! and the operations of a select that holds the locks of all its channels.

use std::cell::Cell;

use super::attempt::backoff;
use super::unlimited::Way;
use super::{Channel, Kind, Outcome, conflated, rendezvous};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::lock::RawLock;
use crate::ring::{RingOutcome, position};
use crate::transfer::{Direction, Receiving};
use crate::waiter::{Node, Sequence};

impl<T> Channel<T> {
    /// Receives without waiting, and stores in `left` the sequence of the value, by which it can be
    /// requeued at its position.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline]
    pub(crate) unsafe fn try_recv_in_sequence(
        &self,
        out: *mut T,
        left: &Cell<Sequence>,
    ) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            match self.pop_in_sequence(out, left) {
                true => Outcome::Done,
                false if self.may::<Receiving>() => self.try_recv_in_sequence_slow(out, left),
                false => Outcome::Blocked,
            }
        }
    }

    /// One attempt on the ring.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline]
    unsafe fn pop_in_sequence(&self, out: *mut T, left: &Cell<Sequence>) -> bool {
        let Some(word) = self.ring.head_fast() else {
            return false;
        };
        // SAFETY: the caller's promise.
        let Some(popped) = (unsafe { self.ring.pop_once(word, out) }) else {
            return false;
        };
        left.set(Sequence { position: position(word), turn: u64::MAX });
        if popped == RingOutcome::DoneSlow {
            self.rebalance();
        }
        true
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn try_recv_in_sequence_slow(&self, out: *mut T, left: &Cell<Sequence>) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Rendezvous | Kind::Conflated => self.try_recv_in_sequence_short(out, left),
                Kind::Bounded | Kind::Unlimited => self.try_recv_in_sequence_long(out, left),
            }
        }
    }

    /// The short path of the kinds without a ring.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline]
    unsafe fn try_recv_in_sequence_short(&self, out: *mut T, left: &Cell<Sequence>) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            let Some(mut core) = self.core.lock.try_lock() else {
                return self.try_recv_in_sequence_long(out, left);
            };
            if self.kind == Kind::Rendezvous && rendezvous::is_short(&core) {
                left.set(core.sequence_at(0));
                let received = self.handoff::<Receiving>(core, out);
                return if received { Outcome::Done } else { Outcome::Blocked };
            }
            if self.kind == Kind::Conflated
                && conflated::is_short(&core)
                && self.move_latest(&mut core, out)
            {
                left.set(core.sequence_at(0));
                return Outcome::Done;
            }
            drop(core);
            self.try_recv_in_sequence_long(out, left)
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn try_recv_in_sequence_long(&self, out: *mut T, left: &Cell<Sequence>) -> Outcome {
        let mut round = 0;
        loop {
            // SAFETY: the caller's promise.
            let tried = unsafe {
                match self.ring.pop_stopped() {
                    Some(RingOutcome::Slow) => self.recv_locked_in_sequence(out, left),
                    Some(RingOutcome::Blocked) => LockedOutcome::Blocked,
                    Some(_) => LockedOutcome::Busy,
                    None if self.pop_in_sequence(out, left) => LockedOutcome::Done,
                    // Another receive was faster.
                    None => continue,
                }
            };
            match tried {
                LockedOutcome::Done => return Outcome::Done,
                LockedOutcome::Closed => return Outcome::Closed,
                LockedOutcome::Busy if backoff(round) => round += 1,
                LockedOutcome::Blocked | LockedOutcome::Busy => return Outcome::Blocked,
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    unsafe fn recv_locked_in_sequence(&self, out: *mut T, left: &Cell<Sequence>) -> LockedOutcome {
        let mut core = self.core.lock.lock();
        let mut effects = DeferredEffects::new();
        // SAFETY: locked; the caller's promise.
        let received = unsafe {
            match core.way() {
                Way::Ring => return LockedOutcome::Busy,
                Way::Past => {
                    // The ring is drained, so the head is where the tail is.
                    left.set(core.sequence_at(self.ring.tail_position()));
                    return core.recv_past(&self.ring, out);
                }
                Way::Stored | Way::Long => {
                    core.recv_in_sequence(&self.ring, out, left, &mut effects)
                }
            }
        };
        self.leave(core, &mut effects);
        received
    }

    /// The lock by itself, for a select: the functions below run while it holds this lock.
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

    /// Sends or receives without waiting, for a caller that holds the lock. A send's weight is not
    /// counted here: it is computed before, without the lock.
    ///
    /// # Safety
    ///
    /// As for [`Direction::attempt`](crate::transfer::sealed::Direction::attempt) and
    /// [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn attempt_held<D: Direction>(
        &self,
        slot: *mut T,
        left: &Cell<Sequence>,
    ) -> (LockedOutcome, DeferredEffects<T>) {
        let mut effects = DeferredEffects::new();
        // SAFETY: the caller's promise.
        let locked = unsafe {
            self.held_updating_hint(|core| {
                D::locked_in_sequence(core, &self.ring, slot, left, &mut effects)
            })
        };
        (locked, effects)
    }

    /// # Safety
    ///
    /// As for [`Core::queue`] and [`Lock::guard`](crate::lock::Lock::guard).
    pub(crate) unsafe fn link_held<D: Direction>(&self, node: *const Node) {
        // SAFETY: the caller's promise.
        unsafe { self.held(|core| core.queue::<D>(&self.ring, node)) };
        self.update_rendezvous_hint();
    }

    /// Links the node of an idle claim, unless it is linked.
    ///
    /// # Safety
    ///
    /// As for [`Core::queue`], but nothing was tried before.
    pub(crate) unsafe fn link_alone<D: Direction>(&self, node: *const Node) {
        self.raw().lock();
        // SAFETY: the lock was taken above.
        unsafe {
            if !(*node).is_linked() {
                self.link_held::<D>(node);
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
