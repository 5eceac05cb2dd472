// SPDX-License-Identifier: BSD-3-Clause
//! Slots, their workers' inboxes, and threads that wake the coroutines in the slots.
//!
//! A worker here is the runtime's, without stacks: it takes its inbox, keeps a token for a
//! coroutine that does not wait, and otherwise sleeps. A lost wake leaves it asleep for ever, which
//! loom reports.

use std::cell::Cell;

use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{join, large_model, model, spawn};
use crate::{
    wake_state::{MANUAL, WakeState, Inbox, Notified},
    sleep::Sleeper,
};

const SLOTS: usize = 2;
const WORKERS: usize = 2;

/// The state shared by all threads.
struct World {
    states: [WakeState; SLOTS],
    inboxes: [Inbox; WORKERS],
    sleepers: [Sleeper; WORKERS],
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            states: [WakeState::new(), WakeState::new()],
            inboxes: [Inbox::new(), Inbox::new()],
            sleepers: [Sleeper::new(), Sleeper::new()],
        })
    }

    /// As `unpark_elsewhere`.
    fn unpark(&self, index: usize, generation: u64) {
        if let Notified::Push(owner) = self.states[index].notify(generation) {
            let worker = usize::from(owner) - 1;
            self.inboxes[worker].push(index as u32, &self.states[index]);
            self.sleepers[worker].wake();
        }
    }
}

/// One worker's own view: the wakes that arrived for each slot.
struct Worker {
    world: Arc<World>,
    number: usize,
    woken: [Cell<usize>; SLOTS],
}

impl Worker {
    /// Numbers start with 1: 0 is no worker.
    fn new(world: &Arc<World>, number: usize) -> Self {
        Self { world: world.clone(), number, woken: Default::default() }
    }

    fn owner(&self) -> u16 {
        self.number as u16
    }

    fn inbox(&self) -> &Inbox {
        &self.world.inboxes[self.number - 1]
    }

    fn start(&self, index: usize) {
        if self.world.states[index].start(self.owner()) {
            self.woken[index].set(self.woken[index].get() + 1);
        }
    }

    fn take_messages(&self) {
        self.inbox().take(
            |index| self.world.states.get(index as usize),
            |index| {
                let woken = &self.woken[index as usize];
                woken.set(woken.get() + 1);
            },
        );
    }

    /// A worker that has nothing to do.
    fn sleep(&self) {
        let sleeper = &self.world.sleepers[self.number - 1];
        sleeper.announce();
        if self.inbox().is_empty_for_sleep() {
            sleeper.sleep(None);
        }
        sleeper.retract();
    }

    /// The coroutine in the slot parks until it was woken.
    fn park(&self, index: usize) {
        self.take_messages();
        while self.woken[index].get() == 0 {
            self.sleep();
            self.take_messages();
        }
        self.woken[index].set(0);
    }

    /// The coroutine in the slot has ended: frees the slot, when no wake is in flight.
    fn finish(&self, index: usize) {
        while !self.world.states[index].close() {
            self.sleep();
            self.take_messages();
        }
        self.woken[index].set(0);
    }
}

#[test]
fn a_wake_reaches_the_parked_coroutine() {
    model(|| {
        let world = World::new();
        let worker = Worker::new(&world, 1);
        worker.start(0);
        let waker = spawn(move || world.unpark(0, 0));
        worker.park(0);
        join(waker);
    });
}

#[test]
fn a_woken_coroutine_sees_the_writes_before_each_wake() {
    // The second wake may find the first in flight: writes before it are visible all the same.
    model(|| {
        let world = World::new();
        let worker = Worker::new(&world, 1);
        worker.start(0);
        let done: Arc<[AtomicBool; 2]> = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let wakers: Vec<_> = (0..2)
            .map(|number| {
                let (world, done) = (world.clone(), done.clone());
                spawn(move || {
                    done[number].store(true, Ordering::Relaxed);
                    world.unpark(0, 0);
                })
            })
            .collect();
        while !done.iter().all(|done| done.load(Ordering::Relaxed)) {
            worker.park(0);
        }
        wakers.into_iter().for_each(join);
    });
}

#[test]
fn a_wake_before_the_start_is_not_lost() {
    model(|| {
        let world = World::new();
        let worker = Worker::new(&world, 1);
        let done = Arc::new(AtomicBool::new(false));
        let waker = {
            let done = done.clone();
            spawn(move || {
                done.store(true, Ordering::Relaxed);
                world.unpark(0, 0);
            })
        };
        worker.start(0);
        worker.park(0);
        assert!(done.load(Ordering::Relaxed));
        join(waker);
    });
}

#[test]
fn wakes_of_two_slots_do_not_break_the_inbox() {
    large_model(|| {
        let world = World::new();
        let worker = Worker::new(&world, 1);
        worker.start(0);
        worker.start(1);
        let wakers: Vec<_> = (0..2)
            .map(|number| {
                let world = world.clone();
                spawn(move || {
                    world.unpark(number, 0);
                    world.unpark(1 - number, 0);
                })
            })
            .collect();
        worker.park(0);
        worker.park(1);
        wakers.into_iter().for_each(join);
        // Wakes that are still in flight arrive, and nothing else.
        worker.take_messages();
        assert!(worker.inbox().is_empty());
        worker.finish(0);
        worker.finish(1);
    });
}

#[test]
fn a_late_wake_wakes_no_other_coroutine() {
    model(|| {
        let world = World::new();
        let worker = Worker::new(&world, 1);
        worker.start(0);
        let late = {
            let world = world.clone();
            spawn(move || world.unpark(0, 0))
        };
        worker.finish(0);
        // The next coroutine in the same slot. It is not woken.
        worker.start(0);
        worker.take_messages();
        assert_eq!(worker.woken[0].get(), 0);
        join(late);
        worker.take_messages();
        assert_eq!(worker.woken[0].get(), 0);
        assert!(world.states[0].close(), "and the slot is in no inbox");
    });
}

#[test]
fn a_slot_that_is_used_again_gets_the_wakes_of_its_new_life() {
    model(|| {
        let world = World::new();
        let worker = Worker::new(&world, 1);
        worker.start(0);
        let wakers: Vec<_> = (0..2)
            .map(|generation| {
                let world = world.clone();
                spawn(move || {
                    // A thread that got the key only when the coroutine existed.
                    while world.states[0].generation() < generation {
                        loom::thread::yield_now();
                    }
                    world.unpark(0, generation);
                })
            })
            .collect();
        worker.finish(0);
        worker.start(0);
        worker.park(0);
        wakers.into_iter().for_each(join);
        worker.take_messages();
        assert_eq!(worker.woken[0].get(), 0, "one wake for each life");
        worker.finish(0);
    });
}

#[test]
fn a_slot_that_goes_to_another_worker_is_in_one_inbox() {
    // The first worker frees the slot while a wake is in flight, the second has it next.
    large_model(|| {
        let world = World::new();
        let first = Worker::new(&world, 1);
        first.start(0);
        let given_back = Arc::new(AtomicBool::new(false));
        let late = {
            let world = world.clone();
            spawn(move || world.unpark(0, 0))
        };
        let own = {
            let world = world.clone();
            spawn(move || {
                // A thread that got the key when the coroutine was created, before it was started.
                while world.states[0].generation() < 1 {
                    loom::thread::yield_now();
                }
                world.unpark(0, 1);
            })
        };
        let second = {
            let (world, given_back) = (world.clone(), given_back.clone());
            spawn(move || {
                while !given_back.load(Ordering::Acquire) {
                    loom::thread::yield_now();
                }
                let second = Worker::new(&world, 2);
                second.start(0);
                second.park(0);
                join(own);
                second.take_messages();
                assert_eq!(second.woken[0].get(), 0);
                second.finish(0);
            })
        };
        first.finish(0);
        given_back.store(true, Ordering::Release);
        join(late);
        first.take_messages();
        assert_eq!(first.woken[0].get(), 0, "what is another's does not come here");
        join(second);
    });
}

#[test]
fn what_never_starts_is_given_back_at_once() {
    model(|| {
        let world = World::new();
        let waker = {
            let world = world.clone();
            spawn(move || world.unpark(0, 0))
        };
        assert!(world.states[0].close(), "without an owner, so in no inbox");
        let worker = Worker::new(&world, 1);
        worker.start(0);
        worker.take_messages();
        assert_eq!(worker.woken[0].get(), 0);
        join(waker);
    });
}

#[test]
fn a_fiber_gets_each_wake() {
    model(|| {
        let world = World::new();
        world.states[0].start(MANUAL);
        let done = Arc::new(AtomicUsize::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (world, done) = (world.clone(), done.clone());
                spawn(move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    world.unpark(0, 0);
                })
            })
            .collect();
        while done.load(Ordering::Relaxed) < 2 {
            while !world.states[0].is_notified() {
                loom::thread::yield_now();
            }
            assert!(world.states[0].take_notified());
        }
        wakers.into_iter().for_each(join);
        assert!(world.states[0].close());
    });
}
