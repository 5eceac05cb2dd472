// SPDX-License-Identifier: BSD-3-Clause
//! Operations that do not wait: first the ring, then, if it is slow, the kind's path under the
//! lock.
use super::{Channel, Kind, Outcome, SendWay};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::lock::Guard;
use crate::park;
use crate::ring::RingOutcome;
use crate::transfer::{Direction, Receiving, Sending};

/// Spins at a slot that is claimed and not published, before the thread yields.
const BUSY_SPINS: u32 = if cfg!(feature = "loom") { 0 } else { 100 };
/// Yields before the slot is treated as blocked.
const BUSY_YIELDS: u32 = if cfg!(feature = "loom") { 0 } else { 32 };

impl<T> Channel<T> {
    /// The fast path of a send: one attempt on the ring and no call, so that the surrounding code
    /// need not save registers. False: nothing was sent, and the caller must use
    /// [`Self::try_send`].
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on true its value has been moved out.
    #[inline]
    pub(crate) unsafe fn send_fast(&self, value: *const T) -> bool {
        let Some(word) = self.ring.tail_fast() else {
            return false;
        };
        if self.weighs() {
            return false;
        }
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push_once(word, value) } {
            Some(RingOutcome::Done) => true,
            Some(RingOutcome::DoneSlow) => {
                self.rebalance();
                true
            }
            _ => false,
        }
    }

    /// Sends without waiting, and counts the bytes of a channel that weighs its values. Each path
    /// is a function of its own, reached by a jump.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on `Done` its value has been moved out.
    #[inline]
    pub(crate) unsafe fn try_send(&self, value: *const T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            match self.send_way {
                SendWay::Kind(Kind::Conflated) => self.send_latest(value),
                SendWay::Kind(Kind::Rendezvous) => self.try_handoff::<Sending>(value.cast_mut()),
                SendWay::Kind(Kind::Bounded) => self.send_bounded(value),
                SendWay::Kind(Kind::Unlimited) => self.send_unlimited(value),
                SendWay::Weighed => self.weigh_and_try_send(value),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn weigh_and_try_send(&self, value: *const T) -> Outcome {
        // SAFETY: the caller's promise; it is weighed before it may be moved out.
        unsafe {
            let weight = self.weight(&*value).unwrap_or(0);
            let tried = match self.kind {
                Kind::Conflated => self.send_latest(value),
                Kind::Rendezvous => self.try_handoff::<Sending>(value.cast_mut()),
                Kind::Bounded => self.send_bounded(value),
                Kind::Unlimited => self.send_unlimited(value),
            };
            if tried == Outcome::Done {
                self.count_sent(weight);
            }
            tried
        }
    }

    /// The attempt under the lock.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`] and [`Self::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn try_locked_core<D: Direction>(&self, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { self.try_locked::<D>(self.core.lock.lock(), slot) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_locked_core`].
    #[inline(never)]
    pub(super) unsafe fn try_locked<'a, D: Direction>(
        &'a self,
        mut core: Guard<'a, Core<T>>,
        slot: *mut T,
    ) -> Outcome {
        for round in 0.. {
            let mut effects = DeferredEffects::new();
            core.enter(&self.ring);
            // SAFETY: entered; the caller's promise; a send's value is still there.
            let tried = unsafe { D::locked(&mut core, &self.ring, slot, &mut effects) };
            self.leave(core, &mut effects);
            match tried {
                LockedOutcome::Done => return Outcome::Done,
                LockedOutcome::Closed => return Outcome::Closed,
                LockedOutcome::Busy if backoff(round) => core = self.core.lock.lock(),
                LockedOutcome::Blocked | LockedOutcome::Busy => break,
            }
        }
        Outcome::Blocked
    }

    /// The result of an attempt on the ring. `None`: another operation interferes, between claim
    /// and publication or under the lock.
    #[inline]
    pub(super) fn outcome(&self, attempt: RingOutcome) -> Option<Outcome> {
        match attempt {
            RingOutcome::Done => Some(Outcome::Done),
            RingOutcome::DoneSlow => {
                self.rebalance();
                Some(Outcome::Done)
            }
            RingOutcome::Blocked => Some(Outcome::Blocked),
            RingOutcome::Busy | RingOutcome::Slow => None,
        }
    }

    /// The fast path of a receive, as [`Self::send_fast`]. False: the caller must use
    /// [`Self::try_recv`].
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on true it holds a value, which is counted as received.
    #[inline]
    pub(crate) unsafe fn recv_fast(&self, out: *mut T) -> bool {
        let Some(word) = self.ring.head_fast() else {
            return false;
        };
        if self.weighs() {
            return false;
        }
        // SAFETY: the caller's promise.
        match unsafe { self.ring.pop_once(word, out) } {
            Some(RingOutcome::Done) => true,
            Some(RingOutcome::DoneSlow) => {
                self.rebalance();
                true
            }
            _ => false,
        }
    }

    /// Receives without waiting.
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on `Done` it holds a value, the bytes of which are not counted.
    #[inline]
    pub(crate) unsafe fn try_recv(&self, out: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Conflated => self.take_latest(out),
                Kind::Rendezvous => self.try_handoff::<Receiving>(out),
                Kind::Bounded | Kind::Unlimited => self.recv_stored(out),
            }
        }
    }
}

/// Backs off from a slot that another operation has claimed and not published. False: the caller
/// has waited long enough.
pub(super) fn backoff(round: u32) -> bool {
    if round < BUSY_SPINS {
        park::relax(4);
    } else if round < BUSY_SPINS + BUSY_YIELDS {
        #[cfg(not(feature = "loom"))]
        std::thread::yield_now();
        #[cfg(feature = "loom")]
        loom::thread::yield_now();
    } else {
        return false;
    }
    true
}
