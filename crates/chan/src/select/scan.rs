// SPDX-License-Identifier: BSD-3-Clause
//! The pass of a reusable select: all arms are checked, and one that is ready is chosen.
//!
//! [`race::pass`](super::race) tries one arm after the other, each by a call through the table of
//! its type, and the branch that leaves its loop goes another way each time: mispredicted, it costs
//! as much as a receive. A select that is kept has time to prepare a [`ReadyCheck`] for each arm,
//! which needs no call and no branch. So up to [`AT_ONCE`] arms are checked in a row into the bits
//! of a word, from which the first one behind the random start is taken.
//!
//! crossfire, the fastest of the peers, tries its channels in turn; it has no random start and
//! begins where its last receive succeeded, so that a channel that is always ready keeps the others
//! waiting for 128 receives.

use super::race::{ArmRef, start_of_round};
use crate::channel::Channel;
use crate::hint::ReadinessHint;
use crate::ring::{SLOW, is_fresh};
use crate::sync::{AtomicU64, Ordering};
use crate::transfer::Direction;

/// Arms that are checked before one of them is chosen: a bit each.
const AT_ONCE: usize = 16;

/// Whether an arm could complete, by a check without the lock and without the type of its values.
///
/// It may be too optimistic, and for a moment too pessimistic: a pass that finds nothing goes on
/// to the slow path, which is exact.
pub(super) struct ReadyCheck<'a> {
    /// The index word of the arm's direction.
    word: &'a AtomicU64,
    /// The bits of a position that are its index.
    index: u64,
    /// The stamp of the first slot; the next ones are `stride` bytes apart. Not read while the word
    /// is slow, as that of a ring without slots always is.
    stamps: *const AtomicU64,
    stride: usize,
    sends: bool,
    hint: &'a ReadinessHint,
}

impl<'a> ReadyCheck<'a> {
    /// `None`: there is more to check than a slot, so the arm has to be tried.
    pub(super) fn new<T, D: Direction>(channel: &'a Channel<T>) -> Option<Self> {
        let ring = &channel.ring;
        let (stamps, stride) = ring.stamps();
        let is_slot = if D::SENDS { channel.suspends() } else { !channel.holds_behind() };
        is_slot.then(|| Self {
            word: ring.word::<D>(),
            index: ring.index_bits(),
            stamps,
            stride,
            sends: D::SENDS,
            hint: &channel.core.hint,
        })
    }

    #[inline]
    fn is_ready(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if word & SLOW != 0 {
            return self.hint.may_now(self.sends);
        }
        let position = word >> 1;
        let at = (position & self.index) as usize;
        // SAFETY: the word is fast, so the ring has slots, which live as long as the channel, and
        // its index is one of them.
        let stamp = unsafe { &*self.stamps.byte_add(at * self.stride) };
        let stamp = stamp.load(Ordering::Acquire);
        stamp == position + u64::from(!self.sends)
            || self.sends && is_fresh(stamp, position, self.index)
    }
}

/// Completes the first arm that can, in the order of one round: from a start on, cyclically.
#[inline]
pub(super) fn pass(
    arms: &[ArmRef<'_>],
    checks: &[Option<ReadyCheck<'_>>],
    biased: bool,
) -> Option<usize> {
    if let [arm] = arms {
        return arm.arm().attempt_ready().then_some(0);
    }
    let start = if biased { 0 } else { start_of_round(arms.len()) };
    if arms.len() <= AT_ONCE {
        return choose(arms, ready(checks), start);
    }
    let (before, from) = checks.split_at_checked(start)?;
    pass_long(arms, from, start).or_else(|| pass_long(arms, before, 0))
}

/// Completes the first arm that can, of those that the checks belong to; the first one is number
/// `first`.
fn pass_long(
    arms: &[ArmRef<'_>],
    checks: &[Option<ReadyCheck<'_>>],
    first: usize,
) -> Option<usize> {
    let arms = arms.get(first..)?;
    let runs = arms.chunks(AT_ONCE).zip(checks.chunks(AT_ONCE));
    for (run, (arms, checks)) in runs.enumerate() {
        let ready = ready(checks);
        if ready != 0
            && let Some(at) = choose(arms, ready, 0)
        {
            return Some(first + run * AT_ONCE + at);
        }
    }
    None
}

/// A bit for each arm that is ready.
#[inline]
fn ready(checks: &[Option<ReadyCheck<'_>>]) -> u32 {
    let is_ready = |check: &Option<ReadyCheck<'_>>| check.as_ref().is_none_or(ReadyCheck::is_ready);
    checks.iter().rev().fold(0, |bits, check| bits << 1 | u32::from(is_ready(check)))
}

/// Completes the first of the arms in `ready` that can: from `start` on, then from the first.
#[inline]
fn choose(arms: &[ArmRef<'_>], mut ready: u32, start: usize) -> Option<usize> {
    while ready != 0 {
        let late = ready >> start << start;
        let at = if late != 0 { late } else { ready }.trailing_zeros() as usize;
        if arms.get(at)?.arm().attempt_ready() {
            return Some(at);
        }
        ready &= !(1 << at);
    }
    None
}
