// SPDX-License-Identifier: BSD-3-Clause
//! The conflated kind's short way: one slot under the lock, in which a send replaces what is there.
//!
//! It is taken while no operation waits, nothing was given back and the channel is open; everything
//! else goes the gate's long way. What the lock is held for is some ten instructions. Where it is free
//! and the value that is replaced needs no drop, nothing is called, so that no register is saved.

use std::mem;

use super::{Channel, Tried};
use crate::gate::Gate;
use crate::lock::Guard;

impl<T> Channel<T> {
    /// Sends: puts `*value` where the latest is.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn send_latest(&self, value: *const T) -> Tried {
        if mem::needs_drop::<T>() || self.undelivered.is_some() {
            // SAFETY: the caller's promise.
            return unsafe { self.send_latest_calling(value) };
        }
        let Some(mut gate) = self.gate.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.send_latest_calling(value) };
        };
        if !is_short(&gate) {
            // SAFETY: the caller's promise.
            return unsafe { self.try_send_locked(gate, value) };
        }
        // SAFETY: the caller's promise. Nobody misses what is replaced.
        unsafe { self.replace_latest(&mut gate, value) };
        Tried::Done
    }

    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    unsafe fn send_latest_calling(&self, value: *const T) -> Tried {
        let mut gate = self.gate.lock.lock();
        if !is_short(&gate) {
            // SAFETY: the caller's promise.
            return unsafe { self.try_send_locked(gate, value) };
        }
        // SAFETY: the caller's promise.
        let old = unsafe { self.replace_latest(&mut gate, value) };
        drop(gate);
        if let Some(old) = old {
            self.lose(old);
        }
        Tried::Done
    }

    /// # Safety
    ///
    /// `value` is valid for a read, and is moved out.
    #[inline]
    unsafe fn replace_latest(&self, gate: &mut Guard<'_, Gate<T>>, value: *const T) -> Option<T> {
        // SAFETY: the caller's promise.
        let old = gate.latest.replace(unsafe { value.read() });
        gate.counts.sent_apart += 1;
        gate.counts.conflated += u64::from(old.is_some());
        self.gate.hint.set(true, true);
        old
    }

    /// Receives: takes the latest.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn take_latest(&self, out: *mut T) -> Tried {
        if !self.gate.hint.may_recv() {
            return Tried::Blocked;
        }
        let Some(gate) = self.gate.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.take_latest_late(out) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.take_latest_from(gate, out) }
    }

    /// As [`Self::take_latest`], where another operation has the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    unsafe fn take_latest_late(&self, out: *mut T) -> Tried {
        // SAFETY: the caller's promise.
        unsafe { self.take_latest_from(self.gate.lock.lock(), out) }
    }

    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline]
    unsafe fn take_latest_from<'a>(&'a self, mut gate: Guard<'a, Gate<T>>, out: *mut T) -> Tried {
        if is_short(&gate)
            && let Some(value) = gate.latest.take()
        {
            gate.counts.received_apart = gate.counts.received_apart.wrapping_add(1);
            self.gate.hint.set(true, false);
            // SAFETY: the caller's promise.
            unsafe { out.write(value) };
            return Tried::Done;
        }
        // SAFETY: the caller's promise.
        unsafe { self.try_recv_locked(gate, out) }
    }
}

/// Whether the short way may be taken.
#[inline]
fn is_short<T>(gate: &Gate<T>) -> bool {
    !(gate.closed | gate.timed | !gate.returned.is_empty() | !gate.receivers.is_empty())
}
