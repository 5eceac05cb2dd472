// SPDX-License-Identifier: BSD-3-Clause
//! Where code runs: on the default runtime, on threads that may block, on a pool of its own.

use std::{num::NonZero, sync::Arc, thread};

use crate::{
    error::{BuildError, SpawnError},
    join::{JoinHandle, Packet},
    runtime::{Handle, Runtime},
    slot::{Flow, Run},
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

    /// Threads of their own for calls that block: as many as there are calls, up to a few hundred,
    /// which end when idle. What is spawned there is no coroutine, and waits as a thread.
    pub fn io() -> Self {
        Self { place: Place::Io }
    }

    /// Coroutines on so many workers of their own, until the last clone is dropped.
    pub fn new(name: impl AsRef<str>, workers: usize) -> Result<Self, BuildError> {
        let runtime = Runtime::builder().name(name).workers(workers).build()?;
        Ok(Self { place: Place::Own(Arc::new(runtime)) })
    }

    /// Runs it there.
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

    /// The runtime behind it, if it runs coroutines.
    pub fn handle(&self) -> Result<Option<Handle>, SpawnError> {
        match &self.place {
            Place::Default => Handle::current().map(Some),
            Place::Io => Ok(None),
            Place::Own(runtime) => Ok(Some(runtime.handle().clone())),
        }
    }

    /// So many threads run its code at most.
    pub fn threads_max(&self) -> usize {
        match &self.place {
            Place::Default => thread::available_parallelism().map_or(1, NonZero::get),
            // The pool's own limit.
            Place::Io => 500,
            Place::Own(runtime) => runtime.handle().workers(),
        }
    }
}

/// Runs code that blocks its thread, on a thread that may be blocked. A coroutine that joins it is
/// parked meanwhile. The threads are those of the crate `blocking`.
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let packet = Arc::new(Packet::new(f));
    let task: Arc<dyn Run> = Arc::<Packet<F, T>>::clone(&packet);
    blocking::unblock(move || task.run()).detach();
    JoinHandle::new(packet, Flow::NONE)
}
