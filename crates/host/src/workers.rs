// SPDX-License-Identifier: BSD-3-Clause
//! The processes in which a plugin runs elsewhere: those that run, and how earlier ones ended.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::crash_stack::CrashStack;

/// Deaths that are kept of each plugin.
const DEATHS_MAX: usize = 16;

/// Whether a plugin that runs elsewhere takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteState {
    /// It has a worker.
    Running,
    /// It has none, and one is being started: calls wait.
    Restarting,
    /// Its workers have ended too often: calls fail until one is started again.
    Failed,
}

/// The state of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum WorkerState {
    /// It takes calls.
    Running,
    /// Its process is being started.
    Restarting,
    /// It has ended too often: it is started again after a pause.
    Failed,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Running, Self::Restarting, Self::Failed];

    /// The name that metrics and JSON use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
        }
    }
}

/// One worker of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerInfo {
    /// Its number, from 0. It stays the same when its process is started again.
    pub worker: u32,
    /// The load of its plugin that it belongs to.
    pub generation: u64,
    /// Its state.
    pub state: WorkerState,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// How long its process has been ready.
    pub ready_ms: u64,
    /// Calls and streams that it has in hand.
    pub in_hand: u32,
    /// How often it was started again since the plugin was loaded.
    pub restarts: u64,
    /// Its resident memory, if the system tells it.
    pub resident_bytes: Option<u64>,
    /// Processor time that it used, if the system tells it.
    pub cpu_seconds: Option<f64>,
    /// Its threads that compute for no call, and are in the scheduler's idle class therefore.
    pub idle_class_threads: u32,
}

/// Why a worker's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DeathReason {
    /// By a signal of its own: it aborted, or touched a wrong address.
    Signal,
    /// It exited.
    Exit,
    /// By a signal from outside: a user's, or the kernel's when the memory of the whole machine ran out.
    Killed,
    /// It ran out of memory: the kernel ended its control group, or its runtime ended it because an
    /// allocation failed.
    Memory,
    /// It used the processor time that it may (`SIGXCPU`).
    Cpu,
    /// It exceeded the size of files that it may write (`SIGXFSZ`), or made a system call that ends its
    /// process (`SIGSYS`).
    Sandbox,
    /// It did not answer the ping of its session in time, and was killed.
    Silent,
    /// It violated the protocol of its session, and was killed.
    Protocol,
    /// It closed its session, and was killed.
    Closed,
    /// It did not start.
    Start,
}

impl DeathReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Signal,
        Self::Exit,
        Self::Killed,
        Self::Memory,
        Self::Cpu,
        Self::Sandbox,
        Self::Silent,
        Self::Protocol,
        Self::Closed,
        Self::Start,
    ];

    /// The name that metrics and JSON use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Exit => "exit",
            Self::Killed => "killed",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Sandbox => "sandbox",
            Self::Silent => "silent",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Start => "start",
        }
    }
}

/// The end of a worker that was not asked to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Death {
    /// The worker's number.
    pub worker: u32,
    /// The load of its plugin that it belonged to.
    pub generation: u64,
    /// Its process; 0 if none was started.
    pub pid: u32,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Why.
    pub reason: DeathReason,
    /// The exit status or the signal, or why it did not start.
    pub status: String,
    /// How long it took calls.
    pub ran_ms: u64,
    /// Calls and streams that it had in hand.
    pub calls_failed: u64,
    /// What it wrote last to stderr; to stdout, if nothing to stderr.
    pub last_lines: Vec<String>,
    /// Where it was, if a signal of its own ended it. It comes after the rest of the record.
    pub stack: Option<CrashStack>,
    /// Why there is no stack, or none yet.
    pub no_stack: Option<String>,
}

impl Death {
    /// How long ago it was.
    #[must_use]
    pub fn age_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(self.at_unix_ms)
    }
}

/// Deaths and restarts of one plugin's workers, over all its loads.
///
/// Cloning it is cheap: clones share it. Thread safety: all functions from any thread.
#[derive(Debug, Clone, Default)]
pub struct WorkerHistory(Arc<History>);

#[derive(Debug, Default)]
struct History {
    deaths: Mutex<Deaths>,
    restarts: [AtomicU64; DeathReason::ALL.len()],
    lines_dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Deaths {
    kept: VecDeque<Death>,
    /// How many were there before the first that is kept.
    before: u64,
}

/// One death in a [`WorkerHistory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeathId(u64);

impl WorkerHistory {
    /// A worker has ended.
    pub fn died(&self, death: Death) -> DeathId {
        let mut deaths = self.0.deaths.lock();
        if deaths.kept.len() >= DEATHS_MAX {
            deaths.kept.pop_front();
            deaths.before += 1;
        }
        deaths.kept.push_back(death);
        DeathId(deaths.before + deaths.kept.len() as u64 - 1)
    }

    /// The stack of a death is known, or why there is none. Nothing happens for a death that is not kept any
    /// more.
    pub fn set_stack(&self, of: DeathId, stack: Result<CrashStack, String>) {
        let mut deaths = self.0.deaths.lock();
        let at = of.0.checked_sub(deaths.before).and_then(|at| usize::try_from(at).ok());
        if let Some(death) = at.and_then(|at| deaths.kept.get_mut(at)) {
            (death.stack, death.no_stack) = match stack {
                Ok(stack) => (Some(stack), None),
                Err(why) => (None, Some(why)),
            };
        }
    }

    /// A worker is started again after it ended for this reason.
    pub fn restarted(&self, reason: DeathReason) {
        if let Some(count) = self.0.restarts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that workers wrote and that were not logged.
    pub fn lines_dropped(&self, lines: u64) {
        self.0.lines_dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

/// The workers of a plugin, to look at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workers {
    /// Those of the load that takes calls.
    pub workers: Vec<WorkerInfo>,
    /// Those of the new version that a rollout gives a share of the calls.
    pub canary: Vec<WorkerInfo>,
    /// How often one was started again, by the reason of the end before.
    pub restarts: Vec<Restarts>,
    /// Lines that they wrote to stdout and stderr and that were not logged.
    pub lines_dropped: u64,
    /// The last deaths, the oldest first.
    pub deaths: Vec<Death>,
}

/// How often workers were started again after an end of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Restarts {
    /// The reason.
    pub reason: DeathReason,
    /// How often.
    pub count: u64,
}

impl Workers {
    /// Every worker, and whether it is one of the canary's.
    pub fn each(&self) -> impl Iterator<Item = (&WorkerInfo, bool)> {
        let stable = self.workers.iter().map(|worker| (worker, false));
        stable.chain(self.canary.iter().map(|worker| (worker, true)))
    }

    /// The last death of this worker.
    #[must_use]
    pub fn last_death(&self, of: &WorkerInfo) -> Option<&Death> {
        let is_its = |it: &&Death| (it.worker, it.generation) == (of.worker, of.generation);
        self.deaths.iter().rfind(is_its)
    }

    pub(crate) fn of(
        workers: Vec<WorkerInfo>,
        canary: Vec<WorkerInfo>,
        history: &WorkerHistory,
    ) -> Self {
        let History { deaths, restarts, lines_dropped } = &*history.0;
        let counts = DeathReason::ALL.into_iter().zip(restarts);
        Self {
            workers,
            canary,
            restarts: counts
                .map(|(reason, count)| Restarts { reason, count: count.load(Ordering::Relaxed) })
                .collect(),
            lines_dropped: lines_dropped.load(Ordering::Relaxed),
            deaths: deaths.lock().kept.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(pid: u32) -> Death {
        Death {
            worker: 0,
            generation: 1,
            pid,
            at_unix_ms: 0,
            reason: DeathReason::Signal,
            status: String::new(),
            ran_ms: 0,
            calls_failed: 0,
            last_lines: Vec::new(),
            stack: None,
            no_stack: None,
        }
    }

    #[test]
    fn the_last_deaths_are_kept_and_restarts_are_counted_by_reason() {
        let history = WorkerHistory::default();
        let ids: Vec<_> = (0..100).map(|pid| history.died(death(pid))).collect();
        DeathReason::ALL.into_iter().for_each(|reason| history.restarted(reason));
        let seen = Workers::of(Vec::new(), Vec::new(), &history);
        assert_eq!(seen.deaths.len(), DEATHS_MAX);
        assert_eq!(seen.deaths.last().map(|death| death.pid), Some(99));
        assert!(seen.restarts.iter().all(|restarts| restarts.count == 1));
        assert_eq!(seen.restarts.len(), DeathReason::ALL.len());
        // A stack comes to the death that it is of, if that is still there.
        for (id, pid) in ids.into_iter().zip(0..) {
            history.set_stack(id, Err(format!("of {pid}")));
        }
        for Death { pid, no_stack, .. } in Workers::of(Vec::new(), Vec::new(), &history).deaths {
            assert_eq!(no_stack, Some(format!("of {pid}")));
        }
    }
}
