// SPDX-License-Identifier: BSD-3-Clause
//! The async executor whose threads call the host, and what runs on them.
//!
//! Code of plugins that runs there must never take all of the executor's threads, or nothing else
//! makes progress. [`Executor`] counts the threads that are inside plugins and never lends the last
//! one; the watchdog finds those that are stuck, and has the executor wake another thread for the
//! input and output that a stuck one was waiting for.
//!
//! Two kinds of code run there: that of plugins which declare that they never block, in place
//! ([`Instance::lend`]), and the calls of plugins that have been quick so far, each as a task of its
//! own ([`Work`]). A caller of the latter waits in its own task, so that its deadline holds even if
//! the call blocks.
//!
//! # Wakes
//!
//! An executor may keep a task that is woken on a thread for that same thread (tokio's LIFO slot). If
//! the thread is inside a plugin and does not come back, neither does the task. So the wakes of a
//! thread that is lent are kept in its record ([`crate::thread::ThreadRecord::wake`]) until it leaves
//! the plugin, or until the watchdog finds it stuck.
//!
//! # Invariants
//!
//! 1. `inside` counts the threads that hold a [`Lent`] which was counted; it never exceeds
//!    `threads − 1`.
//! 2. A job that was given to the executor runs once: there, or on a worker of its plugin.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    instance::Instance,
    jobs::{self, BoxedJob},
    placement::PluginGuard,
    thread,
};

/// Runs a piece of work on a thread of an executor, later.
type Spawn = Arc<dyn Fn(Work) + Send + Sync>;

/// See the module's documentation.
#[repr(align(128))]
pub(crate) struct Executor {
    /// 0: not known, nothing is counted.
    threads: AtomicU32,
    inside: AtomicU32,
    spawn: Mutex<Option<Spawn>>,
}

impl Executor {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            threads: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            spawn: Mutex::new(None),
        })
    }

    /// Sets how many threads it has, and how work gets there.
    pub(crate) fn set(&self, threads: usize, spawn: Spawn) {
        *self.spawn.lock() = Some(spawn);
        self.threads.store(u32::try_from(threads).unwrap_or(u32::MAX).max(1), Ordering::SeqCst);
    }

    /// Whether threads are counted.
    pub(crate) fn is_known(&self) -> bool {
        self.threads.load(Ordering::SeqCst) > 0
    }

    /// Whether it has a thread that can be lent while another is left.
    pub(crate) fn lends(&self) -> bool {
        self.threads.load(Ordering::Relaxed) > 1
    }

    /// Counts the calling thread, if another is left.
    #[inline]
    pub(crate) fn count<'a>(&'a self, turn: PluginGuard<'a>) -> Result<Lent<'a>, NoneLeft> {
        let threads = self.threads.load(Ordering::Relaxed);
        let lent = &thread::current().lent;
        if threads == 0 || lent.get() {
            // Not known; or nested: this thread is inside a plugin already, and counted.
            return Ok(Lent { _borrowed: Some(Borrowed { executor: None, turn }) });
        }
        let one_more = |inside: u32| (inside + 1 < threads).then_some(inside + 1);
        let counted = self.inside.fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more);
        counted.map_err(|_| NoneLeft)?;
        lent.set(true);
        Ok(Lent { _borrowed: Some(Borrowed { executor: Some(self), turn }) })
    }

    /// Gives it a job of `instance`, whose thread-bound part is counted when it runs.
    pub(crate) fn spawn(&self, instance: &'static Instance, job: BoxedJob) {
        self.give(Work(Some((instance, job))));
    }

    /// A thread of it is stuck: another one takes over what that was waiting for.
    pub(crate) fn wake(&self) {
        self.give(Work(None));
    }

    fn give(&self, work: Work) {
        let spawn = self.spawn.lock().clone();
        if let Some(spawn) = spawn {
            // The program's: what it drops when it panics runs on a worker (invariant 2), and the
            // watchdog, which wakes the executor, goes on.
            jobs::caught(|| spawn(work), "an executor's hook panicked");
        }
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// All threads of the executor but one are inside plugins.
#[derive(Debug)]
pub(crate) struct NoneLeft;

/// The calling thread may enter the plugin while this lives. It does not leave that thread.
#[must_use]
pub(crate) struct Lent<'a> {
    _borrowed: Option<Borrowed<'a>>,
}

impl Lent<'_> {
    /// Of a thread that is not counted, by a plugin without a lock: nothing to give back.
    pub(crate) const FREE: Self = Self { _borrowed: None };
}

/// What is given back.
struct Borrowed<'a> {
    /// Where the thread was counted.
    executor: Option<&'a Executor>,
    /// Neither leaves the thread.
    turn: PluginGuard<'a>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(executor) = self.executor {
            let record = thread::current();
            record.lent.set(false);
            executor.inside.fetch_sub(1, Ordering::Release);
            // A task that is woken may run at once: not under the plugin's lock.
            self.turn = PluginGuard::FREE;
            record.fire_kept();
        }
    }
}

/// A piece of work for a thread of an executor: a call of a plugin, or nothing but a reason to wake
/// up. See [`Host::set_executor`](crate::Host::set_executor).
///
/// Dropped before it ran, a call runs on a thread of the host instead.
#[must_use = "it does nothing until it is run"]
pub struct Work(Option<(&'static Instance, BoxedJob)>);

impl Work {
    /// Runs it on the calling thread. It does not panic, and may block if the plugin does.
    #[inline]
    pub fn run(mut self) {
        if let Some((instance, job)) = self.0.take() {
            instance.run_on_executor(job);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some((instance, job)) = self.0.take() {
            instance.calls.submit_owed(job);
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("is_call", &self.0.is_some()).finish_non_exhaustive()
    }
}

impl Instance {
    fn run_on_executor(&'static self, job: BoxedJob) {
        match self.lend_counted() {
            Some(_lent) => jobs::run(job),
            None => self.calls.submit_owed(job),
        }
    }
}
