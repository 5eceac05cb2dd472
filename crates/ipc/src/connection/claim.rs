// SPDX-License-Identifier: BSD-3-Clause
//! Which thread drives a connection in place of the I/O thread.
//!
//! ```text
//!             claim               retain                  (a millisecond without a poll)
//!   Free ───────────► Driving ───────────► Retained ─────────────────────────► Free
//!     ▲                 │   ▲                 │
//!     └──── release ────┘   └── resume, or ───┘
//!                               another thread's claim
//! ```
//!
//! Arming the socket for a wake costs a fence, and the peer a system call; a thread that gets an
//! answer every microsecond avoids both. When its wait is over it does not release the connection,
//! but marks it *retained*, because it will probably wait again soon. While a connection is
//! retained, the I/O thread checks each millisecond whether the owner has waited again; if not, the
//! claim is free, and the I/O thread drives the connection.
//!
//! # Invariants
//!
//! 1. In Driving the owner polls the link, or sleeps at the doorbell that the peer rings.
//! 2. In Retained the owner drove the connection within the last two milliseconds, or the I/O
//!    thread frees the claim.
//! 3. In Free the last thread that dispatched the connection has armed the socket for a wake.

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, thread_number};

const FREE: u64 = 0;
const DRIVING: u64 = 1;
const RETAINED: u64 = 2;
const MODE: u64 = 3;
const OWNER_SHIFT: u32 = 2;

#[derive(Debug, Default)]
pub(crate) struct Claim {
    /// The owner's thread number and the mode.
    word: AtomicU64,
    /// Counts retentions, so that the I/O thread sees whether there were any.
    polls: AtomicU32,
    polls_seen: AtomicU32,
    /// The I/O thread checks it each millisecond.
    guarded: AtomicBool,
}

impl Claim {
    /// Takes it if it is free, or retained by another thread.
    pub(crate) fn claim(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word & MODE != DRIVING && self.change(word, thread_number() << OWNER_SHIFT | DRIVING)
    }

    /// Retains it: the owner will be back soon. True: the I/O thread has to be asked to check it.
    #[inline]
    pub(crate) fn retain(&self) -> bool {
        self.polls.fetch_add(1, Ordering::Relaxed);
        // Ordered before the load of the flag: either the flag is seen to be cleared, or `unguard`
        // sees that it is retained.
        self.word.store(thread_number() << OWNER_SHIFT | RETAINED, Ordering::SeqCst);
        !self.guarded.load(Ordering::SeqCst) && !self.guarded.swap(true, Ordering::SeqCst)
    }

    /// Resumes driving. False: another thread has taken it.
    #[inline]
    pub(crate) fn resume(&self) -> bool {
        let owner = thread_number() << OWNER_SHIFT;
        self.change(owner | RETAINED, owner | DRIVING)
    }

    /// Frees it. The caller then arms the socket for a wake.
    pub(crate) fn release(&self) {
        self.word.store(FREE, Ordering::SeqCst);
    }

    /// Frees it if another thread retains it: that one need not come back before this thread's
    /// frames arrive. True: the caller then arms the socket for a wake.
    #[inline]
    pub(crate) fn free_from_another(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word & MODE == RETAINED && word >> OWNER_SHIFT != thread_number() && self.change(word, FREE)
    }

    /// Whether a thread drives or retains it.
    pub(crate) fn is_taken(&self) -> bool {
        self.word.load(Ordering::SeqCst) & MODE != FREE
    }

    /// A millisecond has passed: whether to check again, and whether it was taken from an owner
    /// that did not come back.
    pub(crate) fn tick(&self) -> Tick {
        let polls = self.polls.load(Ordering::Relaxed);
        let polled = self.polls_seen.swap(polls, Ordering::Relaxed) != polls;
        let word = self.word.load(Ordering::Acquire);
        if polled {
            return Tick::Active;
        }
        if word & MODE == RETAINED {
            return if self.change(word, FREE) { self.unguard(Tick::Lost) } else { Tick::Active };
        }
        self.unguard(Tick::Quiet)
    }

    fn unguard(&self, tick: Tick) -> Tick {
        self.guarded.store(false, Ordering::SeqCst);
        // It may have been retained by a thread that still saw it guarded.
        let word = self.word.load(Ordering::SeqCst);
        if word & MODE == RETAINED && !self.guarded.swap(true, Ordering::SeqCst) {
            return Tick::Active;
        }
        tick
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.word.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// Check again in a millisecond.
    Active,
    /// Its owner sleeps at the doorbell, or it is free.
    Quiet,
    /// Its owner did not come back: it is free, and the socket has to be armed for a wake.
    Lost,
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    fn on_another_thread<R: Send>(act: impl FnOnce() -> R + Send) -> Option<R> {
        std::thread::scope(|scope| scope.spawn(act).join().ok())
    }

    #[test]
    fn one_thread_drives_at_a_time_and_a_retained_claim_may_be_taken() {
        let claim = Claim::default();
        assert!(claim.claim() && !claim.claim());
        assert_eq!(on_another_thread(|| claim.claim()), Some(false));
        claim.retain();
        assert!(claim.resume());
        claim.retain();
        assert_eq!(on_another_thread(|| claim.resume()), Some(false));
        assert_eq!(on_another_thread(|| claim.claim()), Some(true));
        assert!(!claim.resume() && claim.is_taken());
        claim.release();
        assert!(!claim.is_taken() && claim.claim());
    }

    #[test]
    fn another_thread_frees_a_retained_claim_and_no_other() {
        let claim = Claim::default();
        assert!(claim.claim());
        assert_eq!(on_another_thread(|| claim.free_from_another()), Some(false));
        claim.retain();
        assert!(!claim.free_from_another());
        assert_eq!(on_another_thread(|| claim.free_from_another()), Some(true));
        assert!(!claim.resume() && !claim.is_taken());
    }

    #[test]
    fn an_owner_that_does_not_come_back_loses_it() {
        let claim = Claim::default();
        assert!(claim.claim() && claim.retain());
        assert!(!claim.retain(), "it is guarded already");
        assert_eq!(claim.tick(), Tick::Active);
        assert_eq!(claim.tick(), Tick::Lost);
        assert!(!claim.resume() && !claim.is_taken());
        assert!(claim.claim() && claim.retain(), "it is to be guarded again");
        assert!(claim.resume());
        assert_eq!((claim.tick(), claim.tick()), (Tick::Active, Tick::Quiet));
        assert!(claim.is_taken());
    }
}
