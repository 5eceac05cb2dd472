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
use super::kept::{Kept, Wait, settle};
use super::race::{ArmRef, pass};
use crate::direction::{Direction, Receiving, Sending};
use crate::error::{RecvError, SendError};
use crate::handle::{Receiver, Sender};
use crate::limit::{Free, Limit, Limited, Stop};
use crate::op::Operation;
use crate::park;
use crate::spin;
use crate::token::Token;
use crate::waiter::{Claim, Outcome, Wake};

/// Waits for one of any number of operations, and can be used again.
///
/// Each operation that is added gets a key; [`Ready::recv`] and [`Ready::send`] give the result of
/// the one that happened. A receive takes part in every round; a send until it has happened, and
/// again once it is given its next value.
///
/// It stays in line at its channels between two waits, which makes a wait over hundreds of channels
/// cost little more than one over two. While it does, the operations of those channels take the
/// channel's lock, and their snapshots count it as waiting; dropping it ends both.
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
    /// Names it in its keys.
    id: u64,
    /// Boxes of ours: pinned, never replaced, freed at the end.
    arms: Vec<NonNull<dyn AnyArm + 'a>>,
    /// The same arms, as a race wants them.
    refs: Vec<ArmRef<'a>>,
    kept: Kept,
    biased: bool,
}

// SAFETY: it owns its arms, and every arm may be sent.
unsafe impl Send for Select<'_> {}

/// Names a receive of one [`Select`].
pub struct RecvCase<T>(Key, PhantomData<fn(T) -> T>);

/// Names a send of one [`Select`].
///
/// It is of exactly the type of the values, with their lifetimes:
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

/// Why no operation of a select happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The deadline passed first.
    #[error("the select timed out")]
    TimedOut,
    /// The token was cancelled.
    #[error("the select was cancelled")]
    Cancelled,
    /// It has no operation that could happen.
    #[error("the select has no operations")]
    NoCases,
}

trait AnyArm: super::arm::Race + Send {
    fn forget(&self);
    fn settle_unasked(&self);
}

impl<T: Send, D: Direction> AnyArm for Arm<'_, T, D> {
    fn forget(&self) {
        self.clear();
    }

    fn settle_unasked(&self) {
        self.unasked();
    }
}

impl<'a> Select<'a> {
    /// A select without operations. Which of several that are ready happens is random.
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

    /// Of several that are ready, the one that was added first happens.
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

    fn add<T: Send, D: Direction + 'a>(&mut self, operation: Operation<'a, T, D, Free>) -> Key {
        self.rest();
        let key = Key { select: self.id, index: self.arms.len() };
        let arm: NonNull<Arm<'a, T, D>> = Box::leak(Box::new(Arm::new(operation))).into();
        self.arms.push(arm);
        // SAFETY: the box stays where it is for as long as the select, and only a race that borrows
        // the select exclusively uses the reference; its value may be sent.
        self.refs.push(unsafe { ArmRef::new(arm.as_ref()) });
        key
    }

    /// Gives a send that has happened its next value; if it has not, its value is replaced.
    ///
    /// # Errors
    ///
    /// The value, if the key is another select's.
    pub fn send_next<T: Send>(&mut self, case: SendCase<T>, value: T) -> Result<(), T> {
        self.rest();
        match self.arm::<T, Sending>(case.0) {
            Some(arm) => {
                arm.part();
                arm.renew(MaybeUninit::new(value));
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Takes a receive out: it takes no part any more.
    pub fn remove_recv<T>(&mut self, case: RecvCase<T>) {
        self.remove(case.0);
    }

    /// Takes a send out: it takes no part until it is given a value again. A value that it holds
    /// goes to the undelivered hook.
    pub fn remove_send<T>(&mut self, case: SendCase<T>) {
        self.remove(case.0);
    }

    fn remove(&mut self, key: Key) {
        self.rest();
        if key.select == self.id
            && let Some(arm) = self.arms.get(key.index)
        {
            // SAFETY: an arm lives as long as the select, and does not wait now.
            let arm = unsafe { arm.as_ref() };
            arm.part();
            arm.forget();
        }
    }

    /// How many operations were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arms.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arms.is_empty()
    }

    /// An operation that waits for one of the set to happen.
    pub fn ready(&mut self) -> SelectReady<'_, 'a> {
        SelectReady::new(self, Free)
    }

    /// Waits, on a thread or in a coroutine, for one of the set to happen.
    ///
    /// # Errors
    ///
    /// There are no operations.
    #[inline]
    pub fn wait(&mut self) -> Result<Ready<'_, 'a>, SelectError> {
        self.rest();
        match pass(&self.refs, self.biased) {
            Some(index) => Ok(Ready { select: self, index }),
            None => self.ready().wait(),
        }
    }

    /// One of the set that can happen without waiting, if there is one.
    pub fn try_ready(&mut self) -> Option<Ready<'_, 'a>> {
        self.rest();
        let index = pass(&self.refs, self.biased)?;
        Some(Ready { select: self, index })
    }

    fn arm<T, D: Direction>(&self, key: Key) -> Option<&Arm<'a, T, D>> {
        if key.select != self.id {
            return None;
        }
        let arm = self.arms.get(key.index)?;
        // SAFETY: the key was made by `add` of this select for an arm of this very type, and an arm
        // is never replaced.
        Some(unsafe { arm.cast().as_ref() })
    }
}

impl Select<'_> {
    /// Ends a wait whose operation was forgotten, not dropped.
    #[inline]
    fn rest(&mut self) {
        if self.kept.is_waiting() {
            self.rest_waiting();
        }
    }

    #[cold]
    fn rest_waiting(&mut self) {
        if let Some(outcome) = self.kept.rest(&self.refs)
            && let Ok(index) = self.settle(outcome)
        {
            self.unasked(index);
        }
        // The forgotten wait's token may still lead to the claim, and come by it at any time.
        self.kept.renew(&self.refs);
    }

    fn settle(&self, outcome: Outcome) -> Result<usize, SelectError> {
        match outcome {
            Outcome::Cancelled => Err(SelectError::Cancelled),
            outcome => Ok(settle(outcome, &self.refs)),
        }
    }

    fn unasked(&self, index: usize) {
        if let Some(arm) = self.arms.get(index) {
            // SAFETY: an arm lives as long as the select, and does not wait now.
            unsafe { arm.as_ref() }.settle_unasked();
        }
    }
}

impl Drop for Select<'_> {
    fn drop(&mut self) {
        self.rest();
        self.kept.part(&self.refs);
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

/// An operation of a [`Select`] that has happened. Dropped without being asked, it gives a received
/// value back.
#[derive(Debug)]
#[must_use = "the operation has happened: ask for its result"]
pub struct Ready<'s, 'a> {
    select: &'s mut Select<'a>,
    index: usize,
}

impl Ready<'_, '_> {
    /// Which one, in the order in which they were added.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The result, if it was this receive.
    pub fn recv<T: Send>(&self, case: RecvCase<T>) -> Option<Result<T, RecvError>> {
        let arm = self.arm::<T, Receiving>(case.0)?;
        let result = arm.take_shared();
        arm.renew(MaybeUninit::uninit());
        result
    }

    /// The result, if it was this send.
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
pub struct SelectReady<'s, 'a, L: Limit = Free> {
    /// `None` once it has given the select on.
    select: Option<&'s mut Select<'a>>,
    limit: L,
    /// What the token leads to.
    claim: Option<Arc<Claim>>,
    _pinned: PhantomPinned,
}

impl<'s, 'a, L: Limit> SelectReady<'s, 'a, L> {
    fn new(select: &'s mut Select<'a>, limit: L) -> Self {
        select.rest();
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
            if let Some(ended) = self.look() {
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

    /// What can be said at once; else it waits.
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
            return Some(self.give_up(Stop::Cancelled));
        }
        None
    }

    /// What a wait has come to.
    fn look(&mut self) -> Option<Result<usize, SelectError>> {
        let select = self.select.as_mut()?;
        if let Some(outcome) = select.kept.look() {
            self.limit.leave();
            return Some(select.settle(outcome));
        }
        self.limit.stop_late().map(|stop| self.give_up(stop))
    }

    /// Ends the wait, unless somebody was faster.
    fn give_up(&mut self, stop: Stop) -> Result<usize, SelectError> {
        self.limit.leave();
        let select = self.select.as_mut().ok_or(SelectError::NoCases)?;
        match select.kept.rest(&select.refs) {
            Some(outcome) => select.settle(outcome),
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
            if let Some(ended) = self.look() {
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
            // Another task polls it from now on: begin again, with its waker.
            self.limit.leave();
            if let Some(select) = &mut self.select
                && let Some(outcome) = select.kept.rest(&select.refs)
            {
                let ended = select.settle(outcome);
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
            && let Some(outcome) = select.kept.rest(&select.refs)
            && let Ok(index) = select.settle(outcome)
        {
            select.unasked(index);
        }
    }
}

impl<'s, 'a> SelectReady<'s, 'a, Free> {
    /// Gives up `duration` from now.
    pub fn timeout(self, duration: Duration) -> SelectReady<'s, 'a, Limited<'s>> {
        self.limited(Limited::none().timeout(duration))
    }

    /// Gives up at `deadline`.
    pub fn deadline(self, deadline: Instant) -> SelectReady<'s, 'a, Limited<'s>> {
        self.limited(Limited::none().deadline(deadline))
    }

    /// Gives up when `token` is cancelled. A token that is set wins over a channel that is ready.
    pub fn cancel_on(self, token: &'s Token) -> SelectReady<'s, 'a, Limited<'s>> {
        self.limited(Limited::none().cancel_on(token))
    }

    fn limited(mut self, limit: Limited<'s>) -> SelectReady<'s, 'a, Limited<'s>> {
        SelectReady { select: self.select.take(), limit, claim: None, _pinned: PhantomPinned }
    }
}

impl<'s> SelectReady<'s, '_, Limited<'s>> {
    /// Gives up `duration` from now; the earlier of two deadlines holds.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limit = std::mem::take(&mut self.limit).timeout(duration);
        self
    }

    /// Gives up at `deadline`; the earlier of two deadlines holds.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.limit = std::mem::take(&mut self.limit).deadline(deadline);
        self
    }

    /// Gives up when `token` is cancelled; the last token holds.
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

impl From<Stop> for SelectError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::TimedOut => Self::TimedOut,
            Stop::Cancelled => Self::Cancelled,
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
