// SPDX-License-Identifier: BSD-3-Clause
//! How a call is answered, waited for and abandoned: the transitions between the phases of its slot. They,
//! and the invariants, are those of the [table](super).

use std::{
    num::NonZeroU64,
    task::{Poll, Waker},
};

use super::{Outcome, Slot};
use crate::{
    sid::{GENERATION_MASK, INDEX_BITS},
    sync::Ordering,
};

pub(super) const PHASE_BITS: u32 = 3;
pub(super) const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;
pub(super) const FREE: u64 = 0;
pub(super) const PENDING: u64 = 1;
pub(super) const WRITING: u64 = 2;
pub(super) const DONE: u64 = 3;
pub(super) const ABANDONED: u64 = 4;
pub(super) const STREAM: u64 = 5;
/// As `PENDING`, and `waker` holds whom to wake.
pub(super) const WAITING: u64 = 6;
/// As `WRITING`, and `waker` holds whom to wake.
pub(super) const WAITED: u64 = 7;

/// Why an answer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such id was ever given out, or it is none of the table's.
    Unknown,
    /// The call has ended or was answered already.
    Late,
    /// The call is another plugin's.
    Foreign,
}

impl Slot {
    #[inline]
    pub(super) fn expected(sid: u64, phase: u64) -> u64 {
        (sid >> INDEX_BITS & GENERATION_MASK) << PHASE_BITS | phase
    }

    /// Answers the call, if it is still unanswered: the first one wins.
    #[inline]
    pub(crate) fn complete(
        &self,
        sid: u64,
        outcome: impl FnOnce() -> Outcome,
    ) -> Result<(), Refusal> {
        if !self.is_unanswered(sid, self.word.load(Ordering::Relaxed)) {
            return Err(Refusal::Late);
        }
        // Made before the claim: nothing of the caller's runs between claim and publication.
        let outcome = outcome();
        let phase = self.claim(sid)?;
        if self.publish(sid, phase, outcome) { Ok(()) } else { Err(Refusal::Late) }
    }

    /// Ends the call because it has run out of time. True if nothing had ended it before, also if
    /// its caller leaves meanwhile: [`Slot::abandon`] gives false then, and this thread is the one
    /// that notifies the plugin.
    pub(crate) fn expire(&self, sid: u64) -> bool {
        let Ok(phase) = self.claim(sid) else { return false };
        self.publish(sid, phase, Outcome::DeadlineExceeded);
        true
    }

    /// Hands the answer to the call's future; the calling thread has claimed the slot, which was in
    /// `phase` then. False if the future has left meanwhile.
    #[inline]
    fn publish(&self, sid: u64, mut phase: u64, outcome: Outcome) -> bool {
        // SAFETY: this thread has claimed the slot (invariant 2).
        self.answer.with_mut(|answer| unsafe { *answer = Some(outcome) });
        let record = crate::thread::current();
        self.answered_ns.store(record.answers_came(), Ordering::Relaxed);
        loop {
            // SAFETY: in WAITED it is the answerer's (invariant 5).
            let waker = if phase == WAITED { unsafe { self.take_waker() } } else { None };
            let published = self.word.compare_exchange(
                Self::expected(sid, phase),
                Self::expected(sid, DONE),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match published {
                Ok(_) => {
                    if let Some(waker) = waker {
                        record.wake(waker);
                    }
                    return true;
                }
                Err(word) if word == Self::expected(sid, WAITED) => phase = WAITED,
                Err(_) => {
                    self.answered_abandoned(sid);
                    return false;
                }
            }
        }
    }

    /// The slot is ABANDONED: its future is gone, and left everything to the answerer.
    #[cold]
    fn answered_abandoned(&self, sid: u64) {
        // SAFETY: see above.
        drop(unsafe { (self.take_answer(), self.take_waker()) });
        self.release(sid);
    }

    /// Whether this word says that `sid` is open and it has no answerer yet.
    #[inline]
    pub(super) fn is_unanswered(&self, sid: u64, word: u64) -> bool {
        word == Self::expected(sid, WAITING) || word == Self::expected(sid, PENDING)
    }

    /// Claims the right to answer. What the slot's phase is then: `WRITING` or `WAITED`.
    #[inline]
    fn claim(&self, sid: u64) -> Result<u64, Refusal> {
        let mut word = self.word.load(Ordering::Relaxed);
        while self.is_unanswered(sid, word) {
            let is_waiting = word == Self::expected(sid, WAITING);
            let phase = if is_waiting { WAITED } else { WRITING };
            let to = Self::expected(sid, phase);
            match self.word.compare_exchange(word, to, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(phase),
                // The future has come, or left, or another one was first.
                Err(now) => word = now,
            }
        }
        Err(Refusal::Late)
    }

    /// Claims the right to answer for the thread that is inside the call; the answer stays in its
    /// frame and the slot is released by it.
    #[inline]
    pub(crate) fn claim_for_frame(&self, sid: u64) -> bool {
        self.word
            .compare_exchange(
                Self::expected(sid, PENDING),
                Self::expected(sid, WRITING),
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Looks for the answer, and when it came if that is known; keeps `waker` if there is none yet. On
    /// `Ready` the slot has been released. Called by the call's future alone.
    pub(crate) fn poll(
        &self,
        sid: u64,
        waker: &Waker,
    ) -> Poll<(Option<Outcome>, Option<NonZeroU64>)> {
        let word = self.word.load(Ordering::Acquire);
        if word != Self::expected(sid, DONE) && self.wait(sid, word, waker) {
            return Poll::Pending;
        }
        // SAFETY: the slot is DONE and only the call's one future gets here (invariants 3 and 5).
        let (outcome, left) = unsafe { (self.take_answer(), self.take_waker()) };
        let answered_ns = NonZeroU64::new(self.answered_ns.load(Ordering::Relaxed));
        self.release(sid);
        drop(left);
        Poll::Ready((outcome, answered_ns))
    }

    /// Leaves a waker, given the word that was read. False: the answer has come.
    #[inline]
    fn wait(&self, sid: u64, mut word: u64, waker: &Waker) -> bool {
        let exchange = |from: u64, to: u64| {
            let (from, to) = (Self::expected(sid, from), Self::expected(sid, to));
            self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
        };
        if word == Self::expected(sid, WAITING) {
            // Polled again: takes back what it has left.
            word = match exchange(WAITING, PENDING) {
                Ok(_) => Self::expected(sid, PENDING),
                Err(now) => now,
            };
        }
        if word == Self::expected(sid, WAITED) {
            // The answerer wakes whom it found, a moment from now, and that may be another task.
            waker.wake_by_ref();
            return true;
        }
        if word == Self::expected(sid, DONE) {
            return false;
        }
        self.waker.with_mut(|kept| {
            // SAFETY: the slot is PENDING or WRITING, which no other thread moves to a phase in which
            // it touches the waker (invariant 5).
            let kept = unsafe { &mut *kept };
            if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
                *kept = Some(waker.clone());
            }
        });
        let (from, to) = match word == Self::expected(sid, PENDING) {
            true => (PENDING, WAITING),
            false => (WRITING, WAITED),
        };
        match exchange(from, to) {
            Ok(_) => true,
            // It is being answered.
            Err(now) if now == Self::expected(sid, WRITING) => exchange(WRITING, WAITED).is_ok(),
            Err(_) => false,
        }
    }

    /// Ends a call that its own `handle` refused, and gives the slot up. False if it was answered.
    pub(crate) fn withdraw(&self, sid: u64) -> bool {
        let withdrawn = self.claim_for_frame(sid);
        if withdrawn {
            self.release(sid);
        }
        withdrawn
    }

    /// The caller leaves. True if the call was unanswered and was not about to be answered: this
    /// thread notifies the plugin then.
    pub(crate) fn abandon(&self, sid: u64) -> bool {
        loop {
            let word = self.word.load(Ordering::Acquire);
            let leave = |phase| {
                let to = Self::expected(sid, phase);
                self.word.compare_exchange(word, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
            };
            if self.is_unanswered(sid, word) {
                if leave(WRITING) {
                    // SAFETY: no other thread has claimed the slot, and the future is leaving.
                    let left = unsafe { self.take_waker() };
                    self.release(sid);
                    drop(left);
                    return true;
                }
            } else if word == Self::expected(sid, WRITING) || word == Self::expected(sid, WAITED) {
                if leave(ABANDONED) {
                    return false;
                }
            } else {
                if word == Self::expected(sid, DONE) {
                    // SAFETY: the slot is DONE and the future that may read it is leaving.
                    let left = unsafe { (self.take_answer(), self.take_waker()) };
                    self.release(sid);
                    drop(left);
                }
                return false;
            }
        }
    }

    /// # Safety
    ///
    /// The slot is in a phase in which `answer` is the calling thread's.
    #[inline]
    unsafe fn take_answer(&self) -> Option<Outcome> {
        // SAFETY: the caller's promise.
        self.answer.with_mut(|answer| unsafe { (*answer).take() })
    }

    /// # Safety
    ///
    /// The slot is in a phase in which `waker` is the calling thread's.
    #[inline]
    unsafe fn take_waker(&self) -> Option<Waker> {
        // SAFETY: the caller's promise.
        self.waker.with_mut(|waker| unsafe { (*waker).take() })
    }
}
