// SPDX-License-Identifier: BSD-3-Clause
//! Cancel tokens: a tree of any depth; cancelling a token cancels all tokens below it.
//!
//! ```text
//!   request ─┬─ fetch ─── retry          cancel(fetch) cancels fetch and retry and ends the
//!            └─ log                      operations that wait on them, not on request and log
//! ```
//!
//! A token has a flag, a queue of the operations that wait on it, and its children. Cancelling
//! descends the tree with an explicit list, so depth costs no stack: for each token it sets the
//! flag, and under the token's lock ends the waits and takes the children.
//!
//! # Invariants
//!
//! 1. The flag is set before the lock is taken to end the waits; an operation or a child is
//!    registered under that lock after a check of the flag. So none is missed: it is in the queue,
//!    or its registration sees the flag.
//! 2. A child holds its parent; a parent refers to its children weakly. The drop of the last handle
//!    of a child removes it from the parent.
//! 3. Wakes are fired without a lock.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::limit::{NoLimits, StopReason};
use crate::lock::{Guard, Lock};
use crate::op::{Driver, Linked, Operation, sealed};
use crate::sync::{AtomicU32, Ordering};
use crate::waiter::{Node, PendingWakes, WaitOutcome, WaitQueue, Waiter, Wake};

/// Cancels operations, and everything that waits on it or on one of its children. Clones are the
/// same token.
///
/// ```
/// use becket_chan::{RecvError, Token, rendezvous};
///
/// let (_tx, rx) = rendezvous::<u32>();
/// let request = Token::new();
/// let fetch = request.child();
/// request.cancel();
/// assert_eq!(rx.recv().cancel_on(&fetch).wait(), Err(RecvError::Cancelled));
/// ```
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    set: AtomicU32,
    state: Lock<State>,
    parent: Option<Arc<Inner>>,
    /// The index among the parent's children.
    place: usize,
}

#[derive(Default)]
struct State {
    waiters: WaitQueue,
    children: Vec<Child>,
    /// The first free index of `children`, the head of a list through [`Child::Free`].
    free: Option<usize>,
}

enum Child {
    There(Weak<Inner>),
    Free(Option<usize>),
}

/// Holds a token's lock.
pub(crate) struct TokenGuard<'a>(#[allow(dead_code, reason = "held")] Guard<'a, State>);

impl Token {
    /// A token with no parent.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner::new(false, None, 0)))
    }

    /// A token that is cancelled with this one, and can also be cancelled alone. A child of a
    /// cancelled token is cancelled from the start.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut state = self.0.state.lock();
        if self.is_cancelled() {
            return Self(Arc::new(Inner::new(true, None, 0)));
        }
        let place = state.free.unwrap_or(state.children.len());
        let child = Arc::new(Inner::new(false, Some(self.0.clone()), place));
        let entry = Child::There(Arc::downgrade(&child));
        match state.children.get_mut(place) {
            Some(at) => {
                if let Child::Free(next) = std::mem::replace(at, entry) {
                    state.free = next;
                }
            }
            None => state.children.push(entry),
        }
        Self(child)
    }

    /// Cancels the token and all below it, and ends every operation that waits on one of them. True
    /// if the token was not cancelled before.
    pub fn cancel(&self) -> bool {
        let mut below = Vec::new();
        let newly = self.0.cancel(&mut below);
        while let Some(token) = below.pop() {
            token.cancel(&mut below);
        }
        newly
    }

    /// Whether the token, or one above it, was cancelled.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.set.load(Ordering::Acquire) != 0
    }

    /// An operation that completes when the token is cancelled.
    pub fn cancelled(&self) -> Cancelled<'_> {
        Operation::new(Cancellation { token: self })
    }

    /// Links a waiter's node. False: the token is cancelled, and the node was not linked.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::push_back`].
    pub(crate) unsafe fn register(&self, node: *const Node) -> bool {
        let mut state = self.0.state.lock();
        if self.is_cancelled() {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe { state.waiters.push_back(node) };
        true
    }

    /// Unlinks a waiter's node, if it is still linked.
    ///
    /// # Safety
    ///
    /// The node is alive and was registered here.
    pub(crate) unsafe fn unregister(&self, node: *const Node) {
        let mut state = self.0.state.lock();
        // SAFETY: the caller's promise.
        unsafe { state.waiters.unlink(node) };
    }

    pub(crate) fn lock(&self) -> TokenGuard<'_> {
        TokenGuard(self.0.state.lock())
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

impl Inner {
    fn new(set: bool, parent: Option<Arc<Self>>, place: usize) -> Self {
        let state = Lock::new(State::default());
        Self { set: AtomicU32::new(set.into()), state, parent, place }
    }

    /// Cancels this token and adds its children to `below`. True if it was not cancelled before.
    fn cancel(&self, below: &mut Vec<Arc<Self>>) -> bool {
        let newly = self.set.swap(1, Ordering::AcqRel) == 0;
        let mut wakes = PendingWakes::new();
        loop {
            let mut state = self.state.lock();
            while !wakes.is_enough()
                && let Some(waiter) = state.waiters.pop_claimed()
            {
                wakes.push(waiter.cancelled());
            }
            let more = !state.waiters.is_empty();
            let children = if more { Vec::new() } else { std::mem::take(&mut state.children) };
            state.free = None;
            drop(state);
            wakes.fire();
            below.extend(children.iter().filter_map(|child| match child {
                Child::There(child) => child.upgrade(),
                Child::Free(_) => None,
            }));
            if !more {
                return newly;
            }
        }
    }

    /// Removes this token from its parent and returns the parent.
    fn leave(&mut self) -> Option<Arc<Self>> {
        let parent = self.parent.take()?;
        let mut state = parent.state.lock();
        let free = state.free;
        // A cancelled parent has released its children.
        let old = match state.children.get_mut(self.place) {
            Some(at) => {
                let old = std::mem::replace(at, Child::Free(free));
                state.free = Some(self.place);
                Some(old)
            }
            None => None,
        };
        drop(state);
        drop(old);
        Some(parent)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A chain of tokens is dropped iteratively, not by recursion.
        let mut parent = self.leave();
        while let Some(mut last) = parent.and_then(Arc::into_inner) {
            parent = last.leave();
        }
    }
}

/// Waits until a token is cancelled; its result is false if a limit ended it first. See
/// [`Token::cancelled`].
pub type Cancelled<'a, L = NoLimits> = Operation<Cancellation<'a>, L>;

/// Waits for the cancellation of a token.
pub struct Cancellation<'a> {
    token: &'a Token,
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl sealed::Action for Cancellation<'_> {
    type Output = bool;
    const SPINS_LINKED: bool = false;
    /// The limits may have another token: two locks that have no order.
    const REWAKES: bool = false;

    fn fast(&mut self, _: Driver) -> Option<bool> {
        self.token.is_cancelled().then_some(true)
    }

    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<bool> {
        // SAFETY: the caller's promise.
        unsafe {
            let node = waiter.begin(wake(), shared, std::ptr::null_mut());
            if self.token.register(node) {
                return Linked::Waiting;
            }
            waiter.end();
            Linked::Ended(true)
        }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        // SAFETY: the caller's promise: the node is alive and was registered with this token.
        unsafe {
            self.token.unregister(waiter.node());
            waiter.end()
        }
    }

    unsafe fn ended(&mut self, _: &Waiter, _: WaitOutcome) -> Option<bool> {
        Some(true)
    }

    fn stopped(&mut self, _: StopReason) -> bool {
        self.token.is_cancelled()
    }

    fn dropped(&mut self, _: &Waiter, _: Option<WaitOutcome>) {}
}
