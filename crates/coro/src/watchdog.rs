// SPDX-License-Identifier: BSD-3-Clause
//! Reports a coroutine that holds its worker for too long.
//!
//! A thread checks the workers twice per bound. A worker that runs, and has dispatched nothing for
//! as long as the bound, is held. It is reported once, until it dispatches again. While every
//! worker sleeps, so does the thread: a worker that wakes also wakes it.

use std::{
    fmt, io,
    panic::Location,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{dump, join::Id, runtime::Shared};

/// Called with each coroutine that holds a worker.
pub(crate) type Report = fn(&Stalled);

/// A coroutine that has held its worker for longer than the watchdog's bound.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stalled {
    /// The coroutine's id.
    pub id: Id,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Where it was spawned.
    pub site: &'static Location<'static>,
    /// The worker that it holds, by its number in the process.
    pub worker: usize,
    /// A lower bound of the time.
    pub held: Duration,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("without a name");
        write!(
            f,
            "coroutine {} ({name}), spawned at {}, has held worker {} for {} ms",
            self.id,
            self.site,
            self.worker,
            self.held.as_millis()
        )
    }
}

#[derive(Debug)]
pub(crate) struct Watchdog {
    bound: Duration,
    report: Report,
    asleep: AtomicBool,
    stopped: Mutex<bool>,
    news: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    dispatches: u64,
    /// When this number of dispatches was seen first.
    since: Option<Instant>,
    reported: bool,
}

impl Watchdog {
    pub(crate) fn new(bound: Duration, report: Report) -> Self {
        Self {
            // Half of zero would be zero.
            bound: bound.max(Duration::from_millis(1)),
            report,
            asleep: AtomicBool::new(false),
            stopped: Mutex::new(false),
            news: Condvar::new(),
        }
    }

    pub(crate) fn start(
        watchdog: Arc<Self>,
        runtime: Weak<Shared>,
    ) -> io::Result<thread::JoinHandle<()>> {
        thread::Builder::new()
            .name("becket-watchdog".to_owned())
            .spawn(move || watchdog.watch(&runtime))
    }

    /// Wakes the thread: a worker has woken.
    #[inline]
    pub(crate) fn a_worker_runs(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            drop(self.stopped.lock());
            self.news.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.news.notify_one();
    }

    fn watch(&self, runtime: &Weak<Shared>) {
        let mut seen = Vec::new();
        let mut stopped = self.stopped.lock();
        while !*stopped {
            self.asleep.store(true, Ordering::SeqCst);
            let Some(shared) = runtime.upgrade() else { return };
            if shared.all_sleep() {
                drop(shared);
                self.news.wait(&mut stopped);
            } else {
                self.asleep.store(false, Ordering::SeqCst);
                drop(shared);
                self.news.wait_for(&mut stopped, self.bound / 2);
            }
            let Some(shared) = runtime.upgrade() else { return };
            parking_lot::MutexGuard::unlocked(&mut stopped, || self.look(&shared, &mut seen));
        }
    }

    fn look(&self, shared: &Shared, seen: &mut Vec<Seen>) {
        seen.resize_with(shared.workers(), Seen::default);
        for (worker, seen) in seen.iter_mut().enumerate() {
            let Some((number, dispatches)) = shared.running(worker) else {
                *seen = Seen::default();
                continue;
            };
            let since = match seen.since {
                Some(since) if seen.dispatches == dispatches => since,
                Some(_) | None => {
                    *seen = Seen { dispatches, since: Some(Instant::now()), reported: false };
                    continue;
                }
            };
            let held = since.elapsed();
            if held >= self.bound && !seen.reported {
                seen.reported = true;
                for row in dump::rows(shared) {
                    if row.state == dump::State::Running && row.worker == Some(number) {
                        let (id, name, site) = (row.id, row.name, row.site);
                        (self.report)(&Stalled { id, name, site, worker: number, held });
                    }
                }
            }
        }
    }
}

impl Shared {
    fn all_sleep(&self) -> bool {
        (0..self.workers()).all(|worker| self.running(worker).is_none())
    }

    /// A worker's number and its count of dispatches, unless it sleeps.
    fn running(&self, worker: usize) -> Option<(usize, u64)> {
        let remote = self.remote(worker)?;
        let dispatches = self.counters(worker)?.dispatches.load(Ordering::Relaxed);
        (!remote.sleeper.is_announced()).then_some((usize::from(remote.number), dispatches))
    }
}
