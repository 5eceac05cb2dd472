// SPDX-License-Identifier: BSD-3-Clause
//! The async runtime that the commands run on.

use std::future::Future;
use std::num::NonZero;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use crate::exit::Exit;
use crate::failure::Failure;

/// Runs `work` on a runtime of one thread, for the commands that do one thing.
pub(super) fn run_one<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(Builder::new_current_thread().enable_all().build(), work)
}

/// Runs `work` on a runtime with a thread a core and one more, for the server: the host keeps one
/// thread out of plugins always, which would be missing on a busy machine.
pub(super) fn run_many<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    run_on(Builder::new_multi_thread().worker_threads(cores + 1).enable_all().build(), work)
}

fn run_on<T>(
    runtime: std::io::Result<Runtime>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = runtime.map_err(|error| {
        Failure::new(Exit::Failure, "the async runtime cannot start").cause(error.to_string())
    })?;
    let outcome = runtime.block_on(work);
    // A thread may still sit in a read of stdin: it has nothing that anyone waits for.
    runtime.shutdown_background();
    outcome
}

/// `work`, or [`Exit::Interrupted`] when Ctrl-C comes first.
pub(super) async fn interruptible(
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    tokio::select! {
        outcome = work => outcome,
        // No handler to be had: then Ctrl-C ends the process the plain way.
        Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}
