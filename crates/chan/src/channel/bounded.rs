// SPDX-License-Identifier: BSD-3-Clause
//! The bounded kind: a ring of slots, and what happens to a value for which none is free.
//!
//! ```text
//!   send ──► the ring has room    ──► one compare-exchange, without the lock
//!        ──► slow: under the lock ──► room
//!        ──► full                 ──► the overflow policy, or queue `senders`
//!
//!   recv ──► the ring has a value ──► one compare-exchange, without the lock
//!        ──► slow: under the lock ──► requeued │ ring, and a waiting sender's value moves up
//!        ──► empty                ──► queue `receivers`
//! ```
//!
//! The receive from a ring is the same for an unlimited channel, which only has values behind it
//! too ([`super::unlimited`]).

use super::attempt::backoff;
use super::{Channel, Outcome};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::ring::{Ring, RingOutcome};
use crate::transfer::{Receiving, Sending};

/// What a bounded channel does with a value for which it has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The send waits. A `try_send` fails.
    #[default]
    Suspend,
    /// The oldest value is dropped to make room: a send does not wait for a receiver. (It may wait
    /// for another send that has claimed the last slot and not published its value yet; a
    /// `try_send` fails in that case.)
    DropOldest,
    /// The new value is dropped: a send never waits, and succeeds.
    DropLatest,
}

impl<T> Channel<T> {
    /// Sends after the fast path did nothing.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    pub(super) unsafe fn send_bounded(&self, value: *const T) -> Outcome {
        match self.ring.push_stopped() {
            Some(RingOutcome::Blocked) if self.suspends() => Outcome::Blocked,
            // SAFETY: the caller's promise.
            Some(RingOutcome::Slow) => unsafe { self.send_slow(value) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.send_bounded_again(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn send_bounded_again(&self, value: *const T) -> Outcome {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push(value) } {
            RingOutcome::Done => Outcome::Done,
            RingOutcome::DoneSlow => {
                self.rebalance();
                Outcome::Done
            }
            RingOutcome::Blocked if self.suspends() => Outcome::Blocked,
            // SAFETY: the caller's promise.
            RingOutcome::Busy if self.suspends() => unsafe { self.try_send_busy(value) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.send_stored(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[cold]
    unsafe fn try_send_busy(&self, value: *const T) -> Outcome {
        for round in 0.. {
            // SAFETY: the caller's promise.
            let attempt = unsafe { self.ring.push(value) };
            if attempt == RingOutcome::Slow {
                // SAFETY: the caller's promise.
                return unsafe { self.try_locked_core::<Sending>(value.cast_mut()) };
            }
            if let Some(tried) = self.outcome(attempt) {
                return tried;
            }
            if !backoff(round) {
                break;
            }
        }
        Outcome::Blocked
    }

    /// Sends after the ring was found slow or full. A ring that is fast by now stays fast: an
    /// operation that was late at the lock must not make it slow again for later operations.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(super) unsafe fn send_stored(&self, value: *const T) -> Outcome {
        for round in 0.. {
            let core = self.core.lock.lock();
            if core.is_slow() || !self.suspends() {
                // SAFETY: the caller's promise.
                return unsafe { self.try_locked::<Sending>(core, value.cast_mut()) };
            }
            drop(core);
            // SAFETY: the caller's promise.
            if let Some(tried) = self.outcome(unsafe { self.ring.push(value) }) {
                return tried;
            }
            if !backoff(round) {
                break;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.try_locked_core::<Sending>(value.cast_mut()) }
    }

    /// Receives after the fast path did nothing.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    pub(super) unsafe fn recv_stored(&self, out: *mut T) -> Outcome {
        match self.ring.pop_stopped() {
            Some(RingOutcome::Blocked) => Outcome::Blocked,
            // SAFETY: the caller's promise.
            Some(RingOutcome::Slow) => unsafe { self.recv_slow(out) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.recv_again(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn recv_again(&self, out: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.pop(out) } {
            RingOutcome::Done => Outcome::Done,
            RingOutcome::DoneSlow => {
                self.rebalance();
                Outcome::Done
            }
            RingOutcome::Blocked => Outcome::Blocked,
            // SAFETY: the caller's promise.
            RingOutcome::Busy => unsafe { self.try_recv_busy(out) },
            // SAFETY: the caller's promise.
            RingOutcome::Slow => unsafe { self.recv_slow(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[cold]
    unsafe fn try_recv_busy(&self, out: *mut T) -> Outcome {
        for round in 0.. {
            // SAFETY: the caller's promise.
            let attempt = unsafe { self.ring.pop(out) };
            if attempt == RingOutcome::Slow {
                // SAFETY: the caller's promise.
                return unsafe { self.recv_slow(out) };
            }
            if let Some(tried) = self.outcome(attempt) {
                return tried;
            }
            if !backoff(round) {
                break;
            }
        }
        Outcome::Blocked
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline]
    unsafe fn recv_slow(&self, out: *mut T) -> Outcome {
        // An attempt under the lock finds no more than the hint shows.
        if !self.core.hint.may::<Receiving>() {
            return Outcome::Blocked;
        }
        // SAFETY: the caller's promise.
        unsafe { self.recv_past(out) }
    }
}

impl<T> Core<T> {
    /// Stores `*value` in the ring, if there is room or the overflow policy makes some.
    ///
    /// # Safety
    ///
    /// As for [`Core::send`].
    #[inline]
    pub(crate) unsafe fn store_bounded(
        &mut self,
        ring: &Ring<T>,
        value: *const T,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        loop {
            if self.overflow == Overflow::DropOldest
                && ring.len() + self.requeued.len() >= ring.capacity()
                && self.drop_oldest(ring, effects)
            {
                continue;
            }
            let pushed = if self.is_overfull(ring) {
                RingOutcome::Blocked
            } else {
                // SAFETY: entered; the caller's promise.
                unsafe { ring.push_locked(value) }
            };
            return match (pushed, self.overflow) {
                (RingOutcome::Done, _) => LockedOutcome::Done,
                (_, Overflow::Suspend) => self.full(ring),
                // Every slot is between claim and publication: no older value can be dropped.
                (_, Overflow::DropOldest) => LockedOutcome::Busy,
                (_, Overflow::DropLatest) => {
                    // SAFETY: moved out, as promised by `Done`.
                    self.drop_latest(unsafe { value.read() }, effects);
                    LockedOutcome::Done
                }
            };
        }
    }

    /// Accepts a value that is dropped at once.
    pub(crate) fn drop_latest(&mut self, value: T, effects: &mut DeferredEffects<T>) {
        effects.discard(value);
        self.counts.sent_apart += 1;
        self.counts.dropped += 1;
    }

    pub(crate) fn drop_oldest(&mut self, ring: &Ring<T>, effects: &mut DeferredEffects<T>) -> bool {
        let oldest = match self.requeued.pop_front() {
            Some((_, oldest)) => oldest,
            None => match self.take_ring(ring) {
                Some(oldest) => {
                    self.counts.discarded += 1;
                    oldest
                }
                None => return false,
            },
        };
        self.counts.dropped += 1;
        effects.discard(oldest);
        true
    }

    /// Whether a send would find room. Requeued values take room too.
    #[inline]
    pub(crate) fn has_room(&self, ring: &Ring<T>) -> bool {
        ring.room_locked() == RingOutcome::Done && !self.is_overfull(ring)
    }

    /// Why a send finds no room: `Blocked` or `Busy`.
    #[cold]
    pub(crate) fn full(&self, ring: &Ring<T>) -> LockedOutcome {
        let full = ring.room_locked() == RingOutcome::Blocked || self.is_overfull(ring);
        if full { LockedOutcome::Blocked } else { LockedOutcome::Busy }
    }

    /// Whether requeued values take the room that the ring still has.
    #[inline]
    pub(crate) fn is_overfull(&self, ring: &Ring<T>) -> bool {
        !self.requeued.is_empty() && self.len(ring) >= ring.capacity()
    }
}
