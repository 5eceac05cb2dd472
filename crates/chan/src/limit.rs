// SPDX-License-Identifier: BSD-3-Clause
//! What may end an operation before it completes: a deadline, a cancel token.
//!
//! An operation without limits has the type parameter [`NoLimits`], and stores and checks nothing.

use std::cell::UnsafeCell;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::park;
use crate::timer::{self, WakeTimer};
use crate::token::{Token, TokenGuard};
use crate::waiter::{Claim, Node};

/// Why an operation was stopped by its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    TimedOut,
    Cancelled,
}

/// The limits of an operation: [`NoLimits`] or [`Limits`]. Sealed.
pub trait Limit: sealed::Limit {}

impl<L: sealed::Limit> Limit for L {}

/// No limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLimits;

/// A deadline, a token, or both.
#[derive(Default)]
pub struct Limits<'a> {
    deadline: Option<Instant>,
    token: Option<&'a Token>,
    /// Initialised by [`join`](sealed::Limit::join).
    node: Place,
    joined: bool,
    timer: Option<WakeTimer>,
}

#[derive(Debug)]
struct Place(
    UnsafeCell<MaybeUninit<Node>>,
    /// The token's wait queue leads to it: an exclusive reference to its owner must not claim it.
    PhantomPinned,
);

impl Default for Place {
    fn default() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()), PhantomPinned)
    }
}

// SAFETY: the node is touched under the token's lock only, and by the owner before and after.
unsafe impl Send for Place {}

/// [`Limits`] with neither a deadline nor a token.
#[doc(hidden)]
#[must_use]
pub fn none<'a>() -> Limits<'a> {
    Limits::default()
}

#[doc(hidden)]
#[allow(missing_docs, reason = "for `select!`")]
impl<'a> Limits<'a> {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn timeout(self, duration: Duration) -> Self {
        self.deadline(timer::after(duration))
    }

    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self
    }

    #[must_use]
    pub fn cancel_on(mut self, token: &'a Token) -> Self {
        self.token = Some(token);
        self
    }
}

pub(crate) mod sealed {
    use super::{Claim, Instant, StopReason, TokenGuard, Waker, park};

    /// What the driver of an operation needs of its limits.
    #[allow(private_interfaces, reason = "sealed")]
    pub trait Limit {
        /// Before the first attempt: a cancelled token wins over a ready channel.
        fn stop_before(&self) -> Option<StopReason>;
        /// Before the first wait: the attempt did not succeed.
        fn stop_now(&self) -> Option<StopReason>;
        fn has_token(&self) -> bool;
        fn deadline_at(&self) -> Option<Instant>;
        /// Registers the claim with the token. True: the token is cancelled.
        ///
        /// # Safety
        ///
        /// The claim and these limits stay where they are until [`Self::leave`].
        unsafe fn join(&mut self, claim: *const Claim) -> bool;
        /// Unregisters the claim, and cancels the timer.
        fn leave(&mut self);
        /// Sets a timer that wakes a task at the deadline.
        fn set_timer(&mut self, waker: &Waker);
        /// Sets the timer if that was not possible before.
        fn keep_timer(&mut self, waker: &Waker);
        fn lock_token(&self) -> Option<TokenGuard<'_>>;

        /// After a wake without an outcome. (A cancelled token is an outcome of its own.)
        fn stop_late(&self) -> Option<StopReason> {
            self.deadline_at().is_some_and(|at| park::now() >= at).then_some(StopReason::TimedOut)
        }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Limit for NoLimits {
    #[inline]
    fn stop_before(&self) -> Option<StopReason> {
        None
    }

    #[inline]
    fn stop_now(&self) -> Option<StopReason> {
        None
    }

    #[inline]
    fn has_token(&self) -> bool {
        false
    }

    #[inline]
    fn deadline_at(&self) -> Option<Instant> {
        None
    }

    #[inline]
    unsafe fn join(&mut self, _: *const Claim) -> bool {
        false
    }

    #[inline]
    fn leave(&mut self) {}

    #[inline]
    fn set_timer(&mut self, _: &Waker) {}

    #[inline]
    fn keep_timer(&mut self, _: &Waker) {}

    #[inline]
    fn lock_token(&self) -> Option<TokenGuard<'_>> {
        None
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Limit for Limits<'_> {
    #[inline]
    fn stop_before(&self) -> Option<StopReason> {
        self.token.is_some_and(Token::is_cancelled).then_some(StopReason::Cancelled)
    }

    fn stop_now(&self) -> Option<StopReason> {
        self.stop_before().or_else(|| self.stop_late())
    }

    fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn deadline_at(&self) -> Option<Instant> {
        self.deadline
    }

    unsafe fn join(&mut self, claim: *const Claim) -> bool {
        let Some(token) = self.token else {
            return false;
        };
        let node = self.node.0.get().cast::<Node>();
        // SAFETY: the node is not shared yet; the caller's promise.
        unsafe {
            node.write(Node::new(claim, 0, std::ptr::null_mut()));
            self.joined = token.register(node);
        }
        !self.joined
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.joined)
            && let Some(token) = self.token
        {
            // SAFETY: the node was registered with this token, and is alive.
            unsafe { token.unregister(self.node.0.get().cast()) };
        }
        self.timer = None;
    }

    fn set_timer(&mut self, waker: &Waker) {
        if let Some(deadline) = self.deadline {
            self.timer = Some(timer::wake_at(deadline, waker.clone()));
        }
    }

    fn keep_timer(&mut self, waker: &Waker) {
        if self.timer.as_ref().is_some_and(|timer| !timer.is_set()) {
            self.set_timer(waker);
        }
    }

    fn lock_token(&self) -> Option<TokenGuard<'_>> {
        self.token.map(Token::lock)
    }
}
