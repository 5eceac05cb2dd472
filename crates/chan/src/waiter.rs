// SPDX-License-Identifier: BSD-3-Clause
//! The waiter protocol: one for tasks, threads and coroutines, for single operations and selects.
//!
//! An operation that must wait has a [`Claim`], one word on which all parties that may end the wait
//! race, and one [`Node`] per channel it waits at, linked into that channel's wait queue. Both are
//! part of the operation itself: of its future, or of its thread's stack. Nothing is allocated.
//!
//! ```text
//!   Operation (pinned)                         Channel A                Channel B
//!   ┌───────────────────────────┐              receivers ──┐            senders ──┐
//!   │ claim  state │ wake       │◄──────┬─────────────┐    │                      │
//!   │ node 0 prev next claim ───┼───────┘             │◄───┘                      │
//!   │ node 1 prev next claim ───┼─────────────────────┘◄──────────────────────────┘
//!   │ slot 0 │ slot 1           │   where a value is taken from, or put
//!   └───────────────────────────┘
//!
//!              claim (CAS)              finish
//!   WAITING ─────────────────► CLAIMED ─────────► DONE | outcome | case
//!      │       by one matcher                       ▲
//!      └────────────────────────────────────────────┘   at once, where only one may claim
//! ```
//!
//! # Invariants
//!
//! 1. Links are touched only under the lock of the queue's owner (a channel or a token).
//! 2. A matcher unlinks the node, claims, moves the value, takes the wake, and finishes, all under
//!    that lock. After `finish` it never touches the operation's memory again: it holds the wake by
//!    value, and fires it after it has released the lock.
//! 3. A claim goes from WAITING to CLAIMED once, and from there only to DONE. A matcher that loses
//!    skips the waiter, which is sound, because the winning matcher completes it.
//! 4. The owner ends a wait early by unlinking every node, each under its lock. Then no matcher can
//!    reach the claim, and the state says whether one did before: DONE, or still WAITING.
//!
//! A kept select ([`Claim::idle`]) leaves its nodes linked between two waits; a matcher that finds
//! such a node unlinks it and skips it, as it does with any other that is claimed.
//!
//! A claim is shared when more than one lock leads to it (a select, a token). Otherwise a node that
//! is linked, under the lock, grants the claim, and no read-modify-write is needed for it.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::ptr;
use std::task::Waker;
use std::time::Instant;

use crate::contain::contain;
use crate::park::{self, Unparker};
use crate::sync::{AtomicU32, Ordering, cell::UnsafeCell, fence};
use crate::wakes;

const WAITING: u32 = 0;
const CLAIMED: u32 = 1;
const DONE: u32 = 2;
const PHASE: u32 = 3;
/// The waiting thread sleeps, or is about to.
const PARKED: u32 = 4;
const OUTCOME_SHIFT: u32 = 3;
const CLOSED: u32 = DONE | (1 << OUTCOME_SHIFT);
const CANCELLED: u32 = DONE | (2 << OUTCOME_SHIFT);
/// DONE with an outcome that does not exist: the claim of a kept select between two waits.
const IDLE: u32 = DONE | OUTCOME;
const OUTCOME: u32 = 3 << OUTCOME_SHIFT;
/// The remaining bits hold the case number: more cases than fit into memory.
const CASE_SHIFT: u32 = 5;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// The case's operation happened.
    Matched(u32),
    /// The case's channel is closed.
    Closed(u32),
    /// The token is set.
    Cancelled,
}

/// What wakes a waiter.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A task.
    Task(Waker),
    /// A thread that waits on the claim's word, which is also its key in the parking lot.
    Thread,
    /// A coroutine behind a park hook.
    Flow(Unparker),
}

/// A wake that must be fired once the lock is free.
#[derive(Debug)]
pub(crate) enum PendingWake {
    Task(Waker),
    Thread(usize),
    Flow(Unparker),
}

/// The wakes to fire once the lock is free: usually none or one.
#[derive(Debug, Default)]
pub(crate) struct PendingWakes {
    first: Option<PendingWake>,
    rest: Vec<PendingWake>,
}

impl PendingWakes {
    /// With this many wakes pending, the caller should fire them before it continues.
    const ENOUGH: usize = 64;

    #[inline]
    pub(crate) const fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    #[inline]
    pub(crate) fn push(&mut self, due: Option<PendingWake>) {
        let Some(due) = due else { return };
        if self.first.is_none() {
            self.first = Some(due);
        } else {
            self.push_rest(due);
        }
    }

    #[cold]
    fn push_rest(&mut self, due: PendingWake) {
        self.rest.push(due);
    }

    pub(crate) fn append(&mut self, more: &mut Self) {
        self.push(more.first.take());
        more.rest.drain(..).for_each(|due| self.push(Some(due)));
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.rest.len() >= Self::ENOUGH
    }

    /// Fires all of them. No lock may be held: a waker is user code.
    #[inline]
    pub(crate) fn fire(&mut self) {
        if let Some(first) = self.first.take() {
            first.fire();
            if !self.rest.is_empty() {
                self.fire_rest();
            }
        }
    }

    #[cold]
    fn fire_rest(&mut self) {
        self.rest.drain(..).for_each(PendingWake::fire);
    }
}

impl PendingWake {
    /// Fires this wake, under the conditions of [`PendingWakes::fire`].
    #[inline]
    pub(crate) fn fire(self) {
        match self {
            Self::Task(waker) if wakes::is_deferring() => wakes::defer_wake(waker),
            Self::Task(waker) => contain(|| waker.wake()),
            Self::Thread(key) => park::unpark_one(key),
            Self::Flow(unparker) => contain(|| unparker.unpark()),
        }
    }
}

/// The word on which all parties race that may end a wait.
#[derive(Debug)]
pub(crate) struct Claim {
    state: AtomicU32,
    /// Whether more than one lock leads here. Fixed before the first node is linked.
    shared: bool,
    wake: UnsafeCell<MaybeUninit<Wake>>,
}

// SAFETY: the wake goes from the owner to the single matcher that claimed, through the state; a
// waker and an unparker may be sent to and used from any thread.
unsafe impl Send for Claim {}
// SAFETY: as above.
unsafe impl Sync for Claim {}

impl Claim {
    /// A claim in the state WAITING. The owner must see it finished, or call [`Self::retire`].
    #[inline]
    pub(crate) fn new(wake: Wake, shared: bool) -> Self {
        Self {
            state: AtomicU32::new(WAITING),
            shared,
            wake: UnsafeCell::new(MaybeUninit::new(wake)),
        }
    }

    /// Claims for the calling matcher. False: another matcher has claimed already.
    #[inline]
    fn claim(&self) -> bool {
        !self.shared || self.claim_shared()
    }

    fn claim_shared(&self) -> bool {
        // Between the unlink and the load of the state: see `rearm`.
        fence(Ordering::SeqCst);
        let mut state = self.state.load(Ordering::Relaxed);
        while state & PHASE == WAITING {
            let claimed = state | CLAIMED;
            match self.state.compare_exchange_weak(
                state,
                claimed,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Ends the wait, and returns the wake to fire.
    ///
    /// # Safety
    ///
    /// The caller has claimed it and holds the lock under which it did so; from here on it must not
    /// touch the claim, its nodes or its slots. (By pointer: the owner may free the claim while
    /// this returns.)
    #[inline]
    unsafe fn finish(claim: *const Self, outcome: WaitOutcome) -> Option<PendingWake> {
        let done = match outcome {
            WaitOutcome::Matched(case) => DONE | (case << CASE_SHIFT),
            WaitOutcome::Closed(case) => CLOSED | (case << CASE_SHIFT),
            WaitOutcome::Cancelled => CANCELLED,
        };
        // SAFETY: alive until the store or swap below publishes DONE, after which nothing is
        // touched.
        unsafe {
            // Initialised at the start; only the matcher that claimed reads it out, once.
            let wake = (*claim).wake.with(|wake| ptr::read(wake).assume_init());
            match wake {
                Wake::Task(waker) => {
                    (*claim).state.store(done, Ordering::Release);
                    Some(PendingWake::Task(waker))
                }
                Wake::Flow(unparker) => {
                    (*claim).state.store(done, Ordering::Release);
                    Some(PendingWake::Flow(unparker))
                }
                Wake::Thread => {
                    let key = (&raw const (*claim).state).addr();
                    let before = (*claim).state.swap(done, Ordering::AcqRel);
                    (before & PARKED != 0).then_some(PendingWake::Thread(key))
                }
            }
        }
    }

    /// How the wait ended; `None` while it has not. A match, the usual outcome, is found by one
    /// comparison.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<WaitOutcome> {
        let state = self.state.load(Ordering::Acquire);
        let case = state >> CASE_SHIFT;
        if state & (PHASE | OUTCOME) == DONE {
            return Some(WaitOutcome::Matched(case));
        }
        match state & (PHASE | OUTCOME) {
            CLOSED => Some(WaitOutcome::Closed(case)),
            CANCELLED => Some(WaitOutcome::Cancelled),
            _ => None,
        }
    }

    /// Whether the wake of this claim reaches the task of `waker`.
    ///
    /// # Safety
    ///
    /// For the owner. It reads the two words of a waker that a matcher may be copying out at the
    /// same time, and compares them; it dereferences neither.
    #[inline]
    pub(crate) unsafe fn wakes(&self, waker: &Waker) -> bool {
        // SAFETY: initialised; only the owner writes it.
        self.wake.with(|wake| match unsafe { (*wake).assume_init_ref() } {
            Wake::Task(held) => held.will_wake(waker),
            Wake::Thread | Wake::Flow(_) => false,
        })
    }

    /// Replaces the wake, unless the wait has ended or is ending. Returns the wake that is not in
    /// place afterwards: the previous one, or `wake` itself.
    ///
    /// # Safety
    ///
    /// For the owner, while it holds every lock that leads to this claim.
    pub(crate) unsafe fn replace(&self, wake: Wake) -> Option<Wake> {
        if self.state.load(Ordering::Acquire) & PHASE != WAITING {
            return Some(wake);
        }
        self.wake.with_mut(|held| {
            // SAFETY: still WAITING, and the owner holds every lock by which a matcher could reach
            // the claim, so the wake is in place and the owner's.
            Some(std::mem::replace(unsafe { (*held).assume_init_mut() }, wake))
        })
    }

    /// A claim that waits for nothing yet: a matcher that reaches it unlinks the node and goes on.
    pub(crate) fn idle() -> Self {
        Self {
            state: AtomicU32::new(IDLE),
            shared: true,
            wake: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Rearms the claim: waits again, by nodes that are still linked.
    ///
    /// A matcher that reached the claim while it was idle has unlinked the node by which it came.
    /// It unlinks before it loads the state, and here the state is stored before the owner loads
    /// its nodes' links, with a sequentially consistent fence between the two on each side. So
    /// either the matcher finds the claim waiting, or the owner, once this has returned, finds the
    /// node unlinked.
    ///
    /// # Safety
    ///
    /// For the owner, while the claim is idle, or was matched and the owner has seen that: then no
    /// wake is in place.
    pub(crate) unsafe fn rearm(&self, wake: Wake) {
        self.wake.with_mut(|held| {
            // SAFETY: the claim does not wait, so no other thread touches the wake.
            unsafe { (*held).write(wake) };
        });
        self.state.store(WAITING, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Stops waiting, with nodes still linked. False: a matcher was faster, and has finished or
    /// will.
    ///
    /// # Safety
    ///
    /// For the owner.
    pub(crate) unsafe fn disarm(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while state & PHASE == WAITING {
            match self.state.compare_exchange_weak(state, IDLE, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    // SAFETY: no matcher has claimed, and from now on none can.
                    unsafe { self.retire() };
                    return true;
                }
                Err(now) => state = now,
            }
        }
        false
    }

    /// Drops the wake of a wait that ended without a matcher.
    ///
    /// # Safety
    ///
    /// For the owner, once, after every node was unlinked and [`Self::outcome`] was `None`.
    pub(crate) unsafe fn retire(&self) {
        // SAFETY: no matcher has claimed, so the wake is in place, and none can come any more.
        self.wake.with_mut(|wake| unsafe { (*wake).assume_init_drop() });
    }

    /// Parks the calling thread until the wait has ended or the deadline has passed. May return
    /// early.
    pub(crate) fn park_thread(&self, deadline: Option<Instant>) {
        let before = self.state.fetch_or(PARKED, Ordering::AcqRel);
        if before & PHASE == DONE {
            return;
        }
        park::park_while(self.key(), deadline, || {
            self.state.load(Ordering::Relaxed) & PHASE != DONE
        });
    }

    fn key(&self) -> usize {
        ptr::from_ref(&self.state).addr()
    }
}

/// The order in which values left a channel.
///
/// A value that left the ring at a position left after every value that left under the lock while
/// the ring's head was at that position. So the fast path and the lock share no counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Sequence {
    /// The position of the ring's head; below 0 for a value that was put back.
    pub(crate) position: i64,
    /// The sequence number of the operation under the lock; the maximum for one on the ring.
    pub(crate) turn: u64,
}

/// The place of one operation in one wait queue.
#[derive(Debug)]
pub(crate) struct Node {
    prev: Cell<*const Node>,
    next: Cell<*const Node>,
    /// Written under the queue's lock; a kept select reads its own without it.
    linked: AtomicU32,
    claim: *const Claim,
    case: u32,
    slot: *mut (),
    sequence: Cell<Sequence>,
    weight: Cell<u64>,
}

impl Node {
    /// A node of `claim` for its case number `case`, whose value is, or will be, in `slot`.
    #[inline]
    pub(crate) fn new(claim: *const Claim, case: u32, slot: *mut ()) -> Self {
        Self {
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            linked: AtomicU32::new(0),
            claim,
            case,
            slot,
            sequence: Cell::new(Sequence::default()),
            weight: Cell::new(0),
        }
    }

    /// Whether it is in a queue. Exact under the queue's lock; without it, see [`Claim::rearm`].
    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Acquire) != 0
    }

    /// Where its value is, or will be.
    #[inline]
    pub(crate) fn slot<T>(&self) -> *mut T {
        self.slot.cast()
    }

    /// When the value that it was handed left the channel. Known once the wait has ended.
    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence.get()
    }

    #[inline]
    pub(crate) fn set_sequence(&self, sequence: Sequence) {
        self.sequence.set(sequence);
    }

    /// The weight of a send's value, in bytes.
    #[inline]
    pub(crate) fn weight(&self) -> u64 {
        self.weight.get()
    }

    #[inline]
    pub(crate) fn set_weight(&self, weight: u64) {
        self.weight.set(weight);
    }
}

/// The claim of an operation, and its node if it waits at one channel or for one token.
///
/// It is initialised each time it is linked. Matchers reach it through the wait queue, so that an
/// exclusive reference to its owner must not claim it: it is not `Unpin`.
pub(crate) struct Waiter {
    pair: std::cell::UnsafeCell<MaybeUninit<(Claim, Node)>>,
    _pinned: PhantomPinned,
}

// SAFETY: what it shares with other threads is behind a queue's lock and the claim's atomics.
unsafe impl Send for Waiter {}
// SAFETY: as above; the other parts are touched through an exclusive reference to the owner.
unsafe impl Sync for Waiter {}

impl Waiter {
    #[inline]
    pub(crate) const fn new() -> Self {
        let pair = std::cell::UnsafeCell::new(MaybeUninit::uninit());
        Self { pair, _pinned: PhantomPinned }
    }

    /// A node that leads to a claim with this wake, for a value in `slot`, to be linked. If it is not
    /// linked after all, [`end`](Self::end) follows.
    ///
    /// # Safety
    ///
    /// It is not linked. Once it is, it stays where it is until it is unlinked.
    #[inline]
    pub(crate) unsafe fn begin(&self, wake: Wake, shared: bool, slot: *mut ()) -> *const Node {
        let pair = self.pair.get().cast::<(Claim, Node)>();
        // SAFETY: the pair is not shared yet.
        unsafe {
            (&raw mut (*pair).0).write(Claim::new(wake, shared));
            (&raw mut (*pair).1).write(Node::new(&raw const (*pair).0, 0, slot));
            &raw const (*pair).1
        }
    }

    /// A shared claim with this wake, for nodes elsewhere, as [`begin`](Self::begin).
    ///
    /// # Safety
    ///
    /// As for [`begin`](Self::begin).
    pub(crate) unsafe fn begin_claim(&self, wake: Wake) -> *const Claim {
        let pair = self.pair.get().cast::<(Claim, Node)>();
        // SAFETY: the pair is not shared yet.
        unsafe {
            (&raw mut (*pair).0).write(Claim::new(wake, true));
            &raw const (*pair).0
        }
    }

    /// # Safety
    ///
    /// It has begun.
    #[inline]
    pub(crate) unsafe fn claim(&self) -> &Claim {
        // SAFETY: initialised by `begin`; matchers access it through shared references too.
        unsafe { &(*self.pair.get().cast::<(Claim, Node)>()).0 }
    }

    /// # Safety
    ///
    /// It has begun.
    #[inline]
    pub(crate) unsafe fn node(&self) -> &Node {
        // SAFETY: as above.
        unsafe { &(*self.pair.get().cast::<(Claim, Node)>()).1 }
    }

    /// How the wait has ended. If it has not, the wake is dropped: it never will.
    ///
    /// # Safety
    ///
    /// It has begun, and no node that leads to its claim is linked.
    pub(crate) unsafe fn end(&self) -> Option<WaitOutcome> {
        // SAFETY: the caller's promise: no matcher can come any more.
        unsafe {
            let claim = self.claim();
            let outcome = claim.outcome();
            if outcome.is_none() {
                claim.retire();
            }
            outcome
        }
    }
}

/// Waiters in the order of their arrival.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    head: *const Node,
    tail: *const Node,
    len: usize,
}

// SAFETY: the nodes belong to operations that unlink them before they are dropped, under the lock
// that also guards the queue.
unsafe impl Send for WaitQueue {}

impl Default for WaitQueue {
    fn default() -> Self {
        Self { head: ptr::null(), tail: ptr::null(), len: 0 }
    }
}

impl WaitQueue {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Links a node at the end.
    ///
    /// # Safety
    ///
    /// The node stays where it is until it is unlinked, by a matcher or by [`Self::unlink`], and
    /// so does its claim. It is in no queue.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, node: *const Node) {
        // SAFETY: the caller's promise for `node`; `tail` is linked, so it is alive.
        unsafe {
            (*node).prev.set(self.tail);
            (*node).next.set(ptr::null());
            (*node).linked.store(1, Ordering::Relaxed);
            match self.tail.as_ref() {
                Some(tail) => tail.next.set(node),
                None => self.head = node,
            }
        }
        self.tail = node;
        self.len += 1;
    }

    /// Unlinks a node if it is linked.
    ///
    /// # Safety
    ///
    /// The node is alive, and in this queue or in none.
    #[inline]
    pub(crate) unsafe fn unlink(&mut self, node: *const Node) -> bool {
        // SAFETY: the caller's promise; neighbours are linked, so they are alive.
        unsafe {
            if (*node).linked.load(Ordering::Relaxed) == 0 {
                return false;
            }
            (*node).linked.store(0, Ordering::Relaxed);
            let (prev, next) = ((*node).prev.get(), (*node).next.get());
            match prev.as_ref() {
                Some(prev) => prev.next.set(next),
                None => self.head = next,
            }
            match next.as_ref() {
                Some(next) => next.prev.set(prev),
                None => self.tail = prev,
            }
        }
        self.len -= 1;
        true
    }

    /// Unlinks and claims the first waiter that can still be claimed.
    #[inline]
    pub(crate) fn pop_claimed(&mut self) -> Option<Claimed> {
        loop {
            let node = self.head;
            if node.is_null() {
                return None;
            }
            // SAFETY: it is linked, so it and its claim are alive, and we hold the queue's lock;
            // its neighbour is linked too.
            unsafe {
                self.head = (*node).next.get();
                match self.head.as_ref() {
                    Some(next) => next.prev.set(ptr::null()),
                    None => self.tail = ptr::null(),
                }
                self.len -= 1;
                (*node).linked.store(0, Ordering::Relaxed);
                if (*(*node).claim).claim() {
                    return Some(Claimed(node));
                }
            }
        }
    }
}

/// A waiter that the holder of its queue's lock has claimed and must finish.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claimed(*const Node);

impl Claimed {
    #[inline]
    pub(crate) fn node(&self) -> &Node {
        // SAFETY: claimed and not finished, so its owner still waits.
        unsafe { &*self.0 }
    }

    /// Ends the wait: the operation completed.
    #[inline]
    pub(crate) fn matched(self) -> Option<PendingWake> {
        let case = self.node().case;
        self.finish(WaitOutcome::Matched(case))
    }

    /// Ends the wait: the channel is closed.
    pub(crate) fn closed(self) -> Option<PendingWake> {
        let case = self.node().case;
        self.finish(WaitOutcome::Closed(case))
    }

    /// Ends the wait: the token is cancelled.
    pub(crate) fn cancelled(self) -> Option<PendingWake> {
        self.finish(WaitOutcome::Cancelled)
    }

    #[inline]
    fn finish(self, outcome: WaitOutcome) -> Option<PendingWake> {
        // SAFETY: claimed by `pop_claimed` under the lock that is still held; `self` is consumed.
        unsafe { Claim::finish((*self.0).claim, outcome) }
    }
}
