// SPDX-License-Identifier: BSD-3-Clause
//! An operation is a value: made by a handle, given its limits, and driven by whoever made it.
//!
//! ```text
//!   tx.send(v)      .timeout(d)        .await      a task waits
//!   rx.recv()       .deadline(t)       .wait()     a thread or a coroutine waits
//!                   .cancel_on(&tok)
//! ```
//!
//! An operation first tries without waiting. If that does not do, it links its node into the
//! channel's list, its second node into the token's, sets a timer, and waits on its one claim.
//!
//! # Dropping
//!
//! An operation that is dropped before it happened leaves no trace: its nodes are unlinked, and a
//! send's value goes to the undelivered hook. A receive that was handed a value and dropped before
//! it gave it to anybody gives it back, in front of all that is stored. A send that was matched
//! before it was dropped has happened: its value was received, or will be.
//!
//! # Safety
//!
//! The nodes point into the operation and the channel's list points to the nodes. The operation is
//! pinned from its first poll on (`Future`), or lives in the frame of [`Operation::wait`], and its
//! drop unlinks them. It is not `Unpin`. What matchers write is behind cells and raw pointers.

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::channel::{Cause, Channel, Queued, Tried};
use crate::direction::{Direction, Receiving, Sending};
use crate::limit::{Free, Limit, Limited, Stop};
use crate::park;
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, Node, Outcome, Wake};

/// A send that has not been driven yet. See [`Sender::send`](crate::Sender::send).
pub type Send<'a, T, L = Free> = Operation<'a, T, Sending, L>;
/// A receive that has not been driven yet. See [`Receiver::recv`](crate::Receiver::recv).
pub type Recv<'a, T, L = Free> = Operation<'a, T, Receiving, L>;

/// A send or a receive, as a value. Drive it with `.await` or [`wait`](Self::wait); until then it
/// does nothing.
///
/// **Cancel safe**: dropped before it completed, it has moved no value and leaves no trace.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Operation<'a, T, D: Direction, L: Limit = Free> {
    channel: &'a Channel<T>,
    stage: Stage,
    limit: L,
    /// A send's value until it is sent; where a receive's is put.
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
    /// The waiter is initialised and the node is, or was, in the channel's list.
    Queued,
    /// Over: the slot is empty.
    Over,
}

// SAFETY: it holds a value of `T` or a place for one, and what it shares with other threads is
// behind locks and atomics.
unsafe impl<T: std::marker::Send, D: Direction, L: Limit + std::marker::Send> std::marker::Send
    for Operation<'_, T, D, L>
{
}
// SAFETY: nothing can be done through a shared reference.
unsafe impl<T: std::marker::Send, D: Direction, L: Limit> Sync for Operation<'_, T, D, L> {}

impl<'a, T, D: Direction> Operation<'a, T, D, Free> {
    #[inline]
    pub(crate) fn new(channel: &'a Channel<T>, slot: MaybeUninit<T>) -> Self {
        Self {
            channel,
            stage: Stage::New,
            limit: Free,
            slot: UnsafeCell::new(slot),
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            direction: PhantomData,
            _pinned: PhantomPinned,
        }
    }

    /// Gives up `duration` from now. A duration beyond a century is taken as one.
    pub fn timeout(self, duration: Duration) -> Operation<'a, T, D, Limited<'a>> {
        self.limited(Limited::none().timeout(duration))
    }

    /// Gives up at `deadline`. An operation that can complete at once does, whatever the time.
    pub fn deadline(self, deadline: Instant) -> Operation<'a, T, D, Limited<'a>> {
        self.limited(Limited::none().deadline(deadline))
    }

    /// Gives up when `token` is cancelled. A token that is set wins over a channel that is ready.
    pub fn cancel_on(self, token: &'a Token) -> Operation<'a, T, D, Limited<'a>> {
        self.limited(Limited::none().cancel_on(token))
    }

    /// Takes it apart into its channel and its slot.
    pub(crate) fn into_parts(mut self) -> (&'a Channel<T>, MaybeUninit<T>) {
        self.stage = Stage::Over;
        (self.channel, std::mem::replace(self.slot.get_mut(), MaybeUninit::uninit()))
    }

    fn limited(self, limit: Limited<'a>) -> Operation<'a, T, D, Limited<'a>> {
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

impl<'a, T> Send<'a, T, Limited<'a>> {
    pub(crate) fn limited_to(channel: &'a Channel<T>, value: T, limit: Limited<'a>) -> Self {
        Operation::new(channel, MaybeUninit::new(value)).limited(limit)
    }
}

impl<T, L: Limit> Send<'_, T, L> {
    /// Withdraws it and takes its value back, unless it has happened.
    pub(crate) fn take_back(&mut self) -> Option<T> {
        let outcome = match self.stage {
            Stage::Over => return None,
            Stage::New => None,
            Stage::Queued => self.unlink(),
        };
        self.stage = Stage::Over;
        if matches!(outcome, Some(Outcome::Matched(_))) {
            Sending::matched(self.channel, self.node());
            return None;
        }
        // SAFETY: it did not happen, so that the value is still in the slot.
        Some(unsafe { self.slot.get().cast::<T>().read() })
    }
}

impl<T, L: Limit> Recv<'_, T, L> {
    /// Ends it: it waits no longer. A value that was handed to it by then is received, and is
    /// returned; without one it leaves no trace.
    ///
    /// This is for who has limits of his own. A receive that is only dropped gives such a value back,
    /// and another receiver, who was handed a newer one meanwhile, gets the older after it.
    pub fn withdraw(self: Pin<&mut Self>) -> Option<T> {
        // SAFETY: nothing is moved out but the value in the slot, once nobody holds its address.
        let this = unsafe { self.get_unchecked_mut() };
        let outcome = match this.stage {
            Stage::New | Stage::Over => None,
            Stage::Queued => this.unlink(),
        };
        this.stage = Stage::Over;
        matches!(outcome, Some(Outcome::Matched(_))).then(|| this.matched())?.ok()
    }
}

impl<'a, T> Recv<'a, T, Limited<'a>> {
    pub(crate) fn limited_from(channel: &'a Channel<T>, limit: Limited<'a>) -> Self {
        Operation::new(channel, MaybeUninit::uninit()).limited(limit)
    }
}

impl<'a, T, D: Direction> Operation<'a, T, D, Limited<'a>> {
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
    /// A thread first looks for a moment whether the other side comes, for as long as that has
    /// paid on this machine lately.
    #[inline]
    pub fn wait(mut self) -> D::Output<T> {
        if let Some(stop) = self.limit.stop_before() {
            return self.stopped(stop);
        }
        match self.fast() {
            Some(output) => output,
            None => self.wait_rest(),
        }
    }

    /// By reference, as what follows it: an operation is large, and a copy would wait for the value
    /// that was just written.
    #[inline(never)]
    fn wait_rest(&mut self) -> D::Output<T> {
        match self.rest() {
            Tried::Done => self.done(),
            Tried::Closed => self.closed(),
            Tried::Blocked => self.wait_blocked(),
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
                            Tried::Done => return self.done(),
                            Tried::Closed => return self.closed(),
                            Tried::Blocked => {}
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
            Queued::Done => return self.matched(),
            Queued::Closed => return self.closed(),
            Queued::Waiting => {}
        }
        if self.join_token() {
            return self.given_up(Stop::Cancelled);
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

    /// With nothing in the way it happens here.
    #[inline]
    fn fast(&mut self) -> Option<D::Output<T>> {
        // SAFETY: as in `attempt`.
        let output = unsafe { D::fast(self.channel, self.slot.get().cast()) }?;
        self.stage = Stage::Over;
        Some(output)
    }

    /// Without waiting, where [`Self::fast`] did nothing.
    #[inline]
    fn rest(&mut self) -> Tried {
        // SAFETY: as in `attempt`.
        unsafe { D::rest(self.channel, self.slot.get().cast()) }
    }

    #[inline]
    fn attempt(&mut self) -> Tried {
        // SAFETY: not queued, so that the slot is ours; a send's holds its value.
        unsafe { D::attempt(self.channel, self.slot.get().cast()) }
    }

    /// Links the node, or completes at once.
    #[inline]
    fn queue(&mut self, wake: Wake) -> Queued {
        let shared = self.limit.has_token();
        let (waiter, slot) = (self.waiter.get().cast::<Waiter>(), self.slot.get().cast::<()>());
        // SAFETY: nobody else knows the waiter yet. It stays where it is while it is linked: the
        // operation is pinned, or in the frame of `wait`, and unlinks it before it goes.
        let queued = unsafe {
            (&raw mut (*waiter).claim).write(Claim::new(wake, shared));
            (&raw mut (*waiter).node).write(Node::new(&raw const (*waiter).claim, 0, slot));
            D::queue(self.channel, &raw const (*waiter).node)
        };
        if queued == Queued::Waiting {
            self.stage = Stage::Queued;
        } else {
            // SAFETY: it was not linked, hence not claimed.
            unsafe { (*waiter).claim.retire() };
        }
        queued
    }

    /// Registers with the token, if there is one. True: it is set already.
    #[inline]
    fn join_token(&mut self) -> bool {
        let claim = (&raw const *self.claim()).cast::<Claim>();
        // SAFETY: claim and limit stay where they are until the wait has ended, as in `queue`.
        unsafe { self.limit.join(claim) }
    }

    /// The claim of a queued operation.
    #[inline]
    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `queue`; others access it through shared references too.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).claim }
    }

    fn node(&self) -> &Node {
        // SAFETY: as above.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).node }
    }

    /// The wait ended by somebody's doing.
    fn ended(&mut self, outcome: Outcome) -> D::Output<T> {
        self.limit.leave();
        match outcome {
            Outcome::Matched(_) => self.matched(),
            Outcome::Closed(_) => self.closed(),
            Outcome::Cancelled => {
                self.unqueue();
                self.stopped(Stop::Cancelled)
            }
        }
    }

    /// The wait ends by our doing, unless somebody was faster.
    fn given_up(&mut self, stop: Stop) -> D::Output<T> {
        match self.unlink() {
            Some(Outcome::Matched(_)) => self.matched(),
            Some(Outcome::Closed(_)) => self.closed(),
            Some(Outcome::Cancelled) => self.stopped(Stop::Cancelled),
            None => self.stopped(stop),
        }
    }

    /// Unlinks everything; then nobody else has a hold of the waiter. Says how the wait had ended.
    fn unlink(&mut self) -> Option<Outcome> {
        self.limit.leave();
        self.unqueue();
        let outcome = self.claim().outcome();
        if outcome.is_none() {
            // SAFETY: every node is unlinked and nobody has ended the wait.
            unsafe { self.claim().retire() };
        }
        outcome
    }

    fn unqueue(&self) {
        // SAFETY: the node is alive, and was queued at this channel.
        unsafe { D::unqueue(self.channel, self.node()) };
    }

    /// It happened through its node.
    #[inline]
    fn matched(&mut self) -> D::Output<T> {
        D::matched(self.channel, self.node());
        self.done()
    }

    /// It happened.
    #[inline]
    fn done(&mut self) -> D::Output<T> {
        self.stage = Stage::Over;
        // SAFETY: a send's value has been moved out of the slot, a receive's is in it.
        unsafe { D::done(self.channel, self.slot.get().cast()) }
    }

    #[cold]
    fn closed(&mut self) -> D::Output<T> {
        self.failed(Cause::Closed)
    }

    #[cold]
    fn stopped(&mut self, stop: Stop) -> D::Output<T> {
        self.failed(match stop {
            Stop::Cancelled => Cause::Cancelled,
            Stop::TimedOut => Cause::TimedOut,
        })
    }

    fn failed(&mut self, cause: Cause) -> D::Output<T> {
        self.stage = Stage::Over;
        // SAFETY: it did not happen, so that a send's value is still in the slot.
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
        self.poll_rest(context.waker())
    }

    #[inline(never)]
    fn poll_rest(&mut self, waker: &Waker) -> Poll<D::Output<T>> {
        match self.stage {
            Stage::New => match self.rest() {
                Tried::Done => Poll::Ready(self.done()),
                Tried::Closed => Poll::Ready(self.closed()),
                Tried::Blocked => self.poll_blocked(waker),
            },
            Stage::Queued => self.poll_queued(waker),
            // Polled again after it was ready: it has nothing more to say.
            Stage::Over => Poll::Pending,
        }
    }

    #[inline(never)]
    fn poll_blocked(&mut self, waker: &Waker) -> Poll<D::Output<T>> {
        if let Some(stop) = self.limit.stop_now() {
            return Poll::Ready(self.stopped(stop));
        }
        if self.look_briefly() {
            match self.attempt() {
                Tried::Done => return Poll::Ready(self.done()),
                Tried::Closed => return Poll::Ready(self.closed()),
                Tried::Blocked => {}
            }
        }
        match self.queue(Wake::Task(waker.clone())) {
            Queued::Done => return Poll::Ready(self.matched()),
            Queued::Closed => return Poll::Ready(self.closed()),
            Queued::Waiting => {}
        }
        if self.join_token() {
            return Poll::Ready(self.given_up(Stop::Cancelled));
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
            // Who was faster has woken the other task.
            if let Some(outcome) = self.claim().outcome() {
                return Poll::Ready(self.ended(outcome));
            }
        }
        self.limit.keep_timer(waker);
        Poll::Pending
    }

    /// Whether a task that looked for a moment found something. It looks only while no other
    /// waits: those in line come first.
    fn look_briefly(&self) -> bool {
        let channel = self.channel;
        spin::pays(channel.kind)
            && channel.ring.is_fast()
            && D::looks(channel).look(|| D::may_soon(channel), || D::may(channel))
    }

    /// Another task polls it from now on.
    #[cold]
    fn rewake(&mut self, waker: &Waker) {
        // A waker's clone and drop are code of the user's: not under the locks.
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
        // SAFETY: nothing is moved out of the pinned operation but the value in its slot, whose
        // address nobody holds any more when it is.
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
        let matched = matches!(outcome, Some(Outcome::Matched(_)));
        self.stage = Stage::Over;
        let turn = if matched { self.node().turn() } else { 0 };
        if matched {
            D::matched(self.channel, self.node());
        }
        // SAFETY: nobody else has a hold of the slot; whether it holds a value is what `matched`
        // says.
        unsafe { D::dropped(self.channel, self.slot.get().cast(), matched, turn) };
    }
}
