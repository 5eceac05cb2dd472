// SPDX-License-Identifier: BSD-3-Clause
//! An operation is a value: created by a handle, given its limits, and driven by its creator.
//!
//! ```text
//!   tx.send(v)      .timeout(d)        .await      a task waits
//!   rx.recv()       .deadline(t)       .wait()     a thread or a coroutine waits
//!                   .cancel_on(&tok)
//! ```
//!
//! An operation is an [`Action`] (what it does: a send, a receive, a batch, a select, a wait for a
//! token), its limits, and a stage. This module drives all of them:
//!
//! ```text
//!            fast, slow                     link
//!   NEW ──────────────────► blocked ─────────────────► LINKED ── park, until the claim has ended
//!    │   done, closed            ▲                        │
//!    ▼                           └── only woken ──────────┤
//!   OVER ◄────────────────────────────────────────────────┘
//!                                   matched, closed, a limit, dropped: unlink
//! ```
//!
//! An action first tries without waiting. If that fails, the driver spins where that pays, links the
//! action's nodes into the wait queues and a second node into the token's, sets a timer, and waits
//! on the one claim. Whatever ends the wait, every node is unlinked before the result is returned.
//!
//! # Dropping
//!
//! An operation that is dropped before it completed leaves no trace: its nodes are unlinked, and
//! its action decides what becomes of a value ([`crate::transfer`]).
//!
//! # Safety
//!
//! The nodes are in the operation, in its waiter or its action, and the wait queues point to them.
//! The operation is pinned from its first poll on (`Future`), or lives in the frame of
//! [`Operation::wait`], and its drop unlinks them. It is not `Unpin`. What matchers write is behind
//! cells and raw pointers.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::limit::{Limit, Limits, NoLimits, StopReason};
use crate::park::{self, Park};
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, WaitOutcome, Waiter, Wake};

/// What drives an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    Thread,
    Coroutine,
    Task,
}

/// The result of an attempt to wait.
pub(crate) enum Linked<O> {
    /// The nodes are linked.
    Waiting,
    /// Nothing is linked; the operation completed, or failed.
    Ended(O),
    /// Nothing is linked, and another attempt may succeed.
    Again,
}

/// What an operation does. Sealed.
pub trait Action: sealed::Action {}

impl<A: sealed::Action> Action for A {}

pub(crate) mod sealed {
    use super::{Driver, Linked, StopReason, WaitOutcome, Waiter, Wake};
    use crate::waiter::Claim;

    /// What the driver needs of an action.
    #[allow(private_bounds, private_interfaces, reason = "sealed")]
    pub trait Action {
        /// The result of the operation.
        type Output;

        /// Whether a thread spins for the outcome after it has linked the action.
        const SPINS_LINKED: bool = true;
        /// Whether [`rewake`](Self::rewake) keeps its position in the wait queues.
        const REWAKES: bool = true;

        /// Completes by the fast path. `None`: nothing happened, and [`slow`](Self::slow) has to be
        /// tried.
        fn fast(&mut self, driver: Driver) -> Option<Self::Output>;
        /// Completes without waiting, after the fast path did nothing. `None`: blocked.
        fn slow(&mut self, _: Driver) -> Option<Self::Output> {
            None
        }

        /// Spins before the action is linked, where that may help. True: an attempt may succeed.
        fn spin(&mut self, _: Driver) -> bool {
            false
        }

        /// Links the action's nodes, to a claim with this wake, unless it can complete after all.
        /// `shared`: a token leads to the claim too.
        ///
        /// # Safety
        ///
        /// The action is not linked. Once it is, action and waiter stay where they are until it is
        /// unlinked.
        unsafe fn link(
            &mut self,
            waiter: &Waiter,
            shared: bool,
            wake: impl Fn() -> Wake,
        ) -> Linked<Self::Output>;

        /// The claim that its nodes lead to.
        ///
        /// # Safety
        ///
        /// The action was linked with this waiter, as for the methods that follow.
        #[inline]
        unsafe fn claim<'w>(&'w self, waiter: &'w Waiter) -> &'w Claim {
            // SAFETY: the caller's promise.
            unsafe { waiter.claim() }
        }

        /// Unlinks every node; then no other thread can reach the claim. Returns how the wait had
        /// ended, if it had.
        ///
        /// # Safety
        ///
        /// The action is linked, and its token's node is not.
        unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome>;

        /// The result after a matcher or a close has ended the wait. `None`: the action was only
        /// woken, and tries again. Afterwards it is not linked.
        ///
        /// # Safety
        ///
        /// The action was linked, and its wait has ended like this.
        unsafe fn ended(&mut self, waiter: &Waiter, outcome: WaitOutcome) -> Option<Self::Output>;

        /// Replaces the wake, under the locks of the wait queues, and returns the one that is not
        /// needed. Called only if [`REWAKES`](Self::REWAKES).
        ///
        /// # Safety
        ///
        /// The action is linked, and the caller holds the token's lock.
        unsafe fn rewake(&mut self, _: &Waiter, wake: Wake) -> Option<Wake> {
            Some(wake)
        }

        /// The result of an operation that was stopped by a limit. The action is not linked.
        fn stopped(&mut self, stop: StopReason) -> Self::Output;

        /// The operation is dropped before it returned a result. The action is not linked;
        /// `ended`: how its wait had ended by then.
        fn dropped(&mut self, waiter: &Waiter, ended: Option<WaitOutcome>);
    }
}

/// An action with its limits, as a value. Drive it with `.await` or [`wait`](Self::wait); until
/// then it does nothing.
///
/// **Cancel safe**: dropped before it completed, it has moved no value and leaves no trace. (A batch
/// may have moved a part of its values.)
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Operation<A: Action, L: Limit = NoLimits> {
    action: A,
    stage: Stage,
    limit: L,
    watch: L::Watch,
    waiter: Waiter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not driven, or not linked.
    New,
    /// The action is linked, and the limits may be joined.
    Linked,
    /// Completed or failed.
    Over,
}

// SAFETY: nothing can be done through a shared reference.
unsafe impl<A: Action + Send, L: Limit> Sync for Operation<A, L> {}

impl<A: Action> Operation<A, NoLimits> {
    #[inline]
    pub(crate) fn new(action: A) -> Self {
        Self::with(action, NoLimits)
    }
}

impl<A: Action, L: Limit> Operation<A, L> {
    #[inline]
    pub(crate) fn with(action: A, limit: L) -> Self {
        let (watch, waiter) = (L::Watch::default(), Waiter::new());
        Self { action, stage: Stage::New, limit, watch, waiter }
    }

    /// The action and the limits of an operation that was not driven.
    #[inline]
    pub(crate) fn into_parts(self) -> (A, L) {
        let this = ManuallyDrop::new(self);
        // SAFETY: it is read once, out of an operation that is not dropped. The watch is in its
        // initial state, which needs no drop.
        (unsafe { (&raw const this.action).read() }, this.limit)
    }

    #[inline]
    fn limited<'t>(self, add: impl FnOnce(Limits<'t>) -> Limits<'t>) -> Operation<A, Limits<'t>>
    where
        L: Into<Limits<'t>>,
    {
        let (action, limit) = self.into_parts();
        Operation::with(action, add(limit.into()))
    }

    /// Fails with a timeout `duration` from now; the earlier of two deadlines holds. A duration
    /// beyond a century is taken as one.
    pub fn timeout<'t>(self, duration: Duration) -> Operation<A, Limits<'t>>
    where
        L: Into<Limits<'t>>,
    {
        self.limited(|limits| limits.timeout(duration))
    }

    /// Fails with a timeout at `deadline`; the earlier of two deadlines holds. An operation that
    /// can complete at once does, even if the deadline has passed.
    pub fn deadline<'t>(self, deadline: Instant) -> Operation<A, Limits<'t>>
    where
        L: Into<Limits<'t>>,
    {
        self.limited(|limits| limits.deadline(deadline))
    }

    /// Fails when `token` is cancelled; a second call replaces the token. A cancelled token wins
    /// over a channel that is ready.
    pub fn cancel_on<'t>(self, token: &'t Token) -> Operation<A, Limits<'t>>
    where
        L: Into<Limits<'t>>,
    {
        self.limited(|limits| limits.cancel_on(token))
    }

    /// Adds the deadline and the token of `limits`, as [`deadline`](Self::deadline) and
    /// [`cancel_on`](Self::cancel_on) do.
    pub fn limits<'t>(self, limits: Limits<'t>) -> Operation<A, Limits<'t>>
    where
        L: Into<Limits<'t>>,
    {
        self.limited(|own| {
            let own = limits.until().map_or(own, |at| own.deadline(at));
            limits.token().map_or(own, |token| own.cancel_on(token))
        })
    }

    /// Completes without waiting, or returns the operation as it was. (A batch may have moved a part
    /// of its values.)
    ///
    /// # Errors
    ///
    /// The operation, which would have to wait. That counts as no failure.
    #[inline]
    pub fn now(self) -> Result<A::Output, Self> {
        let (mut action, limit) = self.into_parts();
        if limit.stop_before().is_none()
            && let Some(output) = action.fast(Driver::Task)
        {
            return Ok(output);
        }
        Self::with(action, limit).now_slow()
    }

    #[inline(never)]
    fn now_slow(mut self) -> Result<A::Output, Self> {
        if let Some(stop) = self.limit.stop_before() {
            return Ok(self.stopped(stop));
        }
        match self.action.slow(Driver::Task) {
            Some(output) => Ok(self.over(output)),
            None => Err(self),
        }
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which is parked through its
    /// scheduler's hook ([`park::set_hook`](crate::park::set_hook)).
    ///
    /// A thread first spins for a short time; how long depends on how often spinning has succeeded
    /// in this process lately.
    // Always inlined: a coroutine that has waited returns through one frame less.
    #[inline(always)]
    pub fn wait(self) -> A::Output {
        let (mut action, limit) = self.into_parts();
        if limit.stop_before().is_none()
            && let Some(output) = action.fast(Driver::Thread)
        {
            return output;
        }
        Self::wait_slow(action, limit)
    }

    /// Goes on with an operation, whose drop handles the value if user code panics.
    ///
    /// A coroutine parks in this frame, in a function that all of them share, and not below further
    /// functions of its own: where another coroutine has run meanwhile, the CPU's predictor of
    /// returns has that one's addresses, and each return to a different one costs as much as the
    /// switch.
    #[inline(never)]
    fn wait_slow(action: A, limit: L) -> A::Output {
        let mut this = Self::with(action, limit);
        if let Some(stop) = this.limit.stop_before() {
            return this.stopped(stop);
        }
        if let Some(output) = this.action.slow(Driver::Thread) {
            return this.over(output);
        }
        let Some(hook) = park::hook() else { return this.wait_as_thread() };
        let wake = || Wake::Flow(hook.unparker());
        loop {
            if let Some(output) = this.link(Driver::Coroutine, wake) {
                return output;
            }
            loop {
                // SAFETY: linked.
                let claim = unsafe { this.claim() };
                park_coroutine(hook, claim, this.limit.deadline_at());
                if let Some(outcome) = claim.outcome() {
                    match this.ended(outcome) {
                        Some(output) => return output,
                        None => break,
                    }
                }
                if let Some(stop) = this.limit.stop_late() {
                    return this.given_up(stop, Driver::Coroutine);
                }
            }
            if let Some(output) = this.attempt(Driver::Coroutine) {
                return output;
            }
        }
    }

    #[inline(never)]
    fn wait_as_thread(&mut self) -> A::Output {
        let driver = Driver::Thread;
        loop {
            if let Some(output) = self.link(driver, || Wake::Thread) {
                return output;
            }
            if A::SPINS_LINKED {
                // SAFETY: linked by the line above.
                spin::for_claim(|| unsafe { self.claim() }.outcome().is_some());
            }
            if let Some(output) = self.sleep() {
                return output;
            }
            if let Some(output) = self.attempt(driver) {
                return output;
            }
        }
    }

    /// Sleeps until the wait has ended. `None`: it was only woken.
    #[inline]
    fn sleep(&mut self) -> Option<A::Output> {
        loop {
            // SAFETY: linked.
            if let Some(outcome) = unsafe { self.claim() }.outcome() {
                return self.ended(outcome);
            }
            if let Some(stop) = self.limit.stop_late() {
                return Some(self.given_up(stop, Driver::Thread));
            }
            // SAFETY: linked.
            unsafe { self.claim() }.park_thread(self.limit.deadline_at());
        }
    }

    #[inline]
    fn attempt(&mut self, driver: Driver) -> Option<A::Output> {
        let output = self.action.fast(driver).or_else(|| self.action.slow(driver))?;
        Some(self.over(output))
    }

    /// Links the action, after an attempt that was blocked. `Some`: it ended before it had to wait.
    #[inline(always)]
    fn link(&mut self, driver: Driver, wake: impl Fn() -> Wake) -> Option<A::Output> {
        loop {
            if let Some(stop) = self.limit.stop_now() {
                return Some(self.stopped(stop));
            }
            if self.action.spin(driver)
                && let Some(output) = self.attempt(driver)
            {
                return Some(output);
            }
            // SAFETY: it is not linked. It is pinned, or in the frame of `wait`, and is unlinked
            // before it is dropped.
            match unsafe { self.action.link(&self.waiter, self.limit.has_token(), &wake) } {
                Linked::Waiting => break,
                Linked::Ended(output) => return Some(self.over(output)),
                Linked::Again => {}
            }
            if let Some(output) = self.attempt(driver) {
                return Some(output);
            }
        }
        self.stage = Stage::Linked;
        // SAFETY: linked; claim and watch stay where they are until the limits were left.
        let cancelled = unsafe {
            let claim = std::ptr::from_ref(self.claim());
            self.limit.join(&mut self.watch, claim)
        };
        cancelled.then(|| self.given_up(StopReason::Cancelled, driver))
    }

    /// # Safety
    ///
    /// The action was linked.
    #[inline]
    unsafe fn claim(&self) -> &Claim {
        // SAFETY: the caller's promise.
        unsafe { self.action.claim(&self.waiter) }
    }

    /// The wait was ended by a matcher, a close or the token. `None`: the action was only woken.
    #[inline]
    fn ended(&mut self, outcome: WaitOutcome) -> Option<A::Output> {
        self.limit.leave(&mut self.watch);
        self.stage = Stage::Over;
        // SAFETY: linked, and the wait has ended like this.
        let output = unsafe {
            if outcome == WaitOutcome::Cancelled {
                self.action.unlink(&self.waiter);
                return Some(self.stopped(StopReason::Cancelled));
            }
            self.action.ended(&self.waiter, outcome)
        };
        if output.is_none() {
            self.stage = Stage::New;
        }
        output
    }

    /// Ends the wait for a limit, unless a matcher, a close or the token was faster.
    #[cold]
    fn given_up(&mut self, stop: StopReason, driver: Driver) -> A::Output {
        let output = match self.unlink() {
            None | Some(WaitOutcome::Cancelled) => None,
            // SAFETY: it was linked, and the wait had ended like this.
            Some(outcome) => match unsafe { self.action.ended(&self.waiter, outcome) } {
                Some(output) => Some(self.over(output)),
                None => self.attempt(driver),
            },
        };
        output.unwrap_or_else(|| self.stopped(stop))
    }

    /// Leaves the limits and unlinks the action. Returns how the wait had ended, if it had.
    fn unlink(&mut self) -> Option<WaitOutcome> {
        self.limit.leave(&mut self.watch);
        self.stage = Stage::New;
        // SAFETY: linked, and the token's node is not any more.
        unsafe { self.action.unlink(&self.waiter) }
    }

    #[inline]
    fn over(&mut self, output: A::Output) -> A::Output {
        self.stage = Stage::Over;
        output
    }

    #[cold]
    fn stopped(&mut self, stop: StopReason) -> A::Output {
        self.stage = Stage::Over;
        self.action.stopped(stop)
    }

    #[inline(always)]
    fn poll_inner(&mut self, waker: &Waker) -> Poll<A::Output> {
        match self.stage {
            Stage::New => {
                if let Some(stop) = self.limit.stop_before() {
                    return Poll::Ready(self.stopped(stop));
                }
                if let Some(output) = self.action.fast(Driver::Task) {
                    return Poll::Ready(self.over(output));
                }
                self.poll_slow(waker)
            }
            Stage::Linked => self.poll_linked(waker),
            // Polled again after it returned ready.
            Stage::Over => Poll::Pending,
        }
    }

    #[inline(never)]
    fn poll_slow(&mut self, waker: &Waker) -> Poll<A::Output> {
        if let Some(output) = self.action.slow(Driver::Task) {
            return Poll::Ready(self.over(output));
        }
        if let Some(output) = self.link(Driver::Task, || Wake::Task(waker.clone())) {
            return Poll::Ready(output);
        }
        self.limit.set_timer(&mut self.watch, waker);
        Poll::Pending
    }

    /// A match, the usual outcome, is seen without a call.
    #[inline]
    fn poll_linked(&mut self, waker: &Waker) -> Poll<A::Output> {
        // SAFETY: linked.
        if let Some(matched @ WaitOutcome::Matched(_)) = unsafe { self.claim() }.outcome()
            && let Some(output) = self.ended(matched)
        {
            return Poll::Ready(output);
        }
        self.poll_unmatched(waker)
    }

    /// It waits, was ended in another way, or was only woken.
    #[inline(never)]
    fn poll_unmatched(&mut self, waker: &Waker) -> Poll<A::Output> {
        if self.stage == Stage::Linked {
            // SAFETY: linked.
            let mut outcome = unsafe { self.claim() }.outcome();
            if outcome.is_none() {
                if let Some(stop) = self.limit.stop_late() {
                    return Poll::Ready(self.given_up(stop, Driver::Task));
                }
                // SAFETY: linked, and we are the owner.
                if unsafe { self.claim().wakes(waker) } {
                    self.limit.keep_timer(&mut self.watch, waker);
                    return Poll::Pending;
                }
                // A matcher that was faster has woken the previous task.
                outcome = self.rewake(waker);
                if outcome.is_none() && self.stage == Stage::Linked {
                    self.limit.set_timer(&mut self.watch, waker);
                    return Poll::Pending;
                }
            }
            if let Some(output) = outcome.and_then(|outcome| self.ended(outcome)) {
                return Poll::Ready(output);
            }
        }
        match self.action.fast(Driver::Task) {
            Some(output) => Poll::Ready(self.over(output)),
            None => self.poll_slow(waker),
        }
    }

    /// Another task polls the operation from now on: replaces the wake, or unlinks the action, which
    /// then is linked anew. Returns how the wait has ended, if it has.
    #[cold]
    fn rewake(&mut self, waker: &Waker) -> Option<WaitOutcome> {
        if !A::REWAKES {
            return self.unlink();
        }
        // A waker's clone and drop are user code: not under the locks.
        let wake = Wake::Task(waker.clone());
        let token = self.limit.lock_token();
        // SAFETY: linked, and the token's lock is held.
        let old = unsafe { self.action.rewake(&self.waiter, wake) };
        drop(token);
        drop(old);
        // SAFETY: linked.
        unsafe { self.claim() }.outcome()
    }

    /// Ends an operation that has no result. Returns how its wait had ended.
    pub(crate) fn end(&mut self) -> Option<WaitOutcome> {
        let ended = if self.stage == Stage::Linked { self.unlink() } else { None };
        self.stage = Stage::Over;
        ended
    }

    /// Whether it has a result, or was ended.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The action, and the waiter that it was linked with.
    pub(crate) fn parts(&mut self) -> (&mut A, &Waiter) {
        (&mut self.action, &self.waiter)
    }

    #[cold]
    fn drop_unfinished(&mut self) {
        let ended = self.end();
        self.action.dropped(&self.waiter, ended);
    }
}

/// Parks the calling coroutine until the wait has ended or the deadline has passed. May return early.
/// One function for all operations: see [`Operation::wait_slow`].
#[inline(never)]
fn park_coroutine(hook: &'static dyn Park, claim: &Claim, deadline: Option<Instant>) {
    if claim.outcome().is_none() {
        hook.park(deadline);
    }
}

impl<A: Action, L: Limit> Future for Operation<A, L> {
    type Output = A::Output;

    // Always inlined: an await that completes at once, or finds its match, makes no call.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of the pinned operation except an action's value, and at that
        // point no queue holds the value's address any more.
        unsafe { self.get_unchecked_mut() }.poll_inner(context.waker())
    }
}

impl<A: Action, L: Limit> Drop for Operation<A, L> {
    #[inline]
    fn drop(&mut self) {
        if self.stage != Stage::Over {
            self.drop_unfinished();
        }
    }
}
