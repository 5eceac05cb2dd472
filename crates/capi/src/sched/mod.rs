// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_sched.h`: a `kc_sched_t` is a `becket_coro` runtime with its coroutines and tasks.
//!
//! | module | contents |
//! |---|---|
//! | `life` | one coroutine or task from its spawn to its end |
//! | `queues` | how many may wait to start |
//! | `hook` | shows that a coroutine waits |
//! | `alarms` | `kc_sched_timer_*` |
//! | `default` | the process's scheduler |
//! | `api` | the functions of the header |
//! | `describe` | its description for a person |
//! | `task` | the functions of `kcoro_task.h` |
//!
//! # Invariants
//!
//! 1. Each coroutine or task on a scheduler has a `Life`, which is counted in `members` until it
//!    ends. It points to the scheduler, which is freed after its runtime has ended: then no life is
//!    left.
//! 2. Nothing here polls: drain waits for `members`.

mod alarms;
pub mod api;
pub(crate) mod default;
pub mod describe;
mod hook;
mod life;
mod queues;
pub mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use becket_coro::{Handle, Runtime, cpus};

use self::alarms::Alarms;
pub(crate) use self::hook::install as install_hook;
pub(crate) use self::life::{Body, Life, Start};
use self::queues::Queues;
use crate::core::group::Group;
use crate::{debug, monitor};

/// The largest number of workers of a scheduler.
const WORKERS_MAX: usize = 256;

/// `kc_sched_t`.
pub struct Sched {
    runtime: Runtime,
    members: Group,
    queues: Queues,
    tasks_submitted: AtomicU64,
    tasks_completed: AtomicU64,
    /// Spawned by a thread that is none of its workers.
    injected: AtomicU64,
    alarms: Arc<Alarms>,
}

/// `kc_sched_stats_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    tasks_submitted: u64,
    tasks_completed: u64,
    steals_probes: u64,
    steals_succeeded: u64,
    steals_failures: u64,
    fastpath_hits: u64,
    fastpath_misses: u64,
    inject_pulls: u64,
    donations: u64,
}

const _: () = assert!(size_of::<Stats>() == 9 * size_of::<libc::c_ulong>());

impl Sched {
    /// Starts one; 0 workers: one per CPU. `None`: the system refuses threads.
    pub(crate) fn new(name: &str, workers: usize) -> Option<Box<Self>> {
        Self::with_queues(name, workers, Queues::new(0, 0))
    }

    fn with_queues(name: &str, workers: usize, queues: Queues) -> Option<Box<Self>> {
        let workers = if workers == 0 { cpus() } else { workers };
        let workers = workers.clamp(1, WORKERS_MAX);
        let runtime = Runtime::builder().name(name).workers(workers).build().ok()?;
        monitor::started(runtime.handle());
        let sched = Box::new(Self {
            runtime,
            members: Group::default(),
            queues,
            tasks_submitted: AtomicU64::new(0),
            tasks_completed: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            alarms: Arc::default(),
        });
        debug::log(debug::SCHED, || format!("{}: started, {workers} workers", sched.label()));
        Some(sched)
    }

    /// Its name in lines for a person: the handle that C has.
    pub(crate) fn label(&self) -> String {
        format!("sched {:p}", std::ptr::from_ref(self))
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Ends it. If called on one of its own workers, a separate thread does.
    pub(crate) fn shutdown(self: Box<Self>) {
        debug::log(debug::SCHED, || format!("{}: shut down", self.label()));
        // Not by the coroutine's `Flow`, which is gone when its context drops a dispatcher.
        let own = becket_coro::current().and_then(|current| current.runtime());
        if own.as_ref() == Some(self.handle()) {
            let kept = Arc::new(parking_lot::Mutex::new(Some(self)));
            let given = Arc::clone(&kept);
            let started = thread::Builder::new()
                .name("kcoro-shutdown".into())
                .spawn(move || drop(given.lock().take()));
            if started.is_err() {
                // No thread can be started: it continues to run, and is never freed.
                let _kept = std::mem::ManuallyDrop::new(kept);
            }
        }
    }

    fn stats(&self) -> Stats {
        let stats = self.handle().stats();
        let sum = |count: fn(&becket_coro::WorkerStats) -> u64| {
            stats.workers.iter().map(count).sum::<u64>()
        };
        let (steals, sleeps) = (sum(|worker| worker.steals), sum(|worker| worker.sleeps));
        Stats {
            tasks_submitted: self.tasks_submitted.load(Ordering::Relaxed),
            tasks_completed: self.tasks_completed.load(Ordering::Relaxed),
            steals_probes: steals + sleeps,
            steals_succeeded: steals,
            steals_failures: sleeps,
            fastpath_hits: sum(|worker| worker.dispatches).saturating_sub(steals),
            fastpath_misses: steals + sleeps,
            inject_pulls: self.injected.load(Ordering::Relaxed),
            donations: sum(|worker| worker.remote_wakes),
        }
    }
}

impl Drop for Sched {
    fn drop(&mut self) {
        monitor::ended(self.handle());
        self.alarms.cancel_all();
        // Then the runtime: it is the first of the fields to be dropped, and the lives with it.
    }
}
