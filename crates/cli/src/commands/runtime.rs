// SPDX-License-Identifier: BSD-3-Clause
//! The async runtime that the commands run on.

use std::future::Future;
use std::num::NonZero;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use crate::exit::Exit;
use crate::failure::Failure;

/// Runs `work` on a runtime with one thread, for commands without concurrency.
pub(super) fn run_one<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(Builder::new_current_thread().enable_all().build(), work)
}

/// Runs `work` on a runtime with one thread per core and one more, for the server: the host always
/// keeps one thread out of plugins, which a busy machine would lack otherwise.
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
    // A thread may still be blocked in a read of stdin; it is not awaited.
    runtime.shutdown_background();
    outcome
}

/// `work`, or [`Exit::Interrupted`] when Ctrl-C comes first.
pub(super) async fn interruptible(
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    tokio::select! {
        outcome = work => outcome,
        // Without a handler Ctrl-C ends the process by the default action.
        Ok(()) = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}
