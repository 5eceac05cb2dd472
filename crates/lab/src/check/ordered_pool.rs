// SPDX-License-Identifier: BSD-3-Clause
//! Tasks run by several threads, with results in the order of the tasks.
//!
//! ```text
//!   tasks ──► threads, one after another ──► wait until all before are done ──► callback ──► list
//! ```
//!
//! # Invariants
//!
//! 1. The ordered callbacks and their order do not depend on the number of threads.
//! 2. The ordered callback of a task is called as soon as it and all tasks before it are done.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::rules::Examiner;

use super::options::JOBS_MAX;

/// Callbacks of a pool.
pub(super) struct Observer<'a, D> {
    /// Called at once, in any order, with the index of the task and the number of finished tasks.
    pub(super) done: &'a mut (dyn FnMut(usize, usize) + Send),
    /// Called in the order of the tasks.
    pub(super) ordered: &'a mut (dyn FnMut(&mut D) + Send),
}

/// Finished tasks, and results that wait for an earlier task.
struct OrderedPool<'a, D> {
    waiting: BTreeMap<usize, D>,
    done: Vec<D>,
    observer: Observer<'a, D>,
    /// A callback is running, or panicked.
    is_observing: bool,
}

impl<D> OrderedPool<'_, D> {
    fn take(&mut self, at: usize, one: D) {
        self.is_observing = true;
        self.waiting.insert(at, one);
        (self.observer.done)(at, self.done.len() + self.waiting.len());
        while let Some(mut one) = self.waiting.remove(&self.done.len()) {
            (self.observer.ordered)(&mut one);
            self.done.push(one);
        }
        self.is_observing = false;
    }
}

/// Runs all tasks. A panic of `work` or of a callback is propagated to the caller.
pub(super) fn in_order<T: Sync, D: Send>(
    jobs: usize,
    tasks: &[T],
    work: &(dyn Fn(&T, &mut Examiner) -> D + Sync),
    observer: Observer<'_, D>,
) -> Vec<D> {
    let next = AtomicUsize::new(0);
    let (waiting, done) = (BTreeMap::new(), Vec::with_capacity(tasks.len()));
    let line = Mutex::new(OrderedPool { waiting, done, observer, is_observing: false });
    let worker = || {
        let mut examiner = Examiner::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(at) else { return };
            let one = work(task, &mut examiner);
            let mut line = line.lock();
            if line.is_observing {
                // A callback panicked, which ends the pool.
                return;
            }
            line.take(at, one);
        }
    };
    thread::scope(|scope| {
        let jobs = jobs.clamp(1, JOBS_MAX).min(tasks.len());
        let others: Vec<_> = (1..jobs).map(|_| scope.spawn(worker)).collect();
        worker();
        for other in others {
            if let Err(panic) = other.join() {
                resume_unwind(panic);
            }
        }
    });
    line.into_inner().done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_callbacks_are_in_order_with_any_number_of_threads() {
        let tasks: Vec<usize> = (0..100).collect();
        for jobs in [0, 1, 2, 7, 1000] {
            let (mut ordered, mut counts) = (Vec::new(), Vec::new());
            let all = in_order(
                jobs,
                &tasks,
                &|task, _| task * 2,
                Observer {
                    done: &mut |_, count| counts.push(count),
                    ordered: &mut |one| {
                        ordered.push(*one);
                        *one += 1;
                    },
                },
            );
            assert!(ordered.iter().copied().eq((0..100).map(|task| task * 2)), "{jobs}");
            assert!(all.into_iter().eq((0..100).map(|task| task * 2 + 1)), "{jobs}");
            assert!(counts.into_iter().eq(1..=100), "{jobs}");
        }
    }

    #[test]
    fn what_is_done_early_waits_for_what_is_before_it() {
        let (first, second) = std::sync::mpsc::channel();
        let second = Mutex::new(second);
        let work = |task: &u32, _: &mut Examiner| {
            // The first is not done before the second one is.
            if *task == 0 {
                second.lock().recv().unwrap();
            }
            *task
        };
        let mut ordered = Vec::new();
        let done = &mut |at, _| {
            if at == 1 {
                first.send(()).unwrap();
            }
        };
        let all =
            in_order(2, &[0, 1], &work, Observer { done, ordered: &mut |one| ordered.push(*one) });
        assert_eq!((ordered, all), (vec![0, 1], vec![0, 1]));
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let observer = Observer { done: &mut |_, _| (), ordered: &mut |_: &mut ()| () };
        let work = |task: &u32, _: &mut Examiner| assert!(*task != 7, "seven");
        let tasks: Vec<u32> = (0..9).collect();
        let all = std::panic::AssertUnwindSafe(|| in_order(3, &tasks, &work, observer));
        assert!(std::panic::catch_unwind(all).is_err());
    }
}
