// SPDX-License-Identifier: BSD-3-Clause
//! Threads that add work, which the holder of the lock does.

use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{join, model, spawn};
use crate::connection::pending_lock::PendingLock;

const THREADS: usize = 3;

/// The work that each thread has added, and what of it was done.
#[derive(Default)]
struct World {
    brought: [AtomicUsize; THREADS],
    seen: PendingLock<[usize; THREADS]>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// As a wake: the work is published by the pending flag, or by holding the lock, alone.
    fn bring(&self, number: usize) {
        self.brought[number].fetch_add(1, Ordering::Relaxed);
        self.run();
    }

    /// As `Connection::run`.
    fn run(&self) {
        loop {
            let Some(mut seen) = self.seen.enter() else { return };
            self.see_to_it(&mut seen);
            drop(seen);
            if !self.seen.is_pending() {
                return;
            }
        }
    }

    fn see_to_it(&self, seen: &mut [usize; THREADS]) {
        for (brought, seen) in self.brought.iter().zip(seen) {
            *seen = brought.load(Ordering::Relaxed);
        }
    }

    /// As `Connection::leave`, of a holder that does no work.
    fn leave<T>(&self, guard: T) {
        drop(guard);
        if self.seen.is_pending() {
            self.run();
        }
    }

    fn assert_all_seen(&self, brought: &[usize]) {
        assert_eq!(self.seen.lock()[..brought.len()], *brought);
        assert!(!self.seen.is_pending(), "no thread is left to clear it");
    }
}

#[test]
fn two_threads_add_work_and_all_is_done() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let brings = spawn(move || {
            other.bring(0);
            other.bring(0);
        });
        world.bring(1);
        join(brings);
        world.assert_all_seen(&[2, 1]);
    });
}

#[test]
fn three_threads_add_work_and_all_is_done() {
    model(|| {
        let world = World::new();
        let bring: Vec<_> = (0..2)
            .map(|number| {
                let world = world.clone();
                spawn(move || world.bring(number))
            })
            .collect();
        world.bring(2);
        bring.into_iter().for_each(join);
        world.assert_all_seen(&[1, 1, 1]);
    });
}

#[test]
fn a_thread_that_only_reads_does_the_work_added_meanwhile() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let brings = spawn(move || other.bring(0));
        if let Some(guard) = world.seen.try_lock() {
            world.leave(guard);
        }
        join(brings);
        world.assert_all_seen(&[1]);
    });
}

#[test]
fn a_thread_that_waits_for_the_lock_does_the_work_added_meanwhile() {
    model(|| {
        let world = World::new();
        let bring: Vec<_> = (0..2)
            .map(|number| {
                let world = world.clone();
                spawn(move || world.bring(number))
            })
            .collect();
        let guard = world.seen.lock();
        world.leave(guard);
        bring.into_iter().for_each(join);
        world.assert_all_seen(&[1, 1]);
    });
}

#[test]
fn work_that_a_holder_leaves_is_done() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let brings = spawn(move || other.bring(0));
        let guard = world.seen.lock();
        world.brought[1].store(1, Ordering::Relaxed);
        world.seen.set_pending();
        world.leave(guard);
        join(brings);
        world.assert_all_seen(&[1, 1]);
    });
}

/// A holder that lends the lock twice, and a thread that relieves it.
#[test]
fn a_holder_that_lends_its_lock_or_the_one_that_relieves_it_unlocks_it() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let relieves = spawn(move || {
            if other.seen.relieve() {
                // It is free for this thread too.
                let mut seen = other.seen.lock();
                seen[0] += 1;
                other.leave(seen);
            }
        });
        let mut relieved = 0;
        for _ in 0..2 {
            let mut guard = world.seen.lock();
            guard[1] += 1;
            let (mut guard, was_relieved) = world.seen.lend(guard, || {});
            guard[1] += 1;
            relieved += usize::from(was_relieved);
            world.leave(guard);
        }
        join(relieves);
        let seen = *world.seen.lock();
        assert_eq!(seen, [relieved, 4, 0]);
    });
}
