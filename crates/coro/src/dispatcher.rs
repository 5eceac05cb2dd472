// SPDX-License-Identifier: BSD-3-Clause
//! Where code runs: on the default runtime, on threads that may block, on a pool of its own.

use std::sync::Arc;

use crate::{
    error::{BuildError, SpawnError},
    join::{JoinHandle, Packet},
    runtime::{Handle, Runtime},
    slot::{CoroutineKey, Run},
};

/// A place where code runs. Clones are the same place.
///
/// ```
/// use becket_coro::Dispatcher;
///
/// let sums = Dispatcher::new("sums", 1)?;
/// assert_eq!(sums.spawn(|| 1 + 1).join().unwrap(), 2);
/// # Ok::<(), becket_coro::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dispatcher {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Default,
    Io,
    Own(Arc<Runtime>),
}

impl Dispatcher {
    /// Coroutines on the current runtime, or on the default one.
    pub fn current() -> Self {
        Self { place: Place::Default }
    }

    /// Separate threads for blocking calls: as many as there are calls, up to a few hundred; they
    /// end when idle. Code spawned there is not a coroutine, and waits as a thread.
    pub fn io() -> Self {
        Self { place: Place::Io }
    }

    /// Coroutines on `workers` workers of its own, until the last clone is dropped.
    ///
    /// # Errors
    ///
    /// The number of workers is out of range, or the operating system refused a thread.
    pub fn new(name: impl AsRef<str>, workers: usize) -> Result<Self, BuildError> {
        let runtime = Runtime::builder().name(name).workers(workers).build()?;
        Ok(Self { place: Place::Own(Arc::new(runtime)) })
    }

    /// Runs `f` there.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match &self.place {
            Place::Default => crate::spawn(f),
            Place::Io => spawn_blocking(f),
            Place::Own(runtime) => runtime.spawn(f),
        }
    }

    /// The runtime behind it; `None` if its code does not run in coroutines.
    ///
    /// # Errors
    ///
    /// The default runtime could not be started.
    pub fn handle(&self) -> Result<Option<Handle>, SpawnError> {
        match &self.place {
            Place::Default => Handle::current().map(Some),
            Place::Io => Ok(None),
            Place::Own(runtime) => Ok(Some(runtime.handle().clone())),
        }
    }

    /// The largest number of threads that run its code.
    pub fn threads_max(&self) -> usize {
        match &self.place {
            Place::Default => Handle::current().map_or(1, |current| current.workers()),
            // The pool's own limit.
            Place::Io => 500,
            Place::Own(runtime) => runtime.handle().workers(),
        }
    }
}

/// Runs blocking code on a thread that may block. A coroutine that joins it is parked meanwhile.
/// The threads are those of the crate `blocking`.
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let packet = Arc::new(Packet::new(f));
    let task: Arc<dyn Run> = Arc::<Packet<F, T>>::clone(&packet);
    blocking::unblock(move || task.run()).detach();
    JoinHandle::new(packet, CoroutineKey::NONE)
}
