// SPDX-License-Identifier: BSD-3-Clause
//! The raw lock: mutual exclusion, and no thread sleeps for ever.

use loom::sync::Arc;

use super::{join, model, spawn};
use crate::lock::Lock;

fn rounds(threads: usize, rounds: usize) {
    let lock = Arc::new(Lock::new(0_usize));
    let crew: Vec<_> = (0..threads)
        .map(|_| {
            let lock = lock.clone();
            spawn(move || (0..rounds).for_each(|_| *lock.lock() += 1))
        })
        .collect();
    crew.into_iter().for_each(join);
    assert_eq!(*lock.lock(), threads * rounds);
}

#[test]
fn two_threads_take_the_lock_by_turns() {
    model(|| rounds(2, 2));
}

#[test]
fn three_threads_want_the_lock_at_once() {
    model(|| rounds(3, 1));
}
