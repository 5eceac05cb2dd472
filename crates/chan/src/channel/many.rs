// SPDX-License-Identifier: BSD-3-Clause
//! Batches that do not wait: a run of slots per compare-exchange, or one hold of the lock.

use std::collections::VecDeque;
use std::mem::{self, ManuallyDrop, MaybeUninit};

use super::attempt::backoff;
use super::{Channel, Kind, Outcome};
use crate::core::{DeferredEffects, LockedOutcome};
use crate::ring::RingOutcome;

impl<T> Channel<T> {
    /// Sends from the front of `values` without waiting. Returns the number sent, and whether the
    /// channel is closed.
    pub(crate) fn try_send_many(&self, values: &mut VecDeque<T>) -> (usize, Outcome) {
        let mut sent = 0;
        while !values.is_empty() {
            if self.weigh.is_none() && (self.suspends() || self.kind == Kind::Unlimited) {
                // The values that lie one after the other: the next round sends the others.
                let (front, _) = values.as_slices();
                let mut next = front.as_ptr();
                let (run, attempt) = self.ring.push_run(front.len(), || {
                    // SAFETY: called at most as often as there are values in front, each of which
                    // is moved out once: they are taken out of the queue without a drop below.
                    unsafe {
                        let value = next.read();
                        next = next.add(1);
                        value
                    }
                });
                values.drain(..run).for_each(mem::forget);
                sent += run;
                match attempt {
                    RingOutcome::Done => continue,
                    RingOutcome::DoneSlow => {
                        self.rebalance();
                        continue;
                    }
                    _ if self.kind == Kind::Unlimited => {
                        if let Some(more) = self.send_many_past(values) {
                            return (sent + more, Outcome::Done);
                        }
                    }
                    RingOutcome::Blocked | RingOutcome::Busy => return (sent, Outcome::Blocked),
                    RingOutcome::Slow => {}
                }
            }
            let (more, tried) = if self.weigh.is_some() {
                self.try_send_front(values)
            } else {
                self.try_send_many_locked_core(values)
            };
            sent += more;
            if tried != Outcome::Done {
                return (sent, tried);
            }
        }
        (sent, Outcome::Done)
    }

    /// Sends the first value, on a channel that weighs its values.
    fn try_send_front(&self, values: &mut VecDeque<T>) -> (usize, Outcome) {
        let Some(value) = values.front() else {
            return (0, Outcome::Done);
        };
        // SAFETY: on `Done` it was moved out, and is forgotten below. Its weight is user code, which
        // may panic: until then it stays in the queue.
        let tried = unsafe { self.try_send(value) };
        if tried != Outcome::Done {
            return (0, tried);
        }
        let _moved_out = values.pop_front().map(ManuallyDrop::new);
        (1, tried)
    }

    fn try_send_many_locked_core(&self, values: &mut VecDeque<T>) -> (usize, Outcome) {
        let mut effects = DeferredEffects::new();
        let mut sent = 0;
        let mut tried = Outcome::Done;
        let mut core = self.enter();
        while let Some(value) = values.pop_front() {
            let value = ManuallyDrop::new(value);
            // SAFETY: entered; the value is put back if it was not moved out.
            match unsafe { core.send(&self.ring, &raw const *value, &mut effects) } {
                LockedOutcome::Done => sent += 1,
                locked => {
                    values.push_front(ManuallyDrop::into_inner(value));
                    tried = if locked == LockedOutcome::Closed {
                        Outcome::Closed
                    } else {
                        Outcome::Blocked
                    };
                    break;
                }
            }
        }
        self.leave(core, &mut effects);
        (sent, tried)
    }

    /// Receives up to `max` values without waiting. Returns the number received, and whether the
    /// channel is closed and drained.
    pub(crate) fn try_recv_many(&self, values: &mut Vec<T>, max: usize) -> (usize, Outcome) {
        let begin = values.len();
        let tried = self.try_recv_many_into(values, max);
        let received = values.len() - begin;
        if self.weigh.is_some() {
            values.iter().skip(begin).for_each(|value| self.count_received(value));
        }
        (received, tried)
    }

    fn try_recv_many_into(&self, values: &mut Vec<T>, max: usize) -> Outcome {
        let end = values.len().saturating_add(max);
        let mut round = 0;
        while values.len() < end {
            let max = end - values.len();
            // No allocation between claim and publication.
            values.reserve(max.min(self.ring.len().max(1)));
            let room = values.capacity() - values.len();
            let begin = values.len();
            let mut places = values.spare_capacity_mut().iter_mut();
            let (run, attempt) = self.ring.pop_run(max.min(room), |value| {
                // SAFETY: called at most as often as there is room.
                unsafe { places.next().unwrap_unchecked() }.write(value);
            });
            // SAFETY: each call of the closure wrote one value, in this order; there were `run`.
            unsafe { values.set_len(begin + run) };
            match attempt {
                RingOutcome::Done => continue,
                RingOutcome::DoneSlow => {
                    self.rebalance();
                    continue;
                }
                RingOutcome::Blocked => return Outcome::Blocked,
                // Another receive may be moving values up, or a send is about to publish its value.
                RingOutcome::Busy if self.kind == Kind::Unlimited && backoff(round) => {
                    round += 1;
                    continue;
                }
                RingOutcome::Busy => return Outcome::Blocked,
                RingOutcome::Slow => {}
            }
            values.reserve(max.min(self.len().max(1)));
            let room = values.capacity() - values.len();
            if self.kind == Kind::Unlimited {
                match self.recv_many_past(values, max.min(room)) {
                    LockedOutcome::Done => continue,
                    LockedOutcome::Busy if backoff(round) => {
                        round += 1;
                        continue;
                    }
                    _ => {}
                }
            }
            let mut effects = DeferredEffects::new();
            let mut core = self.enter();
            let tried = loop {
                if values.len() == values.capacity() || values.len() == end {
                    break Outcome::Done;
                }
                let mut value = MaybeUninit::uninit();
                // SAFETY: entered; on `Done` the value is there.
                match unsafe { core.recv(&self.ring, value.as_mut_ptr(), &mut effects) } {
                    // SAFETY: as above.
                    LockedOutcome::Done => values.push(unsafe { value.assume_init() }),
                    LockedOutcome::Closed => break Outcome::Closed,
                    LockedOutcome::Blocked | LockedOutcome::Busy => break Outcome::Blocked,
                }
            };
            self.leave(core, &mut effects);
            if tried != Outcome::Done {
                return tried;
            }
        }
        Outcome::Done
    }
}
