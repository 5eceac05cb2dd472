// SPDX-License-Identifier: BSD-3-Clause
//! How long a thread looks before it sleeps.
//!
//! A sleep and a wake across two CPUs cost tens of microseconds, a look a nanosecond. So a thread
//! looks for a while first, but only as long as that has paid lately: each success makes the next
//! moment longer, each failure halves it, between a floor and about the price of a wake. On a
//! machine with one CPU nobody else can run meanwhile, and nobody looks.
//!
//! This is the learning part of an adaptive mutex (as in glibc's `PTHREAD_MUTEX_ADAPTIVE_NP`) with
//! the competitive bound of Karlin et al. (1991): look at most as long as a sleep would cost.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::gate::Kind;
use crate::park;

/// Some 15 µs.
const LOOKS_MAX: u32 = 8192;
const LOOKS_MIN: u32 = 32;

/// Looks that have paid lately, for a slot of a ring and for a partner of a hand-over.
static SLOT: AtomicU32 = AtomicU32::new(1024);
static PARTNER: AtomicU32 = AtomicU32::new(1024);

/// Whether looking before queueing may help on a channel of this kind. Where values go from hand to
/// hand, a waiter must be in line to be found.
pub(crate) fn pays(kind: Kind) -> bool {
    matches!(kind, Kind::Bounded | Kind::Unlimited)
}

/// Looks until `ready` says so or it has taken too long.
pub(crate) fn until(ready: impl Fn() -> bool) -> bool {
    look(&SLOT, ready)
}

/// As [`until`], for the outcome of a wait that is in line already.
pub(crate) fn for_claim(ready: impl Fn() -> bool) -> bool {
    look(&PARTNER, ready)
}

fn look(budget: &AtomicU32, ready: impl Fn() -> bool) -> bool {
    if !several_cpus() {
        return false;
    }
    let looks = budget.load(Ordering::Relaxed);
    for _ in 0..looks {
        if ready() {
            let more = (looks + looks / 4 + 8).min(LOOKS_MAX);
            if more != looks {
                budget.store(more, Ordering::Relaxed);
            }
            return true;
        }
        park::relax();
    }
    budget.store((looks / 2).max(LOOKS_MIN), Ordering::Relaxed);
    false
}

fn several_cpus() -> bool {
    static CPUS: OnceLock<bool> = OnceLock::new();
    *CPUS.get_or_init(|| thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1))
}
