// SPDX-License-Identifier: BSD-3-Clause
//! Threads that send requests to the I/O thread, which sleeps otherwise.
//!
//! A flag and a condition variable replace the descriptor that wakes it.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use super::{join, model, spawn};
use crate::calls::Calls;

struct Reactor {
    calls: Calls<usize, usize>,
    is_written: Mutex<bool>,
    written: Condvar,
}

impl Reactor {
    fn new() -> Arc<Self> {
        let (is_written, written) = Default::default();
        Arc::new(Self { calls: Calls::new(), is_written, written })
    }

    fn again(&self, one: usize) {
        if self.calls.again(one) {
            self.wake();
        }
    }

    fn guard(&self, one: usize) {
        if self.calls.guard(one) {
            self.wake();
        }
    }

    fn wake(&self) {
        *self.is_written.lock().unwrap() = true;
        self.written.notify_one();
    }

    /// The I/O thread: runs until it has served `asked` requests, and checks each guarded item
    /// twice.
    fn run(&self, asked: usize) -> Vec<usize> {
        let mut served = Vec::new();
        let mut looked_at = Vec::new();
        while served.len() < asked {
            if self.calls.is_guarding() {
                self.calls.tick(|one| {
                    let first = !looked_at.contains(one);
                    if first {
                        looked_at.push(*one)
                    } else {
                        served.push(*one)
                    }
                    first
                });
            } else {
                let mut is_written = self.is_written.lock().unwrap();
                while !std::mem::take(&mut *is_written) {
                    is_written = self.written.wait(is_written).unwrap();
                }
            }
            served.extend(self.calls.take_again());
        }
        assert!(!self.calls.is_guarding());
        served.sort_unstable();
        served
    }
}

#[test]
fn each_request_is_served() {
    model(|| {
        let reactor = Reactor::new();
        let asks: Vec<_> = (0..2)
            .map(|one| {
                let reactor = reactor.clone();
                spawn(move || reactor.again(one))
            })
            .collect();
        assert_eq!(reactor.run(2), [0, 1]);
        asks.into_iter().for_each(join);
    });
}

#[test]
fn repeated_requests_are_served_as_often() {
    model(|| {
        let reactor = Reactor::new();
        let other = reactor.clone();
        let asks = spawn(move || (0..3).for_each(|one| other.again(one)));
        assert_eq!(reactor.run(3), [0, 1, 2]);
        join(asks);
    });
}

#[test]
fn a_guarded_item_is_checked_until_it_declines() {
    model(|| {
        let reactor = Reactor::new();
        let (one, another) = (reactor.clone(), reactor.clone());
        let guards = spawn(move || one.guard(0));
        let asks = spawn(move || another.again(1));
        assert_eq!(reactor.run(2), [0, 1]);
        join(guards);
        join(asks);
    });
}
