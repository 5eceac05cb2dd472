// SPDX-License-Identifier: BSD-3-Clause
//! Whether a frame may be sent on a stream, and of what size: one word, and one compare-exchange a
//! frame.
//!
//! ```text
//!   63   50 49                                                                   42 41    22 21   0
//!   │ tag  │ BUFFER WAITING READY ROOM STARVED OPENED ENDED CLOSED (a bit each)    │ frames │ units │
//! ```
//!
//! `frames` and `units` are what was accepted and not received yet; a unit is a byte, or, for
//! bounds above [`UNITS_MAX`] bytes, the power of two of bytes that brings the bound down to it.
//! `tag` is the end of the stream's generation in its slot. In a [queue](super::queue) `frames` is the place
//! of the next message as well, in the buffer that `BUFFER` says.
//!
//! # Invariants
//!
//! 1. Credit is taken only while the tag is the sender's, the stream is neither ended nor closed,
//!    and the bounds hold: all of it is in the word that the compare-exchange replaces.
//! 2. A sender that took credit sends exactly one message, and its receiver gives back what was taken for it:
//!    of one message ([`Credit::give_back`]), or of all at once ([`Credit::flip`]), some of which may be
//!    about to be sent. So `frames` is 0 only when the receiver has got, or waits for, every accepted frame.
//! 3. No frames, no units: a frame of any size is taken when there is no other.
//!
//! The tag repeats after 2^14 streams in one slot. So a sender that took credit compares the whole
//! id after that, while the stream cannot go away, and backs out if it is another's: the sender was
//! preempted for that many streams after it had found its slot.

use crate::{
    sid::INDEX_BITS,
    sync::{AtomicU32, AtomicU64, Ordering},
};

const UNITS_BITS: u32 = 22;
const FRAMES_BITS: u32 = 20;
const TAG_SHIFT: u32 = 50;

const UNITS: u64 = (1 << UNITS_BITS) - 1;
const ONE_FRAME: u64 = 1 << UNITS_BITS;
const FRAMES: u64 = ((1 << FRAMES_BITS) - 1) << UNITS_BITS;
const FLAGS_SHIFT: u32 = UNITS_BITS + FRAMES_BITS;
const TAG: u64 = !0 << TAG_SHIFT;

/// The receiver has left, or there has been none.
pub(super) const CLOSED: u64 = 1 << FLAGS_SHIFT;
/// The end was accepted: nothing is any more.
pub(super) const ENDED: u64 = 2 << FLAGS_SHIFT;
/// `handle` has returned, or a frame was accepted.
const OPENED: u64 = 4 << FLAGS_SHIFT;
/// A frame was refused for want of room: the plugin is to be notified when there is some.
pub(crate) const STARVED: u64 = 8 << FLAGS_SHIFT;
/// Frames wait for room.
pub(super) const ROOM_AWAITED: u64 = 16 << FLAGS_SHIFT;
/// Data waits until the plugin takes some.
pub(super) const READY_AWAITED: u64 = 32 << FLAGS_SHIFT;
/// There is no message, and the receiver waits: the sender that takes this away wakes it.
const WAITING: u64 = 64 << FLAGS_SHIFT;
/// Which buffer of the queue is filled.
const BUFFER: u64 = 128 << FLAGS_SHIFT;

/// The highest bound in units: what the one frame that exceeds any bound counts as fits beyond it.
const UNITS_MAX: u64 = 1 << (UNITS_BITS - 1);
/// The highest bound in frames.
const FRAMES_MAX: u32 = (1 << FRAMES_BITS) - 1;

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The stream is over.
    Late,
    /// There is no room.
    Full,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Credit {
    word: AtomicU64,
    sid: AtomicU64,
    frames_max: AtomicU32,
    units_max: AtomicU32,
    /// A unit is `1 << unit_bits` bytes.
    unit_bits: AtomicU32,
}

#[inline]
fn tag_of(sid: u64) -> u64 {
    (sid >> INDEX_BITS) << TAG_SHIFT
}

/// Frames accepted and not received, by a word.
#[inline]
pub(super) fn frames_of(word: u64) -> usize {
    ((word & FRAMES) >> UNITS_BITS) as usize
}

/// The buffer that is filled, by a word.
#[inline]
pub(super) fn buffer_of(word: u64) -> usize {
    usize::from(word & BUFFER != 0)
}

/// Whether the receiver waits, by a word.
#[inline]
pub(super) fn is_awaited(word: u64) -> bool {
    word & WAITING != 0
}

/// Whether the end was accepted, by a word.
#[inline]
pub(super) fn has_ended(word: u64) -> bool {
    word & ENDED != 0
}

impl Credit {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(CLOSED),
            sid: AtomicU64::new(0),
            frames_max: AtomicU32::new(0),
            units_max: AtomicU32::new(0),
            unit_bits: AtomicU32::new(0),
        }
    }

    /// Begins a stream. No sender has credit of the one before: its receiver waited for that.
    pub(crate) fn open(&self, sid: u64, frames_max: u32, bytes_max: u64) {
        let mut unit_bits = 0;
        while bytes_max >> unit_bits > UNITS_MAX {
            unit_bits += 1;
        }
        self.sid.store(sid, Ordering::Relaxed);
        self.frames_max.store(frames_max.min(FRAMES_MAX), Ordering::Relaxed);
        self.units_max.store((bytes_max >> unit_bits) as u32, Ordering::Relaxed);
        self.unit_bits.store(unit_bits, Ordering::Relaxed);
        // Release: a thread that sees the tag sees the bounds.
        self.word.store(tag_of(sid), Ordering::Release);
    }

    #[inline]
    pub(super) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    /// Whether the stream is `sid`, for a sender that owes its channel a message.
    #[inline]
    pub(crate) fn is_of(&self, sid: u64) -> bool {
        self.sid.load(Ordering::Relaxed) == sid
    }

    /// Takes credit for a frame of `len` bytes and returns the word before; at a bound sets `mark` instead.
    #[inline]
    pub(crate) fn take(&self, sid: u64, len: u64, mark: u64) -> Result<u64, Rejected> {
        let tag = tag_of(sid);
        let mut word = self.word();
        loop {
            if word & (TAG | ENDED | CLOSED) != tag {
                return Err(Rejected::Late);
            }
            // A later stream's bounds may be read here; then the exchange fails.
            let units = self.units(len);
            let is_full = frames_of(word) >= self.frames_max.load(Ordering::Relaxed) as usize
                || (word & FRAMES != 0
                    && (word & UNITS) + units > u64::from(self.units_max.load(Ordering::Relaxed)));
            let (next, taken) = if is_full {
                (word | mark, Err(Rejected::Full))
            } else {
                (((word + ONE_FRAME + units) | OPENED) & !WAITING, Ok(word))
            };
            if next == word {
                return taken;
            }
            match self.exchange(word, next) {
                Ok(()) => return taken,
                Err(now) => word = now,
            }
        }
    }

    /// What a frame of `len` bytes takes.
    #[inline]
    pub(crate) fn units(&self, len: u64) -> u64 {
        let unit_bits = self.unit_bits.load(Ordering::Relaxed);
        let rounded_up = len.saturating_add((1 << (unit_bits & 63)) - 1);
        (rounded_up >> (unit_bits & 63)).min(UNITS)
    }

    #[inline]
    fn exchange(&self, word: u64, next: u64) -> Result<(), u64> {
        let exchanged =
            self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire);
        exchanged.map(drop)
    }

    /// Gives back what was taken for `frames` frames, and takes away the marks of waits for
    /// room. Returns the word before.
    #[inline]
    pub(crate) fn give_back(&self, frames: u64, units: u64) -> u64 {
        let mut word = self.word();
        loop {
            let next = (word - frames * ONE_FRAME - units) & !(STARVED | ROOM_AWAITED);
            match self.exchange(word, next) {
                Ok(()) => return word,
                Err(now) => word = now,
            }
        }
    }

    /// Gives back what was taken for all frames that were accepted; the buffers change places. Returns the word
    /// before. `None` if there is no message: `register` was called, and from then on senders see that the
    /// receiver waits. `has_end`: the end was among those before.
    pub(super) fn flip(&self, has_end: bool, register: impl FnOnce()) -> Option<u64> {
        let mut register = Some(register);
        let mut word = self.word();
        loop {
            let is_empty = word & FRAMES == 0 && (has_end || word & ENDED == 0);
            if is_empty && let Some(register) = register.take() {
                register();
                // Read again: a sender that has taken `WAITING` away meanwhile may have found no waker.
                word = self.word();
                continue;
            }
            let next = match is_empty {
                true => word | WAITING,
                false => (word & !(FRAMES | UNITS | STARVED | ROOM_AWAITED | WAITING)) ^ BUFFER,
            };
            if next == word {
                return None;
            }
            match self.exchange(word, next) {
                Ok(()) => return (!is_empty).then_some(word),
                Err(now) => word = now,
            }
        }
    }

    /// Ends the stream, if it is open: `Some` of the word before. The caller sends the end.
    pub(crate) fn end(&self, sid: u64) -> Option<u64> {
        let mut word = self.word();
        while word & (TAG | ENDED | CLOSED) == tag_of(sid) {
            match self.end_from(word) {
                Ok(()) => return Some(word),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Ends the stream if the word still is `word`.
    pub(super) fn end_from(&self, word: u64) -> Result<(), u64> {
        self.exchange(word, (word | ENDED) & !WAITING)
    }

    /// `handle` has returned. False if the stream has ended.
    pub(super) fn set_opened(&self, sid: u64) -> bool {
        self.set(sid, OPENED).is_some()
    }

    pub(super) fn is_opened(&self) -> bool {
        self.word() & OPENED != 0
    }

    /// Whether a frame was accepted, or the stream has ended. `handle` has not returned.
    pub(super) fn is_answered(&self, sid: u64) -> bool {
        let word = self.word();
        word & OPENED != 0 || word & (TAG | ENDED | CLOSED) != tag_of(sid)
    }

    /// Leaves a mark. False if the stream has ended.
    pub(super) fn mark(&self, sid: u64, mark: u64) -> bool {
        self.set(sid, mark).is_some()
    }

    fn set(&self, sid: u64, flag: u64) -> Option<u64> {
        let mut word = self.word();
        while word & (TAG | ENDED | CLOSED) == tag_of(sid) {
            if word & flag != 0 {
                return Some(word);
            }
            match self.exchange(word, word | flag) {
                Ok(()) => return Some(word),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Closes the stream: nothing is accepted any more. Returns the word before.
    pub(super) fn close(&self) -> u64 {
        self.word.swap(CLOSED, Ordering::AcqRel)
    }

    /// True while frames are accepted.
    #[inline]
    pub(super) fn is_open(&self, sid: u64) -> bool {
        self.word() & (TAG | ENDED | CLOSED) == tag_of(sid)
    }

    /// True while frames may still come out.
    pub(super) fn is_live(&self, sid: u64) -> bool {
        self.word() & (TAG | CLOSED) == tag_of(sid)
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use crate::sid;

    const SID: u64 = sid::of_slot(3, 77);

    fn opened(frames_max: u32, bytes_max: u64) -> Credit {
        let credit = Credit::new();
        assert_eq!(credit.take(SID, 0, 0), Err(Rejected::Late), "nothing before the first stream");
        credit.open(SID, frames_max, bytes_max);
        credit
    }

    #[test]
    fn what_is_taken_and_given_back_leaves_nothing() {
        for bytes_max in [0, 1, 100, UNITS_MAX, UNITS_MAX + 1, 1 << 40, u64::MAX] {
            let credit = opened(8, bytes_max);
            for len in [0, 1, 63, bytes_max / 3, bytes_max, bytes_max.saturating_add(1), u64::MAX] {
                assert!(credit.take(SID, len, 0).is_ok());
                let mut frames = 1;
                while credit.take(SID, len, 0).is_ok() {
                    frames += 1;
                }
                let units = frames * credit.units(len);
                assert!(frames == 1 || len.saturating_mul(frames) <= bytes_max, "{len} {frames}");
                credit.give_back(frames, units);
                assert_eq!(credit.word(), tag_of(SID) | OPENED, "{bytes_max} {len}");
            }
        }
    }

    #[test]
    fn bounds_hold_to_the_frame_and_to_the_byte() {
        let credit = opened(3, 10);
        assert!(credit.take(SID, 10, 0).is_ok());
        assert_eq!(credit.take(SID, 1, STARVED), Err(Rejected::Full));
        assert!(credit.take(SID, 0, 0).is_ok());
        assert!(credit.take(SID, 0, 0).is_ok());
        assert_eq!(credit.take(SID, 0, ROOM_AWAITED), Err(Rejected::Full));
        let before = credit.give_back(1, 10);
        assert_eq!(before & (STARVED | ROOM_AWAITED), STARVED | ROOM_AWAITED);
        assert_eq!(credit.take(SID, 11, 0), Err(Rejected::Full), "not the only one");
        assert!(credit.take(SID, 10, 0).is_ok());
        assert_eq!(credit.word() & (STARVED | ROOM_AWAITED), 0, "notified once");
    }

    #[test]
    fn more_frames_than_a_word_counts_are_a_bound_all_the_same() {
        let credit = opened(u32::MAX, 0);
        (0..FRAMES_MAX).for_each(|_| assert!(credit.take(SID, 0, 0).is_ok()));
        assert_eq!(credit.take(SID, 0, 0), Err(Rejected::Full));
        assert_eq!(frames_of(credit.close()), FRAMES_MAX as usize);
    }

    #[test]
    fn who_is_late_or_foreign_takes_nothing_and_marks_nothing() {
        let credit = opened(4, 4);
        let other = sid::of_slot(3, 78);
        assert_eq!(credit.take(other, 1, STARVED), Err(Rejected::Late));
        assert!(!credit.set_opened(other) && credit.end(other).is_none());
        assert!(credit.end(SID).is_some() && credit.end(SID).is_none());
        assert_eq!(credit.take(SID, 1, STARVED), Err(Rejected::Late));
        assert!(!credit.mark(SID, READY_AWAITED) && !credit.set_opened(SID));
        assert!(credit.is_live(SID) && !credit.is_open(SID));
        assert_eq!(credit.close(), tag_of(SID) | ENDED);
        assert!(!credit.is_live(SID));
        credit.open(other, 4, 4);
        assert_eq!(credit.take(SID, 1, 0), Err(Rejected::Late));
        assert!(credit.take(other, 1, 0).is_ok());
    }

    #[test]
    fn an_end_is_taken_from_the_word_that_was_looked_at_only() {
        let credit = opened(4, 4);
        let idle = credit.word();
        assert!(credit.take(SID, 1, 0).is_ok());
        assert!(credit.end_from(idle).is_err());
        let now = credit.word();
        // A weak exchange may fail for nothing.
        while credit.end_from(now).is_err() {}
        assert!(!credit.is_open(SID));
    }
}
