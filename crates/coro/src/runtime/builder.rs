// SPDX-License-Identifier: BSD-3-Clause
//! The builder of a runtime.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_deque::{Injector, Worker as Deque};
use crossbeam_utils::CachePadded;

use super::{
    Counters, Runtime,
    shared::{Member, Settings, Shared},
};
use crate::{
    clock::Clock,
    error::BuildError,
    slot, stack,
    watchdog::{Report, Stalled, Watchdog},
    worker::{Remote, WORKERS_MAX, Worker},
};

/// Settings of a new runtime: see [`Runtime::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    workers: Option<usize>,
    stack_size: usize,
    name: Arc<str>,
    coroutines_max: usize,
    clock: Clock,
    watchdog: Option<(Duration, Report)>,
}

/// The number of CPUs that the process may use: the default number of workers.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: None,
            stack_size: stack::SIZE_DEFAULT_BYTES,
            name: Arc::from("becket"),
            coroutines_max: slot::COROUTINES_MAX,
            clock: Clock::Real,
            watchdog: None,
        }
    }

    /// The number of threads that run coroutines. Default: one per CPU that the process may use.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The default stack size of a coroutine in bytes, rounded up to a power of two of at least
    /// 16 KiB. Default: 64 KiB. Only touched pages take memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// The name of its threads, followed by a number.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Arc::from(name.as_ref());
        self
    }

    /// The largest number of coroutines that live at once; further spawns are refused. Default: 2²⁴
    /// in the process. A coroutine counts until its stack is free, a moment after its joiner was
    /// woken.
    pub fn coroutines_max(mut self, coroutines_max: usize) -> Self {
        self.coroutines_max = coroutines_max.min(slot::COROUTINES_MAX);
        self
    }

    /// The source of its time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Reports a coroutine that holds its worker for longer than `bound`, once each time. This
    /// costs a thread, which checks the workers twice per `bound` while any of them runs and sleeps
    /// while none does.
    pub fn watchdog(mut self, bound: Duration, report: fn(&Stalled)) -> Self {
        self.watchdog = Some((bound, report));
        self
    }

    /// Starts its threads.
    ///
    /// # Errors
    ///
    /// The number of workers or the stack size is out of range, the process has too many workers,
    /// or the operating system refused a thread.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let workers = self.workers.unwrap_or_else(cpus);
        if workers == 0 || workers > WORKERS_MAX {
            return Err(BuildError::Workers { workers, workers_max: WORKERS_MAX });
        }
        let stack_size = stack::check_size(self.stack_size)?;
        becket_chan::fence::register();
        stack::overflow::set_describe(crate::dump::describe_current);

        let mut deques = Vec::with_capacity(workers);
        let mut members = Vec::with_capacity(workers);
        for _ in 0..workers {
            let Some(remote) = Remote::claim() else {
                members.iter().for_each(|member: &Member| member.remote.release());
                return Err(BuildError::TooManyWorkers { workers_max: WORKERS_MAX });
            };
            let deque = Deque::new_lifo();
            members.push(Member {
                remote,
                stealer: deque.stealer(),
                counters: remote.counters(),
                pinned: Injector::new(),
                bound: AtomicU64::new(u64::MAX),
            });
            deques.push(deque);
        }
        let watchdog = self.watchdog.map(|(bound, report)| Arc::new(Watchdog::new(bound, report)));
        let settings = Settings {
            name: self.name,
            stack_size,
            coroutines_max: self.coroutines_max,
            clock: self.clock,
            watchdog,
        };
        let shared = Arc::new(Shared::new(settings, members.into()));
        if let Some(clock) = shared.clock.as_virtual() {
            clock.belongs_to(&shared);
        }
        let mut runtime = Runtime::new(shared);
        for (index, deque) in deques.into_iter().enumerate() {
            let shared = Arc::clone(runtime.shared());
            let name = format!("{}-{index}", shared.name);
            let thread = thread::Builder::new()
                .name(name)
                .spawn(move || Worker::run(shared, index, deque))
                // The drop of the runtime ends the threads that were started.
                .map_err(|cause| BuildError::Thread { worker: index, workers, cause })?;
            runtime.add_thread(thread);
        }
        if let Some(watchdog) = &runtime.shared().watchdog {
            let thread = Watchdog::start(Arc::clone(watchdog), Arc::downgrade(runtime.shared()))
                .map_err(|cause| BuildError::Thread { worker: workers, workers, cause })?;
            runtime.add_thread(thread);
        }
        Ok(runtime)
    }
}

impl Counters {
    /// Resets the counters of a worker's number that is reused.
    pub(crate) fn reset(&self) {
        for counter in [
            &self.spawned,
            &self.finished,
            &self.dispatches,
            &self.steals,
            &self.parks,
            &self.remote_wakes,
            &self.timers,
            &self.owned,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Remote {
    fn counters(&self) -> &'static CachePadded<Counters> {
        self.counters.reset();
        self.counters
    }
}
