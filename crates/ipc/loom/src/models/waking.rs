// SPDX-License-Identifier: BSD-3-Clause
//! Threads that wake streams, and dispatches that see the reason of the wakes.
//!
//! A stream's news is published only by its waker here, as if it were not in a channel with an
//! ordering of its own.

use std::sync::{Arc, Weak};
use std::task::Waker;

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{join, model, spawn};
use crate::connection::{
    pending_lock::PendingLock,
    waking::{StreamWaker, Dispatch, Wakeable, Woken, run_or_enqueue},
};

const STREAMS: usize = 2;

/// A connection's streams: the news of each, and what of it was seen.
struct World {
    brought: [AtomicUsize; STREAMS],
    woken: Woken,
    core: PendingLock<Core>,
    /// Another connection: each dispatch that sees news of the first stream adds news to its second
    /// stream.
    other: Weak<World>,
}

#[derive(Default)]
struct Core {
    seen: [usize; STREAMS],
    streams: Vec<u32>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self::with(Weak::new()))
    }

    fn with(other: Weak<Self>) -> Self {
        let (brought, woken, core) = Default::default();
        Self { brought, woken, core, other }
    }

    fn waker(self: &Arc<Self>, stream: usize) -> Waker {
        let this: Arc<dyn Wakeable> = self.clone();
        StreamWaker::make(Arc::downgrade(&this), stream as u32)
    }

    fn bring(&self, stream: usize, waker: &Waker) {
        self.brought[stream].fetch_add(1, Ordering::Relaxed);
        waker.wake_by_ref();
    }

    fn assert_all_seen(&self, brought: [usize; STREAMS]) {
        let core = self.core.lock();
        assert_eq!(core.seen, brought);
        assert!(core.streams.is_empty());
        let mut woken = Vec::new();
        self.woken.take(&mut woken);
        assert!(woken.is_empty());
    }
}

impl Dispatch for World {
    /// As `Connection::run`.
    fn run(self: Arc<Self>) {
        loop {
            let Some(mut core) = self.core.enter() else { return };
            let Core { seen, streams } = &mut *core;
            self.woken.take(streams);
            let woke = streams.contains(&0);
            for stream in streams.drain(..) {
                seen[stream as usize] = self.brought[stream as usize].load(Ordering::Relaxed);
            }
            drop(core);
            if let Some(other) = self.other.upgrade().filter(|_| woke) {
                other.bring(1, &other.waker(1));
            }
            if !self.core.is_pending() {
                return;
            }
        }
    }
}

impl Wakeable for World {
    fn woken(&self) -> &Woken {
        &self.woken
    }
}

#[test]
fn two_wake_one_stream_and_both_are_seen() {
    model(|| {
        let world = World::new();
        let waker = world.waker(0);
        let (other, others) = (world.clone(), waker.clone());
        let wakes = spawn(move || other.bring(0, &others));
        world.bring(0, &waker);
        join(wakes);
        world.assert_all_seen([2, 0]);
    });
}

#[test]
fn three_wake_two_streams_and_all_are_seen() {
    model(|| {
        let world = World::new();
        let wakers = [world.waker(0), world.waker(1)];
        let wake: Vec<_> = (0..STREAMS)
            .map(|stream| {
                let (world, waker) = (world.clone(), wakers[stream].clone());
                spawn(move || world.bring(stream, &waker))
            })
            .collect();
        world.bring(0, &wakers[0]);
        wake.into_iter().for_each(join);
        world.assert_all_seen([2, 1]);
    });
}

#[test]
fn the_last_of_repeated_wakes_is_seen() {
    model(|| {
        let world = World::new();
        let waker = world.waker(0);
        let other = world.clone();
        let wakes = spawn(move || {
            other.bring(0, &waker);
            other.bring(0, &waker);
        });
        run_or_enqueue(world.clone());
        join(wakes);
        world.assert_all_seen([2, 0]);
    });
}

#[test]
fn a_wake_while_others_are_taken_is_taken_too() {
    model(|| {
        let world = World::new();
        let wakers = [world.waker(0), world.waker(1)];
        let core = world.core.lock();
        for (stream, waker) in wakers.iter().enumerate() {
            world.bring(stream, waker);
        }
        drop(core);
        let other = world.clone();
        let wakes = spawn(move || {
            for (stream, waker) in wakers.iter().enumerate() {
                other.bring(stream, waker);
            }
        });
        assert!(world.core.is_pending());
        run_or_enqueue(world.clone());
        join(wakes);
        world.assert_all_seen([2, 2]);
    });
}

#[test]
fn connections_that_wake_each_other_are_dispatched() {
    model(|| {
        let mut second = None;
        let first = Arc::new_cyclic(|first| {
            let second = second.insert(Arc::new(World::with(first.clone())));
            World::with(Arc::downgrade(second))
        });
        let second = second.unwrap();
        let wakers = [first.waker(0), second.waker(0)];
        let (other, others) = (second.clone(), wakers[1].clone());
        let wakes = spawn(move || other.bring(0, &others));
        first.bring(0, &wakers[0]);
        join(wakes);
        first.assert_all_seen([1, 1]);
        second.assert_all_seen([1, 1]);
    });
}
