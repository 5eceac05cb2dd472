// SPDX-License-Identifier: BSD-3-Clause
//! Shared by all rows: how long to measure, and runtimes that are already started.

use std::sync::Arc;

use rustix::thread::CpuSet;
use tokio::runtime::{Builder, Runtime};

use crate::error::BenchError;
use crate::harness::Plan;
use crate::machine::{FIRST_CPU, cpus};

/// Where the rows are measured.
pub(crate) struct Stage<'a> {
    /// How long, and which.
    pub(crate) plan: Plan<'a>,
    /// The CPUs of this process.
    pub(crate) cpus: CpuSet,
    workers: Arc<Runtime>,
}

/// Where the tasks of a row run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheduler {
    /// tokio's current-thread runtime, on the first CPU.
    CurrentThread,
    /// tokio's multi-thread runtime with two workers.
    TwoWorkers,
}

impl<'a> Stage<'a> {
    /// Starts the runtime with two workers, on all CPUs.
    pub(crate) fn set(plan: Plan<'a>) -> Result<Self, BenchError> {
        let workers = Builder::new_multi_thread().worker_threads(2).build().map_err(refused)?;
        Ok(Self { plan, cpus: cpus()?, workers: Arc::new(workers) })
    }

    /// The runtime, and the CPU on which its caller belongs.
    pub(crate) fn runtime(
        &self,
        scheduler: Scheduler,
    ) -> Result<(Arc<Runtime>, Option<usize>), BenchError> {
        match scheduler {
            Scheduler::CurrentThread => Ok((Arc::new(current_thread()?), Some(FIRST_CPU))),
            Scheduler::TwoWorkers => Ok((Arc::clone(&self.workers), None)),
        }
    }
}

/// A current-thread runtime without drivers: no row waits for time or files.
pub(crate) fn current_thread() -> Result<Runtime, BenchError> {
    Builder::new_current_thread().build().map_err(refused)
}

fn refused(source: std::io::Error) -> BenchError {
    BenchError::System { what: "start a tokio runtime", source }
}
