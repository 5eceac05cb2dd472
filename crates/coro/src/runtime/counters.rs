// SPDX-License-Identifier: BSD-3-Clause
//! The counters of a runtime. Each has one writer, a worker, for which it is a plain store.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) dispatches: AtomicU64,
    pub(crate) steals: AtomicU64,
    pub(crate) parks: AtomicU64,
    pub(crate) remote_wakes: AtomicU64,
    pub(crate) timers: AtomicU64,
    pub(crate) owned: AtomicU64,
}

impl Counters {
    /// For the one writer.
    #[inline]
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Release);
    }

    pub(crate) fn read(&self) -> WorkerStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerStats {
            dispatches: get(&self.dispatches),
            steals: get(&self.steals),
            sleeps: get(&self.parks),
            remote_wakes: get(&self.remote_wakes),
            timers_fired: get(&self.timers),
            coroutines: get(&self.owned),
        }
    }
}

/// The counts of one worker since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Dispatches of coroutines.
    pub dispatches: u64,
    /// Steals of fresh coroutines from other workers.
    pub steals: u64,
    /// Times that it went to sleep, having found nothing to run.
    pub sleeps: u64,
    /// Wakes from other threads.
    pub remote_wakes: u64,
    /// Timers that fired.
    pub timers_fired: u64,
    /// Coroutines that it owns now.
    pub coroutines: u64,
}

/// The counts of a runtime since it started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The counts of each worker.
    pub workers: Vec<WorkerStats>,
    /// Coroutines spawned.
    pub spawned: u64,
    /// Coroutines that have ended.
    pub finished: u64,
}

impl Stats {
    /// Coroutines that are alive.
    pub fn live(&self) -> u64 {
        self.spawned.saturating_sub(self.finished)
    }
}
