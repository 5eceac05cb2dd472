// SPDX-License-Identifier: BSD-3-Clause
//! How a wake from elsewhere reaches a coroutine: the gate of its slot, the inbox of its worker.
//!
//! All that a coroutine's scheduling needs belongs to the worker that it started on. Another thread
//! does not touch it: it leaves a message. The message is the slot itself, linked into its owner's
//! inbox, at most once at a time.
//!
//! ```text
//!   gate   63                    24 23         8 7          0
//!          ┌───────────────────────┬────────────┬────────────┐
//!          │ generation            │ owner      │ flags      │   + link: next in the inbox
//!          └───────────────────────┴────────────┴────────────┘
//!   owner  0: not started yet; BY_HAND: no scheduler; else a worker's number
//!
//!   inbox  head ──► slot 7 ──► slot 3 ──► (none)              newest first, taken whole
//! ```
//!
//! A wake is one read-modify-write on the gate: it checks the generation and sets QUEUED, or, where
//! there is no owner to tell, NOTIFIED. Who set QUEUED pushes the slot. The owner takes the whole
//! inbox, turns it round, and for each slot clears QUEUED first and then looks at the coroutine.
//!
//! # Invariants
//!
//! 1. The generation grows whenever the slot is given back. A wake with another one changes nothing.
//! 2. While QUEUED is set, the slot is in its owner's inbox, or the thread that set it is about to
//!    push it, or the owner has taken it and is about to clear QUEUED. So the link has one user.
//! 3. A slot with QUEUED set is not given back: [`Gate::close`] refuses, and the owner gives it back
//!    when it meets it in the inbox.
//! 4. What a thread did before its wake happens before what the owner does after it has cleared
//!    QUEUED, also for a wake that found QUEUED set: every wake writes the gate, and the clearing
//!    reads the last write.
//! 5. Only the owner changes the owner and the generation of a started coroutine.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// In an inbox, or on the way.
const QUEUED: u64 = 1;
/// Woken while nobody owned it.
const NOTIFIED: u64 = 2;
const OWNER_SHIFT: u32 = 8;
const OWNER_MASK: u64 = 0xFFFF << OWNER_SHIFT;
const GENERATION_SHIFT: u32 = 24;

/// Nobody: it has not started.
pub(crate) const FRESH: u16 = 0;
/// Resumed by hand; there is no worker to tell.
pub(crate) const BY_HAND: u16 = u16::MAX;

/// No slot, in a list.
pub(crate) const NONE: u32 = u32::MAX;

/// The word that everybody may race on, and the link of the inbox.
#[derive(Debug)]
pub(crate) struct Gate {
    word: AtomicU64,
    link: AtomicU32,
}

/// What became of a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notified {
    /// The coroutine is gone.
    Stale,
    /// It is noted; whoever has to know will see it.
    Noted,
    /// The caller must push the slot to this owner's inbox.
    Push(u16),
}

impl Gate {
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

    /// Who owns it now.
    pub(crate) fn owner(&self) -> u16 {
        owner_of(self.word.load(Ordering::Relaxed))
    }

    /// Makes `owner` its owner; true if it was woken before. By whoever took the fresh slot.
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

    /// Ends the generation. False: the slot is in the inbox; try again when it came out.
    ///
    /// By the owner, or by whoever holds a fresh slot.
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
            let flag = if matches!(owner, FRESH | BY_HAND) { NOTIFIED } else { QUEUED };
            // Also if the flag is set already: invariant 4.
            let next = word | flag;
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if flag == QUEUED && word & QUEUED == 0 => return Notified::Push(owner),
                Ok(_) => return Notified::Noted,
                Err(now) => word = now,
            }
        }
    }

    /// Uses up a wake of a coroutine without a scheduler.
    pub(crate) fn take_notified(&self) -> bool {
        if self.word.load(Ordering::Relaxed) & NOTIFIED == 0 {
            return false;
        }
        self.word.fetch_and(!NOTIFIED, Ordering::AcqRel) & NOTIFIED != 0
    }

    /// Whether a coroutine without a scheduler was woken and has not seen it.
    pub(crate) fn is_notified(&self) -> bool {
        self.word.load(Ordering::Acquire) & NOTIFIED != 0
    }

    /// The slot came out of the inbox. By the owner, before it looks at the coroutine.
    #[inline]
    fn arrived(&self) {
        self.word.fetch_and(!QUEUED, Ordering::AcqRel);
    }
}

const fn owner_of(word: u64) -> u16 {
    ((word & OWNER_MASK) >> OWNER_SHIFT) as u16
}

/// Slots whose coroutines were woken from elsewhere.
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

    /// Whether there is nothing, as far as this thread can see.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) == NONE
    }

    /// As [`Self::is_empty`], for a worker that has said that it sleeps: see `sleep`.
    pub(crate) fn is_empty_for_sleep(&self) -> bool {
        self.head.load(Ordering::SeqCst) == NONE
    }

    /// Puts a slot in. The caller set its QUEUED.
    pub(crate) fn push(&self, index: u32, gate: &Gate) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            gate.link.store(head, Ordering::Relaxed);
            // Sequentially consistent: the caller goes on to look whether the owner sleeps.
            match self.head.compare_exchange_weak(head, index, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything out, oldest first. `gate_of` finds a slot's gate; `arrived` hears of each.
    pub(crate) fn take<'a>(
        &self,
        gate_of: impl Fn(u32) -> Option<&'a Gate>,
        mut arrived: impl FnMut(u32),
    ) {
        let mut newest = self.head.swap(NONE, Ordering::AcqRel);
        let mut oldest = NONE;
        // All of them are ours now (invariant 2), links included.
        while let Some(gate) = gate_of(newest) {
            let next = gate.link.load(Ordering::Relaxed);
            gate.link.store(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = next;
        }
        while let Some(gate) = gate_of(oldest) {
            let index = oldest;
            // Before QUEUED is cleared: from then on another thread may use the link.
            oldest = gate.link.load(Ordering::Relaxed);
            gate.arrived();
            arrived(index);
        }
    }
}
