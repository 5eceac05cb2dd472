// SPDX-License-Identifier: BSD-3-Clause
//! The conflated kind: one slot under the lock, in which a send replaces the value.
//!
//! The short path is taken while no operation waits, no value is requeued, and the channel is open
//! and was made without `timing`; all other cases take the core's general path. The lock is held
//! for some ten instructions. If it is free and the replaced value needs no drop, there is no call,
//! so that no register is saved.

use std::mem;

use super::{Channel, Outcome};
use crate::core::{Core, DeferredEffects};
use crate::lock::Guard;
use crate::transfer::{Receiving, Sending};

impl<T> Channel<T> {
    /// Sends: replaces the latest value by `*value`.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn send_latest(&self, value: *const T) -> Outcome {
        if mem::needs_drop::<T>() || self.undelivered.get().is_some() {
            // SAFETY: the caller's promise.
            return unsafe { self.send_latest_calling(value) };
        }
        let Some(mut core) = self.core.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.send_latest_calling(value) };
        };
        if !is_short(&core) {
            // SAFETY: the caller's promise.
            return unsafe { self.try_locked::<Sending>(core, value.cast_mut()) };
        }
        // SAFETY: the caller's promise. The replaced value needs no drop and has no hook.
        unsafe { self.replace_latest(&mut core, value) };
        Outcome::Done
    }

    /// As [`Self::send_latest`], where that takes a call: the lock is taken, the replaced value
    /// needs a drop, or there is a hook.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    unsafe fn send_latest_calling(&self, value: *const T) -> Outcome {
        let mut core = self.core.lock.lock();
        if !is_short(&core) {
            // SAFETY: the caller's promise.
            return unsafe { self.try_locked::<Sending>(core, value.cast_mut()) };
        }
        // SAFETY: the caller's promise.
        let old = unsafe { self.replace_latest(&mut core, value) };
        drop(core);
        if let Some(old) = old {
            self.discard(old);
        }
        Outcome::Done
    }

    /// Replaces the latest value on the short path, and returns the previous one.
    ///
    /// # Safety
    ///
    /// `value` is valid for a read, and is moved out.
    #[inline]
    unsafe fn replace_latest(&self, core: &mut Guard<'_, Core<T>>, value: *const T) -> Option<T> {
        // SAFETY: the caller's promise.
        let old = core.latest.replace(unsafe { value.read() });
        core.counts.sent_apart += 1;
        core.counts.conflated += u64::from(old.is_some());
        self.core.hint.set(true, true);
        old
    }

    /// Receives the latest value.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn take_latest(&self, out: *mut T) -> Outcome {
        if !self.core.hint.may::<Receiving>() {
            return Outcome::Blocked;
        }
        let Some(core) = self.core.lock.try_lock() else {
            // SAFETY: the caller's promise.
            return unsafe { self.take_latest_late(out) };
        };
        // SAFETY: the caller's promise.
        unsafe { self.take_latest_from(core, out) }
    }

    /// As [`Self::take_latest`], while another operation holds the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    unsafe fn take_latest_late(&self, out: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { self.take_latest_from(self.core.lock.lock(), out) }
    }

    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline]
    unsafe fn take_latest_from<'a>(&'a self, mut core: Guard<'a, Core<T>>, out: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            if is_short(&core) && self.move_latest(&mut core, out) {
                return Outcome::Done;
            }
            self.try_locked::<Receiving>(core, out)
        }
    }

    /// Moves the latest value out, if there is one.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`], and the short path may be taken.
    #[inline]
    pub(super) unsafe fn move_latest(&self, core: &mut Core<T>, out: *mut T) -> bool {
        let Some(value) = core.latest.take() else {
            return false;
        };
        core.counts.received_apart = core.counts.received_apart.wrapping_add(1);
        self.core.hint.set(true, false);
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
        true
    }
}

impl<T> Core<T> {
    /// Replaces the latest value by `*value`, for the general path.
    ///
    /// # Safety
    ///
    /// As for [`Core::send`]; the value is moved out.
    #[inline]
    pub(crate) unsafe fn store_latest(
        &mut self,
        value: *const T,
        effects: &mut DeferredEffects<T>,
    ) {
        // SAFETY: moved out, as promised by `Done`.
        let old = self.latest.replace(unsafe { value.read() });
        let returned = self.requeued.drain(..).map(|(_, value)| value);
        for old in old.into_iter().chain(returned) {
            self.counts.conflated += 1;
            effects.discard(old);
        }
        self.counts.sent_apart += 1;
    }
}

/// Whether the short path may be taken.
#[inline]
pub(super) fn is_short<T>(core: &Core<T>) -> bool {
    !(core.closed | core.timed | !core.requeued.is_empty() | !core.receivers.is_empty())
}
