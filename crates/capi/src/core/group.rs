// SPDX-License-Identifier: BSD-3-Clause
//! Waiting until at most a given number of a group is left.
//!
//! The members count themselves in and out with one read-modify-write. A waiter registers, then
//! reads the number; a leaving member changes the number, then checks for waiters; both in the one
//! order of sequentially consistent operations, so one of the two sees the other (store-buffer
//! reordering). The wait itself is a wait for a token: it parks a coroutine, returns a fiber to its
//! resumer, or parks a thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use becket_chan::Token;
use parking_lot::Mutex;

use crate::limit::{self, Until};

/// The number of members, and the waiters.
#[derive(Debug, Default)]
pub(crate) struct Group {
    left: AtomicUsize,
    waiting: AtomicUsize,
    waiters: Mutex<Vec<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    at_most: usize,
    reached: Token,
    number: usize,
}

impl Group {
    pub(crate) fn enter(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }

    /// The group must outlive the call: a waiter may continue before it returns.
    pub(crate) fn leave(&self) {
        let left = self.left.fetch_sub(1, Ordering::SeqCst).saturating_sub(1);
        if self.waiting.load(Ordering::SeqCst) != 0 {
            self.tell(left);
        }
    }

    #[cold]
    fn tell(&self, left: usize) {
        let mut reported = Vec::new();
        self.waiters.lock().retain(|waiter| {
            let reached = left <= waiter.at_most;
            if reached {
                reported.push(waiter.reached.clone());
            }
            !reached
        });
        for token in reported {
            token.cancel();
        }
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    /// Waits until at most `at_most` are left. False: the limit was reached before.
    pub(crate) fn wait(&self, at_most: usize, until: Until) -> bool {
        if self.left() <= at_most || until == Until::Now {
            return self.left() <= at_most;
        }
        let announced = Announced::new(self);
        loop {
            let reached = announced.queue(at_most);
            if self.left() <= at_most {
                return true;
            }
            let in_time = limit::wait_for(&reached, until);
            if self.left() <= at_most {
                return true;
            }
            if !in_time {
                return false;
            }
        }
    }
}

/// A registered waiter. Dropped also if the wait is unwound.
struct Announced<'a> {
    group: &'a Group,
    number: usize,
}

impl<'a> Announced<'a> {
    fn new(group: &'a Group) -> Self {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        group.waiting.fetch_add(1, Ordering::SeqCst);
        Self { group, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
    }

    fn queue(&self, at_most: usize) -> Token {
        let reached = Token::new();
        let waiter = Waiter { at_most, reached: reached.clone(), number: self.number };
        let mut waiters = self.group.waiters.lock();
        waiters.retain(|waiter| waiter.number != self.number);
        waiters.push(waiter);
        reached
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.group.waiters.lock().retain(|waiter| waiter.number != self.number);
        self.group.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_ends_when_the_number_is_reached_and_not_before() {
        let group = Arc::new(Group::default());
        for _ in 0..3 {
            group.enter();
        }
        assert!(!group.wait(2, Until::At(Instant::now())));
        let waiters: Vec<_> = (0..3)
            .map(|at_most| {
                let group = Arc::clone(&group);
                thread::spawn(move || {
                    assert!(group.wait(at_most, Until::Ever));
                    assert!(group.left() <= at_most);
                })
            })
            .collect();
        for _ in 0..3 {
            group.leave();
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(group.waiters.lock().is_empty());
    }

    #[test]
    fn leaving_and_waiting_at_once_misses_no_wake() {
        for _ in 0..2000 {
            let group = Arc::new(Group::default());
            group.enter();
            let other = Arc::clone(&group);
            let leaver = thread::spawn(move || other.leave());
            assert!(group.wait(0, Until::Ever));
            leaver.join().unwrap();
        }
    }
}
