// SPDX-License-Identifier: BSD-3-Clause
//! Replaces `crates/ipc/src/shm/futex.rs`: the kernel's queue of threads that sleep on words.
//!
//! As in the kernel, the words are compared under the queue's lock, which a wake takes too: either
//! the comparison sees what a side writes before it wakes, or the wake finds the sleeping thread.
//! Deadlines never pass.

use std::time::Instant;

use loom::sync::{Condvar, Mutex, MutexGuard};

use crate::sync::{AtomicU32, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FutexScope {
    Shared,
    Private,
}

pub(super) struct Wait<'a>(pub(super) &'a AtomicU32, pub(super) u32, pub(super) FutexScope);

#[derive(Default)]
struct Queue {
    sleepers: Mutex<Sleepers>,
    woken: Condvar,
}

#[derive(Default)]
struct Sleepers {
    next: usize,
    /// A number, and the words that the thread sleeps on.
    asleep: Vec<(usize, [usize; 2])>,
}

loom::lazy_static! {
    static ref QUEUE: Queue = Queue::default();
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap()
    }
}

pub(super) fn is_supported() -> bool {
    true
}

pub(super) fn wake(word: &AtomicU32, _seen: FutexScope) {
    let mut sleepers = QUEUE.lock();
    let before = sleepers.asleep.len();
    sleepers.asleep.retain(|(_, words)| !words.contains(&address(word)));
    if sleepers.asleep.len() < before {
        QUEUE.woken.notify_all();
    }
}

pub(super) fn sleep(waits: [Wait<'_>; 2], _deadline: Option<Instant>) -> rustix::io::Result<()> {
    let mut sleepers = QUEUE.lock();
    if waits.iter().any(|Wait(word, value, _)| word.load(Ordering::Relaxed) != *value) {
        return Ok(());
    }
    let number = sleepers.next;
    sleepers.next += 1;
    sleepers.asleep.push((number, waits.map(|Wait(word, ..)| address(word))));
    while sleepers.asleep.iter().any(|(asleep, _)| *asleep == number) {
        sleepers = QUEUE.woken.wait(sleepers).unwrap();
    }
    Ok(())
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
