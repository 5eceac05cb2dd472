// SPDX-License-Identifier: BSD-3-Clause
//! A worker with nothing to run: it spins for a moment, then it sleeps.
//!
//! A sleep and a wake across two CPUs cost tens of microseconds, a check some nanoseconds. So it
//! spins first, for as long as that has succeeded lately: success raises the budget to twice the
//! checks it took, failure halves it, between bounds; now and then it spins longer, so that a
//! change is noticed. That is the competitive spinning of Karlin et al. (1991), as channels do it
//! for threads.
//!
//! While it spins it also polls sources outside of the process, and it sleeps in one if that is
//! the only one: see [`outside`](crate::outside).

use std::{
    cell::Cell,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::Worker;
use crate::{
    outside::{Claimed, Source},
    runtime::Counters,
    stack,
};

/// The largest budget, in checks. A check costs some nanoseconds.
const SPINS_MAX: u32 = 2048;
const LOOKS_MIN: u32 = 128;
/// The checks of the longer spin: some 100 microseconds, more than a sleep and a wake take.
const SPINS_PROBE: u32 = 4 * SPINS_MAX;
/// After the checks, the number of yields to other threads.
const YIELDS_MAX: u32 = 64;
const YIELDS_MIN: u32 = 4;
/// A yield that takes longer has let another process run for its share of the time.
const YIELD_MAX: Duration = Duration::from_micros(20);
/// The number of yields for threads on this CPU that may send.
const SOURCE_YIELDS: u32 = 4;
/// The duration of a sleep after which the memory of free stacks is released. Not earlier: after a
/// burst of coroutines another one may follow.
const TRIM_AFTER: Duration = Duration::from_millis(50);
/// One of this many sleeps is preceded by a longer spin.
const PROBE_EVERY: u32 = 32;
/// How long the last coroutine that has not started is left to a worker that runs something: longer
/// than most coroutines run until they wait, and no longer than it takes to wake a worker.
const LEFT_FOR: Duration = Duration::from_micros(20);
/// The same while other threads want this CPU, of which that worker may be one.
const LEFT_FOR_BUSY: Duration = Duration::from_millis(50);
/// The pause between two checks.
const STEPS: u32 = 16;
/// A worker does not spin when a timer is due within this time, in nanoseconds. Under a virtual
/// clock, which jumps, any timer counts.
const SOON: u64 = 200_000;

/// The spin budget by recent success.
pub(super) struct SpinBudget {
    spins: Cell<u32>,
    yields: Cell<u32>,
    in_vain: Cell<u32>,
}

impl SpinBudget {
    pub(super) const fn new() -> Self {
        Self { spins: Cell::new(SPINS_MAX), yields: Cell::new(YIELDS_MAX), in_vain: Cell::new(0) }
    }

    /// Spins until `found` returns true; false if the budget is used up.
    ///
    /// `soon` is checked between yields, each of which may take as long as other threads run.
    fn spin(&self, found: impl Fn() -> bool, soon: impl Fn() -> bool) -> bool {
        let probe = self.in_vain.get() % PROBE_EVERY == PROBE_EVERY - 1;
        let spins = if probe { SPINS_PROBE } else { self.spins.get() };
        for look in 0..spins {
            pause();
            if found() {
                self.spins.set((2 * look).clamp(self.spins.get(), SPINS_MAX));
                return true;
            }
        }
        // In vain also if a yield succeeds: then the other side waits for this CPU, and a spin only
        // keeps it waiting.
        self.spins.set((self.spins.get() / 2).max(LOOKS_MIN));
        self.in_vain.set(self.in_vain.get().wrapping_add(1));
        for _ in 0..self.yields.get() {
            if soon() {
                return false;
            }
            let before = Instant::now();
            std::thread::yield_now();
            if found() {
                self.yields.set(YIELDS_MAX);
                return true;
            }
            if before.elapsed() > YIELD_MAX {
                // Other threads want the CPU. A sleeping thread gets it back sooner than one that
                // yields.
                break;
            }
        }
        self.yields.set((self.yields.get() / 2).max(YIELDS_MIN));
        false
    }
}

fn pause() {
    for step in 0..STEPS {
        std::hint::black_box(step);
    }
}

impl Worker {
    /// Waits for work. False: the runtime has ended, and this worker has nothing left.
    #[cold]
    pub(super) fn idle(&self) -> bool {
        if self.is_stopped() {
            return self.wind_up();
        }
        self.fire_timers();
        if self.has_own() {
            return true;
        }
        let claimed = Claimed::resume(self.claimed.take());
        let found = match self.shared.may_search(&self.searching) {
            true => self.search(&claimed),
            false => claimed.is_empty() && self.spin_for_wakes(),
        };
        if found {
            self.claimed.set(claimed.retain());
            return true;
        }
        self.ready.trim();
        self.fresh.trim();
        let source = claimed.single().cloned();
        // It sleeps in the source that it keeps; it must not block the others.
        let kept = source.is_some().then_some(claimed);
        // The release of a source may have woken a coroutine of this worker.
        if !self.has_own() {
            self.sleep(source);
        }
        if let Some(kept) = kept {
            kept.poll();
            self.claimed.set(kept.retain());
        }
        true
    }

    /// Whether this worker has something of its own to run.
    fn has_own(&self) -> bool {
        !self.ready.is_empty()
            || !self.lifo.get().is_null()
            || !self.fresh.is_empty()
            || self.is_sent_something()
    }

    /// Whether other threads have brought something for this worker alone.
    pub(super) fn is_sent_something(&self) -> bool {
        !self.remote.inbox.is_empty() || self.has_pinned()
    }

    fn has_pinned(&self) -> bool {
        self.shared.pinned(self.index).is_some_and(|pinned| !pinned.is_empty())
    }

    /// Spins for wakes to coroutines of this worker, while others search. True: continue.
    fn spin_for_wakes(&self) -> bool {
        if self.owned.get() == 0 || !self.several_may_run() || self.is_due_soon() {
            return false;
        }
        let found = || {
            self.is_sent_something()
                || self.shared.has_fresh(self.index)
                || self.shared.stop.load(Ordering::Relaxed)
        };
        self.spin_budget.spin(found, || self.is_due_soon())
    }

    /// Whether a timer is due so soon that a spin could make it late.
    fn is_due_soon(&self) -> bool {
        let clock = &self.shared.clock;
        let bound = self.timers.borrow_mut().bound();
        bound.is_some_and(|at| clock.as_virtual().is_some() || at <= clock.now() + SOON)
    }

    /// Leaves the last coroutine that has not started to a worker that runs something.
    pub(super) fn leave_the_last(&self) {
        let may_be_taken = || self.shared.one_fresh_may_be_taken(self.searching.get());
        if !self.several_may_run() || !self.fresh.is_empty() || !may_be_taken() {
            return;
        }
        let since = Instant::now();
        let mut left_for = LEFT_FOR;
        let mut before = since;
        while !self.is_sent_something() && may_be_taken() && before.duration_since(since) < left_for
        {
            std::thread::yield_now();
            let after = Instant::now();
            if after.duration_since(before) > YIELD_MAX {
                left_for = LEFT_FOR_BUSY;
            }
            before = after;
        }
    }

    /// Searches for work of other workers, and for wakes. True: continue.
    fn search(&self, claimed: &Claimed) -> bool {
        loop {
            self.leave_the_last();
            if let Some(slot) = self.take_injected().or_else(|| self.steal()) {
                self.found_work();
                if self.start(slot) {
                    // There is nothing else: it is next.
                    self.lifo.set(slot);
                }
                return true;
            }
            let shared = &self.shared;
            let news = || {
                self.is_sent_something()
                    || shared.has_fresh(self.index)
                    || shared.stop.load(Ordering::Relaxed)
            };
            let may_pay = claimed.is_empty() || claimed.may_come_soon();
            let found = || news() || !claimed.is_empty() && claimed.poll() && self.has_own();
            let soon = || self.is_due_soon();
            if !may_pay
                && (0..SOURCE_YIELDS).any(|_| {
                    // A sender wants this CPU.
                    std::thread::yield_now();
                    found()
                })
            {
                if self.has_own() || self.is_stopped() {
                    self.found_work();
                    return true;
                }
                continue;
            }
            if may_pay && self.several_may_run() && !soon() && self.spin_budget.spin(found, soon) {
                if self.has_own() || self.is_stopped() {
                    self.found_work();
                    return true;
                }
                continue;
            }
            return false;
        }
    }

    /// With one CPU no other thread runs while this worker spins.
    fn several_may_run(&self) -> bool {
        self.shared.several_cpus
    }

    /// Ends the search of this worker. The last one to stop searching because it found something
    /// wakes another if there is more: a spawn that saw it search has woken none.
    #[cold]
    pub(super) fn found_work(&self) {
        if self.searching.take()
            && self.shared.searching.fetch_sub(1, Ordering::SeqCst) == 1
            && (!self.fresh.is_empty() || self.shared.has_fresh(self.index))
        {
            self.shared.call_helper();
        }
    }

    /// Sleeps, in a source if one is given.
    fn sleep(&self, source: Option<Arc<dyn Source>>) {
        let shared = &self.shared;
        if source.is_some() {
            self.remote.sleep_in(source.clone());
        }
        self.remote.sleeper.announce();
        let bound = self.timers.borrow_mut().bound();
        shared.join_idle(self.index, bound, &self.searching);
        if shared.workers() > 1 {
            // Pairs with the light fence of a worker that has pushed to its own deque.
            becket_chan::fence::heavy();
        }
        let idle = self.remote.inbox.is_empty_for_sleep()
            && !self.has_pinned()
            && !shared.has_fresh(self.index)
            && !self.is_stopped();
        let mut trim_at = None;
        if idle {
            shared.report_quiet();
            Counters::add(&self.counters.parks, 1);
            match shared.clock.as_virtual() {
                None => {
                    trim_at = stack::has_too_many_warm().then(|| Instant::now() + TRIM_AFTER);
                    let due = bound.map(|bound| {
                        let fired = self.counters.timers.load(Ordering::Relaxed);
                        shared.clock.instant(self.crowd.until(bound, self.now.get(), fired))
                    });
                    let until = due.into_iter().chain(trim_at).min();
                    match &source {
                        None => self.remote.sleeper.sleep(until),
                        Some(source) => {
                            let is_awake = || !self.remote.sleeper.is_announced() || self.has_own();
                            source.sleep(until, &is_awake);
                        }
                    }
                }
                Some(clock) if shared.advance(clock, bound) => {}
                Some(_) => self.remote.sleeper.sleep(None),
            }
        }
        self.remote.sleeper.retract();
        if source.is_some() {
            self.remote.sleep_in(None);
        }
        if shared.leave_idle(self.index) {
            self.searching.set(true);
        }
        if bound.is_some() {
            self.fire_timers();
        } else {
            self.read_clock();
        }
        if trim_at.is_some_and(|at| Instant::now() >= at) {
            self.trim_stacks();
        }
    }

    /// Releases the memory of free stacks until there is something to run.
    fn trim_stacks(&self) {
        while !self.has_own() && !self.shared.has_fresh(self.index) && stack::trim() {}
    }

    /// Winds up after the end of the runtime. False: nothing is left.
    fn wind_up(&self) -> bool {
        drop(self.claimed.take());
        if !self.stopping.get() {
            self.begin_to_stop();
            return true;
        }
        if self.drop_all_fresh() || self.has_own() {
            return true;
        }
        self.shared.report_quiet();
        if self.owned.get() == 0 {
            return false;
        }
        // The remaining coroutines wait in destructors, perhaps for a coroutine of another worker.
        let bound = self.timers.borrow_mut().bound();
        if let (Some(clock), Some(bound)) = (self.shared.clock.as_virtual(), bound) {
            // The thread that would have moved it may be gone.
            clock.advance_to(bound);
        }
        self.fire_timers();
        if self.has_own() {
            return true;
        }
        self.remote.sleeper.announce();
        if self.remote.inbox.is_empty_for_sleep()
            && !self.has_pinned()
            && self.shared.injector.is_empty()
        {
            self.remote.sleeper.sleep(bound.map(|bound| self.shared.clock.instant(bound)));
        }
        self.remote.sleeper.retract();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other side needs this CPU: it answers at the first yield, never during the checks.
    #[test]
    fn a_spin_that_only_delays_the_other_side_becomes_short() {
        let budget = SpinBudget::new();
        let rounds = 10 * PROBE_EVERY;
        let checks = Cell::new(0_u32);
        for _ in 0..rounds {
            let probe = budget.in_vain.get() % PROBE_EVERY == PROBE_EVERY - 1;
            let spins = if probe { SPINS_PROBE } else { budget.spins.get() };
            let seen = Cell::new(0);
            let found = || {
                seen.set(seen.get() + 1);
                seen.get() > spins
            };
            assert!(budget.spin(found, || false));
            checks.set(checks.get() + seen.get());
        }
        let short = rounds * (LOOKS_MIN + 1);
        let probes = rounds / PROBE_EVERY * SPINS_PROBE;
        let at_first = 2 * SPINS_MAX;
        assert!(checks.get() <= short + probes + at_first, "{} checks", checks.get());
    }

    /// The other side sleeps before it answers, as long as this one does.
    #[test]
    fn one_of_the_spins_outlasts_a_wake_and_the_next_ones_find_the_other_side_awake() {
        let budget = SpinBudget::new();
        let asleep = Cell::new(true);
        let mut slept = 0;
        for _ in 0..10 * PROBE_EVERY {
            let seen = Cell::new(0);
            let answer_after = if asleep.get() { SPINS_PROBE - 1 } else { LOOKS_MIN / 2 };
            let found = || {
                seen.set(seen.get() + 1);
                seen.get() > answer_after
            };
            let found = budget.spin(found, || true);
            asleep.set(!found);
            slept += u32::from(!found);
        }
        assert!(slept <= PROBE_EVERY, "{slept} sleeps");
    }
}
