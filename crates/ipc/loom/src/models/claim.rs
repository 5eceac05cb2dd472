// SPDX-License-Identifier: BSD-3-Clause
//! A thread that retains what it has claimed, and the I/O thread that watches whether it comes back.

use std::sync::Mutex;

use loom::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use loom::thread;

use super::{join, model, spawn};
use crate::connection::claim::{Claim, Tick};

#[derive(Default)]
struct World {
    claim: Claim,
    /// How often it is in the I/O thread's list.
    guards: AtomicUsize,
    /// Held by who looks. Not of loom's: it orders nothing.
    looking: Mutex<()>,
    looks: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Nobody else looks meanwhile.
    fn look(&self) {
        let looking = self.looking.try_lock().unwrap();
        // Others may run here.
        self.looks.fetch_add(1, Ordering::Relaxed);
        assert!(self.claim.is_taken(), "or others ask for a wake, and take what it sleeps for");
        drop(looking);
    }

    /// As `Source::retain`.
    fn retain(&self) {
        if self.claim.retain() {
            self.guards.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// As the I/O thread: looks at those of its list once. True: it was lost.
    fn tick(&self) -> bool {
        let mut lost = false;
        for _ in 0..self.guards.swap(0, Ordering::AcqRel) {
            match self.claim.tick() {
                Tick::Active => {
                    self.guards.fetch_add(1, Ordering::AcqRel);
                }
                Tick::Quiet => {}
                Tick::Lost => lost = true,
            }
        }
        lost
    }

    /// Nobody comes back: the I/O thread finds that out if it is retained, and then no more looks.
    fn assert_is_guarded(&self) {
        let is_retained = self.claim.is_taken();
        let guards = self.guards.load(Ordering::Relaxed);
        assert!(guards <= 1, "it is looked at once a millisecond");
        assert!(guards == 1 || !is_retained, "somebody sees that nobody comes back");
        let lost = self.tick() | self.tick();
        assert_eq!(lost, is_retained);
        assert!(!self.claim.is_taken());
        assert_eq!(self.guards.load(Ordering::Relaxed), 0, "idle connections cost nothing");
    }
}

#[test]
fn what_is_retained_is_guarded() {
    model(|| {
        let world = World::new();
        let other = world.clone();
        let io = spawn(move || (0..4).filter(|_| other.tick()).count());
        assert!(world.claim.claim());
        world.retain();
        if world.claim.resume() || world.claim.claim() {
            world.look();
            world.retain();
        }
        join(io);
        world.assert_is_guarded();
    });
}

#[test]
fn who_looks_when_the_guard_ends_is_guarded_again() {
    model(|| {
        let world = World::new();
        assert!(world.claim.claim());
        world.retain();
        assert!(world.claim.resume());
        let other = world.clone();
        // It sees a look, then none, and would go.
        let io = spawn(move || other.tick() | other.tick());
        world.look();
        world.retain();
        join(io);
        world.assert_is_guarded();
    });
}

#[test]
fn who_comes_back_when_it_is_found_lost_has_it_or_not() {
    model(|| {
        let world = World::new();
        assert!(world.claim.claim());
        world.retain();
        assert!(!world.tick(), "it has looked");
        let other = world.clone();
        let io = spawn(move || other.tick());
        // So that it can begin, be overtaken and go on, with two preemptions.
        thread::yield_now();
        if world.claim.resume() || world.claim.claim() {
            world.look();
            world.retain();
        }
        join(io);
        world.assert_is_guarded();
    });
}

#[test]
fn one_looks_at_a_time() {
    model(|| {
        let world = World::new();
        assert!(world.claim.claim());
        world.retain();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                spawn(move || {
                    for _ in 0..2 {
                        if world.claim.resume() || world.claim.claim() {
                            world.look();
                            world.retain();
                        }
                    }
                })
            })
            .collect();
        if world.claim.resume() {
            world.look();
            world.claim.release();
        }
        world.tick();
        threads.into_iter().for_each(join);
        world.assert_is_guarded();
    });
}
