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
/// After the checks, the number of yields to other threads.
const YIELDS_MAX: u32 = 64;
/// A yield that takes longer has let another process run for its share of the time.
const YIELD_MAX: Duration = Duration::from_micros(20);
/// The number of yields for threads on this CPU that may send.
const SOURCE_YIELDS: u32 = 4;
/// The duration of a sleep after which the memory of free stacks is released. Not earlier: after a
/// burst of coroutines another one may follow.
const TRIM_AFTER: Duration = Duration::from_millis(50);
/// One of this many sleeps is preceded by a longer spin.
const PROBE_EVERY: u32 = 32;
/// The pause between two checks.
const STEPS: u32 = 16;
/// A worker does not spin when a timer is due within this time, in nanoseconds. Under a virtual
/// clock, which jumps, any timer counts.
const SOON: u64 = 200_000;

/// The spin budget by recent success.
pub(super) struct SpinBudget {
    spins: Cell<u32>,
    in_vain: Cell<u32>,
}

impl SpinBudget {
    pub(super) const fn new() -> Self {
        Self { spins: Cell::new(SPINS_MAX), in_vain: Cell::new(0) }
    }

    /// Spins until `found` returns true; false if the budget is used up.
    ///
    /// `soon` is checked between yields, each of which may take as long as other threads run.
    fn spin(&self, found: impl Fn() -> bool, soon: impl Fn() -> bool) -> bool {
        let probe = self.in_vain.get() % PROBE_EVERY == PROBE_EVERY - 1;
        let spins = if probe { SPINS_MAX } else { self.spins.get() };
        for look in 0..spins {
            for step in 0..STEPS {
                std::hint::black_box(step);
            }
            if found() {
                self.spins.set((2 * look).clamp(self.spins.get(), SPINS_MAX));
                return true;
            }
        }
        for _ in 0..YIELDS_MAX * spins / SPINS_MAX {
            if soon() {
                return false;
            }
            let before = Instant::now();
            std::thread::yield_now();
            if found() {
                self.spins.set(SPINS_MAX);
                return true;
            }
            if before.elapsed() > YIELD_MAX {
                // Other threads want the CPU. A sleeping thread gets it back sooner than one that
                // yields.
                break;
            }
        }
        self.spins.set((self.spins.get() / 2).max(LOOKS_MIN));
        self.in_vain.set(self.in_vain.get().wrapping_add(1));
        false
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
        if self.shared.may_search(&self.searching) && self.search(&claimed) {
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
            || !self.remote.inbox.is_empty()
    }

    /// Searches for work of other workers, and for wakes. True: continue.
    fn search(&self, claimed: &Claimed) -> bool {
        loop {
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
                !self.remote.inbox.is_empty()
                    || shared.has_fresh(self.index)
                    || shared.stop.load(Ordering::Relaxed)
            };
            let may_pay = claimed.is_empty() || claimed.may_come_soon();
            let found = || news() || !claimed.is_empty() && claimed.poll() && self.has_own();
            let bound = self.timers.borrow_mut().bound();
            let jumps = shared.clock.as_virtual().is_some();
            let soon = || bound.is_some_and(|at| jumps || at <= shared.clock.now() + SOON);
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
    /// wakes another: there may be more work.
    #[cold]
    pub(super) fn found_work(&self) {
        if self.searching.take() && self.shared.searching.fetch_sub(1, Ordering::SeqCst) == 1 {
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
            && !shared.has_fresh(self.index)
            && !self.is_stopped();
        let mut trim_at = None;
        if idle {
            shared.report_quiet();
            Counters::add(&self.counters.parks, 1);
            match shared.clock.as_virtual() {
                None => {
                    trim_at = stack::has_too_many_warm().then(|| Instant::now() + TRIM_AFTER);
                    let due = bound.map(|bound| shared.clock.instant(bound));
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
        if self.remote.inbox.is_empty_for_sleep() && self.shared.injector.is_empty() {
            self.remote.sleeper.sleep(bound.map(|bound| self.shared.clock.instant(bound)));
        }
        self.remote.sleeper.retract();
        true
    }
}
