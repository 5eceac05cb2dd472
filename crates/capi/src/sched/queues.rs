// SPDX-License-Identifier: BSD-3-Clause
//! The bounds of a scheduler's queues: how many coroutines and tasks may wait to start.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The queues of a scheduler. Without a bound nothing is counted.
#[derive(Debug)]
pub(super) struct Queues {
    all: Bound,
    /// Those that threads have spawned that are none of its workers.
    injected: Bound,
}

#[derive(Debug)]
struct Bound {
    /// 0: none.
    max: usize,
    waiting: AtomicUsize,
}

impl Queues {
    pub(super) fn new(max: usize, injected_max: usize) -> Self {
        let bound = |max| Bound { max, waiting: AtomicUsize::new(0) };
        Self { all: bound(max), injected: bound(injected_max) }
    }

    /// False: a queue is full.
    pub(super) fn enter(&self, is_injected: bool) -> bool {
        if !self.all.enter() {
            return false;
        }
        let has_room = !is_injected || self.injected.enter();
        if !has_room {
            self.all.leave();
        }
        has_room
    }

    pub(super) fn leave(&self, is_injected: bool) {
        self.all.leave();
        if is_injected {
            self.injected.leave();
        }
    }
}

impl Bound {
    fn enter(&self) -> bool {
        let one_more = |waiting| (waiting < self.max).then_some(waiting + 1);
        self.max == 0
            || self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn leave(&self) {
        if self.max != 0 {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
