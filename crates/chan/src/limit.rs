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

/// A deadline, a token, both or neither, as a value: for operations that are made of others. See
/// [`Operation::limits`](crate::Operation::limits).
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    deadline: Option<Instant>,
    token: Option<&'a Token>,
}

impl<'a> Limits<'a> {
    /// Neither a deadline nor a token.
    #[must_use]
    pub const fn none() -> Self {
        Self { deadline: None, token: None }
    }

    /// A deadline `duration` from now, by the clock of the calling thread or coroutine; the earlier
    /// of two deadlines holds. A duration beyond a century is taken as one.
    #[must_use]
    pub fn timeout(self, duration: Duration) -> Self {
        self.deadline(timer::after(duration))
    }

    /// A deadline; the earlier of two holds.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
        self
    }

    /// A token; it replaces an earlier one.
    #[must_use]
    pub const fn cancel_on(mut self, token: &'a Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The deadline.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        self.deadline
    }

    /// The token.
    #[must_use]
    pub const fn token(&self) -> Option<&'a Token> {
        self.token
    }

    /// Whether the token is cancelled.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_some_and(Token::is_cancelled)
    }
}

impl From<NoLimits> for Limits<'_> {
    #[inline]
    fn from(NoLimits: NoLimits) -> Self {
        Self::none()
    }
}

/// What a wait with limits needs: a node for the token, a timer.
#[derive(Default)]
#[doc(hidden)]
pub struct Watch {
    node: TokenNode,
    joined: bool,
    timer: Option<WakeTimer>,
}

/// Initialised by [`join`](sealed::Limit::join).
struct TokenNode(
    UnsafeCell<MaybeUninit<Node>>,
    /// The token's wait queue leads to it: an exclusive reference to its owner must not claim it.
    PhantomPinned,
);

impl Default for TokenNode {
    fn default() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()), PhantomPinned)
    }
}

// SAFETY: the node is touched under the token's lock only, and by the owner before and after.
unsafe impl Send for TokenNode {}

pub(crate) mod sealed {
    use super::{Claim, Instant, StopReason, TokenGuard, Waker, park};

    /// What the driver of an operation needs of its limits.
    #[allow(private_interfaces, reason = "sealed")]
    pub trait Limit: Copy {
        /// The state of a wait.
        type Watch: Default;

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
        /// The claim and the watch stay where they are until [`Self::leave`].
        unsafe fn join(&self, watch: &mut Self::Watch, claim: *const Claim) -> bool;
        /// Unregisters the claim, and cancels the timer.
        fn leave(&self, watch: &mut Self::Watch);
        /// Sets a timer that wakes a task at the deadline.
        fn set_timer(&self, watch: &mut Self::Watch, waker: &Waker);
        /// Sets the timer again if the last attempt to set it failed.
        fn keep_timer(&self, watch: &mut Self::Watch, waker: &Waker);
        fn lock_token(&self) -> Option<TokenGuard<'_>>;

        /// After a wake without an outcome. (A cancelled token is an outcome of its own.)
        fn stop_late(&self) -> Option<StopReason> {
            self.deadline_at().is_some_and(|at| park::now() >= at).then_some(StopReason::TimedOut)
        }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Limit for NoLimits {
    type Watch = ();

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
    unsafe fn join(&self, (): &mut (), _: *const Claim) -> bool {
        false
    }

    #[inline]
    fn leave(&self, (): &mut ()) {}

    #[inline]
    fn set_timer(&self, (): &mut (), _: &Waker) {}

    #[inline]
    fn keep_timer(&self, (): &mut (), _: &Waker) {}

    #[inline]
    fn lock_token(&self) -> Option<TokenGuard<'_>> {
        None
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Limit for Limits<'_> {
    type Watch = Watch;

    #[inline]
    fn stop_before(&self) -> Option<StopReason> {
        self.is_cancelled().then_some(StopReason::Cancelled)
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

    unsafe fn join(&self, watch: &mut Watch, claim: *const Claim) -> bool {
        let Some(token) = self.token else {
            return false;
        };
        let node = watch.node.0.get().cast::<Node>();
        // SAFETY: the node is not shared yet; the caller's promise.
        unsafe {
            node.write(Node::new(claim, 0, std::ptr::null_mut()));
            watch.joined = token.register(node);
        }
        !watch.joined
    }

    fn leave(&self, watch: &mut Watch) {
        if std::mem::take(&mut watch.joined)
            && let Some(token) = self.token
        {
            // SAFETY: the node was registered with this token, and is alive.
            unsafe { token.unregister(watch.node.0.get().cast()) };
        }
        watch.timer = None;
    }

    fn set_timer(&self, watch: &mut Watch, waker: &Waker) {
        if let Some(deadline) = self.deadline {
            watch.timer = Some(timer::wake_at(deadline, waker.clone()));
        }
    }

    fn keep_timer(&self, watch: &mut Watch, waker: &Waker) {
        if watch.timer.as_ref().is_some_and(|timer| !timer.is_set()) {
            self.set_timer(watch, waker);
        }
    }

    fn lock_token(&self) -> Option<TokenGuard<'_>> {
        self.token.map(Token::lock)
    }
}
