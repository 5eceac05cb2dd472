// SPDX-License-Identifier: BSD-3-Clause
//! The waiter protocol: one for tasks, threads and coroutines, single operations and selects.
//!
//! An operation that must wait has a [`Claim`], one word on which everybody who may end the wait
//! races, and one [`Node`] for each channel it waits at, linked into that channel's list. Both
//! live in the operation itself: its future, or its thread's stack. Nothing is allocated.
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
//!      │        of one matcher                      ▲
//!      └────────────────────────────────────────────┘   at once, where only one may claim
//! ```
//!
//! # Invariants
//!
//! 1. Links are touched only under the lock of the list's owner (a channel or a token).
//! 2. A matcher unlinks the node, claims, moves the value, takes the wake, and finishes, all under
//!    that lock. After `finish` it never touches the operation's memory again: what it needs for
//!    the wake it holds by value, and fires after it has let go of the lock.
//! 3. A claim goes from WAITING to CLAIMED once, and from there only to DONE. A matcher that loses
//!    skips the waiter, which is right, because somebody else completes it.
//! 4. The owner ends a wait early by unlinking every node, each under its lock. Then no matcher is
//!    left, and the state says whether one came before: DONE, or still WAITING.
//!
//! A kept select ([`Claim::idle`]) leaves its nodes linked between two waits; matchers that come upon
//! one unlink it and skip it, as any other that is claimed.
//!
//! A claim is shared when more than one lock leads to it (a select, a token). Otherwise being
//! linked, under the lock, is the claim, and no read-modify-write is spent on it.

use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::task::Waker;
use std::time::Instant;

use crate::park::{self, Unparker};
use crate::sync::{AtomicU32, Ordering, cell::UnsafeCell, fence};

const WAITING: u32 = 0;
const CLAIMED: u32 = 1;
const DONE: u32 = 2;
const PHASE: u32 = 3;
/// The thread that waits sleeps, or is about to.
const PARKED: u32 = 4;
const OUTCOME_SHIFT: u32 = 3;
/// Done, with an outcome that is none: a select that is kept between two waits.
const IDLE: u32 = DONE | OUTCOME;
const OUTCOME: u32 = 3 << OUTCOME_SHIFT;
/// What is left for the case is more arms than fit into memory.
const CASE_SHIFT: u32 = 5;

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
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
    /// A flow behind a hook.
    Flow(Unparker),
}

/// A wake that is due.
#[derive(Debug)]
pub(crate) enum Due {
    Task(Waker),
    Thread(usize),
    Flow(Unparker),
}

/// The wakes that are due once the lock is free: mostly none or one.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    first: Option<Due>,
    rest: Vec<Due>,
}

impl Wakes {
    /// From here on, better fire before going on.
    const ENOUGH: usize = 64;

    #[inline]
    pub(crate) const fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    #[inline]
    pub(crate) fn push(&mut self, due: Option<Due>) {
        let Some(due) = due else { return };
        if self.first.is_none() {
            self.first = Some(due);
        } else {
            self.push_rest(due);
        }
    }

    #[cold]
    fn push_rest(&mut self, due: Due) {
        self.rest.push(due);
    }

    pub(crate) fn append(&mut self, more: &mut Self) {
        self.push(more.first.take());
        more.rest.drain(..).for_each(|due| self.push(Some(due)));
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.rest.len() >= Self::ENOUGH
    }

    /// Fires them. No lock may be held: a waker is code of the user's.
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
        self.rest.drain(..).for_each(Due::fire);
    }
}

impl Due {
    /// Fires it, as [`Wakes::fire`].
    #[inline]
    pub(crate) fn fire(self) {
        match self {
            Self::Task(waker) => contain(|| waker.wake()),
            Self::Thread(key) => park::unpark_one(key),
            Self::Flow(unparker) => contain(|| unparker.unpark()),
        }
    }
}

/// Runs code of the user's in the middle of an operation. If it panics, the panic ends here, after
/// the process's panic hook has reported it: it must neither keep others from being woken nor unwind
/// through an operation that has half happened.
#[inline]
pub(crate) fn contain(code: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(code)) {
        // Dropping it is code of the user's too, which may panic again.
        let _kept = ManuallyDrop::new(payload);
    }
}

/// The word on which everybody races who may end a wait.
#[derive(Debug)]
pub(crate) struct Claim {
    state: AtomicU32,
    /// Whether more than one lock leads here. Fixed before the first node is linked.
    shared: bool,
    wake: UnsafeCell<MaybeUninit<Wake>>,
}

// SAFETY: the wake goes from the owner to the one matcher that claimed, through the state; a waker
// and an unparker may be sent and used from any thread.
unsafe impl Send for Claim {}
// SAFETY: as above.
unsafe impl Sync for Claim {}

impl Claim {
    /// A claim that waits. The owner must see it finished, or call [`Self::retire`].
    #[inline]
    pub(crate) fn new(wake: Wake, shared: bool) -> Self {
        Self {
            state: AtomicU32::new(WAITING),
            shared,
            wake: UnsafeCell::new(MaybeUninit::new(wake)),
        }
    }

    /// Makes the claim the calling matcher's. False: it was somebody else's already.
    #[inline]
    fn claim(&self) -> bool {
        !self.shared || self.claim_shared()
    }

    fn claim_shared(&self) -> bool {
        // Between the unlink and the look at the state: see `revive`.
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

    /// Ends the wait, and returns whom to wake.
    ///
    /// # Safety
    ///
    /// The caller has claimed it and holds the lock under which it did so; from here on it must not
    /// touch the claim, its nodes or its slots. (By pointer: the owner may free the claim while this
    /// returns.)
    #[inline]
    unsafe fn finish(claim: *const Self, outcome: Outcome) -> Option<Due> {
        let done = match outcome {
            Outcome::Matched(case) => DONE | (case << CASE_SHIFT),
            Outcome::Closed(case) => DONE | (1 << OUTCOME_SHIFT) | (case << CASE_SHIFT),
            Outcome::Cancelled => DONE | (2 << OUTCOME_SHIFT),
        };
        // SAFETY: alive until the store or swap below says done, after which nothing is touched.
        unsafe {
            // Initialised at the start; only who claimed reads it out, once.
            let wake = (*claim).wake.with(|wake| ptr::read(wake).assume_init());
            match wake {
                Wake::Task(waker) => {
                    (*claim).state.store(done, Ordering::Release);
                    Some(Due::Task(waker))
                }
                Wake::Flow(unparker) => {
                    (*claim).state.store(done, Ordering::Release);
                    Some(Due::Flow(unparker))
                }
                Wake::Thread => {
                    let key = (&raw const (*claim).state).addr();
                    let before = (*claim).state.swap(done, Ordering::AcqRel);
                    (before & PARKED != 0).then_some(Due::Thread(key))
                }
            }
        }
    }

    /// Whether the operation happened: the usual outcome, by one comparison.
    #[inline]
    pub(crate) fn is_matched(&self) -> bool {
        self.state.load(Ordering::Acquire) & (PHASE | OUTCOME) == DONE
    }

    /// How the wait ended, if it has.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let state = self.state.load(Ordering::Acquire);
        if state & PHASE != DONE {
            return None;
        }
        let case = state >> CASE_SHIFT;
        Some(match (state & OUTCOME) >> OUTCOME_SHIFT {
            0 => Outcome::Matched(case),
            1 => Outcome::Closed(case),
            2 => Outcome::Cancelled,
            _ => return None,
        })
    }

    /// Whether a wake of this claim reaches the task of `waker`.
    ///
    /// # Safety
    ///
    /// For the owner. It reads the two words of a waker that a matcher may be copying out at the
    /// same time, and compares them; it follows neither.
    #[inline]
    pub(crate) unsafe fn wakes(&self, waker: &Waker) -> bool {
        // SAFETY: initialised; nobody writes it but the owner.
        self.wake.with(|wake| match unsafe { (*wake).assume_init_ref() } {
            Wake::Task(held) => held.will_wake(waker),
            Wake::Thread | Wake::Flow(_) => false,
        })
    }

    /// Puts another wake in place, unless the wait has ended or is ending.
    ///
    /// # Safety
    ///
    /// For the owner, while it holds every lock that leads to this claim.
    pub(crate) unsafe fn replace(&self, wake: Wake) -> Option<Wake> {
        if self.state.load(Ordering::Acquire) & PHASE != WAITING {
            return Some(wake);
        }
        self.wake.with_mut(|held| {
            // SAFETY: still waiting and no lock is free by which a matcher could come, so the wake
            // is in place and the owner's.
            Some(std::mem::replace(unsafe { (*held).assume_init_mut() }, wake))
        })
    }

    /// A claim that waits for nothing yet: matchers that come upon it unlink its node and go on.
    pub(crate) fn idle() -> Self {
        Self {
            state: AtomicU32::new(IDLE),
            shared: true,
            wake: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Waits again, by nodes that are still linked.
    ///
    /// A matcher that came while it was idle has unlinked the node it came by. It unlinks before
    /// it looks at the state, and here the state is set before the owner looks at its nodes, with a
    /// sequentially consistent fence between the two on each side. So either the matcher finds the
    /// claim waiting, or the owner, once this has returned, finds the node unlinked.
    ///
    /// # Safety
    ///
    /// For the owner, while it is idle or was matched and seen to be: then no wake is in place.
    pub(crate) unsafe fn revive(&self, wake: Wake) {
        self.wake.with_mut(|held| {
            // SAFETY: nobody else touches the wake of a claim that does not wait.
            unsafe { (*held).write(wake) };
        });
        self.state.store(WAITING, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// Stops waiting, with nodes still linked. False: somebody was faster, and will finish.
    ///
    /// # Safety
    ///
    /// For the owner.
    pub(crate) unsafe fn rest(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        while state & PHASE == WAITING {
            match self.state.compare_exchange_weak(state, IDLE, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => {
                    // SAFETY: nobody claimed, and from now on nobody will.
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
        // SAFETY: nobody claimed, so the wake is in place, and nobody can come any more.
        self.wake.with_mut(|wake| unsafe { (*wake).assume_init_drop() });
    }

    /// Parks the calling thread until the wait has ended or the deadline passed. May return early.
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

/// One place in one list.
#[derive(Debug)]
pub(crate) struct Node {
    prev: Cell<*const Node>,
    next: Cell<*const Node>,
    /// Changed under the list's lock; a kept select looks at its own without it.
    linked: AtomicU32,
    claim: *const Claim,
    case: u32,
    slot: *mut (),
    turn: Cell<u64>,
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
            turn: Cell::new(0),
        }
    }

    /// Whether it is in a list. Exact under the list's lock; without it, see [`Claim::revive`].
    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Acquire) != 0
    }

    /// Where its value is, or will be.
    #[inline]
    pub(crate) fn slot<T>(&self) -> *mut T {
        self.slot.cast()
    }

    /// Which hand-over it was, of those of its channel. Known once the wait has ended.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.get()
    }

    #[inline]
    pub(crate) fn set_turn(&self, turn: u64) {
        self.turn.set(turn);
    }
}

/// Waiters in the order in which they came.
#[derive(Debug)]
pub(crate) struct List {
    head: *const Node,
    tail: *const Node,
    len: usize,
}

// SAFETY: the nodes belong to operations that unlink them before they go, under the lock that also
// guards the list.
unsafe impl Send for List {}

impl List {
    pub(crate) const fn new() -> Self {
        Self { head: ptr::null(), tail: ptr::null(), len: 0 }
    }

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
    /// so does its claim. It is in no list.
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
    /// The node is alive, and in this list or in none.
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
            // SAFETY: it is linked, so it and its claim are alive, and we hold the list's lock; its
            // neighbour is linked too.
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

/// A waiter that the holder of its list's lock has claimed and must finish.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claimed(*const Node);

impl Claimed {
    #[inline]
    pub(crate) fn node(&self) -> &Node {
        // SAFETY: claimed and not finished, so that its owner waits for us.
        unsafe { &*self.0 }
    }

    /// Its operation happened.
    #[inline]
    pub(crate) fn matched(self) -> Option<Due> {
        let case = self.node().case;
        self.finish(Outcome::Matched(case))
    }

    /// Its channel is closed.
    pub(crate) fn closed(self) -> Option<Due> {
        let case = self.node().case;
        self.finish(Outcome::Closed(case))
    }

    /// Its token is set.
    pub(crate) fn cancelled(self) -> Option<Due> {
        self.finish(Outcome::Cancelled)
    }

    #[inline]
    fn finish(self, outcome: Outcome) -> Option<Due> {
        // SAFETY: claimed by `pop_claimed` under the lock that is still held; `self` is used up.
        unsafe { Claim::finish((*self.0).claim, outcome) }
    }
}
