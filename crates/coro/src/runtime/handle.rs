// SPDX-License-Identifier: BSD-3-Clause
//! A runtime's owner, its handles, and the default one.

use std::{
    cell::RefCell,
    future::Future,
    sync::{Arc, OnceLock, atomic::Ordering},
    thread,
    time::Instant,
};

use super::{Builder, Shared, Stats, spawn};
use crate::{
    context,
    dispatcher::spawn_blocking,
    dump::{self, Row},
    error::{BuildError, SpawnError},
    join::JoinHandle,
    stack, wait,
};

/// Owns a runtime: dropping it ends the runtime.
///
/// Waiting coroutines are then unwound, so that everything on their stacks is dropped; coroutines
/// that never started are dropped; running ones continue until their next wait. The drop returns
/// when all have ended. (From one of its own coroutines it returns at once.)
#[derive(Debug)]
pub struct Runtime {
    handle: Handle,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Runtime {
    /// Settings for a new runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A runtime with a worker per CPU.
    ///
    /// # Errors
    ///
    /// As for [`Builder::build`].
    pub fn new_default() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { handle: Handle { shared }, threads: Vec::new() }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    pub(super) fn add_thread(&mut self, thread: thread::JoinHandle<()>) {
        self.threads.push(thread);
    }

    /// A handle, for spawning from anywhere.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// As [`Handle::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn(f)
    }

    /// As [`Handle::block_on`].
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Ends the runtime, as dropping does.
    pub fn shutdown(self) {}

    fn end(&mut self) {
        let shared = &self.handle.shared;
        shared.stop.store(true, Ordering::SeqCst);
        shared.wake_everybody();
        // Also while every worker is held.
        shared.drop_injected();
        if let Some(watchdog) = &shared.watchdog {
            watchdog.stop();
        }
        let own = context::with_worker(|worker| {
            worker.is_some_and(|worker| Arc::ptr_eq(&worker.shared, shared))
        });
        let threads = std::mem::take(&mut self.threads);
        // A worker of the runtime cannot wait for itself.
        if !own {
            // The panic of a worker was reported.
            off_the_worker(move || {
                threads.into_iter().for_each(|thread| drop(thread.join()));
                // No idle worker is left that would do this.
                while stack::trim() {}
            });
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end();
    }
}

/// Spawns on a runtime, and inspects it. Cheap to clone; keeps nothing running.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// The runtime of the calling coroutine, or of the `block_on` that the calling thread is in, or
    /// the default one.
    ///
    /// # Errors
    ///
    /// The default runtime could not be started.
    pub fn current() -> Result<Self, SpawnError> {
        let own = context::with_worker(|worker| worker.map(|worker| Self::of(&worker.shared)));
        if let Some(own) = own {
            return Ok(own);
        }
        match ENTERED.try_with(|entered| entered.borrow().last().cloned()) {
            Ok(Some(handle)) => Ok(handle),
            Ok(None) | Err(_) => default_runtime().map(|runtime| runtime.handle.clone()),
        }
    }

    /// Spawns a coroutine. If that is refused, the handle returns the error.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn::spawn_on(self, f)
    }

    /// Drives a future on the calling thread; coroutines it spawns go to this runtime. In a
    /// coroutine, the coroutine is parked on it, and its own runtime stays the current one.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = enter(self.clone());
        wait::block_on(future)
    }

    /// All its living coroutines. Each row is true for some moment of the call; the rows together
    /// need not be.
    pub fn dump(&self) -> Vec<Row> {
        dump::rows(&self.shared)
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Waits until none of its coroutines is alive; false if the deadline came first, by the
    /// operating system's clock. Called in one of its own coroutines, it would wait for itself.
    pub fn wait_idle(&self, deadline: Option<Instant>) -> bool {
        let shared = Arc::clone(&self.shared);
        off_the_worker(move || shared.wait_quiet(deadline)).unwrap_or(false)
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.shared.workers()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The default stack size of its coroutines in bytes.
    pub fn stack_size(&self) -> usize {
        self.shared.stack_size
    }

    /// The current time of its clock.
    pub fn now(&self) -> Instant {
        self.shared.clock.instant(self.shared.clock.now())
    }
}

impl PartialEq for Handle {
    /// Whether both are handles of one runtime.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Handle {}

/// Runs blocking code on another thread. A coroutine is parked meanwhile, and its worker is free.
fn off_the_worker<T: Send + 'static>(block: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if context::slot().is_some() { spawn_blocking(block).join().ok() } else { Some(block()) }
}

thread_local! {
    /// The runtimes whose `block_on` this thread is in.
    static ENTERED: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// Makes a runtime the calling thread's current one until the guard is dropped.
pub(crate) fn enter(handle: Handle) -> Entered {
    // On a worker its own runtime is current, in a `block_on` too: other coroutines may run there
    // while the coroutine is parked in it.
    if context::with_worker(|worker| worker.is_some()) {
        return Entered(false);
    }
    Entered(ENTERED.try_with(|entered| entered.borrow_mut().push(handle)).is_ok())
}

pub(crate) struct Entered(bool);

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0
            && let Ok(handle) = ENTERED.try_with(|entered| entered.borrow_mut().pop())
        {
            drop(handle);
        }
    }
}

/// Created on first use; lives as long as the process.
fn default_runtime() -> Result<&'static Runtime, SpawnError> {
    static DEFAULT: OnceLock<Result<Runtime, SpawnError>> = OnceLock::new();
    DEFAULT
        .get_or_init(|| {
            Runtime::new_default().map_err(|error| match error {
                BuildError::Stack(error) => SpawnError::Stack(error),
                BuildError::Thread { cause, .. } => SpawnError::NoRuntime { cause: cause.kind() },
                BuildError::Workers { .. } | BuildError::TooManyWorkers { .. } => {
                    SpawnError::NoRuntime { cause: std::io::ErrorKind::QuotaExceeded }
                }
            })
        })
        .as_ref()
        .map_err(Clone::clone)
}
