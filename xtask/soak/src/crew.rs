// SPDX-License-Identifier: BSD-3-Clause
//! Runs the parts of a scenario: some on threads, some as tasks.

use std::future::Future;
use std::pin::Pin;
use std::thread;

/// Threads that run the tasks.
const WORKERS: usize = 2;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Thread = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Crew {
    tasks: Vec<Task>,
    threads: Vec<Thread>,
}

impl Crew {
    pub(crate) fn task(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(Box::pin(task));
    }

    pub(crate) fn thread(&mut self, thread: impl FnOnce() + Send + 'static) {
        self.threads.push(Box::new(thread));
    }

    /// Starts all of them, and waits until all are over.
    pub(crate) fn run(self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_time()
            .build()
            .map_err(|error| format!("cannot start the runtime of the tasks: {error}"))?;
        let threads: Vec<_> = self
            .threads
            .into_iter()
            .map(|thread| {
                let seed = fastrand::u64(..);
                thread::spawn(move || {
                    fastrand::seed(seed);
                    thread();
                })
            })
            .collect();
        let tasks: Vec<_> = self.tasks.into_iter().map(|task| runtime.spawn(task)).collect();
        let mut all_well = true;
        for task in tasks {
            all_well &= runtime.block_on(task).is_ok();
        }
        for thread in threads {
            all_well &= thread.join().is_ok();
        }
        if all_well { Ok(()) } else { Err("a thread or a task panicked".into()) }
    }
}
