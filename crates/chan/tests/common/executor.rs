// SPDX-License-Identifier: BSD-3-Clause
//! A second executor, as small as possible: a queue of tasks and some threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;

use parking_lot::{Condvar, Mutex};

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    job: Mutex<Option<Job>>,
    queued: AtomicBool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ready: Mutex<VecDeque<Arc<Task>>>,
    changed: Condvar,
    alive: AtomicUsize,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            let shared = self.shared.clone();
            shared.ready.lock().push_back(self);
            shared.changed.notify_one();
        }
    }
}

/// Runs the jobs on that many threads, until all of them have ended.
pub(crate) fn run(threads: usize, jobs: Vec<Job>) {
    let shared = Arc::new(Shared::default());
    shared.alive.store(jobs.len(), Ordering::SeqCst);
    for job in jobs {
        let task = Task {
            job: Mutex::new(Some(job)),
            queued: AtomicBool::new(false),
            shared: shared.clone(),
        };
        Arc::new(task).wake();
    }
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&shared));
        }
    });
    // Tasks that were woken once more: each refers to the queue that it is in.
    shared.ready.lock().clear();
}

fn work(shared: &Shared) {
    loop {
        let task = {
            let mut ready = shared.ready.lock();
            loop {
                if shared.alive.load(Ordering::SeqCst) == 0 {
                    return;
                }
                match ready.pop_front() {
                    Some(task) => break task,
                    None => shared.changed.wait(&mut ready),
                }
            }
        };
        let waker = Waker::from(task.clone());
        // A wake from here on queues it again; the thread that takes it then waits for this poll's
        // end.
        let mut job = task.job.lock();
        task.queued.store(false, Ordering::SeqCst);
        let Some(running) = job.as_mut() else {
            continue;
        };
        if running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *job = None;
            let _ready = shared.ready.lock();
            if shared.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
                shared.changed.notify_all();
            }
        }
    }
}
