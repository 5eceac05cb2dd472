// SPDX-License-Identifier: BSD-3-Clause
//! A worker with nothing to run: it looks round for a moment, then it sleeps.
//!
//! A sleep and a wake across two CPUs cost tens of microseconds, a look some nanoseconds. So it
//! looks first, for as long as that has paid lately: success doubles it, failure halves it, between
//! bounds; now and then it looks longer again, so that better times are noticed. That is the
//! competitive spinning of Karlin et al. (1991), as channels do it for threads.
//!
//! While it looks it also looks at sources outside of the process, and it sleeps in one if that is
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

/// What it counts in looks. A look costs some nanoseconds.
const LOOKS_MAX: u32 = 2048;
const LOOKS_MIN: u32 = 128;
/// After the looks, how often it lets another thread run before the next.
const YIELDS_MAX: u32 = 64;
/// A yield that takes longer has let another process run for its share of the time.
const YIELD_MAX: Duration = Duration::from_micros(20);
/// So often it lets those run on this CPU from whom something may come.
const SOURCE_YIELDS: u32 = 4;
/// How long it sleeps before it gives back memory of stacks that many coroutines have left: they may
/// come again.
const TRIM_AFTER: Duration = Duration::from_millis(50);
/// Every so many sleeps it looks for longer than has paid.
const PROBE_EVERY: u32 = 32;
/// Between two looks.
const STEPS: u32 = 16;
/// It does not look when a timer is due so soon, in nanoseconds; under a clock that is moved by hand
/// or by sleepers any is, since that clock jumps.
const SOON: u64 = 200_000;

/// How long to look has paid.
pub(super) struct Patience {
    looks: Cell<u32>,
    in_vain: Cell<u32>,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self { looks: Cell::new(LOOKS_MAX), in_vain: Cell::new(0) }
    }

    /// Looks until `found` says so; false if it has taken too long.
    ///
    /// `soon` is asked between yields, each of which may take as long as others run.
    fn look(&self, found: impl Fn() -> bool, soon: impl Fn() -> bool) -> bool {
        let probe = self.in_vain.get() % PROBE_EVERY == PROBE_EVERY - 1;
        let looks = if probe { LOOKS_MAX } else { self.looks.get() };
        for look in 0..looks {
            for step in 0..STEPS {
                std::hint::black_box(step);
            }
            if found() {
                self.looks.set((2 * look).clamp(self.looks.get(), LOOKS_MAX));
                return true;
            }
        }
        for _ in 0..YIELDS_MAX * looks / LOOKS_MAX {
            if soon() {
                return false;
            }
            let before = Instant::now();
            std::thread::yield_now();
            if found() {
                self.looks.set(LOOKS_MAX);
                return true;
            }
            if before.elapsed() > YIELD_MAX {
                // Others want the CPU. A sleeper gets it back sooner than one that gives way.
                break;
            }
        }
        self.looks.set((self.looks.get() / 2).max(LOOKS_MIN));
        self.in_vain.set(self.in_vain.get().wrapping_add(1));
        false
    }
}

impl Worker {
    /// Waits for work. False: the runtime has ended, and nothing of this worker's is left.
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
        let source = claimed.single().cloned();
        // It sleeps in the one that it keeps; of others it must not be in the way.
        let kept = source.is_some().then_some(claimed);
        // Letting go of a source may have woken a coroutine of this worker's.
        if !self.has_own() {
            self.sleep(source);
        }
        if let Some(kept) = kept {
            kept.poll();
            self.claimed.set(kept.retain());
        }
        true
    }

    /// Whether something of this worker's own can run.
    fn has_own(&self) -> bool {
        !self.ready.is_empty()
            || !self.lifo.get().is_null()
            || !self.fresh.is_empty()
            || !self.remote.inbox.is_empty()
    }

    /// Looks for work that others have, and for news. True: go on.
    fn search(&self, claimed: &Claimed) -> bool {
        loop {
            if let Some(slot) = self.take_injected().or_else(|| self.steal()) {
                self.found_work();
                if self.start(slot) {
                    // Nothing else is there: it is next.
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
                    // Who would send wants this CPU.
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
            if may_pay && self.several_may_run() && !soon() && self.patience.look(found, soon) {
                if self.has_own() || self.is_stopped() {
                    self.found_work();
                    return true;
                }
                continue;
            }
            return false;
        }
    }

    /// With one CPU nobody else runs while this worker looks.
    fn several_may_run(&self) -> bool {
        self.shared.several_cpus
    }

    /// This worker no longer searches. The last to stop searching because it found something calls
    /// another: there may be more.
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

    /// It has slept for a while: time to give memory back, until there is work again.
    fn trim_stacks(&self) {
        while !self.has_own() && !self.shared.has_fresh(self.index) && stack::trim() {}
    }

    /// The runtime ends. False: nothing is left.
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
        // What is left waits in a destructor, perhaps for a coroutine of another worker's.
        let bound = self.timers.borrow_mut().bound();
        if let (Some(clock), Some(bound)) = (self.shared.clock.as_virtual(), bound) {
            // Whoever would have moved it may have gone.
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
