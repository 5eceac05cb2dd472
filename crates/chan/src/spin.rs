// SPDX-License-Identifier: BSD-3-Clause
//! Adaptive spinning: how long a thread spins before it sleeps.
//!
//! A sleep and a wake across two CPUs cost tens of microseconds, one check a nanosecond. So a
//! thread spins for a while first, but only as long as that has succeeded lately: a success raises
//! the limit to twice the time it took, a failure halves the limit, between a floor and some
//! microseconds. Then the thread yields a bounded number of times, and only then sleeps. On a
//! machine with one CPU no other thread can run meanwhile, so there is no spinning.
//!
//! A task spins too, before it queues: where both sides run at once, each wait costs a round
//! through the lock, a wake and the work of a scheduler, for one value; a moment later there is
//! room for a run of values ([`TaskSpin`]). The limit is kept per channel, a task spins only where
//! that has succeeded on its channel, and it never yields: that is the scheduler's decision. So
//! that the scheduler gets to run, a thread on which a number of spins succeeded in a row waits
//! once.
//!
//! This is the learning part of an adaptive mutex (as in glibc's `PTHREAD_MUTEX_ADAPTIVE_NP`) with
//! the competitive bound of Karlin et al. (1991): spin at most as long as a sleep would cost.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::channel::Kind;
use crate::park;

/// The longest pause between two checks of a slot: some 100 ns.
const STEPS_MAX: u32 = 512;
/// In steps. One to two microseconds: the response time of a partner that runs on another CPU.
const SPINS_MAX: u32 = 4096;
const SPINS_MIN: u32 = 64;
/// One of this many failed spins is a longer one.
const PROBE_EVERY: u32 = 64;
/// After the spin, the number of yields before a thread sleeps. A yield takes half a microsecond if
/// no other thread is ready to run; if one is, it may be the awaited one. Together they last about
/// as long as a sleep and a wake, so that a partner that was asleep itself finds this thread awake.
const YIELDS: u32 = 96;
/// A yield that takes longer has let another process run for its share of the time.
const YIELD_MAX: Duration = Duration::from_micros(20);

/// Budgets by recent success, for a slot of a ring and for the partner of a handoff.
static SLOT: Budget = Budget::new();
static PARTNER: Budget = Budget::new();

/// Whether spinning before queueing may help on a channel of this kind. With handoffs, a waiter
/// must be queued to be found.
pub(crate) fn pays(kind: Kind) -> bool {
    matches!(kind, Kind::Bounded | Kind::Unlimited)
}

/// Spins until `ready` returns true or the budget is used up.
///
/// The checks become rarer. A receiver that stays right behind its sender takes the cache line that
/// the sender is writing for each value; a receiver that comes a little later finds several values
/// in a line that the sender has left.
pub(crate) fn until(ready: impl Fn() -> bool) -> bool {
    spin(&SLOT, STEPS_MAX, ready)
}

/// As [`until`], for the outcome of a wait that is queued already.
pub(crate) fn for_claim(ready: impl Fn() -> bool) -> bool {
    spin(&PARTNER, 1, ready)
}

fn spin(budget: &Budget, steps_max: u32, ready: impl Fn() -> bool) -> bool {
    if cfg!(feature = "loom") || !several_cpus() {
        return false;
    }
    let spins = budget.spins();
    let mut spun = 0;
    let mut steps = steps_max.min(64);
    while spun < spins {
        park::relax(steps);
        if ready() {
            budget.paid(spun);
            return true;
        }
        spun += steps;
        steps = (2 * steps).min(steps_max);
    }
    budget.wasted(spins);
    for _ in 0..YIELDS {
        let before = Instant::now();
        thread::yield_now();
        if ready() {
            return true;
        }
        if before.elapsed() > YIELD_MAX {
            // Other threads want the CPU. A thread that sleeps gets it back sooner than one that
            // yields.
            break;
        }
    }
    false
}

/// In steps: the first spin of a task on a channel, and each later one that probes for success.
const TASK_PROBE: u32 = 256;
/// One of this many waits of tasks on a channel probes, if spinning has not succeeded there.
const TASK_PROBE_EVERY: u32 = 256;
/// The largest number of successful spins of tasks on a thread in a row; each moves some tens of
/// values.
const TASK_RUN_MAX: u32 = 32;

thread_local! {
    /// Successful spins of tasks on this thread since one of them waited.
    static TASK_RUN: Cell<u32> = const { Cell::new(0) };
}

/// The adaptive spinning of tasks on a channel, in one direction.
#[derive(Debug)]
pub(crate) struct TaskSpin {
    /// The budget by recent success, in steps; 0: no success.
    spins: AtomicU32,
    /// Waits without a budget, for the probes.
    waits: AtomicU32,
}

impl TaskSpin {
    pub(crate) const fn new() -> Self {
        Self { spins: AtomicU32::new(TASK_PROBE), waits: AtomicU32::new(0) }
    }

    /// Spins until `run` returns true (continuing is worth it) or the budget is used up; then
    /// returns `one`, whether the operation can complete at all.
    #[inline]
    pub(crate) fn spin(&self, run: impl Fn() -> bool, one: impl Fn() -> bool) -> bool {
        let mut spins = self.spins.load(Ordering::Relaxed);
        if spins == 0 {
            let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
            self.waits.store(waits, Ordering::Relaxed);
            if !waits.is_multiple_of(TASK_PROBE_EVERY) {
                return false;
            }
            spins = TASK_PROBE;
        }
        self.spin_in_turn(spins, run, one)
    }

    /// A function of its own: the usual wait is short, and should not save the registers of this
    /// loop.
    #[inline(never)]
    fn spin_in_turn(&self, spins: u32, run: impl Fn() -> bool, one: impl Fn() -> bool) -> bool {
        if cfg!(feature = "loom") || !several_cpus() {
            return false;
        }
        let in_a_row = TASK_RUN.try_with(Cell::get).unwrap_or(TASK_RUN_MAX);
        let paid = in_a_row < TASK_RUN_MAX && self.spin_for(spins, run, one);
        let _ = TASK_RUN.try_with(|count| count.set(if paid { in_a_row + 1 } else { 0 }));
        paid
    }

    fn spin_for(&self, spins: u32, run: impl Fn() -> bool, one: impl Fn() -> bool) -> bool {
        let (mut spun, mut steps) = (0, 64);
        while spun < spins {
            park::relax(steps);
            if run() {
                return true;
            }
            spun += steps;
            steps = (2 * steps).min(STEPS_MAX);
        }
        let paid = one();
        // The other side runs, and with more time there would have been a run of values.
        let next = if paid { (2 * spins).min(SPINS_MAX) } else { spins / 4 };
        self.spins.store(if next <= SPINS_MIN { 0 } else { next }, Ordering::Relaxed);
        paid
    }
}

/// A spin budget by recent success.
struct Budget {
    /// In steps.
    spins: AtomicU32,
    /// Spins that failed, for the probes.
    wasted: AtomicU32,
}

impl Budget {
    const fn new() -> Self {
        Self { spins: AtomicU32::new(SPINS_MAX), wasted: AtomicU32::new(0) }
    }

    /// Now and then more than recent success allows, so that a change is noticed.
    fn spins(&self) -> u32 {
        if self.wasted.load(Ordering::Relaxed) % PROBE_EVERY == PROBE_EVERY - 1 {
            return SPINS_MAX;
        }
        self.spins.load(Ordering::Relaxed)
    }

    /// Raises the budget to twice the steps that were needed.
    fn paid(&self, spun: u32) {
        let spins = (2 * spun).clamp(SPINS_MIN, SPINS_MAX);
        if spins > self.spins.load(Ordering::Relaxed) {
            self.spins.store(spins, Ordering::Relaxed);
        }
    }

    fn wasted(&self, spins: u32) {
        self.spins.store((spins / 2).max(SPINS_MIN), Ordering::Relaxed);
        let wasted = self.wasted.load(Ordering::Relaxed);
        self.wasted.store(wasted.wrapping_add(1), Ordering::Relaxed);
    }
}

/// Whether the machine has several CPUs. Not how many the calling thread may use: a thread pinned
/// to one CPU may wait for a thread pinned to another.
fn several_cpus() -> bool {
    static CPUS: OnceLock<bool> = OnceLock::new();
    *CPUS.get_or_init(|| {
        #[cfg(unix)]
        // SAFETY: queries a number.
        let several = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } > 1;
        #[cfg(not(unix))]
        let several = thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
        several
    })
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    #[test]
    fn a_task_spins_only_where_that_pays() {
        if !several_cpus() {
            return;
        }
        let brief = TaskSpin::new();
        let asked = Cell::new(0);
        let never = || {
            asked.set(asked.get() + 1);
            false
        };
        (0..8).for_each(|_| assert!(!brief.spin(never, || false)));
        // No success: from here on only now and then.
        asked.set(0);
        let spun = (0..TASK_PROBE_EVERY).filter(|_| {
            let before = asked.get();
            assert!(!brief.spin(never, || false));
            asked.get() > before
        });
        assert_eq!(spun.count(), 1);
    }

    #[test]
    fn a_thread_on_which_spins_pay_all_the_time_waits_now_and_then() {
        if !several_cpus() {
            return;
        }
        let brief = TaskSpin::new();
        let in_a_row = || (0..).take_while(|_| brief.spin(|| true, || true)).take(1000).count();
        in_a_row();
        assert_eq!(in_a_row(), TASK_RUN_MAX as usize);
        assert_eq!(in_a_row(), TASK_RUN_MAX as usize);
    }
}
