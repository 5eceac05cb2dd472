// SPDX-License-Identifier: BSD-3-Clause
//! The choice of the next coroutine.
//!
//! In this order: the coroutine that was woken last, unless such coroutines were dispatched first
//! too often in a row; the first ready one; the newest that has not started; one spawned from
//! outside; one of another worker. After a coroutine that yielded, those that have not started come
//! first, once: it may yield until one of them has done something. Bounds keep a flood of one kind
//! from starving the others:
//!
//! | waiting | bound |
//! |---|---|
//! | ready in the queue | 2 · (`LIFO_STREAK_MAX` + 1) dispatches for each that is before it |
//! | fresh: the oldest of the deque, or the oldest from outside | 2 · `FRESH_EVERY` dispatches for each before it; those from outside are moved in batches, behind the deque's |
//! | fresh, for this worker alone, or from outside beside such ones | 4 · `FRESH_EVERY` dispatches for each before it |
//! | due timers | `CLOCK_EVERY` dispatches |
//! | wakes from other threads | one dispatch |

use std::{ptr, sync::atomic::Ordering};

use super::{Worker, fresh::Fresh};
use crate::{
    error::{JoinError, SpawnError},
    runtime::{Counters, run},
    slot::{self, Slot, State},
    stack,
    switch::Switch,
};

/// The largest number of dispatches in a row of the coroutine woken last, while others are ready.
const LIFO_STREAK_MAX: u32 = 16;
/// Once in this many dispatches, one that has not started comes first.
const FRESH_EVERY: u32 = 7 * CLOCK_EVERY;
/// Once in this many dispatches, the clock is read while there are timers.
const CLOCK_EVERY: u32 = 8;
/// The number of due timers taken out at once.
const TIMERS_AT_ONCE: usize = 16;
/// While fewer are ready, the data of a coroutine whose timer fires is prefetched: that of so many
/// fits into the second cache. The timers, and so the misses, are at hand together; and most that
/// have slept do a little and end.
const PREFETCHED_MAX: usize = 512;
/// The number of coroutines from which free stacks are prefetched: those that were freed last, and
/// are in the caches, are in use by then.
const MANY: usize = 64;
/// Once in this many dispatches, the clock is read in any case, for the instants in a listing.
const CLOCK_ANYWAY_EVERY: u32 = 64;

impl Worker {
    /// Runs coroutines until the runtime ends.
    pub(super) fn turns(&self) {
        loop {
            self.take_messages();
            if let Some(slot) = self.next() {
                self.resume(slot);
            } else if !self.idle() {
                return;
            }
        }
    }

    /// Whether the runtime ends. The first time that it does, the worker begins its end.
    #[inline]
    fn is_stopping(&self) -> bool {
        if self.shared.stop.load(Ordering::Relaxed) && !self.stopping.get() {
            self.begin_to_stop();
        }
        self.stopping.get()
    }

    #[inline]
    fn next(&self) -> Option<&'static Slot> {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        if tick.is_multiple_of(CLOCK_EVERY)
            && let Some(found) = self.next_after_a_look(tick)
        {
            return Some(found);
        }
        if self.gave_way.take()
            && let Some(found) = self.take_fresh()
        {
            return Some(found);
        }
        // SAFETY: null, or a slot, which is never unmapped.
        if let Some(slot) = unsafe { self.lifo.replace(ptr::null()).as_ref() } {
            let streak = self.lifo_streak.get();
            if streak < LIFO_STREAK_MAX || self.ready.is_empty() {
                self.lifo_streak.set(streak.saturating_add(1));
                return Some(slot);
            }
            self.ready.push(slot);
        }
        self.lifo_streak.set(0);
        if let Some(found) = self.ready.pop() {
            return Some(found);
        }
        self.take_fresh()
    }

    /// Processes the wakes that other threads have sent.
    #[inline]
    pub(super) fn take_messages(&self) {
        if !self.remote.inbox.is_empty() {
            self.take_all_messages();
        }
    }

    #[cold]
    fn take_all_messages(&self) {
        self.remote.inbox.take(
            |index| slot::get(index).map(|slot| &slot.wake),
            |index| {
                Counters::add(&self.counters.remote_wakes, 1);
                let Some(slot) = slot::get(index) else { return };
                if slot.state() == State::Zombie {
                    self.bury(slot);
                } else {
                    self.wake(slot);
                }
            },
        );
    }

    /// Makes a coroutine of this worker ready, or, if it does not wait, records the wake for its
    /// next wait.
    #[inline]
    pub(super) fn wake(&self, slot: &'static Slot) {
        if !matches!(slot.state(), State::Parked | State::Sleeping) {
            slot.token.set(true);
            return;
        }
        slot.set_state_at(State::Ready, self.now.get());
        // SAFETY: null, or a slot, which is never unmapped.
        if let Some(before) = unsafe { self.lifo.replace(slot).as_ref() } {
            self.ready.push(before);
        }
    }

    /// What is to be looked at once in `CLOCK_EVERY` dispatches; some of it more rarely. Returns one
    /// that has not started, if its turn has come.
    #[inline(never)]
    fn next_after_a_look(&self, tick: u32) -> Option<&'static Slot> {
        let stopping = self.is_stopping();
        if !self.timers.borrow().is_empty() {
            self.fire_timers();
        } else if tick.is_multiple_of(CLOCK_ANYWAY_EVERY) {
            self.read_clock();
        }
        if tick.is_multiple_of(FRESH_EVERY) && !stopping {
            return self.take_oldest_fresh();
        }
        None
    }

    /// Wakes the coroutines whose deadlines have passed, in the order of the deadlines.
    pub(super) fn fire_timers(&self) {
        let now = self.read_clock();
        loop {
            // A batch at a time: their slots are prefetched while the wheel finds more.
            let mut due = [None; TIMERS_AT_ONCE];
            {
                let mut timers = self.timers.borrow_mut();
                for place in &mut due {
                    let Some((_, key)) = timers.pop(now) else { break };
                    *place = slot::get(key.index()).map(|slot| (key, slot));
                    if let Some((_, slot)) = place {
                        slot.prefetch();
                    }
                }
            }
            if due.first().is_none_or(Option::is_none) {
                return;
            }
            for (key, slot) in due.into_iter().flatten() {
                Counters::add(&self.counters.timers, 1);
                // Not through the lifo slot, which would reverse their order.
                if slot.key() == key && matches!(slot.state(), State::Parked | State::Sleeping) {
                    slot.set_state_at(State::Ready, now);
                    slot.set_fired();
                    if self.ready.len() < PREFETCHED_MAX {
                        // SAFETY: it waits, so it has a stack and was given a task, and it is this
                        // worker's.
                        unsafe {
                            slot.prefetch_stack();
                            slot.prefetch_task();
                        }
                    }
                    self.ready.push(slot);
                }
            }
        }
    }

    fn take_fresh(&self) -> Option<&'static Slot> {
        if self.is_stopping() {
            self.drop_all_fresh();
            return None;
        }
        if self.owned.get() == 0 {
            self.leave_the_last();
        }
        loop {
            let slot = self.pop_fresh()?;
            if self.start(slot) {
                return Some(slot);
            }
        }
    }

    /// One that has not started: the newest of this worker's own, or one from outside.
    #[inline]
    pub(super) fn pop_fresh(&self) -> Option<&'static Slot> {
        let slot = self.fresh.pop().or_else(|| self.take_injected());
        self.has_fresh.set(slot.is_some());
        slot
    }

    /// The oldest that has not started, alternately of this worker's own and of those from outside.
    fn take_oldest_fresh(&self) -> Option<&'static Slot> {
        let own = !self.fresh_turn.get();
        self.fresh_turn.set(own);
        let slot = if own {
            self.take_own_oldest().or_else(|| self.take_injected())
        } else {
            self.take_injected().or_else(|| self.take_own_oldest())
        };
        slot.filter(|slot| self.start(slot))
    }

    fn take_own_oldest(&self) -> Option<&'static Slot> {
        self.fresh.pop_oldest(self.shared.stealer(self.index))
    }

    /// One from outside, alternately for this worker alone and for any.
    pub(super) fn take_injected(&self) -> Option<&'static Slot> {
        let pinned = !self.pinned_turn.get();
        self.pinned_turn.set(pinned);
        if pinned {
            self.take_pinned().or_else(|| self.take_shared())
        } else {
            self.take_shared().or_else(|| self.take_pinned())
        }
    }

    fn take_pinned(&self) -> Option<&'static Slot> {
        let pinned = self.shared.pinned(self.index)?;
        if pinned.is_empty() { None } else { Fresh::take_pinned(pinned) }
    }

    fn take_shared(&self) -> Option<&'static Slot> {
        if self.shared.injector.is_empty() {
            return None;
        }
        self.fresh.take_injected(&self.shared.injector)
    }

    /// Steals from another worker that has something, starting at a random one.
    pub(super) fn steal(&self) -> Option<&'static Slot> {
        let workers = self.shared.workers();
        let first = fastrand::usize(..workers.max(1));
        for step in 0..workers {
            let victim = (first + step) % workers;
            if victim == self.index {
                continue;
            }
            let Some(stealer) = self.shared.stealer(victim) else { continue };
            if let Some(slot) = self.fresh.steal(stealer) {
                Counters::add(&self.counters.steals, 1);
                return Some(slot);
            }
        }
        None
    }

    /// Makes a fresh coroutine this worker's, and gives it a stack. False: there was none, and it
    /// has ended.
    #[inline]
    pub(super) fn start(&self, slot: &'static Slot) -> bool {
        self.own(slot);
        let size = slot.stack_size();
        let stack = if size == self.shared.stack_size {
            if self.owned.get() > MANY
                && let Some(base) = self.stacks.soon()
            {
                Switch::prefetch_new(base);
            }
            self.stacks.get()
        } else {
            stack::acquire(size)
        };
        match stack {
            Ok(stack) => {
                let data = ptr::from_ref(slot).cast_mut().cast();
                // SAFETY: this worker's, and it has no stack yet.
                unsafe { slot.set_switch(Switch::new(stack, run, data)) };
                true
            }
            Err(error) => {
                self.drop_fresh(slot, JoinError::Refused(SpawnError::Stack(error)));
                false
            }
        }
    }

    /// Makes a fresh coroutine this worker's.
    #[inline]
    pub(super) fn own(&self, slot: &Slot) {
        if slot.wake.start(self.number) {
            slot.token.set(true);
        }
        slot.ending.set(self.stopping.get());
        self.owned.set(self.owned.get() + 1);
        self.counters.owned.store(self.owned.get() as u64, Ordering::Relaxed);
    }
}
