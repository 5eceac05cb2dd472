// SPDX-License-Identifier: BSD-3-Clause
//! Work that must not run on a caller's thread, in order, on a bounded number of threads.
//!
//! Threads come from the process-wide pool of `blocking`; a queue borrows one while it has work
//! and at most `running_max` at once, so that one plugin that blocks cannot take the others'.
//!
//! Jobs go through an unlimited channel; the bound, and who runs, is one word beside it: jobs
//! counted in and not yet taken on, and threads borrowed.
//!
//! ```text
//!   submit   queued + 1, running + 1 if there may be one more ──▶ channel ──▶ a thread, if one more
//!   thread   queued − 1: takes one from the channel and runs it, again
//!            queued = 0: running − 1, and goes
//! ```
//!
//! # Invariants
//!
//! 1. A job is on the channel, or about to be put there, for each one in `queued` and for each
//!    thread between counting one off and taking it: so that thread waits for a moment at most.
//! 2. Whoever counts a job in sees the threads that will look again; if all that may be are
//!    borrowed, one of them counts it off before it goes.

use std::{
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use becket_chan::{Receiver, Sender, unlimited};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The queue is at its bound.
#[derive(Debug)]
pub(crate) struct Full;

/// See the module's documentation.
pub(crate) struct Jobs {
    sender: Sender<Job>,
    receiver: Receiver<Job>,
    /// `running << 32 | queued`
    word: AtomicU64,
    running_max: u64,
    queued_max: u64,
}

const QUEUED: u64 = u32::MAX as u64;
const ONE_RUNNING: u64 = 1 << 32;

impl Jobs {
    pub(crate) fn new(running_max: u32, queued_max: usize) -> Self {
        let (sender, receiver) = unlimited();
        Self {
            sender,
            receiver,
            word: AtomicU64::new(0),
            running_max: u64::from(running_max.max(1)),
            queued_max: (queued_max as u64).min(QUEUED),
        }
    }

    /// Queues a job, and borrows a thread for the queue if it may have one more.
    pub(crate) fn submit(&'static self, job: Job) -> Result<(), Full> {
        let counted = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let one_more = if word >> 32 < self.running_max { ONE_RUNNING } else { 0 };
            (word & QUEUED < self.queued_max).then_some(word + 1 + one_more)
        });
        let before = counted.map_err(|_| Full)?;
        // The queue holds a receiver and closes nothing: there is room always.
        let put = self.sender.try_send(job);
        debug_assert!(put.is_ok(), "an unlimited channel was full or closed");
        if before >> 32 < self.running_max {
            blocking::unblock(move || self.run()).detach();
        }
        Ok(())
    }

    /// Jobs that no thread has taken on yet.
    pub(crate) fn queued(&self) -> u64 {
        self.word.load(Ordering::Relaxed) & QUEUED
    }

    fn run(&'static self) {
        while self.count_off() {
            let Ok(job) = self.receiver.recv().wait() else { return };
            // A waker of the user's may panic: the queue goes on.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
                // To drop the payload may panic too.
                let _kept = ManuallyDrop::new(payload);
                tracing::error!(target: "becket::host", "a job of a plugin panicked");
            }
        }
    }

    /// Counts a job off for the calling thread, or the thread, if there is none.
    fn count_off(&self) -> bool {
        let next = |word: u64| if word & QUEUED == 0 { word - ONE_RUNNING } else { word - 1 };
        let counted =
            self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(next(word)));
        counted.is_ok_and(|before| before & QUEUED != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn jobs(running_max: u32, queued_max: usize) -> &'static Jobs {
        Box::leak(Box::new(Jobs::new(running_max, queued_max)))
    }

    #[test]
    fn one_thread_runs_in_order_and_the_bound_counts_what_waits() {
        let jobs = jobs(1, 2);
        let (begun, is_begun) = unlimited();
        let (go_on, may_go_on) = unlimited();
        let (ran, order) = unlimited();
        let job = |at: u32| -> Job {
            let (begun, may_go_on, ran) = (begun.clone(), may_go_on.clone(), ran.clone());
            Box::new(move || {
                begun.try_send(()).unwrap();
                may_go_on.recv().wait().unwrap();
                ran.try_send(at).unwrap();
            })
        };
        jobs.submit(job(0)).unwrap();
        is_begun.recv().wait().unwrap();
        jobs.submit(job(1)).unwrap();
        jobs.submit(job(2)).unwrap();
        assert!(jobs.submit(job(3)).is_err(), "one runs and two wait");
        assert_eq!(jobs.queued(), 2);
        (0..3).for_each(|_| go_on.try_send(()).unwrap());
        assert_eq!([(); 3].map(|()| order.recv().wait().unwrap()), [0, 1, 2]);
        go_on.try_send(()).unwrap();
        jobs.submit(job(4)).unwrap();
        assert_eq!(order.recv().wait(), Ok(4));
        assert_eq!(jobs.queued(), 0);
    }

    #[test]
    fn each_job_runs_once_on_no_more_threads_than_may_be() {
        static RUNNING: AtomicU32 = AtomicU32::new(0);
        static MOST: AtomicU32 = AtomicU32::new(0);
        let jobs = jobs(3, 100_000);
        let (ran, all) = unlimited();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let ran = &ran;
                scope.spawn(move || {
                    for at in 0..500 {
                        let ran = ran.clone();
                        let job = move || {
                            MOST.fetch_max(
                                RUNNING.fetch_add(1, Ordering::SeqCst) + 1,
                                Ordering::SeqCst,
                            );
                            RUNNING.fetch_sub(1, Ordering::SeqCst);
                            ran.try_send(thread * 500 + at).unwrap();
                            assert!(at % 100 != 7, "a job that panics takes no other with it");
                        };
                        jobs.submit(Box::new(job)).unwrap();
                    }
                });
            }
        });
        let mut seen: Vec<i32> = (0..2000).map(|_| all.recv().wait().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..2000).collect::<Vec<_>>());
        assert!(MOST.load(Ordering::SeqCst) <= 3);
    }
}
