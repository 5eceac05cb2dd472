// SPDX-License-Identifier: BSD-3-Clause
//! A thread that retains its claim, and the I/O thread that checks whether it comes back.

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
    /// The number of its entries in the I/O thread's list.
    guards: AtomicUsize,
    /// Held by the polling thread. A std lock, which orders nothing in the model.
    looking: Mutex<()>,
    looks: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Polls: no other thread polls at the same time.
    fn look(&self) {
        let looking = self.looking.try_lock().unwrap();
        // Other threads may run here.
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

    /// As the I/O thread: checks the entries of its list once. True: the claim was lost.
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

    /// No thread comes back: the I/O thread detects that if it is retained, and then stops
    /// checking.
    fn assert_is_guarded(&self) {
        let is_retained = self.claim.is_taken();
        let guards = self.guards.load(Ordering::Relaxed);
        assert!(guards <= 1, "it is looked at once a millisecond");
        assert!(guards == 1 || !is_retained, "the missing owner is detected");
        let lost = self.tick() | self.tick();
        assert_eq!(lost, is_retained);
        assert!(!self.claim.is_taken());
        assert_eq!(self.guards.load(Ordering::Relaxed), 0, "idle connections cost nothing");
    }
}

#[test]
fn a_retained_claim_is_guarded() {
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
fn a_claim_retained_when_the_guard_ends_is_guarded_again() {
    model(|| {
        let world = World::new();
        assert!(world.claim.claim());
        world.retain();
        assert!(world.claim.resume());
        let other = world.clone();
        // It sees a poll, then none, and would stop checking.
        let io = spawn(move || other.tick() | other.tick());
        world.look();
        world.retain();
        join(io);
        world.assert_is_guarded();
    });
}

#[test]
fn an_owner_that_resumes_while_it_is_found_lost_has_it_or_not() {
    model(|| {
        let world = World::new();
        assert!(world.claim.claim());
        world.retain();
        assert!(!world.tick(), "it has looked");
        let other = world.clone();
        let io = spawn(move || other.tick());
        // So that it can begin, be overtaken and continue, with two preemptions.
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
fn one_thread_polls_at_a_time() {
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
