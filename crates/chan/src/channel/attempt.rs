// SPDX-License-Identifier: BSD-3-Clause
//! Operations that do not wait: first the ring, then, if it is slow, the kind's way under the lock.

use super::{Channel, SendWay, Tried};
use crate::gate::{After, Gate, Kind, Locked};
use crate::lock::Guard;
use crate::park;
use crate::ring::Attempt;

/// Looks at a slot that is claimed and not published, before the thread lets others run.
const BUSY_LOOKS: u32 = if cfg!(feature = "loom") { 0 } else { 100 };
/// How often it lets others run before it takes the slot for blocked.
const BUSY_YIELDS: u32 = if cfg!(feature = "loom") { 0 } else { 32 };

impl<T> Channel<T> {
    /// Sends on the ring, if nothing is in the way: one try and no call, so that what surrounds it need
    /// save no register. False: nothing happened, and [`Self::try_send`] is to be asked.
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
            Some(Attempt::Done) => true,
            Some(Attempt::DoneSlow) => {
                self.settle();
                true
            }
            _ => false,
        }
    }

    /// Sends without waiting, and counts the bytes of a channel that weighs its values. Each way is a
    /// function of its own, to which this is a jump.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on `Done` its value has been moved out.
    #[inline]
    pub(crate) unsafe fn try_send(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            match self.send_way {
                SendWay::Kind(Kind::Conflated) => self.send_latest(value),
                SendWay::Kind(Kind::Rendezvous) => self.meet_receiver(value),
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
    unsafe fn send_bounded(&self, value: *const T) -> Tried {
        if self.suspends && self.ring.push_stopped() == Some(Attempt::Blocked) {
            return Tried::Blocked;
        }
        // SAFETY: the caller's promise.
        unsafe { self.send_bounded_again(value) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn send_bounded_again(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push(value) } {
            Attempt::Done => Tried::Done,
            Attempt::DoneSlow => {
                self.settle();
                Tried::Done
            }
            Attempt::Blocked if self.suspends => Tried::Blocked,
            // SAFETY: the caller's promise.
            Attempt::Busy if self.suspends => unsafe { self.try_send_busy(value) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.send_stored(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn send_unlimited(&self, value: *const T) -> Tried {
        match self.ring.push_stopped() {
            // SAFETY: the caller's promise.
            Some(_) => unsafe { self.send_past(value) },
            // SAFETY: the caller's promise.
            None => unsafe { self.send_unlimited_again(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn send_unlimited_again(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push(value) } {
            Attempt::Done => Tried::Done,
            Attempt::DoneSlow => {
                self.settle();
                Tried::Done
            }
            // SAFETY: the caller's promise.
            _ => unsafe { self.send_past(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn weigh_and_try_send(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise; it is weighed before it may be moved out.
        unsafe {
            let weight = self.weight(&*value).unwrap_or(0);
            let tried = match self.kind {
                Kind::Conflated => self.send_latest(value),
                Kind::Rendezvous => self.meet_receiver(value),
                Kind::Bounded => self.send_bounded(value),
                Kind::Unlimited => self.send_unlimited(value),
            };
            if tried == Tried::Done {
                self.count_sent(weight);
            }
            tried
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[cold]
    unsafe fn try_send_busy(&self, value: *const T) -> Tried {
        for round in 0.. {
            // SAFETY: the caller's promise.
            let attempt = unsafe { self.ring.push(value) };
            if attempt == Attempt::Slow {
                // SAFETY: the caller's promise.
                return unsafe { self.try_send_gate(value) };
            }
            if let Some(tried) = self.outcome(attempt) {
                return tried;
            }
            if !linger(round) {
                break;
            }
        }
        Tried::Blocked
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn try_send_gate(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { self.try_send_locked(self.gate.lock.lock(), value) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    pub(super) unsafe fn try_send_locked<'a>(
        &'a self,
        mut gate: Guard<'a, Gate<T>>,
        value: *const T,
    ) -> Tried {
        for round in 0.. {
            let mut after = After::new();
            gate.enter(&self.ring);
            // SAFETY: entered; the caller's promise; the value is still there.
            let sent = unsafe { gate.send(&self.ring, value, &mut after) };
            self.leave(gate, &mut after);
            match sent {
                Locked::Done => return Tried::Done,
                Locked::Closed => return Tried::Closed,
                Locked::Busy if linger(round) => gate = self.gate.lock.lock(),
                Locked::Blocked | Locked::Busy => break,
            }
        }
        Tried::Blocked
    }

    /// What an attempt on the ring has come to. `None`: another operation is in the way, in the middle
    /// of its own or under the lock.
    #[inline]
    pub(super) fn outcome(&self, attempt: Attempt) -> Option<Tried> {
        match attempt {
            Attempt::Done => Some(Tried::Done),
            Attempt::DoneSlow => {
                self.settle();
                Some(Tried::Done)
            }
            Attempt::Blocked => Some(Tried::Blocked),
            Attempt::Busy | Attempt::Slow => None,
        }
    }

    /// Receives from the ring, as [`Self::send_fast`]. False: [`Self::try_recv`] is to be asked.
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on true it holds a value, which is counted.
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
            Some(Attempt::Done) => true,
            Some(Attempt::DoneSlow) => {
                self.settle();
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
    pub(crate) unsafe fn try_recv(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Conflated => self.take_latest(out),
                Kind::Rendezvous => self.meet_sender(out),
                Kind::Bounded | Kind::Unlimited => self.recv_stored(out),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn recv_stored(&self, out: *mut T) -> Tried {
        match self.ring.pop_stopped() {
            Some(Attempt::Blocked) => Tried::Blocked,
            // SAFETY: the caller's promise.
            Some(Attempt::Slow) => unsafe { self.recv_slow(out) },
            // SAFETY: the caller's promise.
            _ => unsafe { self.recv_again(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline]
    unsafe fn recv_slow(&self, out: *mut T) -> Tried {
        // The lock can tell nothing else.
        if !self.gate.hint.may_recv() {
            return Tried::Blocked;
        }
        // SAFETY: the caller's promise.
        unsafe { self.recv_past(out) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn recv_again(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.pop(out) } {
            Attempt::Done => Tried::Done,
            Attempt::DoneSlow => {
                self.settle();
                Tried::Done
            }
            Attempt::Blocked => Tried::Blocked,
            // SAFETY: the caller's promise.
            Attempt::Busy => unsafe { self.try_recv_busy(out) },
            // SAFETY: the caller's promise.
            Attempt::Slow => unsafe { self.recv_slow(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[cold]
    unsafe fn try_recv_busy(&self, out: *mut T) -> Tried {
        for round in 0.. {
            // SAFETY: the caller's promise.
            let attempt = unsafe { self.ring.pop(out) };
            if attempt == Attempt::Slow {
                // SAFETY: the caller's promise.
                return unsafe { self.recv_slow(out) };
            }
            if let Some(tried) = self.outcome(attempt) {
                return tried;
            }
            if !linger(round) {
                break;
            }
        }
        Tried::Blocked
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn try_recv_gate(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { self.try_recv_locked(self.gate.lock.lock(), out) }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    pub(super) unsafe fn try_recv_locked<'a>(
        &'a self,
        mut gate: Guard<'a, Gate<T>>,
        out: *mut T,
    ) -> Tried {
        for round in 0.. {
            let mut after = After::new();
            gate.enter(&self.ring);
            // SAFETY: entered; the caller's promise.
            let taken = unsafe { gate.recv(&self.ring, out, &mut after) };
            self.leave(gate, &mut after);
            match taken {
                Locked::Done => return Tried::Done,
                Locked::Closed => return Tried::Closed,
                Locked::Busy if linger(round) => gate = self.gate.lock.lock(),
                Locked::Blocked | Locked::Busy => break,
            }
        }
        Tried::Blocked
    }
}

/// Waits a moment for an operation that has claimed a slot and not published. False: long enough.
pub(super) fn linger(round: u32) -> bool {
    if round < BUSY_LOOKS {
        park::relax(4);
    } else if round < BUSY_LOOKS + BUSY_YIELDS {
        #[cfg(not(feature = "loom"))]
        std::thread::yield_now();
        #[cfg(feature = "loom")]
        loom::thread::yield_now();
    } else {
        return false;
    }
    true
}
