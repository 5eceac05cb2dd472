// SPDX-License-Identifier: BSD-3-Clause
//! Operations of the SPSC handles: created, limited and driven as those of [`crate::op`].
//!
//! A waiter is woken to check again, and no value is handed to it: values move only in the attempt
//! that completes the operation. So a dropped operation has nothing to requeue, and a send, a
//! receive and the batches are driven alike: each is a [`Job`] that can be attempted.
//!
//! # Safety
//!
//! As in [`crate::op`]: the node points into the operation and the channel's wait queue points to
//! the node. The operation is pinned from its first poll on, or lives in the frame of
//! [`SpscOperation::wait`], and its drop unlinks the node. It is not `Unpin`.

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::channel::{Channel, Cursor, Side};
use super::handle::{SpscReceiver, SpscSender};
use crate::channel::{FailureCause, QueueOutcome};
use crate::error::{RecvError, SendError};
use crate::limit::{Limit, Limits, NoLimits, StopReason};
use crate::park;
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, Node, WaitOutcome, Wake};

/// A send that has not been driven yet. See [`SpscSender::send`].
pub type SpscSend<'a, T, L = NoLimits> = SpscOperation<SendOne<'a, T>, L>;
/// A receive that has not been driven yet. See [`SpscReceiver::recv`].
pub type SpscRecv<'a, T, L = NoLimits> = SpscOperation<RecvOne<'a, T>, L>;

/// An operation of an SPSC handle, as a value. Drive it with `.await` or [`wait`](Self::wait);
/// until then it does nothing.
///
/// **Cancel safe**: dropped before it completed, a receive has taken nothing, and a send has sent
/// nothing. (A batch may have sent a part; the unsent values are still in the queue.)
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct SpscOperation<J: Job, L: Limit = NoLimits> {
    job: J,
    stage: Stage,
    limit: L,
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    _pinned: PhantomPinned,
}

struct Waiter {
    claim: Claim,
    node: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not driven, or not in the wait queue.
    New,
    /// The waiter is initialised and the node is, or was, in the channel's wait queue.
    Queued,
    Over,
}

/// The kind of an operation: send or receive, one or many. Sealed.
pub trait Job: sealed::Job {}

impl<J: sealed::Job> Job for J {}

pub(super) mod sealed {
    use super::{Channel, Cursor, FailureCause, Side};

    #[allow(private_interfaces, unreachable_pub, reason = "sealed")]
    pub trait Job {
        type Value;
        /// The result of the operation.
        type Output;
        const SIDE: Side;

        fn parts(&mut self) -> (&Channel<Self::Value>, &mut Cursor);
        /// Whether an attempt can run without reading the other side's position.
        fn is_ready(&self) -> bool;
        /// Completes without waiting, if possible. `backoff`: the caller accepts a short pause.
        fn attempt(&mut self, backoff: bool) -> Option<Self::Output>;
        /// The result of an operation that did not complete.
        fn fail(&mut self, cause: FailureCause) -> Self::Output;
        /// Discards the value of an operation that is dropped before it completed.
        fn discard(&mut self);
    }
}

/// Sends a value.
pub struct SendOne<'a, T> {
    sender: &'a mut SpscSender<T>,
    /// Present until it is sent or returned.
    value: ManuallyDrop<T>,
}

/// Receives a value.
pub struct RecvOne<'a, T> {
    receiver: &'a mut SpscReceiver<T>,
}

impl<'a, T> SendOne<'a, T> {
    #[inline]
    pub(super) fn new(sender: &'a mut SpscSender<T>, value: T) -> Self {
        Self { sender, value: ManuallyDrop::new(value) }
    }

    fn take(&mut self) -> T {
        // SAFETY: called once, at the end of an operation that did not complete.
        unsafe { ManuallyDrop::take(&mut self.value) }
    }
}

impl<'a, T> RecvOne<'a, T> {
    #[inline]
    pub(super) fn new(receiver: &'a mut SpscReceiver<T>) -> Self {
        Self { receiver }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl<T> sealed::Job for SendOne<'_, T> {
    type Value = T;
    type Output = Result<(), SendError<T>>;
    const SIDE: Side = Side::Sender;

    #[inline]
    fn parts(&mut self) -> (&Channel<T>, &mut Cursor) {
        (&self.sender.channel, &mut self.sender.cursor)
    }

    #[inline(always)]
    fn is_ready(&self) -> bool {
        Channel::<T>::is_ready(&self.sender.cursor)
    }

    #[inline(always)]
    fn attempt(&mut self, backoff: bool) -> Option<Self::Output> {
        let (channel, cursor) = (&self.sender.channel, &mut self.sender.cursor);
        if channel.has_room(cursor, backoff) {
            // SAFETY: there is room; the value is present, and the operation ends here.
            return Some(match unsafe { channel.send(cursor, &raw const *self.value) } {
                Ok(()) => Ok(()),
                Err(value) => Err(self.sender.send_failed(value)),
            });
        }
        channel.is_closed().then(|| self.fail(FailureCause::Closed))
    }

    #[cold]
    fn fail(&mut self, cause: FailureCause) -> Self::Output {
        self.sender.channel.count_send_failure(cause);
        let value = self.take();
        Err(match cause {
            FailureCause::TimedOut | FailureCause::WouldBlock => SendError::TimedOut(value),
            FailureCause::Closed => SendError::Closed(value),
            FailureCause::Cancelled => SendError::Cancelled(value),
        })
    }

    fn discard(&mut self) {
        let value = self.take();
        self.sender.channel.discard(value);
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl<T> sealed::Job for RecvOne<'_, T> {
    type Value = T;
    type Output = Result<T, RecvError>;
    const SIDE: Side = Side::Receiver;

    #[inline]
    fn parts(&mut self) -> (&Channel<T>, &mut Cursor) {
        (&self.receiver.channel, &mut self.receiver.cursor)
    }

    #[inline(always)]
    fn is_ready(&self) -> bool {
        Channel::<T>::is_ready(&self.receiver.cursor)
    }

    #[inline(always)]
    fn attempt(&mut self, _: bool) -> Option<Self::Output> {
        if self.receiver.has_value() {
            // SAFETY: there is a value.
            return Some(Ok(unsafe { self.receiver.channel.recv(&mut self.receiver.cursor) }));
        }
        self.receiver.is_drained().then(|| self.fail(FailureCause::Closed))
    }

    #[cold]
    fn fail(&mut self, cause: FailureCause) -> Self::Output {
        self.receiver.channel.count_receive_failure(cause);
        Err(match cause {
            FailureCause::TimedOut | FailureCause::WouldBlock => RecvError::TimedOut,
            FailureCause::Closed => RecvError::Closed,
            FailureCause::Cancelled => RecvError::Cancelled,
        })
    }

    fn discard(&mut self) {}
}

// SAFETY: the state shared with other threads is behind locks and atomics.
unsafe impl<J: Job + Send, L: Limit + Send> Send for SpscOperation<J, L> {}
// SAFETY: nothing can be done through a shared reference.
unsafe impl<J: Job + Send, L: Limit> Sync for SpscOperation<J, L> {}

impl<J: Job, L: Limit> SpscOperation<J, L> {
    #[inline]
    fn with(job: J, limit: L) -> Self {
        Self {
            job,
            stage: Stage::New,
            limit,
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            _pinned: PhantomPinned,
        }
    }

    /// Splits an operation that was not driven.
    #[inline(always)]
    fn into_parts(self) -> (J, L) {
        let this = ManuallyDrop::new(self);
        // SAFETY: both are read once, out of an operation that is not dropped. Its waiter was not
        // initialised.
        unsafe { ((&raw const this.job).read(), (&raw const this.limit).read()) }
    }

    /// With other limits.
    #[inline]
    fn limited<M: Limit>(self, limit: impl FnOnce(L) -> M) -> SpscOperation<J, M> {
        let (job, old) = self.into_parts();
        SpscOperation::with(job, limit(old))
    }
}

impl<'a, J: Job> SpscOperation<J, NoLimits> {
    #[inline]
    pub(super) fn new(job: J) -> Self {
        Self::with(job, NoLimits)
    }

    /// Fails with a timeout `duration` from now. A duration beyond a century is taken as one.
    pub fn timeout(self, duration: Duration) -> SpscOperation<J, Limits<'a>> {
        self.limited(|_| Limits::none().timeout(duration))
    }

    /// Fails with a timeout at `deadline`. An operation that can complete at once does, even if the
    /// deadline has passed.
    pub fn deadline(self, deadline: Instant) -> SpscOperation<J, Limits<'a>> {
        self.limited(|_| Limits::none().deadline(deadline))
    }

    /// Fails when `token` is cancelled. A cancelled token wins over a channel that is ready.
    pub fn cancel_on(self, token: &'a Token) -> SpscOperation<J, Limits<'a>> {
        self.limited(|_| Limits::none().cancel_on(token))
    }
}

impl<'a, J: Job> SpscOperation<J, Limits<'a>> {
    /// As on an operation without limits; the earlier of two deadlines holds.
    pub fn timeout(self, duration: Duration) -> Self {
        self.limited(|limit| limit.timeout(duration))
    }

    /// As on an operation without limits; the earlier of two deadlines holds.
    pub fn deadline(self, deadline: Instant) -> Self {
        self.limited(|limit| limit.deadline(deadline))
    }

    /// As on an operation without limits; the last token holds.
    pub fn cancel_on(self, token: &'a Token) -> Self {
        self.limited(|limit| limit.cancel_on(token))
    }
}

impl<J: Job, L: Limit> SpscOperation<J, L> {
    /// Drives it from a thread, which sleeps, or from a coroutine, which is parked through its
    /// scheduler's hook ([`park::set_hook`](crate::park::set_hook)).
    ///
    /// A thread first spins for a short time; how long depends on how often spinning has succeeded
    /// in this process lately.
    #[inline]
    pub fn wait(self) -> J::Output {
        let (mut job, limit) = self.into_parts();
        if job.is_ready()
            && limit.stop_before().is_none()
            && let Some(output) = job.attempt(true)
        {
            return output;
        }
        Self::wait_slow(job, limit)
    }

    /// Tries once more before it initialises the waiter.
    #[inline(never)]
    fn wait_slow(mut job: J, limit: L) -> J::Output {
        if limit.stop_before().is_none()
            && let Some(output) = job.attempt(true)
        {
            return output;
        }
        Self::with(job, limit).wait_blocked()
    }

    #[cold]
    fn wait_blocked(mut self) -> J::Output {
        let hook = park::hook();
        loop {
            if let Some(stop) = self.limit.stop_now() {
                return self.stopped(stop);
            }
            if hook.is_none()
                && self.spin()
                && let Some(output) = self.attempt_again(true)
            {
                return output;
            }
            let wake = hook.map_or(Wake::Thread, |hook| Wake::Flow(hook.unparker()));
            if self.queue(wake) {
                if self.join_token() {
                    return self.given_up(StopReason::Cancelled);
                }
                while self.claim().outcome().is_none() {
                    if let Some(stop) = self.limit.stop_late() {
                        return self.given_up(stop);
                    }
                    match hook {
                        Some(hook) => hook.park(self.limit.deadline_at()),
                        None => self.claim().park_thread(self.limit.deadline_at()),
                    }
                }
                if self.withdraw() == Some(WaitOutcome::Cancelled) {
                    return self.stopped(StopReason::Cancelled);
                }
            }
            if let Some(output) = self.attempt_again(true) {
                return output;
            }
        }
    }

    /// Pauses, then spins for a while. True: an attempt may succeed.
    fn spin(&mut self) -> bool {
        let (channel, cursor) = self.job.parts();
        if !cfg!(feature = "loom") {
            park::relax(cursor.pause());
        }
        let found = channel.has(J::SIDE, cursor);
        cursor.paused(cursor.ring.run());
        found || spin::until(|| channel.may(J::SIDE, cursor))
    }

    #[inline(always)]
    fn attempt(&mut self, backoff: bool) -> Option<J::Output> {
        let output = self.job.attempt(backoff);
        if output.is_some() {
            self.stage = Stage::Over;
        }
        output
    }

    #[inline(never)]
    fn attempt_again(&mut self, backoff: bool) -> Option<J::Output> {
        self.attempt(backoff)
    }

    /// Links the node. False: try again.
    fn queue(&mut self, wake: Wake) -> bool {
        let shared = self.limit.has_token();
        let waiter = self.waiter.get().cast::<Waiter>();
        let (channel, cursor) = self.job.parts();
        // SAFETY: the waiter is not shared yet. It stays where it is while it is linked: the
        // operation is pinned, or in the frame of `wait`, and unlinks it before it is dropped.
        let queued = unsafe {
            (&raw mut (*waiter).claim).write(Claim::new(wake, shared));
            let claim = &raw const (*waiter).claim;
            (&raw mut (*waiter).node).write(Node::new(claim, 0, std::ptr::null_mut()));
            channel.queue(J::SIDE, cursor, &raw const (*waiter).node)
        };
        if queued == QueueOutcome::Waiting {
            self.stage = Stage::Queued;
            return true;
        }
        self.retire();
        false
    }

    /// Registers with the token, if there is one. True: the token is cancelled already.
    #[inline]
    fn join_token(&mut self) -> bool {
        let claim = std::ptr::from_ref(self.claim());
        // SAFETY: claim and limit stay where they are until the wait has ended, as in `queue`.
        unsafe { self.limit.join(claim) }
    }

    /// The claim of a queued operation.
    #[inline]
    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `queue`; matchers access it through shared references too.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).claim }
    }

    /// No other thread can reach the waiter: drops its wake, unless a matcher has taken it.
    fn retire(&self) -> Option<WaitOutcome> {
        let outcome = self.claim().outcome();
        if outcome.is_none() {
            // SAFETY: the node is not linked and no matcher has ended the wait.
            unsafe { self.claim().retire() };
        }
        outcome
    }

    /// Ends the wait, and returns how it had ended, if it had.
    fn withdraw(&mut self) -> Option<WaitOutcome> {
        self.limit.leave();
        let node = self.waiter.get().cast::<Waiter>();
        let (channel, _) = self.job.parts();
        // SAFETY: the node is alive, and was queued by this side.
        unsafe { channel.unqueue(J::SIDE, &raw const (*node).node) };
        self.stage = Stage::New;
        self.retire()
    }

    /// Ends the wait for a limit, unless a wake was faster.
    fn given_up(&mut self, stop: StopReason) -> J::Output {
        match self.withdraw() {
            Some(WaitOutcome::Cancelled) => self.stopped(StopReason::Cancelled),
            Some(_) => match self.attempt_again(false) {
                Some(output) => output,
                None => self.stopped(stop),
            },
            None => self.stopped(stop),
        }
    }

    #[cold]
    fn stopped(&mut self, stop: StopReason) -> J::Output {
        self.stage = Stage::Over;
        self.job.fail(match stop {
            StopReason::Cancelled => FailureCause::Cancelled,
            StopReason::TimedOut => FailureCause::TimedOut,
        })
    }

    #[inline]
    fn poll_inner(&mut self, context: &Context<'_>) -> Poll<J::Output> {
        if self.stage == Stage::New {
            if let Some(stop) = self.limit.stop_before() {
                return Poll::Ready(self.stopped(stop));
            }
            if let Some(output) = self.attempt(false) {
                return Poll::Ready(output);
            }
        }
        self.poll_blocked(context.waker())
    }

    fn poll_blocked(&mut self, waker: &Waker) -> Poll<J::Output> {
        if self.stage == Stage::Over {
            // Polled again after it returned ready.
            return Poll::Pending;
        }
        if self.stage == Stage::Queued {
            if self.claim().outcome().is_none() {
                if let Some(stop) = self.limit.stop_late() {
                    return Poll::Ready(self.given_up(stop));
                }
                // SAFETY: we are the owner.
                if !unsafe { self.claim().wakes(waker) } {
                    self.rewake(waker);
                }
                // A wake that was faster went to the previous task.
                if self.claim().outcome().is_none() {
                    self.limit.keep_timer(waker);
                    return Poll::Pending;
                }
            }
            if self.withdraw() == Some(WaitOutcome::Cancelled) {
                return Poll::Ready(self.stopped(StopReason::Cancelled));
            }
            if let Some(output) = self.attempt_again(false) {
                return Poll::Ready(output);
            }
        }
        loop {
            if let Some(stop) = self.limit.stop_now() {
                return Poll::Ready(self.stopped(stop));
            }
            if self.queue(Wake::Task(waker.clone())) {
                if self.join_token() {
                    return Poll::Ready(self.given_up(StopReason::Cancelled));
                }
                self.limit.set_timer(waker);
                return Poll::Pending;
            }
            if let Some(output) = self.attempt_again(false) {
                return Poll::Ready(output);
            }
        }
    }

    /// Replaces the waker: another task polls the operation from now on.
    #[cold]
    fn rewake(&mut self, waker: &Waker) {
        // A waker's clone and drop are user code: not under the locks.
        let wake = Wake::Task(waker.clone());
        let claim = std::ptr::from_ref(self.claim());
        let token = self.limit.lock_token();
        let (channel, _) = self.job.parts();
        channel.raw().lock();
        // SAFETY: we hold every lock that leads to the claim.
        let old = unsafe { (*claim).replace(wake) };
        // SAFETY: taken above.
        unsafe { channel.raw().unlock() };
        drop(token);
        drop(old);
        self.limit.set_timer(waker);
    }
}

impl<J: Job, L: Limit> Future for SpscOperation<J, L> {
    type Output = J::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of the pinned operation except the job's value, to whose
        // address no pointer exists.
        unsafe { self.get_unchecked_mut() }.poll_inner(context)
    }
}

impl<J: Job, L: Limit> Drop for SpscOperation<J, L> {
    #[inline]
    fn drop(&mut self) {
        if self.stage != Stage::Over {
            self.drop_unfinished();
        }
    }
}

impl<J: Job, L: Limit> SpscOperation<J, L> {
    #[cold]
    fn drop_unfinished(&mut self) {
        if self.stage == Stage::Queued {
            self.withdraw();
        }
        self.stage = Stage::Over;
        self.job.discard();
    }
}
