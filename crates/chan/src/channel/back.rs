// SPDX-License-Identifier: BSD-3-Clause
//! The opposite direction, each operation under one hold of the lock: values are requeued in front,
//! the newest values are removed.

use super::Channel;
use super::attempt::backoff;
use crate::core::{DeferredEffects, LockedOutcome};

impl<T> Channel<T> {
    /// Requeues a value that was handed to a receive that was dropped before it returned the value.
    pub(crate) fn requeue(&self, value: T, sequence: u64) {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        core.requeue(&self.ring, value, sequence, &mut effects);
        self.leave(core, &mut effects);
    }

    /// Puts back values that were received and are no longer counted as received, in order.
    /// `values` is an iterator of the standard library: it runs under the lock.
    pub(crate) fn put_back(&self, values: impl DoubleEndedIterator<Item = T>) {
        let mut effects = DeferredEffects::new();
        let mut core = self.enter();
        core.put_back(&self.ring, values, &mut effects);
        self.leave(core, &mut effects);
    }

    /// Removes and returns all values except the `keep` oldest, in order.
    pub(crate) fn split_off(&self, keep: usize) -> Vec<T> {
        let mut newest = Vec::new();
        for round in 0.. {
            let surplus = self.len().saturating_sub(keep);
            if surplus == 0 {
                break;
            }
            newest.reserve(surplus);
            let mut effects = DeferredEffects::new();
            let mut core = self.enter();
            let split = core.split_off(&self.ring, keep, &mut newest, &mut effects);
            self.leave(core, &mut effects);
            if split != LockedOutcome::Busy || !backoff(round) {
                break;
            }
        }
        newest.iter().for_each(|value| self.count_received(value));
        newest
    }
}
