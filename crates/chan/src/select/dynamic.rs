// SPDX-License-Identifier: BSD-3-Clause
//! A select over a set that is built while the program runs.

use std::fmt;
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::arm::{Arm, Race as _};
use super::kept::{Kept, Wait, resolve};
use super::race::{ArmRef, pass};
use crate::direction::{Direction, Receiving, Sending};
use crate::error::{RecvError, SendError};
use crate::handle::{Receiver, Sender};
use crate::limit::{Limit, Limits, NoLimits, StopReason};
use crate::op::Operation;
use crate::park;
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, WaitOutcome, Wake};

/// Waits for one of any number of operations, and is reusable.
///
/// Each operation that is added gets a key; [`Ready::recv`] and [`Ready::send`] return the result
/// of the operation that completed. A receive takes part in every round; a send until it has
/// completed, and again once it is given its next value.
///
/// Between two waits it stays in the wait queues of its channels, which makes a wait over hundreds
/// of channels cost little more than one over two. As long as it does, the operations of those
/// channels take the channel's lock, and their snapshots count it as waiting; dropping it ends
/// both.
///
/// ```
/// use becket_chan::{Select, bounded};
///
/// let channels: Vec<_> = (0..100).map(|_| bounded(1)).collect();
/// let mut select = Select::new();
/// let keys: Vec<_> = channels.iter().map(|(_, rx)| select.recv(rx)).collect();
/// channels[42].0.try_send("here").unwrap();
/// let ready = select.wait().unwrap();
/// assert_eq!(ready.index(), 42);
/// assert_eq!(ready.recv(keys[42]), Some(Ok("here")));
/// ```
pub struct Select<'a> {
    /// Identifies the select in its keys.
    id: u64,
    /// Leaked boxes: pinned, never replaced, freed by `drop`.
    arms: Vec<NonNull<dyn AnyArm + 'a>>,
    /// The same arms, as a race needs them.
    refs: Vec<ArmRef<'a>>,
    kept: Kept,
    biased: bool,
}

// SAFETY: it owns its arms, and every arm may be sent.
unsafe impl Send for Select<'_> {}

/// The key of a receive of one [`Select`].
pub struct RecvCase<T>(Key, PhantomData<fn(T) -> T>);

/// The key of a send of one [`Select`].
///
/// It has exactly the type of the values, with their lifetimes:
///
/// ```compile_fail
/// # use becket_chan::SendCase;
/// fn shorter<'a>(case: SendCase<&'static str>) -> SendCase<&'a str> {
///     case
/// }
/// ```
pub struct SendCase<T>(Key, PhantomData<fn(T) -> T>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    select: u64,
    index: usize,
}

/// Why no operation of a select completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The deadline passed first.
    #[error("the select timed out")]
    TimedOut,
    /// The token was cancelled.
    #[error("the select was cancelled")]
    Cancelled,
    /// No operation of the select could ever complete.
    #[error("the select has no operations")]
    NoCases,
}

trait AnyArm: super::arm::Race + Send {
    fn forget(&self);
    fn requeue_unasked(&self);
}

impl<T: Send, D: Direction> AnyArm for Arm<'_, T, D> {
    fn forget(&self) {
        self.clear();
    }

    fn requeue_unasked(&self) {
        self.unasked();
    }
}

impl<'a> Select<'a> {
    /// A select without operations. Of several ready operations a random one completes.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            arms: Vec::new(),
            refs: Vec::new(),
            kept: Kept::new(),
            biased: false,
        }
    }

    /// Of several ready operations, the one that was added first completes.
    #[must_use]
    pub fn biased(mut self) -> Self {
        self.biased = true;
        self
    }

    /// Adds a receive.
    pub fn recv<T: Send>(&mut self, receiver: &'a Receiver<T>) -> RecvCase<T> {
        RecvCase(self.add(receiver.recv()), PhantomData)
    }

    /// Adds a send of `value`.
    pub fn send<T: Send>(&mut self, sender: &'a Sender<T>, value: T) -> SendCase<T> {
        SendCase(self.add(sender.send(value)), PhantomData)
    }

    fn add<T: Send, D: Direction + 'a>(&mut self, operation: Operation<'a, T, D, NoLimits>) -> Key {
        self.disarm();
        let key = Key { select: self.id, index: self.arms.len() };
        let arm: NonNull<Arm<'a, T, D>> = Box::leak(Box::new(Arm::new(operation))).into();
        self.arms.push(arm);
        // SAFETY: the box stays where it is for as long as the select, and only a race that borrows
        // the select exclusively uses the reference; its value may be sent.
        self.refs.push(unsafe { ArmRef::new(arm.as_ref()) });
        key
    }

    /// Gives a send that has completed its next value; if it has not, replaces its value.
    ///
    /// # Errors
    ///
    /// The value, if the key belongs to another select.
    pub fn send_next<T: Send>(&mut self, case: SendCase<T>, value: T) -> Result<(), T> {
        self.disarm();
        match self.arm::<T, Sending>(case.0) {
            Some(arm) => {
                arm.unlink_kept();
                arm.renew(MaybeUninit::new(value));
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Removes a receive: it takes no part any more.
    pub fn remove_recv<T>(&mut self, case: RecvCase<T>) {
        self.remove(case.0);
    }

    /// Removes a send: it takes no part until it is given a value again. A value that it holds
    /// goes to the undelivered hook.
    pub fn remove_send<T>(&mut self, case: SendCase<T>) {
        self.remove(case.0);
    }

    fn remove(&mut self, key: Key) {
        self.disarm();
        if key.select == self.id
            && let Some(arm) = self.arms.get(key.index)
        {
            // SAFETY: an arm lives as long as the select, and does not wait now.
            let arm = unsafe { arm.as_ref() };
            arm.unlink_kept();
            arm.forget();
        }
    }

    /// The number of operations that were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arms.len()
    }

    /// Whether no operation was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arms.is_empty()
    }

    /// An operation that waits for one operation of the set.
    pub fn ready(&mut self) -> SelectReady<'_, 'a> {
        SelectReady::new(self, NoLimits)
    }

    /// Waits, on a thread or in a coroutine, for one operation of the set.
    ///
    /// # Errors
    ///
    /// There are no operations.
    #[inline]
    pub fn wait(&mut self) -> Result<Ready<'_, 'a>, SelectError> {
        self.disarm();
        match pass(&self.refs, self.biased) {
            Some(index) => Ok(Ready { select: self, index }),
            None => self.ready().wait(),
        }
    }

    /// An operation of the set that can complete without waiting, if there is one.
    pub fn try_ready(&mut self) -> Option<Ready<'_, 'a>> {
        self.disarm();
        let index = pass(&self.refs, self.biased)?;
        Some(Ready { select: self, index })
    }

    fn arm<T, D: Direction>(&self, key: Key) -> Option<&Arm<'a, T, D>> {
        if key.select != self.id {
            return None;
        }
        let arm = self.arms.get(key.index)?;
        // SAFETY: the key was made by `add` of this select for an arm of exactly this type, and an
        // arm is never replaced.
        Some(unsafe { arm.cast().as_ref() })
    }
}

impl Select<'_> {
    /// Ends a wait whose operation was forgotten, not dropped.
    #[inline]
    fn disarm(&mut self) {
        if self.kept.is_waiting() {
            self.disarm_waiting();
        }
    }

    #[cold]
    fn disarm_waiting(&mut self) {
        if let Some(outcome) = self.kept.disarm(&self.refs)
            && let Ok(index) = self.resolve(outcome)
        {
            self.unasked(index);
        }
        // The token of the forgotten wait may still lead to the claim, at any time.
        self.kept.renew(&self.refs);
    }

    fn resolve(&self, outcome: WaitOutcome) -> Result<usize, SelectError> {
        match outcome {
            WaitOutcome::Cancelled => Err(SelectError::Cancelled),
            outcome => Ok(resolve(outcome, &self.refs)),
        }
    }

    fn unasked(&self, index: usize) {
        if let Some(arm) = self.arms.get(index) {
            // SAFETY: an arm lives as long as the select, and does not wait now.
            unsafe { arm.as_ref() }.requeue_unasked();
        }
    }
}

impl Drop for Select<'_> {
    fn drop(&mut self) {
        self.disarm();
        self.kept.unlink_all(&self.refs);
        self.refs.clear();
        for arm in self.arms.drain(..) {
            // SAFETY: `add` made it of a box, which is freed once.
            drop(unsafe { Box::from_raw(arm.as_ptr()) });
        }
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("cases", &self.arms.len()).finish_non_exhaustive()
    }
}

/// A completed operation of a [`Select`]. If it is dropped before its result is taken, a received
/// value is requeued.
#[derive(Debug)]
#[must_use = "the operation has happened: ask for its result"]
pub struct Ready<'s, 'a> {
    select: &'s mut Select<'a>,
    index: usize,
}

impl Ready<'_, '_> {
    /// The index of the operation, in the order in which they were added.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The result, if the completed operation is this receive.
    pub fn recv<T: Send>(&self, case: RecvCase<T>) -> Option<Result<T, RecvError>> {
        let arm = self.arm::<T, Receiving>(case.0)?;
        let result = arm.take_shared();
        arm.renew(MaybeUninit::uninit());
        result
    }

    /// The result, if the completed operation is this send.
    pub fn send<T: Send>(&self, case: SendCase<T>) -> Option<Result<(), SendError<T>>> {
        self.arm::<T, Sending>(case.0)?.take_shared()
    }

    fn arm<T, D: Direction>(&self, key: Key) -> Option<&Arm<'_, T, D>> {
        if key.index != self.index {
            return None;
        }
        self.select.arm(key)
    }
}

impl Drop for Ready<'_, '_> {
    fn drop(&mut self) {
        self.select.unasked(self.index);
    }
}

/// Waits for one operation of a [`Select`]. Drive it with `.await` or [`wait`](Self::wait).
///
/// **Cancel safe**: dropped before it completed, it has moved no value and leaves no trace.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct SelectReady<'s, 'a, L: Limit = NoLimits> {
    /// `None` once the select was passed on to the result.
    select: Option<&'s mut Select<'a>>,
    limit: L,
    /// The claim to which the token leads.
    claim: Option<Arc<Claim>>,
    _pinned: PhantomPinned,
}

impl<'s, 'a, L: Limit> SelectReady<'s, 'a, L> {
    fn new(select: &'s mut Select<'a>, limit: L) -> Self {
        select.disarm();
        Self { select: Some(select), limit, claim: None, _pinned: PhantomPinned }
    }

    /// Drives it from a thread or a coroutine.
    ///
    /// # Errors
    ///
    /// Timed out or cancelled, if it has such limits; or there are no operations.
    pub fn wait(mut self) -> Result<Ready<'s, 'a>, SelectError> {
        let hook = park::hook();
        let wake = || hook.map_or(Wake::Thread, |hook| Wake::Flow(hook.unparker()));
        if let Some(ended) = self.begin(wake) {
            return self.ended(ended);
        }
        if hook.is_none() {
            let select = &self.select;
            spin::for_claim(|| {
                select.as_ref().is_none_or(|select| select.kept.claim().outcome().is_some())
            });
        }
        loop {
            if let Some(ended) = self.check() {
                return self.ended(ended);
            }
            let deadline = self.limit.deadline_at();
            match (hook, &self.select) {
                (Some(hook), _) => hook.park(deadline),
                (None, Some(select)) => select.kept.claim().park_thread(deadline),
                (None, None) => return Err(SelectError::NoCases),
            }
        }
    }

    /// The result, if there is one at once; otherwise starts to wait.
    fn begin(&mut self, wake: impl Fn() -> Wake) -> Option<Result<usize, SelectError>> {
        let Some(select) = &mut self.select else {
            return Some(Err(SelectError::NoCases));
        };
        if let Some(stop) = self.limit.stop_before() {
            return Some(Err(stop.into()));
        }
        if let Some(arm) = pass(&select.refs, select.biased) {
            return Some(Ok(arm));
        }
        if !select.refs.iter().any(|arm| arm.arm().is_ready()) {
            return Some(Err(SelectError::NoCases));
        }
        if let Some(stop) = self.limit.stop_now() {
            return Some(Err(stop.into()));
        }
        if let Wait::Won(arm) = select.kept.wait(&select.refs, select.biased, wake) {
            return Some(Ok(arm));
        }
        let claim: *const Claim = &raw const **select.kept.claim();
        if self.limit.has_token() {
            self.claim = Some(select.kept.claim().clone());
        }
        // SAFETY: the claim lives as long as this and as the select. These limits are pinned, or in
        // the frame of `wait`, and leave the token before they go.
        if unsafe { self.limit.join(claim) } {
            return Some(self.give_up(StopReason::Cancelled));
        }
        None
    }

    /// The result of the wait, if it has ended.
    fn check(&mut self) -> Option<Result<usize, SelectError>> {
        let select = self.select.as_mut()?;
        if let Some(outcome) = select.kept.check() {
            self.limit.leave();
            return Some(select.resolve(outcome));
        }
        self.limit.stop_late().map(|stop| self.give_up(stop))
    }

    /// Ends the wait for a limit, unless a matcher or the token was faster.
    fn give_up(&mut self, stop: StopReason) -> Result<usize, SelectError> {
        self.limit.leave();
        let select = self.select.as_mut().ok_or(SelectError::NoCases)?;
        match select.kept.disarm(&select.refs) {
            Some(outcome) => select.resolve(outcome),
            None => Err(stop.into()),
        }
    }

    fn ended(&mut self, ended: Result<usize, SelectError>) -> Result<Ready<'s, 'a>, SelectError> {
        let index = ended?;
        let select = self.select.take().ok_or(SelectError::NoCases)?;
        Ok(Ready { select, index })
    }

    fn poll_inner(&mut self, waker: &Waker) -> Poll<Result<Ready<'s, 'a>, SelectError>> {
        let waits = self.select.as_ref().is_some_and(|select| select.kept.is_waiting());
        if waits {
            if let Some(ended) = self.check() {
                return Poll::Ready(self.ended(ended));
            }
            let same = self.select.as_ref().is_none_or(|select| {
                // SAFETY: we are the owner.
                unsafe { select.kept.claim().wakes(waker) }
            });
            if same {
                self.limit.keep_timer(waker);
                return Poll::Pending;
            }
            // Another task polls it from now on: start again, with its waker.
            self.limit.leave();
            if let Some(select) = &mut self.select
                && let Some(outcome) = select.kept.disarm(&select.refs)
            {
                let ended = select.resolve(outcome);
                return Poll::Ready(self.ended(ended));
            }
        }
        if let Some(ended) = self.begin(|| Wake::Task(waker.clone())) {
            return Poll::Ready(self.ended(ended));
        }
        self.limit.set_timer(waker);
        Poll::Pending
    }
}

impl<L: Limit> Drop for SelectReady<'_, '_, L> {
    fn drop(&mut self) {
        self.limit.leave();
        if let Some(select) = &mut self.select
            && select.kept.is_waiting()
            && let Some(outcome) = select.kept.disarm(&select.refs)
            && let Ok(index) = select.resolve(outcome)
        {
            select.unasked(index);
        }
    }
}

impl<'s, 'a> SelectReady<'s, 'a, NoLimits> {
    /// Fails with a timeout `duration` from now.
    pub fn timeout(self, duration: Duration) -> SelectReady<'s, 'a, Limits<'s>> {
        self.limited(Limits::none().timeout(duration))
    }

    /// Fails with a timeout at `deadline`.
    pub fn deadline(self, deadline: Instant) -> SelectReady<'s, 'a, Limits<'s>> {
        self.limited(Limits::none().deadline(deadline))
    }

    /// Fails when `token` is cancelled. A cancelled token wins over a channel that is ready.
    pub fn cancel_on(self, token: &'s Token) -> SelectReady<'s, 'a, Limits<'s>> {
        self.limited(Limits::none().cancel_on(token))
    }

    fn limited(mut self, limit: Limits<'s>) -> SelectReady<'s, 'a, Limits<'s>> {
        SelectReady { select: self.select.take(), limit, claim: None, _pinned: PhantomPinned }
    }
}

impl<'s> SelectReady<'s, '_, Limits<'s>> {
    /// Fails with a timeout `duration` from now; the earlier of two deadlines holds.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limit = std::mem::take(&mut self.limit).timeout(duration);
        self
    }

    /// Fails with a timeout at `deadline`; the earlier of two deadlines holds.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.limit = std::mem::take(&mut self.limit).deadline(deadline);
        self
    }

    /// Fails when `token` is cancelled; the last token holds.
    pub fn cancel_on(mut self, token: &'s Token) -> Self {
        self.limit = std::mem::take(&mut self.limit).cancel_on(token);
        self
    }
}

impl<'s, 'a, L: Limit> Future for SelectReady<'s, 'a, L> {
    type Output = Result<Ready<'s, 'a>, SelectError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the limits are not moved.
        unsafe { self.get_unchecked_mut() }.poll_inner(context.waker())
    }
}

impl From<StopReason> for SelectError {
    fn from(stop: StopReason) -> Self {
        match stop {
            StopReason::TimedOut => Self::TimedOut,
            StopReason::Cancelled => Self::Cancelled,
        }
    }
}

impl<T> Clone for RecvCase<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for RecvCase<T> {}

impl<T> Clone for SendCase<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SendCase<T> {}
