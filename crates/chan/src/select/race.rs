// SPDX-License-Identifier: BSD-3-Clause
//! The race: of several arms exactly one happens, and the others leave no trace.
//!
//! The algorithm is Go's (`runtime/select.go`), with one claim word in place of its flag:
//!
//! 1. **Pass.** Look at each arm once, from a random start (from the first, if biased), and make
//!    the first happen that can. Nothing is locked but one channel at a time.
//! 2. **Hold.** If none can, lock all channels in the order of their addresses, each once, and look
//!    again. With all held nothing moves: if still none can happen, link a node for every arm, and
//!    let go of all.
//! 3. **Wait** on the one claim. The first matcher, token or close that claims it wins; the others
//!    find it claimed and go on to the next waiter.
//! 4. **Unlink** the other nodes, each under its lock.
//!
//! Two selects that face each other cannot miss each other: whoever holds the common channel second
//! finds the other's node there. They cannot match twice either: a race is linked only after it
//! has found nothing to match with, and is matched only through its claim. Nor can they deadlock,
//! since both lock in the same order; and no claim is ever undone, so nobody waits for one.
//!
//! **Fairness.** With arms that are ready all the time, each start is equally likely. A waiting
//! select stands in each channel's line like any other waiter.

use std::cell::UnsafeCell;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use smallvec::SmallVec;

use super::arm::Race as Arm;
use crate::channel::Tried;
use crate::gate::Locked;
use crate::limit::{Limit, Stop};
use crate::lock::RawLock;
use crate::park;
use crate::spin;
use crate::sync::heavy;
use crate::waiter::{self, Claim, Wake, Wakes};

/// Channels that a select locks without allocating.
const LOCKS_INLINE: usize = 16;

/// An arm that a race has to itself.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct ArmRef<'r>(&'r (dyn Arm + 'r));

// SAFETY: it is made of an exclusive borrow of an arm that may be sent (see `Arm::arm`), and used
// by one race.
unsafe impl Send for ArmRef<'_> {}
// SAFETY: nothing can be done with it through a shared reference but by the race.
unsafe impl Sync for ArmRef<'_> {}

impl<'r> ArmRef<'r> {
    /// Itself.
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

/// How a race ended.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Won {
    /// This arm's operation happened, or its channel is closed.
    Arm(usize),
    /// The deadline passed.
    TimedOut,
    /// The token was cancelled.
    Cancelled,
}

/// The same, for `select!`, which may have a default.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An arm has it.
    Arm,
    /// Nothing could happen without waiting.
    Default,
    /// The deadline passed.
    TimedOut,
    /// The token was cancelled.
    Cancelled,
}

impl Outcome {
    /// For a race that an arm won, when none of them has a result: which cannot be.
    #[doc(hidden)]
    pub fn never(self) -> ! {
        std::process::abort()
    }
}

impl From<Won> for Outcome {
    fn from(won: Won) -> Self {
        match won {
            Won::Arm(_) => Self::Arm,
            Won::TimedOut => Self::TimedOut,
            Won::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Option<Won>> for Outcome {
    fn from(won: Option<Won>) -> Self {
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
    pub fn wait(mut self) -> Won {
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
            if let Some(won) = self.look() {
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
    pub fn try_now(self) -> Option<Won> {
        if let Some(stop) = self.limit.stop_before() {
            return Some(self.stopped(stop));
        }
        pass(self.arms, self.biased).map(Won::Arm)
    }

    /// What can be said before anything is linked.
    #[inline]
    fn start(&self) -> Option<Won> {
        if let Some(stop) = self.limit.stop_before() {
            return Some(self.stopped(stop));
        }
        if let Some(arm) = pass(self.arms, self.biased) {
            return Some(Won::Arm(arm));
        }
        self.limit.stop_now().map(|stop| self.stopped(stop))
    }

    /// Links every arm, unless one can happen after all.
    fn link(&mut self, wake: Wake) -> Option<Won> {
        // SAFETY: nobody knows the claim yet. It stays where it is while nodes lead to it: the race
        // is pinned, or in the frame of `wait`, and unlinks them before it goes.
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
            return Some(Won::Arm(at));
        }
        // SAFETY: claim and limit stay where they are until the race has left the token.
        if unsafe { self.limit.join(claim) } {
            return Some(self.give_up(Stop::Cancelled));
        }
        None
    }

    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `link`.
        unsafe { &*self.claim.get().cast::<Claim>() }
    }

    /// What a linked race has come to.
    fn look(&mut self) -> Option<Won> {
        if let Some(outcome) = self.claim().outcome() {
            self.limit.leave();
            let matched = match outcome {
                waiter::Outcome::Matched(case) | waiter::Outcome::Closed(case) => {
                    Some(case as usize)
                }
                waiter::Outcome::Cancelled => None,
            };
            self.unlink(matched);
            return Some(self.ended(outcome));
        }
        self.limit.stop_late().map(|stop| self.give_up(stop))
    }

    /// Ends the wait, unless somebody was faster.
    fn give_up(&mut self, stop: Stop) -> Won {
        match self.withdraw() {
            Some(outcome) => self.ended(outcome),
            None => self.stopped(stop),
        }
    }

    /// Unlinks everything; then nobody else has a hold of the claim. Says how the wait had ended.
    fn withdraw(&mut self) -> Option<waiter::Outcome> {
        self.limit.leave();
        self.unlink(None);
        let outcome = self.claim().outcome();
        if outcome.is_none() {
            // SAFETY: every node is unlinked and nobody has ended the wait.
            unsafe { self.claim().retire() };
        }
        outcome
    }

    /// Unlinks every arm but one that is known not to be linked.
    fn unlink(&mut self, except: Option<usize>) {
        self.linked = false;
        for (at, arm) in self.arms.iter().enumerate() {
            if Some(at) != except && arm.0.is_ready() {
                // SAFETY: it was linked by `link`.
                unsafe { arm.0.unlink() };
            }
        }
    }

    fn ended(&self, outcome: waiter::Outcome) -> Won {
        match outcome {
            waiter::Outcome::Matched(case) => {
                if let Some(arm) = self.arms.get(case as usize) {
                    arm.0.matched();
                }
                Won::Arm(case as usize)
            }
            waiter::Outcome::Closed(case) => {
                if let Some(arm) = self.arms.get(case as usize) {
                    arm.0.closed();
                }
                Won::Arm(case as usize)
            }
            waiter::Outcome::Cancelled => self.stopped(Stop::Cancelled),
        }
    }

    /// A select that gives up is a failure of nobody's: its arms leave no trace.
    fn stopped(&self, stop: Stop) -> Won {
        match stop {
            Stop::TimedOut => Won::TimedOut,
            Stop::Cancelled => Won::Cancelled,
        }
    }

    fn poll_inner(&mut self, waker: &Waker) -> Poll<Won> {
        if self.linked {
            if let Some(won) = self.look() {
                return Poll::Ready(won);
            }
            // SAFETY: we are the owner.
            if !unsafe { self.claim().wakes(waker) } {
                self.rewake(waker);
                // Who was faster has woken the other task.
                if let Some(won) = self.look() {
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

    /// Another task polls it from now on.
    #[cold]
    fn rewake(&mut self, waker: &Waker) {
        // A waker's clone and drop are code of the user's: not under the locks.
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
    type Output = Won;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Won> {
        // SAFETY: nothing is moved out of it.
        unsafe { self.get_unchecked_mut() }.poll_inner(context.waker())
    }
}

impl<L: Limit> Drop for Race<'_, L> {
    fn drop(&mut self) {
        if self.linked
            && let Some(outcome) = self.withdraw()
        {
            // The arm gives back what it was handed, when it is dropped.
            self.ended(outcome);
        }
    }
}

/// The arms in the order of one round: from a start on, and round.
#[inline]
fn round<'x>(arms: &'x [ArmRef<'_>], biased: bool) -> impl Iterator<Item = (usize, &'x dyn Arm)> {
    let start = if biased || arms.len() < 2 { 0 } else { fastrand::usize(..arms.len()) };
    let (before, from) = arms.split_at_checked(start).unwrap_or((arms, &[]));
    let from = from.iter().enumerate().map(move |(at, arm)| (start + at, arm.arm()));
    from.chain(before.iter().enumerate().map(|(at, arm)| (at, arm.arm())))
}

/// Makes the first arm happen that can.
#[inline]
pub(super) fn pass(arms: &[ArmRef<'_>], biased: bool) -> Option<usize> {
    round(arms, biased)
        .find(|(_, arm)| arm.may() && arm.is_ready() && arm.attempt() != Tried::Blocked)
        .map(|(at, _)| at)
}

/// Under the locks of all channels, makes the first arm happen that can; if none can, links them all,
/// and calls `linked` before it lets go.
///
/// The claim stays where it is until every arm is unlinked.
pub(super) fn link_under_locks(
    arms: &[ArmRef<'_>],
    claim: *const Claim,
    linked: impl FnOnce(),
) -> Option<usize> {
    let mut wakes = Wakes::new();
    let locks = Locks::take(arms);
    let mut won = None;
    let mut busy = false;
    for (at, arm) in arms.iter().map(ArmRef::arm).enumerate().filter(|(_, arm)| arm.is_ready()) {
        // SAFETY: `locks` holds them all.
        match unsafe { arm.attempt_held(&mut wakes) } {
            Locked::Done | Locked::Closed => {
                won = Some(at);
                break;
            }
            Locked::Busy => busy = true,
            Locked::Blocked => {}
        }
    }
    if won.is_none() {
        // Not before all were tried: a select must not meet itself.
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
                unsafe { arm.settle_held(&mut wakes) };
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
