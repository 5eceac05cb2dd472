// SPDX-License-Identifier: BSD-3-Clause
//! What the workers of a runtime share.
//!
//! # Who is called when there is more to do
//!
//! A worker without work searches, for a moment, and then sleeps. Whoever makes a fresh coroutine
//! calls one of those that sleep, but only if none searches: that one will find it, and when it has
//! found something and was the last to search, it calls the next. So a burst of spawns wakes the
//! workers one by one, and a spawn beside a searching worker costs two loads. (The scheme of Go's
//! scheduler.)
//!
//! A coroutine that was started is its worker's business alone; its wakes go there.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    time::Instant,
};

use crossbeam_deque::{Injector, Steal, Stealer};
use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex};

use super::{Counters, Stats};
use crate::{
    clock::{Clock, VirtualClock},
    error::JoinError,
    slot::{self, Slot, State},
    spare,
    unwinding::contain,
    watchdog::Watchdog,
    worker::Remote,
};

/// One runtime, as its workers and its handles see it.
pub(crate) struct Shared {
    /// Which runtime, for listings.
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) stack_size: usize,
    pub(crate) coroutines_max: usize,
    pub(crate) clock: Clock,
    pub(crate) several_cpus: bool,
    pub(crate) watchdog: Option<Arc<Watchdog>>,
    /// Coroutines made by threads that are none of its workers.
    pub(crate) injector: Injector<&'static Slot>,
    pub(crate) stop: AtomicBool,
    /// Workers that search. Those that sleep are in `idle`.
    pub(crate) searching: CachePadded<AtomicUsize>,
    idle: Mutex<Vec<usize>>,
    idle_count: CachePadded<AtomicUsize>,
    pub(super) members: Box<[Member]>,
    /// Coroutines made from outside, and how many of all were dropped from the injector at the end.
    pub(super) spawned_outside: AtomicU64,
    pub(super) dropped_outside: AtomicU64,
    /// Coroutines that live, if there is a limit.
    pub(super) live: AtomicUsize,
    quiet_waiters: AtomicUsize,
    quiet: Mutex<()>,
    became_quiet: Condvar,
}

/// What others see of one of its workers.
pub(super) struct Member {
    pub(super) remote: &'static Remote,
    pub(super) stealer: Stealer<&'static Slot>,
    pub(super) counters: &'static CachePadded<Counters>,
    /// Its next timer when it went to sleep, for a virtual clock.
    pub(super) bound: AtomicU64,
}

static RUNTIMES: AtomicU32 = AtomicU32::new(1);

/// How a runtime is to be.
pub(super) struct Settings {
    pub(super) name: Arc<str>,
    pub(super) stack_size: usize,
    pub(super) coroutines_max: usize,
    pub(super) clock: Clock,
    pub(super) watchdog: Option<Arc<Watchdog>>,
}

impl Shared {
    pub(super) fn new(settings: Settings, members: Box<[Member]>) -> Self {
        Self {
            id: RUNTIMES.fetch_add(1, Ordering::Relaxed),
            name: settings.name,
            stack_size: settings.stack_size,
            coroutines_max: settings.coroutines_max,
            clock: settings.clock,
            several_cpus: several_cpus(),
            watchdog: settings.watchdog,
            injector: Injector::new(),
            stop: AtomicBool::new(false),
            searching: CachePadded::new(AtomicUsize::new(0)),
            idle: Mutex::new(Vec::with_capacity(members.len())),
            idle_count: CachePadded::new(AtomicUsize::new(0)),
            members,
            spawned_outside: AtomicU64::new(0),
            dropped_outside: AtomicU64::new(0),
            live: AtomicUsize::new(0),
            quiet_waiters: AtomicUsize::new(0),
            quiet: Mutex::new(()),
            became_quiet: Condvar::new(),
        }
    }

    #[inline]
    pub(crate) fn workers(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn remote(&self, index: usize) -> Option<&'static Remote> {
        self.members.get(index).map(|member| member.remote)
    }

    pub(crate) fn counters(&self, index: usize) -> Option<&'static Counters> {
        self.members.get(index).map(|member| &**member.counters)
    }

    pub(crate) fn stealer(&self, index: usize) -> Option<&Stealer<&'static Slot>> {
        self.members.get(index).map(|member| &member.stealer)
    }

    /// Whether there are fresh coroutines that worker `index` could take.
    pub(crate) fn has_fresh(&self, index: usize) -> bool {
        !self.injector.is_empty()
            || self
                .members
                .iter()
                .enumerate()
                .any(|(other, member)| other != index && !member.stealer.is_empty())
    }

    /// There is a fresh coroutine: wakes a worker, unless one searches or none sleeps.
    #[inline]
    pub(crate) fn call_helper(&self) {
        if self.idle_count.load(Ordering::SeqCst) != 0 && self.searching.load(Ordering::SeqCst) == 0
        {
            self.wake_helper();
        }
    }

    #[cold]
    fn wake_helper(&self) {
        let mut idle = self.idle.lock();
        if self.searching.load(Ordering::SeqCst) != 0 {
            return;
        }
        let Some(index) = idle.pop() else { return };
        self.idle_count.store(idle.len(), Ordering::SeqCst);
        self.searching.fetch_add(1, Ordering::SeqCst);
        drop(idle);
        if let Some(remote) = self.remote(index) {
            remote.wake();
        }
    }

    /// Whether the calling worker may search: not if half of them do.
    pub(crate) fn may_search(&self, searching: &Cell<bool>) -> bool {
        if !searching.get() && 2 * self.searching.load(Ordering::SeqCst) < self.workers() {
            self.searching.fetch_add(1, Ordering::SeqCst);
            searching.set(true);
        }
        searching.get()
    }

    /// The calling worker is about to sleep, and searches no longer.
    /// Its next timer is due at `bound`.
    pub(crate) fn join_idle(&self, index: usize, bound: Option<u64>, searching: &Cell<bool>) {
        let mut idle = self.idle.lock();
        if let Some(member) = self.members.get(index) {
            member.bound.store(bound.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        idle.push(index);
        self.idle_count.store(idle.len(), Ordering::SeqCst);
        if searching.take() {
            self.searching.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// The calling worker is awake. True: somebody has called it, and it counts as searching.
    pub(crate) fn leave_idle(&self, index: usize) -> bool {
        let mut idle = self.idle.lock();
        let place = idle.iter().position(|sleeper| *sleeper == index);
        if let Some(place) = place {
            idle.swap_remove(place);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
        drop(idle);
        if let Some(watchdog) = &self.watchdog {
            watchdog.somebody_runs();
        }
        place.is_none()
    }

    pub(crate) fn wake_everybody(&self) {
        for member in &self.members {
            member.remote.wake();
        }
    }

    /// With every worker asleep and nothing on its way, moves a virtual clock to the next timer.
    /// True: that is the calling worker's, which must not sleep.
    pub(crate) fn advance(&self, clock: &VirtualClock, bound: Option<u64>) -> bool {
        // One at a time: the last to come sees all the others, and their timers.
        let idle = self.idle.lock();
        if !clock.is_automatic() {
            return bound.is_some_and(|bound| bound <= self.clock.now());
        }
        let asleep = |member: &Member| {
            member.remote.inbox.is_empty_for_sleep() && member.remote.sleeper.is_announced()
        };
        if idle.len() != self.workers()
            || !self.members.iter().all(asleep)
            || self.members.iter().any(|member| !member.stealer.is_empty())
            || !self.injector.is_empty()
        {
            return false;
        }
        let bound_of = |member: &Member| member.bound.load(Ordering::Relaxed);
        let Some(earliest) = self.members.iter().map(bound_of).min() else { return false };
        if earliest == u64::MAX {
            return false;
        }
        clock.advance_to(earliest);
        drop(idle);
        for member in self.members.iter().filter(|member| bound_of(member) <= earliest) {
            member.remote.wake();
        }
        bound.is_some_and(|bound| bound <= earliest)
    }

    /// One of its coroutines has ended.
    #[inline]
    pub(crate) fn one_ended(&self) {
        if self.coroutines_max < slot::COROUTINES_MAX {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        // What has ended was made before: counted in this order, there are never more ended.
        let finished: u64 =
            self.sum(|counters| &counters.finished) + self.dropped_outside.load(Ordering::Acquire);
        let spawned =
            self.sum(|counters| &counters.spawned) + self.spawned_outside.load(Ordering::Acquire);
        let workers = self.members.iter().map(|member| member.counters.read()).collect();
        Stats { workers, spawned, finished }
    }

    fn sum(&self, counter: impl Fn(&Counters) -> &AtomicU64) -> u64 {
        self.members.iter().map(|member| counter(member.counters).load(Ordering::Acquire)).sum()
    }

    /// Whether no coroutine lives.
    fn is_quiet(&self) -> bool {
        let stats = self.stats();
        stats.spawned == stats.finished
    }

    /// A worker goes to sleep: perhaps nothing lives any more.
    pub(crate) fn report_quiet(&self) {
        // With the one in `wait_quiet`: either this sees that somebody waits, or that one sees what
        // has ended.
        fence(Ordering::SeqCst);
        if self.quiet_waiters.load(Ordering::SeqCst) != 0 && self.is_quiet() {
            drop(self.quiet.lock());
            self.became_quiet.notify_all();
        }
    }

    /// Waits until no coroutine lives; false if that took longer.
    pub(crate) fn wait_quiet(&self, deadline: Option<Instant>) -> bool {
        let mut quiet = self.quiet.lock();
        self.quiet_waiters.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let mut timed_out = false;
        while !self.is_quiet() && !timed_out {
            match deadline {
                Some(deadline) => {
                    timed_out = self.became_quiet.wait_until(&mut quiet, deadline).timed_out();
                }
                None => self.became_quiet.wait(&mut quiet),
            }
        }
        self.quiet_waiters.fetch_sub(1, Ordering::SeqCst);
        self.is_quiet()
    }

    /// Drops what was made from outside and never started. Any thread, once the runtime ends.
    pub(super) fn drop_injected(&self) {
        while let Some(slot) = loop {
            match self.injector.steal() {
                Steal::Success(slot) => break Some(slot),
                Steal::Empty => break None,
                Steal::Retry => {}
            }
        } {
            // SAFETY: fresh, and taken out of the injector.
            let task = unsafe { slot.take_task() };
            contain(|| {
                task.never(JoinError::Cancelled);
                drop(task);
            });
            slot.set_state(State::Free);
            // Nobody owns it, so it is in no inbox and this succeeds.
            if slot.gate.close() {
                spare::give_slot(slot);
            }
            self.one_ended();
            self.dropped_outside.fetch_add(1, Ordering::Release);
        }
        self.report_quiet();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.drop_injected();
        for member in &self.members {
            member.remote.release();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("name", &self.name)
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

/// Whether the machine has several CPUs.
fn several_cpus() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) > 1 }
}
