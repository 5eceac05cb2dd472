// SPDX-License-Identifier: BSD-3-Clause
//! How long a thread looks before it sleeps.
//!
//! A sleep and a wake across two CPUs cost tens of microseconds, a look a nanosecond. So a thread
//! looks for a while first, but only as long as that has paid lately: a success asks for twice what
//! it took, a failure halves it, between a floor and some microseconds. Then it lets others run, a
//! bounded number of times, and only then sleeps. On a machine with one CPU nobody else can run
//! meanwhile, and nobody looks.
//!
//! A task looks too, before it takes a place in the line: where both sides run at once, each wait
//! costs a turn of the lock, a wake and all that a scheduler does, for one value; a moment later there
//! is room for a run of values ([`Brief`]). What it looks for is known by channel, it looks only where
//! that has paid on this channel, and it never lets others run: that is the scheduler's to do. So that
//! it comes to do it, a thread on which that many looks have paid one after another waits once.
//!
//! This is the learning part of an adaptive mutex (as in glibc's `PTHREAD_MUTEX_ADAPTIVE_NP`) with
//! the competitive bound of Karlin et al. (1991): look at most as long as a sleep would cost.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::gate::Kind;
use crate::park;

/// The longest pause between two looks at a slot: some 100 ns.
const STEPS_MAX: u32 = 512;
/// In steps. One to two microseconds: what a partner that runs on another CPU needs to answer.
const LOOKS_MAX: u32 = 4096;
const LOOKS_MIN: u32 = 64;
/// Every so many waits that looked in vain, one looks longer again.
const PROBE_EVERY: u32 = 64;
/// After the looks, how often a thread lets others run before it sleeps, each time half a
/// microsecond if nobody wants to; and if somebody does, it is perhaps the one that is waited for.
/// Together they last about as long as a sleep and a wake, so that a partner that was asleep itself
/// finds this one awake.
const YIELDS: u32 = 96;
/// A yield that takes longer has let another process run for its share of the time.
const YIELD_MAX: Duration = Duration::from_micros(20);

/// Looks that have paid lately, for a slot of a ring and for a partner of a hand-over.
static SLOT: Budget = Budget::new();
static PARTNER: Budget = Budget::new();

/// Whether looking before queueing may help on a channel of this kind. Where values go from hand to
/// hand, a waiter must be in line to be found.
pub(crate) fn pays(kind: Kind) -> bool {
    matches!(kind, Kind::Bounded | Kind::Unlimited)
}

/// Looks until `ready` says so or it has taken too long.
///
/// The looks get rarer. A receiver that stays right behind its sender takes from it, for each value,
/// the cache line that it is writing; one that comes a little late finds several values in a line
/// that the sender has left.
pub(crate) fn until(ready: impl Fn() -> bool) -> bool {
    look(&SLOT, STEPS_MAX, ready)
}

/// As [`until`], for the outcome of a wait that is in line already.
pub(crate) fn for_claim(ready: impl Fn() -> bool) -> bool {
    look(&PARTNER, 1, ready)
}

fn look(budget: &Budget, steps_max: u32, ready: impl Fn() -> bool) -> bool {
    if cfg!(feature = "loom") || !several_cpus() {
        return false;
    }
    let looks = budget.looks();
    let mut look = 0;
    let mut steps = steps_max.min(64);
    while look < looks {
        park::relax(steps);
        if ready() {
            budget.paid(look);
            return true;
        }
        look += steps;
        steps = (2 * steps).min(steps_max);
    }
    budget.wasted(looks);
    for _ in 0..YIELDS {
        let before = Instant::now();
        thread::yield_now();
        if ready() {
            return true;
        }
        if before.elapsed() > YIELD_MAX {
            // Others want the CPU. A sleeper gets it back sooner than one that gives way.
            break;
        }
    }
    false
}

/// In steps: the first look of a task on a channel, and each one that asks whether times are better.
const BRIEF_PROBE: u32 = 256;
/// Every so many waits of tasks on a channel that did not look, one does.
const BRIEF_PROBE_EVERY: u32 = 256;
/// Looks of tasks on a thread that may pay in a row, with some tens of values each.
const BRIEF_RUN_MAX: u32 = 32;

thread_local! {
    /// Looks of tasks on this thread that have paid since one of them waited.
    static BRIEF_RUN: Cell<u32> = const { Cell::new(0) };
}

/// How long tasks look on a channel, in one direction.
#[derive(Debug)]
pub(crate) struct Brief {
    /// What has paid; 0: nothing has.
    looks: AtomicU32,
    waits: AtomicU32,
}

impl Brief {
    pub(crate) const fn new() -> Self {
        Self { looks: AtomicU32::new(BRIEF_PROBE), waits: AtomicU32::new(0) }
    }

    /// Looks until `run` says that it is worth going on, or it has taken too long; then whether `one`
    /// says that there is anything at all.
    pub(crate) fn look(&self, run: impl Fn() -> bool, one: impl Fn() -> bool) -> bool {
        let mut looks = self.looks.load(Ordering::Relaxed);
        if looks == 0 {
            let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
            self.waits.store(waits, Ordering::Relaxed);
            if !waits.is_multiple_of(BRIEF_PROBE_EVERY) {
                return false;
            }
            looks = BRIEF_PROBE;
        }
        if cfg!(feature = "loom") || !several_cpus() {
            return false;
        }
        let in_a_row = BRIEF_RUN.try_with(Cell::get).unwrap_or(BRIEF_RUN_MAX);
        let paid = in_a_row < BRIEF_RUN_MAX && self.look_for(looks, run, one);
        let _ = BRIEF_RUN.try_with(|count| count.set(if paid { in_a_row + 1 } else { 0 }));
        paid
    }

    fn look_for(&self, looks: u32, run: impl Fn() -> bool, one: impl Fn() -> bool) -> bool {
        let (mut look, mut steps) = (0, 64);
        while look < looks {
            park::relax(steps);
            if run() {
                return true;
            }
            look += steps;
            steps = (2 * steps).min(STEPS_MAX);
        }
        let paid = one();
        // The other side runs, and with more time there would have been a run of values.
        let next = if paid { (2 * looks).min(LOOKS_MAX) } else { looks / 4 };
        self.looks.store(if next <= LOOKS_MIN { 0 } else { next }, Ordering::Relaxed);
        paid
    }
}

/// How many looks have paid lately.
struct Budget {
    looks: AtomicU32,
    wasted: AtomicU32,
}

impl Budget {
    const fn new() -> Self {
        Self { looks: AtomicU32::new(LOOKS_MAX), wasted: AtomicU32::new(0) }
    }

    /// Now and then more than has paid, so that better times are noticed.
    fn looks(&self) -> u32 {
        if self.wasted.load(Ordering::Relaxed) % PROBE_EVERY == PROBE_EVERY - 1 {
            return LOOKS_MAX;
        }
        self.looks.load(Ordering::Relaxed)
    }

    /// So many were needed: twice that next time.
    fn paid(&self, look: u32) {
        let looks = (2 * look).clamp(LOOKS_MIN, LOOKS_MAX);
        if looks > self.looks.load(Ordering::Relaxed) {
            self.looks.store(looks, Ordering::Relaxed);
        }
    }

    fn wasted(&self, looks: u32) {
        self.looks.store((looks / 2).max(LOOKS_MIN), Ordering::Relaxed);
        let wasted = self.wasted.load(Ordering::Relaxed);
        self.wasted.store(wasted.wrapping_add(1), Ordering::Relaxed);
    }
}

/// Whether the machine has several CPUs. Not how many the calling thread may use: one that is kept on
/// a CPU of its own waits for one that is kept on another.
fn several_cpus() -> bool {
    static CPUS: OnceLock<bool> = OnceLock::new();
    *CPUS.get_or_init(|| {
        #[cfg(unix)]
        // SAFETY: asks for a number.
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
    fn a_task_looks_only_where_that_pays() {
        if !several_cpus() {
            return;
        }
        let brief = Brief::new();
        let asked = Cell::new(0);
        let never = || {
            asked.set(asked.get() + 1);
            false
        };
        (0..8).for_each(|_| assert!(!brief.look(never, || false)));
        // It has not paid: from here on only now and then.
        asked.set(0);
        let looked = (0..BRIEF_PROBE_EVERY).filter(|_| {
            let before = asked.get();
            assert!(!brief.look(never, || false));
            asked.get() > before
        });
        assert_eq!(looked.count(), 1);
    }

    #[test]
    fn a_thread_on_which_looks_pay_all_the_time_waits_now_and_then() {
        if !several_cpus() {
            return;
        }
        let brief = Brief::new();
        let in_a_row = || (0..).take_while(|_| brief.look(|| true, || true)).take(1000).count();
        in_a_row();
        assert_eq!(in_a_row(), BRIEF_RUN_MAX as usize);
        assert_eq!(in_a_row(), BRIEF_RUN_MAX as usize);
    }
}
