// SPDX-License-Identifier: BSD-3-Clause
//! The race of a select: exactly one of several arms completes, and the others leave no trace.
//!
//! The algorithm is Go's (`runtime/select.go`), with one claim word in place of its flag:
//!
//! 1. **Pass.** Try each arm once, from a random start (from the first, if biased), and complete
//!    the first that can. Only one channel is locked at a time.
//! 2. **Hold.** If none can, lock all channels in the order of their addresses, each once, and try
//!    again. With all locks held no value moves: if still none can complete, link a node for every
//!    arm, and release all locks.
//! 3. **Wait** on the one claim. The first matcher, token or close that claims it wins; the others
//!    find it claimed and go on to the next waiter.
//! 4. **Unlink** the other nodes, each under its lock.
//!
//! Two selects that face each other cannot miss each other: the one that holds the common channel
//! second finds the other one's node there. They cannot match twice either: a race is linked only
//! after it has found nothing to match with, and is matched only through its claim. Nor can they
//! deadlock, since both lock in the same order; and no claim is ever undone, so no thread waits for
//! a claim.
//!
//! **Fairness.** With arms that are ready all the time, each start is equally likely. A waiting
//! select is queued at each channel like any other waiter.

use std::cell::Cell;

use smallvec::SmallVec;

use super::arm::Race as Arm;
use crate::core::LockedOutcome;
use crate::limit::{Limit, StopReason};
use crate::lock::RawLock;
use crate::op::sealed::Action as _;
use crate::op::{Driver, Linked, Operation, sealed};
use crate::sync::heavy;
use crate::waiter::{Claim, PendingWakes, WaitOutcome, Waiter, Wake};

/// Channels that a select locks without allocating.
const LOCKS_INLINE: usize = 16;

/// An arm, borrowed exclusively by a race.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct ArmRef<'r>(&'r (dyn Arm + 'r));

// SAFETY: it is made of an exclusive borrow of an arm that may be sent (see `Arm::arm`), and used
// by one race.
unsafe impl Send for ArmRef<'_> {}
// SAFETY: only the race can use it through a shared reference.
unsafe impl Sync for ArmRef<'_> {}

impl<'r> ArmRef<'r> {
    /// The arm.
    #[inline]
    pub(super) fn arm(&self) -> &'r dyn Arm {
        self.0
    }

    /// # Safety
    ///
    /// The arm is borrowed exclusively for `'r`, pinned, and may be sent to another thread.
    pub(super) unsafe fn new<'x: 'r>(arm: &'x (dyn Arm + 'x)) -> Self {
        Self(arm)
    }
}

/// The result of a `select!`.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectOutcome {
    /// An arm has the result: its operation completed, or its channel is closed.
    Arm,
    /// No operation could complete without waiting.
    Default,
    /// The deadline passed.
    TimedOut,
    /// The token was cancelled.
    Cancelled,
}

impl SelectOutcome {
    /// For a race that an arm won when no arm has a result, which is impossible.
    #[doc(hidden)]
    pub fn never(self) -> ! {
        std::process::abort()
    }
}

/// A race of arms, for `select!`.
#[doc(hidden)]
pub struct Race<'r> {
    arms: &'r [ArmRef<'r>],
    biased: bool,
}

/// The operation that `select!` drives.
#[doc(hidden)]
pub fn race<'r, L: Limit>(
    arms: &'r [ArmRef<'r>],
    biased: bool,
    limit: L,
) -> Operation<Race<'r>, L> {
    Operation::with(Race { arms, biased }, limit)
}

impl<L: Limit> Operation<Race<'_>, L> {
    /// One pass, without waiting.
    #[doc(hidden)]
    #[inline]
    pub fn try_now(self) -> SelectOutcome {
        let (mut race, limit) = self.into_parts();
        match limit.stop_before() {
            Some(stop) => race.stopped(stop),
            None => race.fast(Driver::Task).unwrap_or(SelectOutcome::Default),
        }
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl sealed::Action for Race<'_> {
    type Output = SelectOutcome;

    #[inline]
    fn fast(&mut self, _: Driver) -> Option<SelectOutcome> {
        pass(self.arms, self.biased).map(|_| SelectOutcome::Arm)
    }

    /// Links every arm, unless one can complete after all.
    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        _: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<SelectOutcome> {
        // SAFETY: the caller's promise.
        unsafe {
            let claim = waiter.begin_claim(wake());
            if link_under_locks(self.arms, claim, || {}).is_none() {
                return Linked::Waiting;
            }
            waiter.end();
            Linked::Ended(SelectOutcome::Arm)
        }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        self.unlink_except(None);
        // SAFETY: the caller's promise; every node is unlinked.
        unsafe { waiter.end() }
    }

    unsafe fn ended(&mut self, _: &Waiter, outcome: WaitOutcome) -> Option<SelectOutcome> {
        let won = resolve(outcome, self.arms);
        self.unlink_except(Some(won));
        Some(SelectOutcome::Arm)
    }

    unsafe fn rewake(&mut self, waiter: &Waiter, wake: Wake) -> Option<Wake> {
        let _locks = Locks::take(self.arms);
        // SAFETY: with the caller's, we hold every lock that leads to the claim.
        unsafe { waiter.claim().replace(wake) }
    }

    /// A select that stops counts as no channel's failure: its arms leave no trace.
    fn stopped(&mut self, stop: StopReason) -> SelectOutcome {
        match stop {
            StopReason::TimedOut => SelectOutcome::TimedOut,
            StopReason::Cancelled => SelectOutcome::Cancelled,
        }
    }

    /// An arm that was handed a value requeues it, when it is dropped.
    fn dropped(&mut self, _: &Waiter, ended: Option<WaitOutcome>) {
        if let Some(outcome) = ended {
            resolve(outcome, self.arms);
        }
    }
}

impl Race<'_> {
    /// Unlinks every arm except one that is known not to be linked.
    fn unlink_except(&self, except: Option<usize>) {
        for (at, arm) in self.arms.iter().enumerate() {
            if Some(at) != except && arm.0.is_ready() {
                // SAFETY: it was linked by `link`.
                unsafe { arm.0.unlink() };
            }
        }
    }
}

/// Passes an outcome to its arm, and returns the arm's index.
pub(super) fn resolve(outcome: WaitOutcome, arms: &[ArmRef<'_>]) -> usize {
    let (case, matched) = match outcome {
        WaitOutcome::Matched(case) => (case as usize, true),
        WaitOutcome::Closed(case) => (case as usize, false),
        WaitOutcome::Cancelled => return usize::MAX,
    };
    if let Some(arm) = arms.get(case).map(ArmRef::arm) {
        if matched { arm.matched() } else { arm.closed() }
    }
    case
}

/// Completes the first arm that can, in the order of one round: from a start on, cyclically.
#[inline]
pub(super) fn pass(arms: &[ArmRef<'_>], biased: bool) -> Option<usize> {
    let start = if biased { 0 } else { start_of_round(arms.len()) };
    let (before, from) = arms.split_at_checked(start).unwrap_or((arms, &[]));
    match from.iter().position(|arm| arm.0.attempt()) {
        Some(at) => Some(start + at),
        None => before.iter().position(|arm| arm.0.attempt()),
    }
}

thread_local! {
    static ROUNDS: Cell<u64> = const { Cell::new(0) };
}

/// The first of `arms` arms that a round tries: each is equally likely.
///
/// A Weyl sequence, whose numbers are mixed by a multiplication: this decides between arms that are
/// ready at the same time, and nothing else.
#[inline]
pub(super) fn start_of_round(arms: usize) -> usize {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    const MIX: u64 = 0xd6e8_feb8_6659_fd93;
    if arms < 2 {
        return 0;
    }
    let mut number = ROUNDS.get();
    if number == 0 {
        number = fastrand::u64(..);
    }
    ROUNDS.set(number.wrapping_add(STEP));
    let mixed = (number ^ number >> 32).wrapping_mul(MIX) >> 32;
    ((mixed * arms as u64) >> 32) as usize
}

/// Under the locks of all channels, completes the first arm that can; if none can, links them all,
/// and calls `linked` before it releases the locks.
///
/// The claim stays where it is until every arm is unlinked.
pub(super) fn link_under_locks(
    arms: &[ArmRef<'_>],
    claim: *const Claim,
    linked: impl FnOnce(),
) -> Option<usize> {
    let mut wakes = PendingWakes::new();
    let locks = Locks::take(arms);
    let mut won = None;
    let mut busy = false;
    for (at, arm) in arms.iter().map(ArmRef::arm).enumerate().filter(|(_, arm)| arm.is_ready()) {
        // SAFETY: `locks` holds them all.
        match unsafe { arm.attempt_held(&mut wakes) } {
            LockedOutcome::Done | LockedOutcome::Closed => {
                won = Some(at);
                break;
            }
            LockedOutcome::Busy => busy = true,
            LockedOutcome::Blocked => {}
        }
    }
    if won.is_none() {
        // Not before all were tried: a select must not match itself.
        for (case, arm) in (0..).zip(arms.iter().map(ArmRef::arm)).filter(|(_, arm)| arm.is_ready())
        {
            // SAFETY: as above; the caller's promise.
            unsafe { arm.link_held(claim, case) };
        }
        linked();
        if busy {
            heavy();
            for arm in arms.iter().map(ArmRef::arm).filter(|arm| arm.is_ready()) {
                // SAFETY: as above.
                unsafe { arm.rebalance_held(&mut wakes) };
            }
        }
    }
    drop(locks);
    wakes.fire();
    arms.iter().for_each(|arm| arm.arm().follow());
    won
}

/// The locks of all channels of a race.
struct Locks<'r>(SmallVec<[&'r RawLock; LOCKS_INLINE]>);

impl<'r> Locks<'r> {
    fn take(arms: &[ArmRef<'r>]) -> Self {
        let ready = arms.iter().filter(|arm| arm.0.is_ready());
        let mut locks: SmallVec<[&RawLock; LOCKS_INLINE]> = ready.map(|arm| arm.0.raw()).collect();
        locks.sort_unstable_by_key(|lock| std::ptr::from_ref::<RawLock>(lock).addr());
        locks.dedup_by(|one, other| std::ptr::eq::<RawLock>(*one, *other));
        locks.iter().for_each(|lock| lock.lock());
        Self(locks)
    }
}

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        for lock in &self.0 {
            // SAFETY: taken by `take`.
            unsafe { lock.unlock() };
        }
    }
}
