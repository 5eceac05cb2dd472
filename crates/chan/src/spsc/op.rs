// SPDX-License-Identifier: BSD-3-Clause
//! Operations of the SPSC handles: made, limited and driven as those of [`crate::op`].
//!
//! A waiter is woken to look again, and is given nothing: values move only in the attempt that
//! completes the operation. So a dropped operation has nothing to give back, and a send, a receive
//! and the batches are driven alike: each is a [`Job`] that can be attempted.
//!
//! # Safety
//!
//! As in [`crate::op`]: the node points into the operation and the channel's list points to the
//! node. The operation is pinned from its first poll on, or lives in the frame of
//! [`SpscOperation::wait`], and its drop unlinks the node. It is not `Unpin`.

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::channel::{Channel, Side, Stand};
use super::handle::{SpscReceiver, SpscSender};
use crate::channel::{Cause, Queued};
use crate::error::{RecvError, SendError};
use crate::limit::{Free, Limit, Limited, Stop};
use crate::park;
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, Node, Outcome, Wake};

/// A send that has not been driven yet. See [`SpscSender::send`].
pub type SpscSend<'a, T, L = Free> = SpscOperation<SendOne<'a, T>, L>;
/// A receive that has not been driven yet. See [`SpscReceiver::recv`].
pub type SpscRecv<'a, T, L = Free> = SpscOperation<RecvOne<'a, T>, L>;

/// An operation of an SPSC handle, as a value. Drive it with `.await` or [`wait`](Self::wait); until
/// then it does nothing.
///
/// **Cancel safe**: dropped before it completed, a receive has taken nothing, and a send has sent
/// nothing. (A batch may have sent a part; the rest is where it was.)
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct SpscOperation<J: Job, L: Limit = Free> {
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
    /// Not driven, or not in line.
    New,
    /// The waiter is initialised and the node is, or was, in the channel's list.
    Queued,
    Over,
}

/// What an operation does: send or receive, one or many. Sealed.
pub trait Job: sealed::Job {}

impl<J: sealed::Job> Job for J {}

pub(super) mod sealed {
    use super::{Cause, Channel, Side, Stand};

    #[allow(private_interfaces, unreachable_pub, reason = "sealed")]
    pub trait Job {
        type Value;
        /// What the operation comes to.
        type Output;
        const SIDE: Side;

        fn parts(&mut self) -> (&Channel<Self::Value>, &mut Stand);
        /// Whether an attempt does without a look at the other side, as far as is known.
        fn is_ready(&self) -> bool;
        /// Does it, if that needs no waiting. `linger`: the caller may be kept for a moment.
        fn attempt(&mut self, linger: bool) -> Option<Self::Output>;
        /// It did not happen.
        fn fail(&mut self, cause: Cause) -> Self::Output;
        /// It is dropped, and did not happen.
        fn lose(&mut self);
    }
}

/// Sends a value.
pub struct SendOne<'a, T> {
    sender: &'a mut SpscSender<T>,
    /// There until it is sent, or given back.
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
        // SAFETY: called once, by the end of an operation that did not happen.
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
    fn parts(&mut self) -> (&Channel<T>, &mut Stand) {
        (&self.sender.channel, &mut self.sender.stand)
    }

    #[inline(always)]
    fn is_ready(&self) -> bool {
        Channel::<T>::is_ready(&self.sender.stand)
    }

    #[inline(always)]
    fn attempt(&mut self, linger: bool) -> Option<Self::Output> {
        let (channel, stand) = (&self.sender.channel, &mut self.sender.stand);
        if channel.has_room(stand, linger) {
            // SAFETY: there is room; the value is there, and the operation ends here.
            return Some(match unsafe { channel.send(stand, &raw const *self.value) } {
                Ok(()) => Ok(()),
                Err(value) => Err(self.sender.send_failed(value)),
            });
        }
        channel.is_closed().then(|| self.fail(Cause::Closed))
    }

    #[cold]
    fn fail(&mut self, cause: Cause) -> Self::Output {
        self.sender.channel.count_send_failure(cause);
        let value = self.take();
        Err(match cause {
            Cause::TimedOut | Cause::WouldBlock => SendError::TimedOut(value),
            Cause::Closed => SendError::Closed(value),
            Cause::Cancelled => SendError::Cancelled(value),
        })
    }

    fn lose(&mut self) {
        let value = self.take();
        self.sender.channel.lose(value);
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl<T> sealed::Job for RecvOne<'_, T> {
    type Value = T;
    type Output = Result<T, RecvError>;
    const SIDE: Side = Side::Receiver;

    #[inline]
    fn parts(&mut self) -> (&Channel<T>, &mut Stand) {
        (&self.receiver.channel, &mut self.receiver.stand)
    }

    #[inline(always)]
    fn is_ready(&self) -> bool {
        Channel::<T>::is_ready(&self.receiver.stand)
    }

    #[inline(always)]
    fn attempt(&mut self, _: bool) -> Option<Self::Output> {
        if self.receiver.has_value() {
            // SAFETY: there is a value.
            return Some(Ok(unsafe { self.receiver.channel.recv(&mut self.receiver.stand) }));
        }
        self.receiver.is_drained().then(|| self.fail(Cause::Closed))
    }

    #[cold]
    fn fail(&mut self, cause: Cause) -> Self::Output {
        self.receiver.channel.count_receive_failure(cause);
        Err(match cause {
            Cause::TimedOut | Cause::WouldBlock => RecvError::TimedOut,
            Cause::Closed => RecvError::Closed,
            Cause::Cancelled => RecvError::Cancelled,
        })
    }

    fn lose(&mut self) {}
}

// SAFETY: what it shares with other threads is behind locks and atomics.
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

    /// Takes apart an operation that was not driven.
    #[inline(always)]
    fn into_parts(self) -> (J, L) {
        let this = ManuallyDrop::new(self);
        // SAFETY: both are read once, out of an operation that is not dropped. Its waiter was not
        // made.
        unsafe { ((&raw const this.job).read(), (&raw const this.limit).read()) }
    }

    /// With other limits.
    #[inline]
    fn limited<M: Limit>(self, limit: impl FnOnce(L) -> M) -> SpscOperation<J, M> {
        let (job, old) = self.into_parts();
        SpscOperation::with(job, limit(old))
    }
}

impl<'a, J: Job> SpscOperation<J, Free> {
    #[inline]
    pub(super) fn new(job: J) -> Self {
        Self::with(job, Free)
    }

    /// Gives up `duration` from now. A duration beyond a century is taken as one.
    pub fn timeout(self, duration: Duration) -> SpscOperation<J, Limited<'a>> {
        self.limited(|_| Limited::none().timeout(duration))
    }

    /// Gives up at `deadline`. An operation that can complete at once does, whatever the time.
    pub fn deadline(self, deadline: Instant) -> SpscOperation<J, Limited<'a>> {
        self.limited(|_| Limited::none().deadline(deadline))
    }

    /// Gives up when `token` is cancelled. A token that is set wins over a channel that is ready.
    pub fn cancel_on(self, token: &'a Token) -> SpscOperation<J, Limited<'a>> {
        self.limited(|_| Limited::none().cancel_on(token))
    }
}

impl<'a, J: Job> SpscOperation<J, Limited<'a>> {
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
    /// A thread first looks for a moment whether the other side comes, for as long as that has
    /// paid on this machine lately.
    #[inline]
    pub fn wait(self) -> J::Output {
        let (mut job, limit) = self.into_parts();
        if job.is_ready()
            && limit.stop_before().is_none()
            && let Some(output) = job.attempt(true)
        {
            return output;
        }
        Self::wait_look(job, limit)
    }

    /// Looks before it builds what waiting takes.
    #[inline(never)]
    fn wait_look(mut job: J, limit: L) -> J::Output {
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
                && self.look()
                && let Some(output) = self.attempt_again(true)
            {
                return output;
            }
            let wake = hook.map_or(Wake::Thread, |hook| Wake::Flow(hook.unparker()));
            if self.queue(wake) {
                if self.join_token() {
                    return self.given_up(Stop::Cancelled);
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
                if self.withdraw() == Some(Outcome::Cancelled) {
                    return self.stopped(Stop::Cancelled);
                }
            }
            if let Some(output) = self.attempt_again(true) {
                return output;
            }
        }
    }

    /// Looks for a while, with a pause before.
    fn look(&mut self) -> bool {
        let (channel, stand) = self.job.parts();
        if !cfg!(feature = "loom") {
            park::relax(stand.pause());
        }
        let found = channel.has(J::SIDE, stand);
        stand.paused(stand.cursor.run());
        found || spin::until(|| channel.may(J::SIDE, stand))
    }

    #[inline(always)]
    fn attempt(&mut self, linger: bool) -> Option<J::Output> {
        let output = self.job.attempt(linger);
        if output.is_some() {
            self.stage = Stage::Over;
        }
        output
    }

    #[inline(never)]
    fn attempt_again(&mut self, linger: bool) -> Option<J::Output> {
        self.attempt(linger)
    }

    /// Links the node. False: look again.
    fn queue(&mut self, wake: Wake) -> bool {
        let shared = self.limit.has_token();
        let waiter = self.waiter.get().cast::<Waiter>();
        let (channel, stand) = self.job.parts();
        // SAFETY: nobody else knows the waiter yet. It stays where it is while it is linked: the
        // operation is pinned, or in the frame of `wait`, and unlinks it before it goes.
        let queued = unsafe {
            (&raw mut (*waiter).claim).write(Claim::new(wake, shared));
            let claim = &raw const (*waiter).claim;
            (&raw mut (*waiter).node).write(Node::new(claim, 0, std::ptr::null_mut()));
            channel.queue(J::SIDE, stand, &raw const (*waiter).node)
        };
        if queued == Queued::Waiting {
            self.stage = Stage::Queued;
            return true;
        }
        self.retire();
        false
    }

    /// Registers with the token, if there is one. True: it is set already.
    #[inline]
    fn join_token(&mut self) -> bool {
        let claim = std::ptr::from_ref(self.claim());
        // SAFETY: claim and limit stay where they are until the wait has ended, as in `queue`.
        unsafe { self.limit.join(claim) }
    }

    /// The claim of a queued operation.
    #[inline]
    fn claim(&self) -> &Claim {
        // SAFETY: initialised by `queue`; others access it through shared references too.
        unsafe { &(*self.waiter.get().cast::<Waiter>()).claim }
    }

    /// Nobody else has a hold of the waiter: drops its wake, unless somebody has taken it.
    fn retire(&self) -> Option<Outcome> {
        let outcome = self.claim().outcome();
        if outcome.is_none() {
            // SAFETY: the node is not linked and nobody has ended the wait.
            unsafe { self.claim().retire() };
        }
        outcome
    }

    /// Ends the wait, and says how it had ended if it had.
    fn withdraw(&mut self) -> Option<Outcome> {
        self.limit.leave();
        let node = self.waiter.get().cast::<Waiter>();
        let (channel, _) = self.job.parts();
        // SAFETY: the node is alive, and was queued by this side.
        unsafe { channel.unqueue(J::SIDE, &raw const (*node).node) };
        self.stage = Stage::New;
        self.retire()
    }

    /// The wait ends by our doing, unless somebody was faster.
    fn given_up(&mut self, stop: Stop) -> J::Output {
        match self.withdraw() {
            Some(Outcome::Cancelled) => self.stopped(Stop::Cancelled),
            Some(_) => match self.attempt_again(false) {
                Some(output) => output,
                None => self.stopped(stop),
            },
            None => self.stopped(stop),
        }
    }

    #[cold]
    fn stopped(&mut self, stop: Stop) -> J::Output {
        self.stage = Stage::Over;
        self.job.fail(match stop {
            Stop::Cancelled => Cause::Cancelled,
            Stop::TimedOut => Cause::TimedOut,
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
            // Polled again after it was ready: it has nothing more to say.
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
                // Who was faster than that has woken the other task.
                if self.claim().outcome().is_none() {
                    self.limit.keep_timer(waker);
                    return Poll::Pending;
                }
            }
            if self.withdraw() == Some(Outcome::Cancelled) {
                return Poll::Ready(self.stopped(Stop::Cancelled));
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
                    return Poll::Ready(self.given_up(Stop::Cancelled));
                }
                self.limit.set_timer(waker);
                return Poll::Pending;
            }
            if let Some(output) = self.attempt_again(false) {
                return Poll::Ready(output);
            }
        }
    }

    /// Another task polls it from now on.
    #[cold]
    fn rewake(&mut self, waker: &Waker) {
        // A waker's clone and drop are code of the user's: not under the locks.
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
        // SAFETY: nothing is moved out of the pinned operation but what the job moves, whose
        // address nobody holds.
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
        self.job.lose();
    }
}
