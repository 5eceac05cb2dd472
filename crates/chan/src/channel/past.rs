// SPDX-License-Identifier: BSD-3-Clause
//! The short path of an unlimited channel that holds more values than its ring (`core::past`), and
//! of stored values while no operation waits, as after a close.
//!
//! It is taken while no operation waits and no value is requeued; all other cases take the core's
//! general path. It has no deferred effects.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;

use super::attempt::backoff;
use super::{Channel, Outcome};
use crate::core::{LockedOutcome, Way};

impl<T> Channel<T> {
    /// Sends past the ring.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn send_past(&self, value: *const T) -> Outcome {
        let mut core = self.core.lock.lock();
        if !core.sends_past() {
            // SAFETY: the caller's promise.
            return unsafe { self.try_send_locked(core, value) };
        }
        // SAFETY: locked; the caller's promise.
        unsafe { core.send_past(&self.ring, value) };
        Outcome::Done
    }

    /// Sends after the ring was found slow or full. A ring that is fast by now stays fast: an
    /// operation that was late at the lock must not make it slow again for later operations.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_send`].
    #[inline(never)]
    pub(crate) unsafe fn send_stored(&self, value: *const T) -> Outcome {
        for round in 0.. {
            let core = self.core.lock.lock();
            if core.is_slow() || !self.suspends {
                // SAFETY: the caller's promise.
                return unsafe { self.try_send_locked(core, value) };
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
        unsafe { self.try_send_locked_core(value) }
    }

    /// Sends all of `values` past the ring. `None`: none was sent, the general path must be taken.
    pub(super) fn send_many_past(&self, values: &mut VecDeque<T>) -> Option<usize> {
        let mut core = self.core.lock.lock();
        if !core.sends_past() {
            return None;
        }
        let sent = values.len();
        while let Some(value) = values.pop_front() {
            let value = ManuallyDrop::new(value);
            // SAFETY: locked; the value is owned here, and not dropped.
            unsafe { core.send_past(&self.ring, &raw const *value) };
        }
        Some(sent)
    }

    /// Receives after the ring was found empty or slow: from behind the ring, or under the lock.
    ///
    /// # Safety
    ///
    /// As for [`Channel::try_recv`].
    #[inline(never)]
    pub(crate) unsafe fn recv_past(&self, out: *mut T) -> Outcome {
        for round in 0.. {
            let mut core = self.core.lock.lock();
            let taken = match core.way() {
                // SAFETY: locked, and the path is this one; the caller's promise.
                Way::Past => unsafe { core.recv_past(&self.ring, out) },
                // SAFETY: as above.
                Way::Stored => unsafe { core.recv_stored(&self.ring, out) },
                Way::Ring => LockedOutcome::Busy,
                // SAFETY: the caller's promise.
                Way::Long => return unsafe { self.try_recv_locked(core, out) },
            };
            if core.is_slow() {
                core.leave(&self.ring, &self.core.hint);
            }
            drop(core);
            match taken {
                LockedOutcome::Done => return Outcome::Done,
                LockedOutcome::Closed => return Outcome::Closed,
                LockedOutcome::Blocked => return Outcome::Blocked,
                LockedOutcome::Busy => {}
            }
            // SAFETY: the caller's promise.
            if let Some(tried) = self.outcome(unsafe { self.ring.pop(out) }) {
                return tried;
            }
            if !backoff(round) {
                break;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.try_recv_locked_core(out) }
    }

    /// Receives up to `max` values from behind a ring that was found empty, for which `values` has
    /// room. `Busy`: none, the ring has values again; `Blocked`: the general path must be taken.
    pub(super) fn recv_many_past(&self, values: &mut Vec<T>, max: usize) -> LockedOutcome {
        let mut core = self.core.lock.lock();
        match core.way() {
            Way::Past => core.recv_many_past(&self.ring, values, max),
            Way::Ring => LockedOutcome::Busy,
            Way::Stored | Way::Long => LockedOutcome::Blocked,
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use crate::{Kind, Receiver, Sender, bounded, unlimited};

    const VALUES: usize = 1000;

    fn filled() -> (Sender<usize>, Receiver<usize>) {
        let (tx, rx) = unlimited();
        (0..VALUES).for_each(|number| tx.try_send(number).unwrap());
        (tx, rx)
    }

    #[test]
    fn a_backlog_is_received_from_the_ring_and_not_under_the_lock() {
        let (tx, rx) = filled();
        let mut locked = 0;
        for number in 0..VALUES {
            locked += usize::from(rx.channel.ring.may_pop() != Some(true));
            assert_eq!(rx.try_recv(), Ok(number));
        }
        // Once per ring of values: the receive that moves the next values up.
        assert!(locked <= VALUES / rx.channel.ring.capacity(), "{locked}");
        assert!(tx.channel.ring.is_fast(), "nothing is held past the ring any more");
    }

    #[test]
    fn a_batch_is_received_from_behind_the_ring_and_leaves_receives_on_it() {
        let (tx, rx) = filled();
        let mut values = Vec::new();
        let (received, _) = rx.channel.try_recv_many(&mut values, VALUES / 2);
        assert_eq!(received, VALUES / 2);
        assert!(values.iter().copied().eq(0..VALUES / 2));
        assert_eq!(rx.channel.ring.may_pop(), Some(true));
        let mut more = (0..VALUES).collect();
        assert_eq!(tx.channel.try_send_many(&mut more).0, VALUES);
        assert_eq!(rx.channel.ring.may_pop(), Some(true));
        assert!(rx.try_iter().eq((VALUES / 2..VALUES).chain(0..VALUES)));
    }

    #[test]
    fn the_counters_are_exact_at_every_step_of_a_backlog() {
        let (tx, rx) = unlimited();
        let seen = |sends: usize, receives: usize, most: usize| {
            let seen = tx.snapshot();
            assert_eq!((seen.sends, seen.receives), (sends as u64, receives as u64));
            assert_eq!((seen.len, seen.high_water), (sends - receives, most));
        };
        for number in 0..VALUES {
            assert!(tx.try_send(number).is_ok());
            if number % 7 == 0 {
                seen(number + 1, 0, number + 1);
            }
        }
        for number in 0..VALUES {
            assert_eq!(rx.try_recv(), Ok(number));
            if number % 7 == 0 {
                seen(VALUES, number + 1, VALUES);
            }
        }
    }

    /// Operations that found the ring slow, and reach the lock when it is fast again.
    #[test]
    fn an_operation_that_comes_late_to_the_lock_leaves_a_fast_ring_fast() {
        for (tx, rx) in [bounded(4), unlimited()] {
            let value = 7_u64;
            // SAFETY: the value is copied, and has no drop.
            let sent = unsafe {
                match tx.kind() {
                    Kind::Bounded => tx.channel.send_stored(&raw const value),
                    _ => tx.channel.send_past(&raw const value),
                }
            };
            assert_eq!(sent, super::Outcome::Done);
            assert!(tx.channel.ring.is_fast());
            let mut out = 0;
            // SAFETY: the place is ours.
            assert_eq!(unsafe { rx.channel.recv_past(&raw mut out) }, super::Outcome::Done);
            assert!(out == value && rx.channel.ring.is_fast());
        }
    }
}
