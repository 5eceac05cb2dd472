// SPDX-License-Identifier: BSD-3-Clause
//! Operations that do not wait: first the ring, then, if it is slow, the kind's way under the lock.

use super::{Channel, Tried, Weigh};
use crate::gate::{After, Gate, Kind, Locked};
use crate::lock::Guard;
use crate::park;
use crate::ring::Attempt;

/// Looks at a slot that is claimed and not published, before the thread lets others run.
const BUSY_LOOKS: u32 = if cfg!(feature = "loom") { 0 } else { 100 };
/// How often it lets others run before it takes the slot for blocked.
const BUSY_YIELDS: u32 = if cfg!(feature = "loom") { 0 } else { 32 };

impl<T> Channel<T> {
    /// Sends without waiting.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read; on `Done` its value has been moved out.
    #[inline]
    pub(crate) unsafe fn try_send(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.push_once(value) } {
            Some(Attempt::Done) => Tried::Done,
            Some(Attempt::DoneSlow) => {
                self.settle();
                Tried::Done
            }
            // SAFETY: the caller's promise.
            Some(_) => unsafe { self.try_send_slow(value) },
            // SAFETY: the caller's promise.
            None => unsafe { self.try_send_again(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn try_send_again(&self, value: *const T) -> Tried {
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
            _ => unsafe { self.try_send_slow(value) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn try_send_slow(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Conflated => self.send_latest(value),
                Kind::Rendezvous => self.meet_receiver(value),
                Kind::Bounded => self.send_stored(value),
                Kind::Unlimited => self.send_past(value),
            }
        }
    }

    /// As [`Self::try_send`], and counts the bytes of a channel that weighs its values.
    ///
    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline]
    pub(crate) unsafe fn try_send_weighed(&self, value: *const T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe {
            match &self.weigh {
                None => self.try_send(value),
                Some(weigh) => self.weigh_and_try_send(weigh, value),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_send`].
    #[inline(never)]
    unsafe fn weigh_and_try_send(&self, weigh: &Weigh<T>, value: *const T) -> Tried {
        // SAFETY: the caller's promise; it is weighed before it may be moved out.
        unsafe {
            let weight = weigh(&*value);
            let tried = self.try_send(value);
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
            match unsafe { self.ring.push(value) } {
                Attempt::Done => return Tried::Done,
                Attempt::DoneSlow => {
                    self.settle();
                    return Tried::Done;
                }
                // SAFETY: the caller's promise.
                Attempt::Slow => return unsafe { self.try_send_gate(value) },
                Attempt::Busy if linger(round) => {}
                Attempt::Blocked | Attempt::Busy => break,
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

    /// Receives without waiting.
    ///
    /// # Safety
    ///
    /// `out` is valid for a write; on `Done` it holds a value.
    #[inline]
    pub(crate) unsafe fn try_recv(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        match unsafe { self.ring.pop_once(out) } {
            Some(Attempt::Done) => Tried::Done,
            Some(Attempt::DoneSlow) => {
                self.settle();
                Tried::Done
            }
            // SAFETY: the caller's promise.
            Some(_) => unsafe { self.try_recv_slow(out) },
            // SAFETY: the caller's promise.
            None => unsafe { self.try_recv_again(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn try_recv_again(&self, out: *mut T) -> Tried {
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
            Attempt::Slow => unsafe { self.try_recv_slow(out) },
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[inline(never)]
    unsafe fn try_recv_slow(&self, out: *mut T) -> Tried {
        if !self.gate.hint.may_recv() {
            return Tried::Blocked;
        }
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                Kind::Conflated => self.take_latest(out),
                Kind::Rendezvous => self.meet_sender(out),
                Kind::Bounded | Kind::Unlimited => self.recv_past(out),
            }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::try_recv`].
    #[cold]
    unsafe fn try_recv_busy(&self, out: *mut T) -> Tried {
        for round in 0.. {
            // SAFETY: the caller's promise.
            match unsafe { self.ring.pop(out) } {
                Attempt::Done => return Tried::Done,
                Attempt::DoneSlow => {
                    self.settle();
                    return Tried::Done;
                }
                // SAFETY: the caller's promise.
                Attempt::Slow => return unsafe { self.try_recv_slow(out) },
                Attempt::Busy if linger(round) => {}
                Attempt::Blocked | Attempt::Busy => break,
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
