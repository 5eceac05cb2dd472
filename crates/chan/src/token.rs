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

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::lock::{Guard, Lock};
use crate::park;
use crate::sync::{AtomicU32, Ordering};
use crate::timer::{self, WakeTimer};
use crate::waiter::{Claim, Node, PendingWakes, WaitQueue, Wake};

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
    waiters: Line,
    children: Vec<Child>,
    /// The first free index.
    free: Option<usize>,
}

struct Line(WaitQueue);

impl Default for Line {
    fn default() -> Self {
        Self(WaitQueue::new())
    }
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
        Cancelled {
            token: self,
            deadline: None,
            timer: None,
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            queued: false,
            _pinned: PhantomPinned,
        }
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
        unsafe { state.waiters.0.push_back(node) };
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
        unsafe { state.waiters.0.unlink(node) };
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
                && let Some(waiter) = state.waiters.0.pop_claimed()
            {
                wakes.push(waiter.cancelled());
            }
            let more = !state.waiters.0.is_empty();
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

/// Waits until a token is cancelled. See [`Token::cancelled`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Cancelled<'a> {
    token: &'a Token,
    deadline: Option<Instant>,
    timer: Option<WakeTimer>,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    queued: bool,
    _pinned: PhantomPinned,
}

struct Waiter {
    claim: Claim,
    node: Node,
}

// SAFETY: what it shares with other threads is behind the token's lock and the claim's atomics.
unsafe impl Send for Cancelled<'_> {}
// SAFETY: nothing can be done through a shared reference.
unsafe impl Sync for Cancelled<'_> {}

impl Cancelled<'_> {
    /// Returns at the latest `duration` from now.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.deadline = Some(timer::after(duration));
        self
    }

    /// Returns at the latest at `deadline`.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Waits on a thread or in a coroutine. False: the deadline passed first.
    pub fn wait(mut self) -> bool {
        let hook = park::hook();
        let wake = hook.map_or(Wake::Thread, |hook| Wake::Flow(hook.unparker()));
        if !self.queue(wake) {
            return true;
        }
        loop {
            if self.claim().outcome().is_some() {
                return true;
            }
            if self.is_late() {
                return self.withdraw();
            }
            match hook {
                Some(hook) => hook.park(self.deadline),
                None => self.claim().park_thread(self.deadline),
            }
        }
    }

    /// Links the waiter. False: the token is cancelled.
    fn queue(&mut self, wake: Wake) -> bool {
        let waiter = self.waiter.get().cast::<Waiter>();
        // SAFETY: the waiter is not shared yet; it is pinned, or in the frame of `wait`, and drop
        // unlinks it. A claim that was not linked is retired.
        unsafe {
            (&raw mut (*waiter).claim).write(Claim::new(wake, false));
            let claim = &raw const (*waiter).claim;
            (&raw mut (*waiter).node).write(Node::new(claim, 0, std::ptr::null_mut()));
            self.queued = self.token.register(&raw const (*waiter).node);
            if !self.queued {
                (*claim).retire();
            }
        }
        self.queued
    }

    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `queue`.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).claim }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|at| park::now() >= at)
    }

    /// Unlinks the waiter. True: the wait was cancelled before.
    fn withdraw(&mut self) -> bool {
        self.queued = false;
        self.timer = None;
        // SAFETY: the node is alive and was registered with this token.
        unsafe {
            self.token.unregister(&raw const (*self.waiter.get().cast::<Waiter>()).node);
            let ended = self.claim().outcome().is_some();
            if !ended {
                self.claim().retire();
            }
            ended
        }
    }
}

impl Future for Cancelled<'_> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        // SAFETY: nothing is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        if this.queued {
            if this.claim().outcome().is_some() {
                return Poll::Ready(true);
            }
            if this.is_late() {
                return Poll::Ready(this.withdraw());
            }
            // SAFETY: we are the owner.
            let same = unsafe { this.claim().wakes(context.waker()) };
            if same && this.timer.as_ref().is_none_or(WakeTimer::is_set) {
                return Poll::Pending;
            }
            if this.withdraw() {
                return Poll::Ready(true);
            }
        } else if this.is_late() {
            return Poll::Ready(this.token.is_cancelled());
        }
        if !this.queue(Wake::Task(context.waker().clone())) {
            return Poll::Ready(true);
        }
        if let Some(deadline) = this.deadline {
            this.timer = Some(timer::wake_at(deadline, context.waker().clone()));
        }
        Poll::Pending
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if self.queued {
            self.withdraw();
        }
    }
}
