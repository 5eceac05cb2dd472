// SPDX-License-Identifier: BSD-3-Clause
//! A small executor for a plugin's futures: a few threads of its own, no runtime.
//!
//! A task is known by its call's id. It stands in the queue at most once, so the queue is bounded by
//! the number of tasks, and that by `tasks_max`.
//!
//! ```text
//!            wake                 run                 ready
//!   IDLE ───────────▶ QUEUED ───────────▶ RUNNING ───────────▶ DONE
//!    ▲                   ▲                 │   │ wake
//!    │                   └──── RERUN ◀─────┼───┘
//!    └──────────── pending ────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. The call belongs to the thread that removes its task from the table: a future that ends
//!    answers the call only if its task is still there, which a cancelled one is not.
//! 2. A cancelled future is dropped before `cancel` returns, or, if it is being polled, by the thread
//!    that polls it, right after.
//! 3. When `close` returns, every future is dropped and every thread has ended.
#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use becket_abi::NrStatus;

use crate::boundary;
use crate::call::CallHandle;
use crate::host::Host;
use crate::lock::{Condvar, Mutex};
use crate::thread::Thread;

pub(crate) type BoxFuture = Pin<Box<dyn Future<Output = Ending> + Send>>;
/// What is left to do once the future has ended and the call is found still open.
pub(crate) type Ending = Box<dyn FnOnce() + Send>;

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RERUN: u8 = 3;

pub(crate) struct Executor {
    core: Arc<Core>,
    threads: Mutex<Vec<Thread>>,
}

struct Core {
    host: Host,
    tasks_max: usize,
    tasks: Mutex<HashMap<u64, Arc<Task>>>,
    ready: Mutex<Ready>,
    work: Condvar,
}

#[derive(Default)]
struct Ready {
    queue: VecDeque<Arc<Task>>,
    closing: bool,
}

struct Task {
    sid: u64,
    core: Arc<Core>,
    state: AtomicU8,
    cancelled: AtomicBool,
    future: Mutex<Option<BoxFuture>>,
}

impl Executor {
    pub(crate) fn start(
        host: Host,
        name: &str,
        threads: usize,
        tasks_max: usize,
    ) -> io::Result<Self> {
        let core = Arc::new(Core {
            host,
            tasks_max,
            tasks: Mutex::default(),
            ready: Mutex::default(),
            work: Condvar::new(),
        });
        let executor = Self { core, threads: Mutex::default() };
        for _ in 0..threads {
            let core = Arc::clone(&executor.core);
            // On an error `executor` is dropped, which ends the threads before it.
            executor.threads.lock().push(Thread::spawn(name, move || core.run())?);
        }
        Ok(executor)
    }

    /// Starts a future for call `sid`; false if there are too many.
    pub(crate) fn spawn(&self, sid: u64, future: BoxFuture) -> bool {
        let task = Arc::new(Task {
            sid,
            core: Arc::clone(&self.core),
            state: AtomicU8::new(IDLE),
            cancelled: AtomicBool::new(false),
            future: Mutex::new(Some(future)),
        });
        {
            let mut tasks = self.core.tasks.lock();
            if tasks.len() >= self.core.tasks_max {
                return false;
            }
            // An id that the host gives twice is two calls to the plugin; the first one loses.
            if let Some(stale) = tasks.insert(sid, Arc::clone(&task)) {
                drop(tasks);
                stale.cancel();
            }
        }
        task.wake();
        true
    }

    /// Drops the future of call `sid`; false if there is none.
    pub(crate) fn cancel(&self, sid: u64) -> bool {
        let found = self.core.tasks.lock().remove(&sid);
        let Some(task) = found else { return false };
        task.cancel();
        true
    }

    /// Drops every future and ends the threads.
    pub(crate) fn close(&self) {
        let tasks = std::mem::take(&mut *self.core.tasks.lock());
        for task in tasks.into_values() {
            task.cancel();
        }
        self.core.ready.lock().closing = true;
        self.core.work.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(Thread::join);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.close();
    }
}

impl Core {
    fn run(&self) {
        loop {
            let task = {
                let mut ready = self.ready.lock();
                loop {
                    if let Some(task) = ready.queue.pop_front() {
                        break task;
                    }
                    if ready.closing {
                        return;
                    }
                    ready = self.work.wait(ready);
                }
            };
            boundary::guard("a future", || Some(self.host), || task.poll());
        }
    }

    /// True if the call is still this task's to answer.
    fn finish(&self, task: &Task) -> bool {
        let mut tasks = self.tasks.lock();
        let ours = tasks.get(&task.sid).is_some_and(|found| std::ptr::eq(&raw const **found, task));
        if ours {
            tasks.remove(&task.sid);
        }
        ours
    }
}

impl Task {
    fn poll(self: &Arc<Self>) {
        self.state.store(RUNNING, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(self));
        // Runs on a panic too: the call is answered and the future dropped.
        let unfinished = Unfinished(Some(self));
        let polled = {
            let mut future = self.future.lock();
            match future.as_mut() {
                Some(pinned) if !self.cancelled.load(Ordering::SeqCst) => {
                    let polled = pinned.as_mut().poll(&mut Context::from_waker(&waker));
                    if polled.is_ready() {
                        *future = None;
                    }
                    polled
                }
                _ => {
                    *future = None;
                    Poll::Pending
                }
            }
        };
        unfinished.defuse();
        if self.cancelled.load(Ordering::SeqCst) {
            // Cancelled while it was polled.
            drop(self.future.lock().take());
            return;
        }
        if let Poll::Ready(ending) = polled {
            if self.core.finish(self) {
                ending();
            }
            return;
        }
        if self.state.compare_exchange(RUNNING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            // Woken while it was polled.
            self.state.store(QUEUED, Ordering::SeqCst);
            self.push();
        }
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let idle = self.future.try_lock().and_then(|mut future| future.take());
        // A destructor may panic; the host's thread must not notice.
        boundary::guard("a cancelled future", || Some(self.core.host), || drop(idle));
    }

    fn push(self: &Arc<Self>) {
        self.core.ready.lock().queue.push_back(Arc::clone(self));
        self.core.work.notify_one();
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let step =
            self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
                IDLE => Some(QUEUED),
                RUNNING => Some(RERUN),
                _ => None,
            });
        if step == Ok(IDLE) {
            self.push();
        }
    }
}

/// Answers the call of a task whose poll panics.
struct Unfinished<'a>(Option<&'a Arc<Task>>);

impl Unfinished<'_> {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Some(task) = self.0 else { return };
        if task.core.finish(task) {
            let call = CallHandle::new(task.core.host, task.sid);
            let _ = call.end(NrStatus::Panic, b"the plugin panicked");
        }
        let future = task.future.lock().take();
        boundary::guard("a panicked future", || Some(task.core.host), || drop(future));
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.core.tasks.lock().len()).finish()
    }
}
