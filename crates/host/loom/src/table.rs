// SPDX-License-Identifier: BSD-3-Clause
//! A slot of the call table: the part of it that `phase`, which is the production file, uses.

#[path = "../../src/table/phase.rs"]
mod phase;

use std::task::Waker;

use loom::sync::atomic::AtomicUsize;

use self::phase::{FREE, PENDING, PHASE_BITS};
use crate::{
    sid::{GENERATION_MASK, INDEX_BITS},
    sync::{AtomicU64, Ordering, UnsafeCell},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    DeadlineExceeded,
}

pub(crate) struct Slot {
    word: AtomicU64,
    waker: UnsafeCell<Option<Waker>>,
    answer: UnsafeCell<Option<Outcome>>,
    answered_ns: AtomicU64,
    /// How many calls have ended.
    released: AtomicUsize,
}

impl Slot {
    pub(crate) fn new(sid: u64) -> Self {
        Self {
            word: AtomicU64::new((sid >> INDEX_BITS) << PHASE_BITS | FREE),
            waker: UnsafeCell::new(None),
            answer: UnsafeCell::new(None),
            answered_ns: AtomicU64::new(0),
            released: AtomicUsize::new(0),
        }
    }

    /// Opens the free slot for a call, and returns its id.
    pub(crate) fn open(&self) -> u64 {
        let generation = self.word.load(Ordering::Relaxed) >> PHASE_BITS;
        self.word.store(generation << PHASE_BITS | PENDING, Ordering::Release);
        generation << INDEX_BITS
    }

    pub(crate) fn is_open(&self, sid: u64) -> bool {
        self.is_unanswered(sid, self.word.load(Ordering::Acquire))
    }

    pub(crate) fn released(&self) -> usize {
        self.released.load(Ordering::Relaxed)
    }

    fn release(&self, sid: u64) {
        let next = ((sid >> INDEX_BITS).wrapping_add(1) & GENERATION_MASK) << PHASE_BITS | FREE;
        self.word.store(next, Ordering::Release);
        self.released.fetch_add(1, Ordering::Relaxed);
    }
}
