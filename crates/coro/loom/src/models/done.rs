// SPDX-License-Identifier: BSD-3-Clause
//! One thread that completes, and one that waits for it.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize as Count, Ordering::Relaxed},
    task::{Poll, Wake, Waker},
};

use loom::{
    cell::UnsafeCell,
    future::block_on,
    sync::{Arc, atomic::Ordering},
};

use super::{join, model, spawn};
use crate::done::Done;

/// A completion and the result that it publishes.
struct Packet {
    done: Done,
    result: UnsafeCell<u32>,
}

// SAFETY: as in the runtime: the result is the coroutine's until it is done, the handle's from then
// on.
unsafe impl Send for Packet {}
// SAFETY: as above.
unsafe impl Sync for Packet {}

impl Packet {
    fn new() -> Arc<Self> {
        Arc::new(Self { done: Done::new(), result: UnsafeCell::new(0) })
    }

    fn end(&self) {
        // SAFETY: not done yet.
        self.result.with_mut(|result| unsafe { *result = 7 });
        if let Some(waker) = self.done.complete() {
            waker.wake();
        }
    }

    fn result(&self) -> u32 {
        // SAFETY: done.
        self.result.with(|result| unsafe { *result })
    }
}

/// A waker of its own for each poll, which forwards to another.
struct Forward {
    to: Waker,
    wakers: std::sync::Arc<Count>,
}

impl Wake for Forward {
    fn wake(self: std::sync::Arc<Self>) {
        self.to.wake_by_ref();
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.wakers.fetch_sub(1, Relaxed);
    }
}

#[test]
fn a_waiter_is_woken_and_sees_the_result() {
    model(|| {
        let packet = Packet::new();
        let other = packet.clone();
        let ends = spawn(move || other.end());
        block_on(poll_fn(|context| {
            // SAFETY: one caller.
            if unsafe { packet.done.poll(context.waker()) } {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        assert!(packet.done.is_done());
        assert_eq!(packet.result(), 7);
        join(ends);
    });
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    model(|| {
        let wakers = std::sync::Arc::new(Count::new(0));
        let packet = Packet::new();
        let other = packet.clone();
        let ends = spawn(move || other.end());
        block_on(poll_fn(|context| {
            // Two polls with two wakers, only the second of which is connected.
            for to in [Waker::noop(), context.waker()] {
                wakers.fetch_add(1, Relaxed);
                let forward = Forward { to: to.clone(), wakers: wakers.clone() };
                let waker = Waker::from(std::sync::Arc::new(forward));
                // SAFETY: one caller.
                if unsafe { packet.done.poll(&waker) } {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        }));
        assert_eq!(packet.result(), 7);
        join(ends);
        drop(packet);
        assert_eq!(wakers.load(Relaxed), 0, "each waker is dropped once");
    });
}

#[test]
fn a_poll_with_the_same_waker_again_misses_no_end() {
    model(|| {
        let packet = Packet::new();
        let other = packet.clone();
        let ends = spawn(move || other.end());
        block_on(poll_fn(|context| {
            for _ in 0..2 {
                // SAFETY: one caller.
                if unsafe { packet.done.poll(context.waker()) } {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        }));
        assert_eq!(packet.result(), 7);
        join(ends);
    });
}

#[test]
fn a_waiter_that_polled_once_leaves_nothing() {
    model(|| {
        let wakers = std::sync::Arc::new(Count::new(1));
        let packet = Packet::new();
        let other = packet.clone();
        let ends = spawn(move || other.end());
        let forward = Forward { to: Waker::noop().clone(), wakers: wakers.clone() };
        let waker = Waker::from(std::sync::Arc::new(forward));
        // SAFETY: one caller.
        let _ = unsafe { packet.done.poll(&waker) };
        drop((packet, waker));
        join(ends);
        assert_eq!(wakers.load(Relaxed), 0);
    });
}

#[test]
fn what_never_ends_leaves_nothing() {
    model(|| {
        let wakers = std::sync::Arc::new(Count::new(1));
        let packet = Packet::new();
        let forward = Forward { to: Waker::noop().clone(), wakers: wakers.clone() };
        let waker = Waker::from(std::sync::Arc::new(forward));
        // SAFETY: one caller.
        assert!(!unsafe { packet.done.poll(&waker) });
        drop((packet, waker));
        assert_eq!(wakers.load(Relaxed), 0);
    });
}

#[test]
fn a_check_sees_the_result_of_a_completion() {
    model(|| {
        let packet = Packet::new();
        let other = packet.clone();
        let ends = spawn(move || other.end());
        if packet.done.is_done() {
            assert_eq!(packet.result(), 7);
        }
        join(ends);
        loom::sync::atomic::fence(Ordering::SeqCst);
        assert!(packet.done.is_done());
    });
}
