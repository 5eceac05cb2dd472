// SPDX-License-Identifier: BSD-3-Clause
//! What a runtime counts. Each counter has one writer, a worker, which pays for a plain store.

use std::sync::atomic::{AtomicU64, Ordering};

/// One worker's.
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
    /// By the one writer.
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

/// What one worker has done since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerStats {
    /// How often it let a coroutine run.
    pub dispatches: u64,
    /// How often it took fresh coroutines from another worker.
    pub steals: u64,
    /// How often it slept.
    pub sleeps: u64,
    /// Wakes that came from other threads.
    pub remote_wakes: u64,
    /// Timers whose time came.
    pub timers_fired: u64,
    /// Coroutines that are its own now.
    pub coroutines: u64,
}

/// What a runtime has done since it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// By worker.
    pub workers: Vec<WorkerStats>,
    /// Coroutines made.
    pub spawned: u64,
    /// Coroutines that have ended.
    pub finished: u64,
}

impl Stats {
    /// Coroutines that live.
    pub fn live(&self) -> u64 {
        self.spawned.saturating_sub(self.finished)
    }
}
