// SPDX-License-Identifier: BSD-3-Clause
//! Batches that do not wait: a run of slots for one compare-exchange, or one hold of the lock.

use std::collections::VecDeque;
use std::mem::{ManuallyDrop, MaybeUninit};

use super::attempt::linger;
use super::{Channel, Tried};
use crate::gate::{After, Kind, Locked};
use crate::ring::Attempt;

impl<T> Channel<T> {
    /// Sends from the front of `values` what needs no waiting. Says how many, and whether the
    /// channel is closed.
    pub(crate) fn try_send_many(&self, values: &mut VecDeque<T>) -> (usize, Tried) {
        let mut sent = 0;
        while !values.is_empty() {
            if self.weigh.is_none() && (self.suspends || self.kind == Kind::Unlimited) {
                let (run, attempt) = self.ring.push_run(values.len(), || {
                    // SAFETY: called at most as often as there are values.
                    unsafe { values.pop_front().unwrap_unchecked() }
                });
                sent += run;
                match attempt {
                    Attempt::Done => continue,
                    Attempt::DoneSlow => {
                        self.settle();
                        continue;
                    }
                    _ if self.kind == Kind::Unlimited => {
                        if let Some(more) = self.send_many_past(values) {
                            return (sent + more, Tried::Done);
                        }
                    }
                    Attempt::Blocked | Attempt::Busy => return (sent, Tried::Blocked),
                    Attempt::Slow => {}
                }
            }
            let (more, tried) = if self.weigh.is_some() {
                self.try_send_front(values)
            } else {
                self.try_send_many_gate(values)
            };
            sent += more;
            if tried != Tried::Done {
                return (sent, tried);
            }
        }
        (sent, Tried::Done)
    }

    /// Sends one value of a channel that weighs its values.
    fn try_send_front(&self, values: &mut VecDeque<T>) -> (usize, Tried) {
        let Some(value) = values.pop_front() else {
            return (0, Tried::Done);
        };
        let value = ManuallyDrop::new(value);
        // SAFETY: the value is put back if it was not moved out.
        match unsafe { self.try_send(&raw const *value) } {
            Tried::Done => (1, Tried::Done),
            tried => {
                values.push_front(ManuallyDrop::into_inner(value));
                (0, tried)
            }
        }
    }

    fn try_send_many_gate(&self, values: &mut VecDeque<T>) -> (usize, Tried) {
        let mut after = After::new();
        let mut sent = 0;
        let mut tried = Tried::Done;
        let mut gate = self.enter();
        while let Some(value) = values.pop_front() {
            let value = ManuallyDrop::new(value);
            // SAFETY: entered; the value is put back if it was not moved out.
            match unsafe { gate.send(&self.ring, &raw const *value, &mut after) } {
                Locked::Done => sent += 1,
                locked => {
                    values.push_front(ManuallyDrop::into_inner(value));
                    tried = if locked == Locked::Closed { Tried::Closed } else { Tried::Blocked };
                    break;
                }
            }
        }
        self.leave(gate, &mut after);
        (sent, tried)
    }

    /// Receives up to `max` values that need no waiting. Says how many, and whether the channel is
    /// closed and drained.
    pub(crate) fn try_recv_many(&self, values: &mut Vec<T>, max: usize) -> (usize, Tried) {
        let begin = values.len();
        let tried = self.try_recv_many_into(values, max);
        let received = values.len() - begin;
        if self.weigh.is_some() {
            values.iter().skip(begin).for_each(|value| self.count_received(value));
        }
        (received, tried)
    }

    fn try_recv_many_into(&self, values: &mut Vec<T>, max: usize) -> Tried {
        let end = values.len().saturating_add(max);
        let mut round = 0;
        while values.len() < end {
            let max = end - values.len();
            // No code of the allocator's between claim and publication.
            values.reserve(max.min(self.ring.len().max(1)));
            let room = values.capacity() - values.len();
            let (_, attempt) = self.ring.pop_run(max.min(room), |value| values.push(value));
            match attempt {
                Attempt::Done => continue,
                Attempt::DoneSlow => {
                    self.settle();
                    continue;
                }
                Attempt::Blocked => return Tried::Blocked,
                // Another receive may be moving values up, or a send stands before its publication.
                Attempt::Busy if self.kind == Kind::Unlimited && linger(round) => {
                    round += 1;
                    continue;
                }
                Attempt::Busy => return Tried::Blocked,
                Attempt::Slow => {}
            }
            values.reserve(max.min(self.len().max(1)));
            let room = values.capacity() - values.len();
            if self.kind == Kind::Unlimited {
                match self.recv_many_past(values, max.min(room)) {
                    Locked::Done => continue,
                    Locked::Busy if linger(round) => {
                        round += 1;
                        continue;
                    }
                    _ => {}
                }
            }
            let mut after = After::new();
            let mut gate = self.enter();
            let tried = loop {
                if values.len() == values.capacity() || values.len() == end {
                    break Tried::Done;
                }
                let mut value = MaybeUninit::uninit();
                // SAFETY: entered; on `Done` the value is there.
                match unsafe { gate.recv(&self.ring, value.as_mut_ptr(), &mut after) } {
                    // SAFETY: as above.
                    Locked::Done => values.push(unsafe { value.assume_init() }),
                    Locked::Closed => break Tried::Closed,
                    Locked::Blocked | Locked::Busy => break Tried::Blocked,
                }
            };
            self.leave(gate, &mut after);
            if tried != Tried::Done {
                return tried;
            }
        }
        Tried::Done
    }
}
