// SPDX-License-Identifier: BSD-3-Clause
//! The state of a slot of the region table: which generation lives in it, and what pins it.
//!
//! ```text
//!   word    ┌─ generation:32 ─┬─ L:1 ─┬─ R:1 ─┬─ F:1 ─┬─ pins:29 ─┐   L: leaving, or free
//!           └─────────────────┴───────┴───────┴───────┴───────────┘   R: revoked
//!   flights ┌─ of thread 0 ─┬─ of thread 1 ─┬─ … ┐                    F: flights may remain
//!           └───────────────┴───────────────┴────┘
//!
//!     free (L) ──insert──► live ──leave──► leaving (L, F, n pins) ──settle──► (L, n pins) ──┐
//!        ▲                                                                                  │
//!        └───── generation + 1 ◄───── finished ◄────────────── the last pin, or none left ──┘
//! ```
//!
//! Most pins are those of descriptors in flight. A pin in the word costs a locked instruction when
//! it is taken and another when it is released, as much as a channel costs altogether. So flights
//! are counted by thread: the sender adds one to its own count, the receiver subtracts one from
//! its own, both by a plain load and store; the sum over all threads is the number of flights.
//!
//! A thread that counts does so first, and reads the word afterwards, behind the light side of the
//! asymmetric fence. `leave` sets `L` and `F`, then runs the heavy side. So each thread either sees
//! `L`, or its count is visible to `leave`. A departure that sees `L` is undone. An arrival that
//! sees `L` settles: under the lock, the counts are summed, and `F` is cleared if there is no
//! flight left.
//!
//! Source: Linux's `percpu_ref` (`lib/percpu-refcount.c`), without its change of mode: while the
//! region leaves, arrivals count as before.
//!
//! # Invariants
//!
//! 1. A pin is taken by one compare-and-swap from a word with the id's generation; `take` requires
//!    that neither `L` nor `R` is set, `join` requires that something pins the slot already. A
//!    departure holds only if, after it was counted, the word had the id's generation and neither
//!    `L` nor `R`: a stale id never pins.
//! 2. `L` is set once per generation, together with `F`. After the heavy side of `leave`, each count
//!    only falls, apart from departures that are undone, which add one for a moment. The counts are
//!    summed only after that. They are read one after the other, and so the sum is at least the
//!    number of flights at the end of reading: a sum of zero is final.
//! 3. The flight that arrives last is not missed: if its thread did not see `L`, its count is in
//!    the sum that `leave` makes; else it makes a sum itself, under the lock behind all others.
//! 4. The one step that results in `L`, no `F` and no pins makes its caller the slot's only owner,
//!    which finishes the slot.

use crate::sync::{AtomicU64, Mutex, Ordering, heavy, is_sound, light};

const LEAVING: u64 = 1 << 31;
const REVOKED: u64 = 1 << 30;
const FLIGHTS: u64 = 1 << 29;
const PINS: u64 = FLIGHTS - 1;
const GENERATION_SHIFT: u32 = 32;

/// The word of a slot.
pub(crate) struct RegionState {
    word: AtomicU64,
    /// Held from the step to `L` until the heavy side of the fence is over, and while the flights
    /// are summed.
    settling: Mutex<()>,
}

/// Why a region cannot be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was never registered.
    Unknown,
    /// It is gone.
    Stale,
    /// It is being deregistered.
    Leaving,
    /// It was revoked.
    Revoked,
    /// It has as many pins as can be counted.
    Busy,
}

/// A thread's count of the flights of a slot.
#[derive(Clone, Copy)]
pub(crate) struct FlightCount<'a> {
    pub(crate) word: &'a AtomicU64,
    /// Only the calling thread changes it.
    pub(crate) is_own: bool,
}

impl FlightCount<'_> {
    /// Adds to the count; what the thread did before is visible to a thread that sums it.
    #[inline]
    fn add(self, more: u64) {
        if self.is_own {
            let count = self.word.load(Ordering::Relaxed);
            self.word.store(count.wrapping_add(more), Ordering::Release);
        } else {
            self.word.fetch_add(more, Ordering::Release);
        }
    }
}

impl RegionState {
    /// A free slot, whose next region has the first generation.
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(1 << GENERATION_SHIFT | LEAVING), settling: Mutex::new(()) }
    }

    /// The generation of the region in the slot, or of the next one in a free slot.
    pub(crate) fn generation(&self) -> u64 {
        self.word.load(Ordering::Acquire) >> GENERATION_SHIFT
    }

    /// Marks the region of that generation live. The caller owns the slot, which is free.
    pub(crate) fn begin(&self, generation: u64) {
        self.word.store(generation << GENERATION_SHIFT, Ordering::Release);
    }

    /// Marks the slot free, for a region of that generation. The caller owns the slot.
    pub(crate) fn end(&self, next_generation: u64) {
        self.word.store(next_generation << GENERATION_SHIFT | LEAVING, Ordering::Release);
    }

    /// Counts a flight of a descriptor that names the region of that generation. After a refusal the
    /// caller [settles](Self::settle).
    #[inline]
    pub(crate) fn depart(&self, generation: u64, count: FlightCount<'_>) -> Result<(), Refusal> {
        count.add(1);
        light();
        let word = self.word.load(Ordering::Acquire);
        if word & !(PINS | FLIGHTS) == generation << GENERATION_SHIFT {
            return Ok(());
        }
        count.add(1_u64.wrapping_neg());
        light();
        Err(allows(word, generation).err().unwrap_or(Refusal::Stale))
    }

    /// Ends a flight. True: the caller [settles](Self::settle).
    #[inline]
    #[must_use]
    pub(crate) fn arrive(&self, count: FlightCount<'_>) -> bool {
        count.add(1_u64.wrapping_neg());
        light();
        self.word.load(Ordering::Relaxed) & LEAVING != 0
    }

    /// Refuses new pins and flights. False: the region is leaving already, or is gone. After `true`
    /// the caller [settles](Self::settle).
    pub(crate) fn leave(&self, generation: u64) -> bool {
        let _until_the_fence = self.settling.lock();
        let leaves = |word: u64| {
            let here = word >> GENERATION_SHIFT == generation && word & LEAVING == 0;
            here.then_some(word | LEAVING | FLIGHTS)
        };
        let left = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, leaves).is_ok();
        if left {
            heavy();
        }
        left
    }

    /// Ends the wait of a leaving region for its flights, if none is left; `flights` sums the counts
    /// of all threads. The generation that the caller must finish, if any.
    ///
    /// If the kernel has refused the fence, flights may have been missed: the region then stays.
    #[cold]
    pub(crate) fn settle(&self, flights: impl FnOnce() -> u64) -> Option<u64> {
        let _one_at_a_time = self.settling.lock();
        let word = self.word.load(Ordering::Acquire);
        if word & LEAVING == 0 || word & FLIGHTS == 0 || flights() != 0 || !is_sound() {
            return None;
        }
        let before = self.word.fetch_and(!FLIGHTS, Ordering::AcqRel);
        (before & PINS == 0).then_some(before >> GENERATION_SHIFT)
    }

    /// Refuses new pins and flights, but keeps the region registered.
    pub(crate) fn revoke(&self, generation: u64) {
        let revoked =
            |word: u64| (word >> GENERATION_SHIFT == generation).then_some(word | REVOKED);
        let _unless_gone = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, revoked);
    }

    pub(crate) fn is_revoked(&self, generation: u64) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word >> GENERATION_SHIFT == generation && word & REVOKED != 0
    }

    /// The number of pins in the word. `None`: the region is gone.
    pub(crate) fn pins(&self, generation: u64) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        (word >> GENERATION_SHIFT == generation && !is_free(word)).then_some(word & PINS)
    }

    /// Whether the region can be pinned.
    pub(crate) fn check(&self, generation: u64) -> Result<(), Refusal> {
        allows(self.word.load(Ordering::Acquire), generation)
    }

    /// Adds a pin.
    pub(crate) fn take(&self, generation: u64) -> Result<(), Refusal> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            allows(word, generation)?;
            match self.step(word, word + 1) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Adds a pin to what pins the slot already, also while the region is leaving.
    pub(crate) fn join(&self, generation: u64) -> Result<(), Refusal> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & (PINS | FLIGHTS) == 0 {
                return self.take(generation);
            }
            if word & PINS == PINS {
                return Err(Refusal::Busy);
            }
            if word >> GENERATION_SHIFT != generation {
                return Err(Refusal::Stale);
            }
            match self.step(word, word + 1) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Removes a pin. True: the caller must finish the slot.
    #[must_use]
    pub(crate) fn release(&self) -> bool {
        let before = self.word.fetch_sub(1, Ordering::AcqRel);
        before & LEAVING != 0 && before & (PINS | FLIGHTS) == 1
    }

    fn step(&self, from: u64, to: u64) -> Result<u64, u64> {
        self.word.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed)
    }
}

/// Whether the slot is free, or its owner is finishing it.
fn is_free(word: u64) -> bool {
    word & LEAVING != 0 && word & (PINS | FLIGHTS) == 0
}

/// Whether a region in that state may be pinned under that generation.
fn allows(word: u64, named: u64) -> Result<(), Refusal> {
    let now = word >> GENERATION_SHIFT;
    // A free slot has the generation of its next region.
    if named == 0 || named > now || now == named && is_free(word) {
        Err(Refusal::Unknown)
    } else if named < now {
        Err(Refusal::Stale)
    } else if word & LEAVING != 0 {
        Err(Refusal::Leaving)
    } else if word & REVOKED != 0 {
        Err(Refusal::Revoked)
    } else if word & PINS == PINS {
        Err(Refusal::Busy)
    } else {
        Ok(())
    }
}
