// SPDX-License-Identifier: BSD-3-Clause
//! Many things done by several threads, and told in their order.
//!
//! ```text
//!   tasks ──► threads, one after another ──► wait until all before are done ──► told ──► list
//! ```
//!
//! # Invariants
//!
//! 1. What is told, and in which order, does not depend on how many threads there are.
//! 2. A thing is told as soon as it and all before it are done.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::rules::Examiner;

use super::options::JOBS_MAX;

/// Who hears of what was done.
pub(super) struct Ears<'a, D> {
    /// At once, in whatever order: the number of the task, and how many are done.
    pub(super) done: &'a mut (dyn FnMut(usize, usize) + Send),
    /// In order.
    pub(super) told: &'a mut (dyn FnMut(&mut D) + Send),
}

/// What is done, and what waits for something before it.
struct Line<'a, D> {
    waiting: BTreeMap<usize, D>,
    done: Vec<D>,
    ears: Ears<'a, D>,
    /// An ear hears, or panicked doing so.
    is_told: bool,
}

impl<D> Line<'_, D> {
    fn take(&mut self, at: usize, one: D) {
        self.is_told = true;
        self.waiting.insert(at, one);
        (self.ears.done)(at, self.done.len() + self.waiting.len());
        while let Some(mut one) = self.waiting.remove(&self.done.len()) {
            (self.ears.told)(&mut one);
            self.done.push(one);
        }
        self.is_told = false;
    }
}

/// Does everything that is to be done. A panic of `work` or of an ear is one of the caller.
pub(super) fn in_order<T: Sync, D: Send>(
    jobs: usize,
    tasks: &[T],
    work: &(dyn Fn(&T, &mut Examiner) -> D + Sync),
    ears: Ears<'_, D>,
) -> Vec<D> {
    let next = AtomicUsize::new(0);
    let (waiting, done) = (BTreeMap::new(), Vec::with_capacity(tasks.len()));
    let line = Mutex::new(Line { waiting, done, ears, is_told: false });
    let worker = || {
        let mut examiner = Examiner::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(at) else { return };
            let one = work(task, &mut examiner);
            let mut line = line.lock();
            if line.is_told {
                // An ear panicked, which ends all of it.
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
    fn what_is_told_is_told_in_order_by_any_number_of_threads() {
        let tasks: Vec<usize> = (0..100).collect();
        for jobs in [0, 1, 2, 7, 1000] {
            let (mut told, mut counts) = (Vec::new(), Vec::new());
            let all = in_order(
                jobs,
                &tasks,
                &|task, _| task * 2,
                Ears {
                    done: &mut |_, count| counts.push(count),
                    told: &mut |one| {
                        told.push(*one);
                        *one += 1;
                    },
                },
            );
            assert!(told.iter().copied().eq((0..100).map(|task| task * 2)), "{jobs}");
            assert!(all.into_iter().eq((0..100).map(|task| task * 2 + 1)), "{jobs}");
            assert!(counts.into_iter().eq(1..=100), "{jobs}");
        }
    }

    #[test]
    fn what_is_done_early_waits_for_what_is_before_it() {
        let (says, hears) = std::sync::mpsc::channel();
        let hears = Mutex::new(hears);
        let work = |task: &u32, _: &mut Examiner| {
            // The first is not done before the second is.
            if *task == 0 {
                hears.lock().recv().unwrap();
            }
            *task
        };
        let mut told = Vec::new();
        let done = &mut |at, _| {
            if at == 1 {
                says.send(()).unwrap();
            }
        };
        let all = in_order(2, &[0, 1], &work, Ears { done, told: &mut |one| told.push(*one) });
        assert_eq!((told, all), (vec![0, 1], vec![0, 1]));
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let ears = Ears { done: &mut |_, _| (), told: &mut |_: &mut ()| () };
        let work = |task: &u32, _: &mut Examiner| assert!(*task != 7, "seven");
        let tasks: Vec<u32> = (0..9).collect();
        let all = std::panic::AssertUnwindSafe(|| in_order(3, &tasks, &work, ears));
        assert!(std::panic::catch_unwind(all).is_err());
    }
}
