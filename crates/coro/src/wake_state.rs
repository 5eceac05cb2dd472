// SPDX-License-Identifier: BSD-3-Clause
//! Wakes from other threads: the wake state of a slot, the inbox of its worker.
//!
//! All scheduling state of a coroutine belongs to the worker that it started on. Another thread
//! does not touch it; it sends a message: the slot itself, linked into its owner's inbox, at most
//! once at a time.
//!
//! ```text
//!   word   63                    24 23         8 7          0
//!          ┌───────────────────────┬────────────┬────────────┐
//!          │ generation            │ owner      │ flags      │   + link: next in the inbox
//!          └───────────────────────┴────────────┴────────────┘
//!   owner  0: not started yet; MANUAL: no scheduler; else a worker's number
//!
//!   inbox  head ──► slot 7 ──► slot 3 ──► (none)              newest first, taken whole
//! ```
//!
//! A wake is one read-modify-write on the word: it checks the generation and sets QUEUED, or, where
//! there is no owner to notify, NOTIFIED. The thread that set QUEUED pushes the slot. The owner
//! takes the whole inbox, reverses it, and for each slot clears QUEUED first and then checks the
//! coroutine.
//!
//! # Invariants
//!
//! 1. The generation grows whenever the slot is freed. A wake with another one changes nothing.
//! 2. While QUEUED is set, the slot is in its owner's inbox, or the thread that set it is about to
//!    push it, or the owner has taken it and is about to clear QUEUED. So the link has one user.
//! 3. A slot with QUEUED set is not freed: [`WakeState::close`] refuses, and the owner frees it
//!    when it finds it in the inbox.
//! 4. Writes of a thread before its wake happen before the owner's reads after it has cleared
//!    QUEUED, also for a wake that found QUEUED set: every wake writes the word, and the clearing
//!    reads the last write.
//! 5. Only the owner changes the owner and the generation of a started coroutine.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// In an inbox, or about to be pushed.
const QUEUED: u64 = 1;
/// Woken while it had no owner.
const NOTIFIED: u64 = 2;
const OWNER_SHIFT: u32 = 8;
const OWNER_MASK: u64 = 0xFFFF << OWNER_SHIFT;
const GENERATION_SHIFT: u32 = 24;

/// No owner: not started.
pub(crate) const FRESH: u16 = 0;
/// Driven manually; there is no worker to notify.
pub(crate) const MANUAL: u16 = u16::MAX;

/// No slot, in a list.
pub(crate) const NONE: u32 = u32::MAX;

/// The word on which all threads race, and the link of the inbox.
#[derive(Debug)]
pub(crate) struct WakeState {
    word: AtomicU64,
    link: AtomicU32,
}

/// The result of a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notified {
    /// The coroutine is gone.
    Stale,
    /// The wake is recorded; its reader will see it.
    Noted,
    /// The caller must push the slot to this owner's inbox.
    Push(u16),
}

impl WakeState {
    #[cfg(feature = "loom")]
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0), link: AtomicU32::new(NONE) }
    }

    /// The generation of the coroutine that is in the slot, or would be next.
    pub(crate) fn generation(&self) -> u64 {
        self.word.load(Ordering::Relaxed) >> GENERATION_SHIFT
    }

    /// Whether `owner` owns it in this generation. Exact for the owner itself (invariant 5).
    #[inline]
    pub(crate) fn is_owned(&self, owner: u16, generation: u64) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & !(QUEUED | NOTIFIED)
            == (generation << GENERATION_SHIFT) | (u64::from(owner) << OWNER_SHIFT)
    }

    /// The current owner.
    pub(crate) fn owner(&self) -> u16 {
        owner_of(self.word.load(Ordering::Relaxed))
    }

    /// Makes `owner` its owner; true if it was woken before. For the thread that holds the fresh
    /// slot.
    #[inline]
    pub(crate) fn start(&self, owner: u16) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let owned = (word & !(OWNER_MASK | NOTIFIED)) | (u64::from(owner) << OWNER_SHIFT);
            match self.word.compare_exchange_weak(word, owned, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return word & NOTIFIED != 0,
                Err(now) => word = now,
            }
        }
    }

    /// Ends the generation. False: the slot is in the inbox; try again when it was taken out.
    ///
    /// For the owner, or for the thread that holds a fresh slot.
    #[inline]
    pub(crate) fn close(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & QUEUED != 0 {
                return false;
            }
            let next = ((word >> GENERATION_SHIFT) + 1) << GENERATION_SHIFT;
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Wakes the coroutine of this generation. Any thread.
    pub(crate) fn notify(&self, generation: u64) -> Notified {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word >> GENERATION_SHIFT != generation {
                return Notified::Stale;
            }
            let owner = owner_of(word);
            let flag = if matches!(owner, FRESH | MANUAL) { NOTIFIED } else { QUEUED };
            // Also if the flag is set already: invariant 4.
            let next = word | flag;
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if flag == QUEUED && word & QUEUED == 0 => return Notified::Push(owner),
                Ok(_) => return Notified::Noted,
                Err(now) => word = now,
            }
        }
    }

    /// Consumes a wake of a coroutine without a scheduler.
    pub(crate) fn take_notified(&self) -> bool {
        if self.word.load(Ordering::Relaxed) & NOTIFIED == 0 {
            return false;
        }
        self.word.fetch_and(!NOTIFIED, Ordering::AcqRel) & NOTIFIED != 0
    }

    /// Whether a coroutine without a scheduler has a wake that it has not consumed.
    pub(crate) fn is_notified(&self) -> bool {
        self.word.load(Ordering::Acquire) & NOTIFIED != 0
    }

    /// Clears QUEUED after the slot was taken out of the inbox. For the owner, before it checks the
    /// coroutine.
    #[inline]
    fn arrived(&self) {
        self.word.fetch_and(!QUEUED, Ordering::AcqRel);
    }
}

const fn owner_of(word: u64) -> u16 {
    ((word & OWNER_MASK) >> OWNER_SHIFT) as u16
}

/// Slots whose coroutines were woken from other threads.
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicU32,
}

impl Inbox {
    #[cfg(not(feature = "loom"))]
    pub(crate) const fn new() -> Self {
        Self { head: AtomicU32::new(NONE) }
    }

    #[cfg(feature = "loom")]
    pub(crate) fn new() -> Self {
        Self { head: AtomicU32::new(NONE) }
    }

    /// Whether it is empty, as far as this thread can see.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == NONE
    }

    /// As [`Self::is_empty`], for a worker that has announced its sleep: see `sleep`.
    pub(crate) fn is_empty_for_sleep(&self) -> bool {
        self.head.load(Ordering::SeqCst) == NONE
    }

    /// Pushes a slot. The caller has set its QUEUED.
    pub(crate) fn push(&self, index: u32, state: &WakeState) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            state.link.store(head, Ordering::Relaxed);
            // Sequentially consistent: the caller then checks whether the owner sleeps.
            match self.head.compare_exchange_weak(head, index, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all slots, oldest first. `state_of` finds a slot's state; `arrived` is called for
    /// each.
    pub(crate) fn take<'a>(
        &self,
        state_of: impl Fn(u32) -> Option<&'a WakeState>,
        mut arrived: impl FnMut(u32),
    ) {
        let mut newest = self.head.swap(NONE, Ordering::AcqRel);
        let mut oldest = NONE;
        // All of them are ours now (invariant 2), links included.
        while let Some(state) = state_of(newest) {
            let next = state.link.load(Ordering::Relaxed);
            state.link.store(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = next;
        }
        while let Some(state) = state_of(oldest) {
            let index = oldest;
            // Before QUEUED is cleared: from then on another thread may use the link.
            oldest = state.link.load(Ordering::Relaxed);
            state.arrived();
            arrived(index);
        }
    }
}
