// SPDX-License-Identifier: BSD-3-Clause
//! In the place of `crates/ipc/src/shm/futex.rs`: the kernel's queue of who sleeps on which word.
//!
//! The kernel compares the words and puts the thread into the queue under a lock that a wake takes
//! too, after a full barrier; what a side writes before it asks for a wake is compared, or the wake
//! finds the sleeper. Here `turn` stands for that lock: who comes second sees what was done by the
//! first, and nothing of loom's lies between a turn and what follows it on the queue. Deadlines do
//! not come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, Thread};

use crate::sync::AtomicU32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Shared,
    Private,
}

pub(super) struct Wait<'a>(pub(super) &'a AtomicU32, pub(super) u32, pub(super) Seen);

#[derive(Default)]
struct Queue {
    turn: AtomicUsize,
    sleepers: Mutex<VecDeque<Arc<Sleeper>>>,
}

struct Sleeper {
    words: [usize; 2],
    thread: Thread,
    woken: std::sync::atomic::AtomicBool,
}

loom::lazy_static! {
    static ref QUEUE: Queue = Queue::default();
}

impl Queue {
    fn act<R>(&self, act: impl FnOnce(&mut VecDeque<Arc<Sleeper>>) -> R) -> R {
        self.turn.fetch_add(1, Ordering::AcqRel);
        act(&mut self.sleepers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) fn is_supported() -> bool {
    true
}

pub(super) fn wake(word: &AtomicU32, _seen: Seen) {
    let word = address(word);
    QUEUE.act(|sleepers| {
        sleepers.retain(|sleeper| {
            let wakes = sleeper.words.contains(&word);
            if wakes {
                sleeper.woken.store(true, Ordering::Relaxed);
                sleeper.thread.unpark();
            }
            !wakes
        });
    });
}

pub(super) fn sleep(waits: [Wait<'_>; 2], _deadline: Option<Instant>) -> rustix::io::Result<()> {
    let sleeper = Arc::new(Sleeper {
        words: [address(waits[0].0), address(waits[1].0)],
        thread: thread::current(),
        woken: std::sync::atomic::AtomicBool::new(false),
    });
    QUEUE.act(|sleepers| sleepers.push_back(sleeper.clone()));
    if waits.iter().all(|Wait(word, value, _)| word.load(Ordering::Relaxed) == *value) {
        while !sleeper.woken.load(Ordering::Relaxed) {
            thread::park();
        }
    } else {
        QUEUE.act(|sleepers| sleepers.retain(|other| !Arc::ptr_eq(other, &sleeper)));
    }
    Ok(())
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
