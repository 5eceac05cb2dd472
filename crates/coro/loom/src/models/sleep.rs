// SPDX-License-Identifier: BSD-3-Clause
//! A worker that is about to sleep, and threads that bring it work.
//!
//! Two ways: into the inbox, whose push and whose check before the sleep are sequentially
//! consistent (modelled in `wake_state` too); and into a worker's own deque, by plain stores, with
//! the light fence on that side and the heavy one on the other. Of a light and a heavy fence one
//! comes first, as of two sequentially consistent ones, which stand for them here.

use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering, fence},
};

use super::{join, model, spawn};
use crate::sleep::Sleeper;

struct Place {
    sleeper: Sleeper,
    fresh: AtomicUsize,
}

impl Place {
    fn new() -> Arc<Self> {
        Arc::new(Self { sleeper: Sleeper::new(), fresh: AtomicUsize::new(0) })
    }

    /// A worker that pushes to its own deque, and wakes the other one.
    fn bring(&self) {
        self.fresh.fetch_add(1, Ordering::Release);
        // Light.
        fence(Ordering::SeqCst);
        self.sleeper.wake();
    }

    /// The other worker, until `count` items were brought.
    fn wait_for(&self, count: usize) {
        while self.fresh.load(Ordering::Acquire) < count {
            self.sleeper.announce();
            // Heavy.
            fence(Ordering::SeqCst);
            if self.fresh.load(Ordering::Acquire) < count {
                self.sleeper.sleep(None);
            }
            self.sleeper.retract();
        }
    }
}

#[test]
fn a_sleeper_is_woken_for_new_work() {
    model(|| {
        let place = Place::new();
        let other = place.clone();
        let brings = spawn(move || other.bring());
        place.wait_for(1);
        join(brings);
    });
}

#[test]
fn a_sleeper_is_woken_for_work_of_two_threads() {
    model(|| {
        let place = Place::new();
        let bring: Vec<_> = (0..2)
            .map(|_| {
                let place = place.clone();
                spawn(move || place.bring())
            })
            .collect();
        place.wait_for(2);
        bring.into_iter().for_each(join);
    });
}

#[test]
fn a_worker_that_sleeps_again_is_woken_again() {
    model(|| {
        let place = Place::new();
        let other = place.clone();
        let brings = spawn(move || {
            other.bring();
            other.bring();
        });
        place.wait_for(1);
        place.wait_for(2);
        join(brings);
        assert!(!place.sleeper.is_announced());
    });
}
