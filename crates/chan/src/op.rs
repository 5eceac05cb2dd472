// SPDX-License-Identifier: BSD-3-Clause
//! An operation is a value: created by a handle, given its limits, and driven by its creator.
//!
//! ```text
//!   tx.send(v)      .timeout(d)        .await      a task waits
//!   rx.recv()       .deadline(t)       .wait()     a thread or a coroutine waits
//!                   .cancel_on(&tok)
//! ```
//!
//! An operation first tries without waiting. If that fails, it links its node into the channel's
//! wait queue and its second node into the token's, sets a timer, and waits on its one claim.
//!
//! # Dropping
//!
//! An operation that is dropped before it completed leaves no trace: its nodes are unlinked, and a
//! send's value goes to the undelivered hook. A receive that was handed a value and is dropped
//! before it returned the value requeues it, in front of all stored values. A send that was matched
//! before it was dropped has completed: its value was received, or will be.
//!
//! # Safety
//!
//! The nodes point into the operation and the channel's wait queue points to the nodes. The
//! operation is pinned from its first poll on (`Future`), or lives in the frame of
//! [`Operation::wait`], and its drop unlinks them. It is not `Unpin`. What matchers write is behind
//! cells and raw pointers.

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::channel::{Channel, FailureCause, QueueOutcome, TryOutcome};
use crate::direction::{Direction, Receiving, Sending};
use crate::limit::{Limit, Limits, NoLimits, StopReason};
use crate::park;
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, Node, WaitOutcome, Wake};

/// A send that has not been driven yet. See [`Sender::send`](crate::Sender::send).
pub type Send<'a, T, L = NoLimits> = Operation<'a, T, Sending, L>;
/// A receive that has not been driven yet. See [`Receiver::recv`](crate::Receiver::recv).
pub type Recv<'a, T, L = NoLimits> = Operation<'a, T, Receiving, L>;

/// A send or a receive, as a value. Drive it with `.await` or [`wait`](Self::wait); until then it
/// does nothing.
///
/// **Cancel safe**: dropped before it completed, it has moved no value and leaves no trace.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Operation<'a, T, D: Direction, L: Limit = NoLimits> {
    channel: &'a Channel<T>,
    stage: Stage,
    limit: L,
    /// A send's value until it is sent; the place for a receive's value.
    slot: UnsafeCell<MaybeUninit<T>>,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    direction: PhantomData<D>,
    _pinned: PhantomPinned,
}

/// Claim and nodes of an operation that waits.
struct Waiter {
    claim: Claim,
    node: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not driven yet: a send's value is in the slot.
    New,
    /// The waiter is initialised and the node is, or was, in the channel's wait queue.
    Queued,
    /// Completed or failed: the slot is empty.
    Over,
}

// SAFETY: it holds a value of `T` or a place for one; the state it shares with other threads is
// behind locks and atomics.
unsafe impl<T: std::marker::Send, D: Direction, L: Limit + std::marker::Send> std::marker::Send
    for Operation<'_, T, D, L>
{
}
// SAFETY: nothing can be done through a shared reference.
unsafe impl<T: std::marker::Send, D: Direction, L: Limit> Sync for Operation<'_, T, D, L> {}

impl<'a, T, D: Direction> Operation<'a, T, D, NoLimits> {
    #[inline]
    pub(crate) fn new(channel: &'a Channel<T>, slot: MaybeUninit<T>) -> Self {
        Self {
            channel,
            stage: Stage::New,
            limit: NoLimits,
            slot: UnsafeCell::new(slot),
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            direction: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    /// Fails with a timeout `duration` from now. A duration beyond a century is taken as one.
    pub fn timeout(self, duration: Duration) -> Operation<'a, T, D, Limits<'a>> {
        self.limited(Limits::none().timeout(duration))
    }

    /// Fails with a timeout at `deadline`. An operation that can complete at once does, even if the
    /// deadline has passed.
    pub fn deadline(self, deadline: Instant) -> Operation<'a, T, D, Limits<'a>> {
        self.limited(Limits::none().deadline(deadline))
    }

    /// Fails when `token` is cancelled. A cancelled token wins over a channel that is ready.
    pub fn cancel_on(self, token: &'a Token) -> Operation<'a, T, D, Limits<'a>> {
        self.limited(Limits::none().cancel_on(token))
    }

    /// Splits it into its channel and its slot.
    pub(crate) fn into_parts(mut self) -> (&'a Channel<T>, MaybeUninit<T>) {
        self.stage = Stage::Over;
        (self.channel, std::mem::replace(self.slot.get_mut(), MaybeUninit::uninit()))
    }

    fn limited(self, limit: Limits<'a>) -> Operation<'a, T, D, Limits<'a>> {
        let (channel, slot) = self.into_parts();
        Operation {
            channel,
            stage: Stage::New,
            limit,
            slot: UnsafeCell::new(slot),
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            direction: PhantomData,
            _pinned: PhantomPinned,
        }
    }
}

impl<'a, T> Send<'a, T, Limits<'a>> {
    pub(crate) fn limited_to(channel: &'a Channel<T>, value: T, limit: Limits<'a>) -> Self {
        Operation::new(channel, MaybeUninit::new(value)).limited(limit)
    }
}

impl<T, L: Limit> Send<'_, T, L> {
    /// Withdraws the send and returns its value, unless it has completed.
    pub(crate) fn take_back(&mut self) -> Option<T> {
        let outcome = match self.stage {
            Stage::Over => return None,
            Stage::New => None,
            Stage::Queued => self.unlink(),
        };
        self.stage = Stage::Over;
        if matches!(outcome, Some(WaitOutcome::Matched(_))) {
            Sending::matched(self.channel, self.node());
            return None;
        }
        // SAFETY: it did not complete, so the value is still in the slot.
        Some(unsafe { self.slot.get().cast::<T>().read() })
    }
}

impl<T, L: Limit> Recv<'_, T, L> {
    /// Ends the wait. If a value was handed to the receive by then, the value is received and
    /// returned; otherwise the receive leaves no trace.
    ///
    /// This is for callers with limits of their own. A receive that is only dropped requeues such a
    /// value, and another receiver that was handed a newer value meanwhile gets the older one after
    /// it.
    pub fn withdraw(self: Pin<&mut Self>) -> Option<T> {
        // SAFETY: nothing is moved out except the value in the slot, once no queue holds its
        // address.
        let this = unsafe { self.get_unchecked_mut() };
        let outcome = match this.stage {
            Stage::New | Stage::Over => None,
            Stage::Queued => this.unlink(),
        };
        this.stage = Stage::Over;
        matches!(outcome, Some(WaitOutcome::Matched(_))).then(|| this.matched())?.ok()
    }
}

impl<'a, T> Recv<'a, T, Limits<'a>> {
    pub(crate) fn limited_from(channel: &'a Channel<T>, limit: Limits<'a>) -> Self {
        Operation::new(channel, MaybeUninit::uninit()).limited(limit)
    }
}

impl<'a, T, D: Direction> Operation<'a, T, D, Limits<'a>> {
    /// As on an operation without limits; the earlier of two deadlines holds.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limit = std::mem::take(&mut self.limit).timeout(duration);
        self
    }

    /// As on an operation without limits; the earlier of two deadlines holds.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.limit = std::mem::take(&mut self.limit).deadline(deadline);
        self
    }

    /// As on an operation without limits; the last token holds.
    pub fn cancel_on(mut self, token: &'a Token) -> Self {
        self.limit = std::mem::take(&mut self.limit).cancel_on(token);
        self
    }
}

impl<T, D: Direction, L: Limit> Operation<'_, T, D, L> {
    /// Drives it from a thread, which sleeps, or from a coroutine, which is parked through its
    /// scheduler's hook ([`park::set_hook`](crate::park::set_hook)).
    ///
    /// A thread first spins for a short time; how long depends on how often spinning has succeeded
    /// in this process lately.
    #[inline]
    pub fn wait(mut self) -> D::Output<T> {
        if let Some(stop) = self.limit.stop_before() {
            return self.stopped(stop);
        }
        match self.fast() {
            Some(output) => output,
            None => self.wait_slow(),
        }
    }

    /// By reference, as the functions that follow: an operation is large, and a copy would stall on
    /// the value that was just written.
    #[inline(never)]
    fn wait_slow(&mut self) -> D::Output<T> {
        match self.slow() {
            TryOutcome::Done => self.done(),
            TryOutcome::Closed => self.closed(),
            TryOutcome::Blocked => self.wait_blocked(),
        }
    }

    #[inline(never)]
    fn wait_blocked(&mut self) -> D::Output<T> {
        let hook = park::hook();
        let wake = match hook {
            Some(hook) => Wake::Flow(hook.unparker()),
            None => {
                if self.limit.deadline_at().is_none_or(|at| Instant::now() < at) {
                    let (channel, kind) = (self.channel, self.channel.kind);
                    if spin::pays(kind) && (spin::until(|| D::may_soon(channel)) || D::may(channel))
                    {
                        match self.attempt() {
                            TryOutcome::Done => return self.done(),
                            TryOutcome::Closed => return self.closed(),
                            TryOutcome::Blocked => {}
                        }
                    }
                }
                Wake::Thread
            }
        };
        if let Some(stop) = self.limit.stop_now() {
            return self.stopped(stop);
        }
        match self.queue(wake) {
            QueueOutcome::Done => return self.matched(),
            QueueOutcome::Closed => return self.closed(),
            QueueOutcome::Waiting => {}
        }
        if self.join_token() {
            return self.given_up(StopReason::Cancelled);
        }
        if hook.is_none() {
            spin::for_claim(|| self.claim().outcome().is_some());
        }
        loop {
            if let Some(outcome) = self.claim().outcome() {
                return self.ended(outcome);
            }
            if let Some(stop) = self.limit.stop_late() {
                return self.given_up(stop);
            }
            match hook {
                Some(hook) => hook.park(self.limit.deadline_at()),
                None => self.claim().park_thread(self.limit.deadline_at()),
            }
        }
    }

    /// The fast path, taken when no other operation interferes.
    #[inline]
    fn fast(&mut self) -> Option<D::Output<T>> {
        // SAFETY: as in `attempt`.
        let output = unsafe { D::fast(self.channel, self.slot.get().cast()) }?;
        self.stage = Stage::Over;
        Some(output)
    }

    /// The slow path without waiting, where [`Self::fast`] did nothing.
    #[inline]
    fn slow(&mut self) -> TryOutcome {
        // SAFETY: as in `attempt`.
        unsafe { D::slow(self.channel, self.slot.get().cast()) }
    }

    #[inline]
    fn attempt(&mut self) -> TryOutcome {
        // SAFETY: not queued, so the slot is ours; a send's holds its value.
        unsafe { D::attempt(self.channel, self.slot.get().cast()) }
    }

    /// Links the node, or completes at once.
    #[inline]
    fn queue(&mut self, wake: Wake) -> QueueOutcome {
        let shared = self.limit.has_token();
        let (waiter, slot) = (self.waiter.get().cast::<Waiter>(), self.slot.get().cast::<()>());
        // SAFETY: the waiter is not shared yet. It stays where it is while it is linked: the
        // operation is pinned, or in the frame of `wait`, and unlinks it before it is dropped.
        let queued = unsafe {
            (&raw mut (*waiter).claim).write(Claim::new(wake, shared));
            (&raw mut (*waiter).node).write(Node::new(&raw const (*waiter).claim, 0, slot));
            D::queue(self.channel, &raw const (*waiter).node)
        };
        if queued == QueueOutcome::Waiting {
            self.stage = Stage::Queued;
        } else {
            // SAFETY: it was not linked, hence not claimed.
            unsafe { (*waiter).claim.retire() };
        }
        queued
    }

    /// Registers with the token, if there is one. True: the token is cancelled already.
    #[inline]
    fn join_token(&mut self) -> bool {
        let claim = (&raw const *self.claim()).cast::<Claim>();
        // SAFETY: claim and limit stay where they are until the wait has ended, as in `queue`.
        unsafe { self.limit.join(claim) }
    }

    /// The claim of a queued operation.
    #[inline]
    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `queue`; matchers access it through shared references too.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).claim }
    }

    fn node(&self) -> &Node {
        // SAFETY: as above.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).node }
    }

    /// The wait was ended by a matcher, a close or the token.
    fn ended(&mut self, outcome: WaitOutcome) -> D::Output<T> {
        self.limit.leave();
        match outcome {
            WaitOutcome::Matched(_) => self.matched(),
            WaitOutcome::Closed(_) => self.closed(),
            WaitOutcome::Cancelled => {
                self.unqueue();
                self.stopped(StopReason::Cancelled)
            }
        }
    }

    /// Ends the wait for a limit, unless a matcher, a close or the token was faster.
    fn given_up(&mut self, stop: StopReason) -> D::Output<T> {
        match self.unlink() {
            Some(WaitOutcome::Matched(_)) => self.matched(),
            Some(WaitOutcome::Closed(_)) => self.closed(),
            Some(WaitOutcome::Cancelled) => self.stopped(StopReason::Cancelled),
            None => self.stopped(stop),
        }
    }

    /// Unlinks every node; then no other thread can reach the waiter. Returns how the wait had
    /// ended.
    fn unlink(&mut self) -> Option<WaitOutcome> {
        self.limit.leave();
        self.unqueue();
        let outcome = self.claim().outcome();
        if outcome.is_none() {
            // SAFETY: every node is unlinked and no matcher has ended the wait.
            unsafe { self.claim().retire() };
        }
        outcome
    }

    fn unqueue(&self) {
        // SAFETY: the node is alive, and was queued at this channel.
        unsafe { D::unqueue(self.channel, self.node()) };
    }

    /// Completes after a match through its node.
    #[inline]
    fn matched(&mut self) -> D::Output<T> {
        D::matched(self.channel, self.node());
        self.done()
    }

    /// Completes.
    #[inline]
    fn done(&mut self) -> D::Output<T> {
        self.stage = Stage::Over;
        // SAFETY: a send's value has been moved out of the slot, a receive's is in it.
        unsafe { D::done(self.channel, self.slot.get().cast()) }
    }

    #[cold]
    fn closed(&mut self) -> D::Output<T> {
        self.failed(FailureCause::Closed)
    }

    #[cold]
    fn stopped(&mut self, stop: StopReason) -> D::Output<T> {
        self.failed(match stop {
            StopReason::Cancelled => FailureCause::Cancelled,
            StopReason::TimedOut => FailureCause::TimedOut,
        })
    }

    fn failed(&mut self, cause: FailureCause) -> D::Output<T> {
        self.stage = Stage::Over;
        // SAFETY: it did not complete, so a send's value is still in the slot.
        unsafe { D::failed(self.channel, self.slot.get().cast(), cause) }
    }

    #[inline]
    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<D::Output<T>> {
        if self.stage == Stage::New {
            if let Some(stop) = self.limit.stop_before() {
                return Poll::Ready(self.stopped(stop));
            }
            if let Some(output) = self.fast() {
                return Poll::Ready(output);
            }
        }
        self.poll_slow(context.waker())
    }

    #[inline(never)]
    fn poll_slow(&mut self, waker: &Waker) -> Poll<D::Output<T>> {
        match self.stage {
            Stage::New => match self.slow() {
                TryOutcome::Done => Poll::Ready(self.done()),
                TryOutcome::Closed => Poll::Ready(self.closed()),
                TryOutcome::Blocked => self.poll_blocked(waker),
            },
            Stage::Queued => self.poll_queued(waker),
            // Polled again after it returned ready.
            Stage::Over => Poll::Pending,
        }
    }

    #[inline(never)]
    fn poll_blocked(&mut self, waker: &Waker) -> Poll<D::Output<T>> {
        if let Some(stop) = self.limit.stop_now() {
            return Poll::Ready(self.stopped(stop));
        }
        if self.spin_briefly() {
            match self.attempt() {
                TryOutcome::Done => return Poll::Ready(self.done()),
                TryOutcome::Closed => return Poll::Ready(self.closed()),
                TryOutcome::Blocked => {}
            }
        }
        match self.queue(Wake::Task(waker.clone())) {
            QueueOutcome::Done => return Poll::Ready(self.matched()),
            QueueOutcome::Closed => return Poll::Ready(self.closed()),
            QueueOutcome::Waiting => {}
        }
        if self.join_token() {
            return Poll::Ready(self.given_up(StopReason::Cancelled));
        }
        self.limit.set_timer(waker);
        Poll::Pending
    }

    #[inline(never)]
    fn poll_queued(&mut self, waker: &Waker) -> Poll<D::Output<T>> {
        if self.claim().is_matched() {
            self.limit.leave();
            return Poll::Ready(self.matched());
        }
        if let Some(outcome) = self.claim().outcome() {
            return Poll::Ready(self.ended(outcome));
        }
        if let Some(stop) = self.limit.stop_late() {
            return Poll::Ready(self.given_up(stop));
        }
        // SAFETY: we are the owner.
        if !unsafe { self.claim().wakes(waker) } {
            self.rewake(waker);
            // A matcher that was faster has woken the previous task.
            if let Some(outcome) = self.claim().outcome() {
                return Poll::Ready(self.ended(outcome));
            }
        }
        self.limit.keep_timer(waker);
        Poll::Pending
    }

    /// Whether a short spin of a task was successful. A task spins only while no other operation
    /// waits: queued operations come first.
    fn spin_briefly(&self) -> bool {
        let channel = self.channel;
        spin::pays(channel.kind)
            && channel.ring.is_fast()
            && D::task_spin(channel).spin(|| D::may_soon(channel), || D::may(channel))
    }

    /// Replaces the waker: another task polls the operation from now on.
    #[cold]
    fn rewake(&mut self, waker: &Waker) {
        // A waker's clone and drop are user code: not under the locks.
        let wake = Wake::Task(waker.clone());
        let token = self.limit.lock_token();
        let channel = self.channel.raw();
        channel.lock();
        // SAFETY: we hold every lock that leads to the claim.
        let old = unsafe { self.claim().replace(wake) };
        // SAFETY: taken above.
        unsafe { channel.unlock() };
        drop(token);
        drop(old);
        self.limit.set_timer(waker);
    }
}

impl<T, D: Direction, L: Limit> Future for Operation<'_, T, D, L> {
    type Output = D::Output<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of the pinned operation except the value in its slot, and at
        // that point no queue holds the slot's address any more.
        unsafe { self.get_unchecked_mut() }.poll_inner(context)
    }
}

impl<T, D: Direction, L: Limit> Drop for Operation<'_, T, D, L> {
    #[inline]
    fn drop(&mut self) {
        if self.stage != Stage::Over {
            self.drop_unfinished();
        }
    }
}

impl<T, D: Direction, L: Limit> Operation<'_, T, D, L> {
    #[cold]
    fn drop_unfinished(&mut self) {
        let outcome = match self.stage {
            Stage::New => None,
            Stage::Queued => self.unlink(),
            Stage::Over => return,
        };
        let matched = matches!(outcome, Some(WaitOutcome::Matched(_)));
        self.stage = Stage::Over;
        let sequence = if matched { self.node().sequence() } else { 0 };
        if matched {
            D::matched(self.channel, self.node());
        }
        // SAFETY: no other thread can reach the slot; `matched` says whether it holds a received
        // value.
        unsafe { D::dropped(self.channel, self.slot.get().cast(), matched, sequence) };
    }
}
