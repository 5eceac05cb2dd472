// SPDX-License-Identifier: BSD-3-Clause
//! What goes against the stream, each under one hold of the lock: values come back in front, the
//! newest ones are taken out.

use super::Channel;
use super::attempt::linger;
use crate::gate::{After, Locked};

impl<T> Channel<T> {
    /// Takes back what was handed to a receive that was dropped before it gave it to anybody.
    pub(crate) fn give_back(&self, value: T, turn: u64) {
        let mut after = After::new();
        let mut gate = self.enter();
        gate.give_back(&self.ring, value, turn, &mut after);
        self.leave(gate, &mut after);
    }

    /// Takes back values that were received and are not counted as such any more, in order. `values`
    /// is an iterator of the standard library's: it runs under the lock.
    pub(crate) fn put_back(&self, values: impl DoubleEndedIterator<Item = T>) {
        let mut after = After::new();
        let mut gate = self.enter();
        gate.put_back(&self.ring, values, &mut after);
        self.leave(gate, &mut after);
    }

    /// Takes all values but the `keep` oldest, in order.
    pub(crate) fn split_off(&self, keep: usize) -> Vec<T> {
        let mut newest = Vec::new();
        for round in 0.. {
            let surplus = self.len().saturating_sub(keep);
            if surplus == 0 {
                break;
            }
            newest.reserve(surplus);
            let mut after = After::new();
            let mut gate = self.enter();
            let split = gate.split_off(&self.ring, keep, &mut newest, &mut after);
            self.leave(gate, &mut after);
            if split != Locked::Busy || !linger(round) {
                break;
            }
        }
        newest.iter().for_each(|value| self.count_received(value));
        newest
    }
}
