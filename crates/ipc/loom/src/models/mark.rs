// SPDX-License-Identifier: BSD-3-Clause
//! Threads that bring something, and whoever has the lock sees to it.

use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{join, model, spawn};
use crate::connection::mark::Marked;

const THREADS: usize = 3;

/// What was brought by each thread, and what of it was seen to.
#[derive(Default)]
struct World {
    brought: [AtomicUsize; THREADS],
    seen: Marked<[usize; THREADS]>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// As a wake: what is brought is published by the mark, or by having the lock, alone.
    fn bring(&self, number: usize) {
        self.brought[number].fetch_add(1, Ordering::Relaxed);
        self.turn();
    }

    /// As `Connection::turn`.
    fn turn(&self) {
        loop {
            let Some(mut seen) = self.seen.enter() else { return };
            self.see_to_it(&mut seen);
            drop(seen);
            if !self.seen.is_marked() {
                return;
            }
        }
    }

    fn see_to_it(&self, seen: &mut [usize; THREADS]) {
        for (brought, seen) in self.brought.iter().zip(seen) {
            *seen = brought.load(Ordering::Relaxed);
        }
    }

    /// As `Connection::leave`, of a holder that sees to nothing.
    fn leave<T>(&self, guard: T) {
        drop(guard);
        if self.seen.is_marked() {
            self.turn();
        }
    }

    fn assert_all_seen(&self, brought: &[usize]) {
        assert_eq!(self.seen.lock()[..brought.len()], *brought);
        assert!(!self.seen.is_marked(), "nobody is left to take it off");
    }
}

#[test]
fn two_bring_something_and_all_is_seen_to() {
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
fn three_bring_something_and_all_is_seen_to() {
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
fn who_only_wants_to_look_sees_to_what_comes_meanwhile() {
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
fn who_waits_for_the_lock_sees_to_what_comes_meanwhile() {
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
fn what_a_holder_leaves_to_be_done_is_done() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let brings = spawn(move || other.bring(0));
        let guard = world.seen.lock();
        world.brought[1].store(1, Ordering::Relaxed);
        world.seen.mark();
        world.leave(guard);
        join(brings);
        world.assert_all_seen(&[1, 1]);
    });
}
