// SPDX-License-Identifier: BSD-3-Clause
//! The shared state of a runtime's workers.
//!
//! # Waking workers for new work
//!
//! A worker without work searches, for a moment, and then sleeps. A spawn of a fresh coroutine
//! wakes a sleeping worker, but only if none searches: a searching one will find the coroutine, and
//! when it has found something and was the last to search, it wakes the next. So a burst of spawns
//! wakes the workers one by one, and a spawn beside a searching worker costs two loads. (The scheme
//! of Go's scheduler.)
//!
//! A started coroutine belongs to its worker alone; its wakes go there.

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
    free_list, names,
    slot::{self, Slot, State},
    unwinding::contain,
    watchdog::Watchdog,
    worker::Remote,
};

/// One runtime, as its workers and its handles use it.
pub(crate) struct Shared {
    /// The number of the runtime, for listings.
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    pub(crate) stack_size: usize,
    pub(crate) coroutines_max: usize,
    pub(crate) clock: Clock,
    pub(crate) several_cpus: bool,
    pub(crate) watchdog: Option<Arc<Watchdog>>,
    /// Coroutines spawned by threads that are none of its workers.
    pub(crate) injector: Injector<&'static Slot>,
    pub(crate) stop: AtomicBool,
    /// The number of searching workers. The sleeping ones are in `idle`.
    pub(crate) searching: CachePadded<AtomicUsize>,
    idle: Mutex<Vec<usize>>,
    idle_count: CachePadded<AtomicUsize>,
    pub(super) members: Box<[Member]>,
    /// Coroutines spawned from outside, and how many of all were dropped from the injector at the
    /// end.
    pub(super) spawned_outside: AtomicU64,
    pub(super) dropped_outside: AtomicU64,
    /// Coroutines that are alive, if there is a limit.
    pub(super) live: AtomicUsize,
    quiet_waiters: AtomicUsize,
    quiet: Mutex<()>,
    became_quiet: Condvar,
}

/// One worker, as other threads see it.
pub(super) struct Member {
    pub(super) remote: &'static Remote,
    pub(super) stealer: Stealer<&'static Slot>,
    pub(super) counters: &'static CachePadded<Counters>,
    /// Coroutines that this worker alone starts.
    pub(super) pinned: Injector<&'static Slot>,
    /// Its next timer at the time it went to sleep, for a virtual clock.
    pub(super) bound: AtomicU64,
}

static RUNTIMES: AtomicU32 = AtomicU32::new(1);

/// The settings of a runtime.
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

    /// The coroutines that worker `index` alone starts.
    pub(crate) fn pinned(&self, index: usize) -> Option<&Injector<&'static Slot>> {
        self.members.get(index).map(|member| &member.pinned)
    }

    /// Whether there are fresh coroutines that worker `index` could take, as others could.
    pub(crate) fn has_fresh(&self, index: usize) -> bool {
        !self.injector.is_empty()
            || self
                .members
                .iter()
                .enumerate()
                .any(|(other, member)| other != index && !member.stealer.is_empty())
    }

    /// Whether there is one fresh coroutine, and another worker than the caller that runs something
    /// and may start it next.
    pub(crate) fn one_fresh_may_be_taken(&self, caller_searches: bool) -> bool {
        let idle = self.idle_count.load(Ordering::Relaxed);
        let searching = self.searching.load(Ordering::Relaxed);
        let others = idle + searching + usize::from(!caller_searches);
        self.workers() > others
            && self.injector.len() + self.members.iter().map(|it| it.stealer.len()).sum::<usize>()
                == 1
    }

    /// Wakes a worker for a fresh coroutine, unless one searches or none sleeps.
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

    /// Whether the calling worker may search: not if half of the workers do.
    pub(crate) fn may_search(&self, searching: &Cell<bool>) -> bool {
        if !searching.get() && 2 * self.searching.load(Ordering::SeqCst) < self.workers() {
            self.searching.fetch_add(1, Ordering::SeqCst);
            searching.set(true);
        }
        searching.get()
    }

    /// Registers the calling worker as idle: it is about to sleep, and does not search any more.
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

    /// Registers the calling worker as awake. True: it was woken for work, and counts as searching.
    pub(crate) fn leave_idle(&self, index: usize) -> bool {
        let mut idle = self.idle.lock();
        let place = idle.iter().position(|sleeper| *sleeper == index);
        if let Some(place) = place {
            idle.swap_remove(place);
            self.idle_count.store(idle.len(), Ordering::SeqCst);
        }
        drop(idle);
        if let Some(watchdog) = &self.watchdog {
            watchdog.a_worker_runs();
        }
        place.is_none()
    }

    pub(crate) fn wake_everybody(&self) {
        for member in &self.members {
            member.remote.wake();
        }
    }

    /// With every worker asleep and no wake in flight, moves a virtual clock to the next timer.
    /// True: the timer belongs to the calling worker, which must not sleep.
    pub(crate) fn advance(&self, clock: &VirtualClock, bound: Option<u64>) -> bool {
        // One at a time: the last worker to come sees all the others, and their timers.
        let idle = self.idle.lock();
        if !clock.is_automatic() {
            return bound.is_some_and(|bound| bound <= self.clock.now());
        }
        let asleep = |member: &Member| {
            member.remote.inbox.is_empty_for_sleep() && member.remote.sleeper.is_announced()
        };
        if idle.len() != self.workers()
            || !self.members.iter().all(asleep)
            || self.members.iter().any(|it| !it.stealer.is_empty() || !it.pinned.is_empty())
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

    /// Records the end of one of its coroutines.
    #[inline]
    pub(crate) fn one_ended(&self) {
        if self.coroutines_max < slot::COROUTINES_MAX {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        // A coroutine is spawned before it ends: read in this order, the ended ones are never more.
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

    /// Whether no coroutine is alive.
    fn is_quiet(&self) -> bool {
        let stats = self.stats();
        stats.spawned == stats.finished
    }

    /// Called when a worker goes to sleep: perhaps no coroutine is alive any more.
    pub(crate) fn report_quiet(&self) {
        // Pairs with `wait_quiet`: either this sees the waiter, or the waiter sees the coroutines
        // that have ended.
        fence(Ordering::SeqCst);
        if self.quiet_waiters.load(Ordering::SeqCst) != 0 && self.is_quiet() {
            drop(self.quiet.lock());
            self.became_quiet.notify_all();
        }
    }

    /// Waits until no coroutine is alive; false if that took longer.
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

    /// Drops coroutines that were spawned from outside, or for a certain worker, and never started.
    /// Any thread, once the runtime ends.
    pub(super) fn drop_injected(&self) {
        let pinned = self.members.iter().map(|member| &member.pinned);
        for queue in std::iter::once(&self.injector).chain(pinned) {
            while let Some(slot) = take(queue) {
                // SAFETY: fresh, and taken out of its queue.
                unsafe { self.drop_fresh(slot) };
            }
        }
        self.report_quiet();
    }

    /// # Safety
    ///
    /// The slot's coroutine is fresh, and in no queue.
    unsafe fn drop_fresh(&self, slot: &'static Slot) {
        // SAFETY: the caller's promise.
        let task = unsafe { slot.take_task() };
        contain(|| {
            task.never(JoinError::Cancelled);
            drop(task);
        });
        if slot.is_named() {
            names::remove(slot.index());
        }
        slot.set_state(State::Free);
        // It has no owner, so it is in no inbox and this succeeds.
        if slot.wake.close() {
            free_list::give_slot(slot);
        }
        self.one_ended();
        self.dropped_outside.fetch_add(1, Ordering::Release);
    }
}

fn take(queue: &Injector<&'static Slot>) -> Option<&'static Slot> {
    loop {
        match queue.steal() {
            Steal::Success(slot) => return Some(slot),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
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
    // SAFETY: queries a number.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) > 1 }
}
