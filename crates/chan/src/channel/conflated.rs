// SPDX-License-Identifier: BSD-3-Clause
//! The conflated kind's short way: one slot under the lock, in which a send replaces what is there.
//!
//! It is taken while nobody waits, nothing was given back and the channel is open; everything else
//! goes the gate's long way. What the lock is held for is some ten instructions.

use super::{Channel, Tried};

impl<T> Channel<T> {
    /// Sends: puts `*value` where the latest is.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline]
    pub(crate) unsafe fn send_latest(&self, value: *const T) -> Tried {
        let mut gate = self.gate.lock.lock();
        if gate.closed | gate.timed | !gate.returned.is_empty() | !gate.receivers.is_empty() {
            drop(gate);
            // SAFETY: the caller's promise.
            return unsafe { self.try_send_gate(value) };
        }
        // SAFETY: the caller's promise; moved out, as `Done` says.
        let old = gate.latest.replace(unsafe { value.read() });
        gate.counts.sent_apart += 1;
        gate.counts.conflated += u64::from(old.is_some());
        self.gate.hint.set(true, true);
        drop(gate);
        if let Some(old) = old {
            self.lose(old);
        }
        Tried::Done
    }

    /// Receives: takes the latest.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline]
    pub(crate) unsafe fn take_latest(&self, out: *mut T) -> Tried {
        let mut gate = self.gate.lock.lock();
        if gate.timed | !gate.returned.is_empty() | !gate.receivers.is_empty() {
            drop(gate);
            // SAFETY: the caller's promise.
            return unsafe { self.try_recv_gate(out) };
        }
        let Some(value) = gate.latest.take() else {
            return if gate.closed { Tried::Closed } else { Tried::Blocked };
        };
        gate.counts.received_apart = gate.counts.received_apart.wrapping_add(1);
        self.gate.hint.set(true, gate.closed);
        drop(gate);
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
        Tried::Done
    }
}
