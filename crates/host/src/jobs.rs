// SPDX-License-Identifier: BSD-3-Clause
//! Work that must not run on a caller's thread, in order, on a bounded number of threads.
//!
//! Threads come from the process-wide pool of `blocking`; a queue borrows one while it has work
//! and at most `running_max` at once, so that one plugin that blocks cannot take the others'.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
};

use parking_lot::Mutex;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The queue is at its bound.
#[derive(Debug)]
pub(crate) struct Full;

/// See the module's documentation.
pub(crate) struct Jobs {
    state: Mutex<State>,
    running_max: u32,
    queued_max: usize,
}

struct State {
    queue: VecDeque<Job>,
    running: u32,
}

impl Jobs {
    pub(crate) fn new(running_max: u32, queued_max: usize) -> Self {
        let state = Mutex::new(State { queue: VecDeque::new(), running: 0 });
        Self { state, running_max: running_max.max(1), queued_max }
    }

    /// Queues a job, and borrows a thread for the queue if it may have one more.
    pub(crate) fn submit(&'static self, job: Job) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.queue.len() >= self.queued_max {
            return Err(Full);
        }
        state.queue.push_back(job);
        if state.running < self.running_max {
            state.running += 1;
            drop(state);
            blocking::unblock(move || self.run()).detach();
        }
        Ok(())
    }

    fn run(&'static self) {
        loop {
            let job = {
                let mut state = self.state.lock();
                match state.queue.pop_front() {
                    Some(job) => job,
                    None => {
                        state.running -= 1;
                        state.queue.shrink_to(64);
                        return;
                    }
                }
            };
            // A waker of the user's may panic: the queue goes on.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!(target: "becket::host", "a job of a plugin panicked");
            }
        }
    }
}
