// SPDX-License-Identifier: BSD-3-Clause
//! What may end an operation before it happened: a deadline, a token.
//!
//! An operation without limits has the type parameter [`Free`], and carries and checks nothing.

use std::cell::UnsafeCell;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::park;
use crate::timer::{self, WakeTimer};
use crate::token::{Token, TokenGuard};
use crate::waiter::{Claim, Node};

/// Why an operation gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    TimedOut,
    Cancelled,
}

/// The limits of an operation: [`Free`] or [`Limited`]. Sealed.
pub trait Limit: sealed::Limit {}

impl<L: sealed::Limit> Limit for L {}

/// No limits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Free;

/// A deadline, a token, or both.
#[derive(Default)]
pub struct Limited<'a> {
    deadline: Option<Instant>,
    token: Option<&'a Token>,
    /// Initialised once joined.
    node: Place,
    joined: bool,
    timer: Option<WakeTimer>,
}

#[derive(Debug)]
struct Place(
    UnsafeCell<MaybeUninit<Node>>,
    /// The token's list leads to it: an exclusive reference to what holds it must not claim it.
    PhantomPinned,
);

impl Default for Place {
    fn default() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()), PhantomPinned)
    }
}

// SAFETY: the node is touched under the token's lock only, and by the owner before and after.
unsafe impl Send for Place {}

/// Limits that limit nothing yet.
#[doc(hidden)]
#[must_use]
pub fn none<'a>() -> Limited<'a> {
    Limited::default()
}

#[doc(hidden)]
#[allow(missing_docs, reason = "for `select!`")]
impl<'a> Limited<'a> {
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
    use super::{Claim, Instant, Stop, TokenGuard, Waker, park};

    /// What the driver of an operation asks its limits.
    #[allow(private_interfaces, reason = "sealed")]
    pub trait Limit {
        /// Before anything is tried: a set token wins over a ready channel.
        fn stop_before(&self) -> Option<Stop>;
        /// Before the first wait: nothing was ready.
        fn stop_now(&self) -> Option<Stop>;
        fn has_token(&self) -> bool;
        fn deadline_at(&self) -> Option<Instant>;
        /// Registers the claim with the token. True: it is set.
        ///
        /// # Safety
        ///
        /// The claim and these limits stay where they are until [`Self::leave`].
        unsafe fn join(&mut self, claim: *const Claim) -> bool;
        /// Takes it out again, and the timer back.
        fn leave(&mut self);
        /// Wakes a task at the deadline.
        fn set_timer(&mut self, waker: &Waker);
        /// The same, if that could not be done before.
        fn keep_timer(&mut self, waker: &Waker);
        fn lock_token(&self) -> Option<TokenGuard<'_>>;

        /// After a wake without an outcome. (A token says so by an outcome.)
        fn stop_late(&self) -> Option<Stop> {
            self.deadline_at().is_some_and(|at| park::now() >= at).then_some(Stop::TimedOut)
        }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Limit for Free {
    #[inline]
    fn stop_before(&self) -> Option<Stop> {
        None
    }

    #[inline]
    fn stop_now(&self) -> Option<Stop> {
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
impl sealed::Limit for Limited<'_> {
    #[inline]
    fn stop_before(&self) -> Option<Stop> {
        self.token.is_some_and(Token::is_cancelled).then_some(Stop::Cancelled)
    }

    fn stop_now(&self) -> Option<Stop> {
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
        // SAFETY: nobody knows the node yet; the caller's promise.
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
