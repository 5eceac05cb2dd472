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

use std::cell::UnsafeCell;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::arm::Race as Arm;
use crate::channel::TryOutcome;
use crate::core::LockedOutcome;
use crate::limit::{Limit, StopReason};
use crate::lock::RawLock;
use crate::park;
use crate::spin;
use crate::sync::heavy;
use crate::waiter::{self, Claim, PendingWakes, Wake};

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

/// The result of a race.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaceOutcome {
    /// This arm's operation completed, or its channel is closed.
    Arm(usize),
    /// The deadline passed.
    TimedOut,
    /// The token was cancelled.
    Cancelled,
}

/// The result of a race for `select!`, which may have a default.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectOutcome {
    /// An arm has the result.
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

impl From<RaceOutcome> for SelectOutcome {
    fn from(won: RaceOutcome) -> Self {
        match won {
            RaceOutcome::Arm(_) => Self::Arm,
            RaceOutcome::TimedOut => Self::TimedOut,
            RaceOutcome::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Option<RaceOutcome>> for SelectOutcome {
    fn from(won: Option<RaceOutcome>) -> Self {
        won.map_or(Self::Default, Self::from)
    }
}

/// A race of arms, as a future. Made by `select!` and by [`Select`](crate::Select).
#[doc(hidden)]
#[must_use = "a select does nothing until it is awaited or waited for"]
pub struct Race<'r, L: Limit> {
    arms: &'r [ArmRef<'r>],
    biased: bool,
    limit: L,
    claim: UnsafeCell<MaybeUninit<Claim>>,
    linked: bool,
    _pinned: PhantomPinned,
}

// SAFETY: the claim is shared through atomics and locks; the arms are sent as `ArmRef` says.
unsafe impl<L: Limit + Send> Send for Race<'_, L> {}

impl<'r, L: Limit> Race<'r, L> {
    #[doc(hidden)]
    pub fn new(arms: &'r [ArmRef<'r>], biased: bool, limit: L) -> Self {
        let claim = UnsafeCell::new(MaybeUninit::uninit());
        Self { arms, biased, limit, claim, linked: false, _pinned: PhantomPinned }
    }

    /// Waits on a thread or in a coroutine.
    #[doc(hidden)]
    pub fn wait(mut self) -> RaceOutcome {
        if let Some(won) = self.start() {
            return won;
        }
        let hook = park::hook();
        let wake = hook.map_or(Wake::Thread, |hook| Wake::Flow(hook.unparker()));
        if let Some(won) = self.link(wake) {
            return won;
        }
        if hook.is_none() {
            spin::for_claim(|| self.claim().outcome().is_some());
        }
        loop {
            if let Some(won) = self.check() {
                return won;
            }
            match hook {
                Some(hook) => hook.park(self.limit.deadline_at()),
                None => self.claim().park_thread(self.limit.deadline_at()),
            }
        }
    }

    /// One pass, without waiting.
    #[doc(hidden)]
    #[inline]
    pub fn try_now(self) -> Option<RaceOutcome> {
        if let Some(stop) = self.limit.stop_before() {
            return Some(self.stopped(stop));
        }
        pass(self.arms, self.biased).map(RaceOutcome::Arm)
    }

    /// The result, if there is one before anything is linked.
    #[inline]
    fn start(&self) -> Option<RaceOutcome> {
        if let Some(stop) = self.limit.stop_before() {
            return Some(self.stopped(stop));
        }
        if let Some(arm) = pass(self.arms, self.biased) {
            return Some(RaceOutcome::Arm(arm));
        }
        self.limit.stop_now().map(|stop| self.stopped(stop))
    }

    /// Links every arm, unless one can complete after all.
    fn link(&mut self, wake: Wake) -> Option<RaceOutcome> {
        // SAFETY: the claim is not shared yet. It stays where it is while nodes lead to it: the
        // race is pinned, or in the frame of `wait`, and unlinks them before it is dropped.
        let claim = unsafe {
            let claim = self.claim.get().cast::<Claim>();
            claim.write(Claim::new(wake, true));
            claim.cast_const()
        };
        self.linked = true;
        let won = link_under_locks(self.arms, claim, || {});
        if let Some(at) = won {
            self.linked = false;
            // SAFETY: no node leads to the claim.
            unsafe { (*claim).retire() };
            return Some(RaceOutcome::Arm(at));
        }
        // SAFETY: claim and limit stay where they are until the race has left the token.
        if unsafe { self.limit.join(claim) } {
            return Some(self.give_up(StopReason::Cancelled));
        }
        None
    }

    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `link`.
        unsafe { &*self.claim.get().cast::<Claim>() }
    }

    /// The result of a linked race, if it has ended.
    fn check(&mut self) -> Option<RaceOutcome> {
        if let Some(outcome) = self.claim().outcome() {
            self.limit.leave();
            let matched = match outcome {
                waiter::WaitOutcome::Matched(case) | waiter::WaitOutcome::Closed(case) => {
                    Some(case as usize)
                }
                waiter::WaitOutcome::Cancelled => None,
            };
            self.unlink(matched);
            return Some(self.ended(outcome));
        }
        self.limit.stop_late().map(|stop| self.give_up(stop))
    }

    /// Ends the wait for a limit, unless a matcher, a close or the token was faster.
    fn give_up(&mut self, stop: StopReason) -> RaceOutcome {
        match self.withdraw() {
            Some(outcome) => self.ended(outcome),
            None => self.stopped(stop),
        }
    }

    /// Unlinks every node; then no other thread can reach the claim. Returns how the wait had
    /// ended.
    fn withdraw(&mut self) -> Option<waiter::WaitOutcome> {
        self.limit.leave();
        self.unlink(None);
        let outcome = self.claim().outcome();
        if outcome.is_none() {
            // SAFETY: every node is unlinked and no matcher has ended the wait.
            unsafe { self.claim().retire() };
        }
        outcome
    }

    /// Unlinks every arm except one that is known not to be linked.
    fn unlink(&mut self, except: Option<usize>) {
        self.linked = false;
        for (at, arm) in self.arms.iter().enumerate() {
            if Some(at) != except && arm.0.is_ready() {
                // SAFETY: it was linked by `link`.
                unsafe { arm.0.unlink() };
            }
        }
    }

    fn ended(&self, outcome: waiter::WaitOutcome) -> RaceOutcome {
        match outcome {
            waiter::WaitOutcome::Matched(case) => {
                if let Some(arm) = self.arms.get(case as usize) {
                    arm.0.matched();
                }
                RaceOutcome::Arm(case as usize)
            }
            waiter::WaitOutcome::Closed(case) => {
                if let Some(arm) = self.arms.get(case as usize) {
                    arm.0.closed();
                }
                RaceOutcome::Arm(case as usize)
            }
            waiter::WaitOutcome::Cancelled => self.stopped(StopReason::Cancelled),
        }
    }

    /// A select that stops counts as no channel's failure: its arms leave no trace.
    fn stopped(&self, stop: StopReason) -> RaceOutcome {
        match stop {
            StopReason::TimedOut => RaceOutcome::TimedOut,
            StopReason::Cancelled => RaceOutcome::Cancelled,
        }
    }

    fn poll_inner(&mut self, waker: &Waker) -> Poll<RaceOutcome> {
        if self.linked {
            if let Some(won) = self.check() {
                return Poll::Ready(won);
            }
            // SAFETY: we are the owner.
            if !unsafe { self.claim().wakes(waker) } {
                self.rewake(waker);
                // A matcher that was faster has woken the previous task.
                if let Some(won) = self.check() {
                    return Poll::Ready(won);
                }
            }
            self.limit.keep_timer(waker);
            return Poll::Pending;
        }
        if let Some(won) = self.start() {
            return Poll::Ready(won);
        }
        if let Some(won) = self.link(Wake::Task(waker.clone())) {
            return Poll::Ready(won);
        }
        self.limit.set_timer(waker);
        Poll::Pending
    }

    /// Replaces the waker: another task polls the race from now on.
    #[cold]
    fn rewake(&mut self, waker: &Waker) {
        // A waker's clone and drop are user code: not under the locks.
        let wake = Wake::Task(waker.clone());
        let token = self.limit.lock_token();
        let locks = Locks::take(self.arms);
        // SAFETY: we hold every lock that leads to the claim.
        let old = unsafe { self.claim().replace(wake) };
        drop(locks);
        drop(token);
        drop(old);
        self.limit.set_timer(waker);
    }
}

impl<L: Limit> Future for Race<'_, L> {
    type Output = RaceOutcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RaceOutcome> {
        // SAFETY: nothing is moved out of it.
        unsafe { self.get_unchecked_mut() }.poll_inner(context.waker())
    }
}

impl<L: Limit> Drop for Race<'_, L> {
    fn drop(&mut self) {
        if self.linked
            && let Some(outcome) = self.withdraw()
        {
            // The arm requeues the value that it was handed, when it is dropped.
            self.ended(outcome);
        }
    }
}

/// The arms in the order of one round: from a start on, cyclically.
#[inline]
fn round<'x>(arms: &'x [ArmRef<'_>], biased: bool) -> impl Iterator<Item = (usize, &'x dyn Arm)> {
    let start = if biased || arms.len() < 2 { 0 } else { fastrand::usize(..arms.len()) };
    let (before, from) = arms.split_at_checked(start).unwrap_or((arms, &[]));
    let from = from.iter().enumerate().map(move |(at, arm)| (start + at, arm.arm()));
    from.chain(before.iter().enumerate().map(|(at, arm)| (at, arm.arm())))
}

/// Completes the first arm that can.
#[inline]
pub(super) fn pass(arms: &[ArmRef<'_>], biased: bool) -> Option<usize> {
    round(arms, biased)
        .find(|(_, arm)| arm.may() && arm.is_ready() && arm.attempt() != TryOutcome::Blocked)
        .map(|(at, _)| at)
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
