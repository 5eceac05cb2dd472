// SPDX-License-Identifier: BSD-3-Clause
//! A select over a set that is built while the program runs.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arm::{Arm, Race};
use super::kept::Kept;
use super::race::{ArmRef, resolve};
use super::scan::{self, ReadyCheck};
use crate::error::{RecvError, SendError};
use crate::handle::{Receiver, Sender};
use crate::limit::{NoLimits, StopReason};
use crate::op::{Driver, Linked, Operation, sealed};
use crate::transfer::{Direction, Receiving, Sending, Transfer};
use crate::waiter::{Claim, WaitOutcome, Waiter, Wake};

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
    arms: Vec<NonNull<dyn Race + 'a>>,
    /// The same arms, as a race needs them.
    refs: Vec<ArmRef<'a>>,
    /// Their checks, in the same order.
    checks: Vec<Option<ReadyCheck<'a>>>,
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

impl<'a> Select<'a> {
    /// A select without operations. Of several ready operations a random one completes.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            arms: Vec::new(),
            refs: Vec::new(),
            checks: Vec::new(),
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

    fn add<T: Send, D: Direction + 'a>(&mut self, operation: Operation<Transfer<'a, T, D>>) -> Key {
        self.disarm();
        let key = Key { select: self.id, index: self.arms.len() };
        let arm = Arm::new(operation);
        self.checks.push(arm.check());
        let arm: NonNull<Arm<'a, T, D>> = Box::leak(Box::new(arm)).into();
        self.arms.push(arm);
        // SAFETY: the box stays where it is for as long as the select, and only a race that borrows
        // the select exclusively uses the reference; its value may be sent.
        self.refs.push(unsafe { ArmRef::new(arm.as_ref()) });
        key
    }

    /// Gives a send that has completed its next value. If it has not completed, its value is
    /// replaced and goes to the undelivered hook.
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
            && let Some(arm) = self.refs.get(key.index).map(ArmRef::arm)
        {
            arm.unlink_kept();
            arm.clear();
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
        Operation::new(SelectWait::new(self))
    }

    /// Waits, on a thread or in a coroutine, for one operation of the set.
    ///
    /// # Errors
    ///
    /// There are no operations.
    #[inline]
    pub fn wait(&mut self) -> Result<Ready<'_, 'a>, SelectError> {
        self.disarm();
        match self.pass() {
            Some(index) => Ok(Ready::new(self, index)),
            None => self.ready().wait(),
        }
    }

    /// An operation of the set that can complete without waiting, if there is one.
    pub fn try_ready(&mut self) -> Option<Ready<'_, 'a>> {
        self.disarm();
        let index = self.pass()?;
        Some(Ready::new(self, index))
    }

    #[inline]
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
        if let Some(outcome) = self.kept.disarm(&self.refs) {
            self.unasked(resolve(outcome, &self.refs));
        }
        // The token of the forgotten wait may still lead to the claim, at any time.
        self.kept.renew(&self.refs);
    }

    /// Completes an operation that can complete without waiting.
    #[inline]
    fn pass(&self) -> Option<usize> {
        scan::pass(&self.refs, &self.checks, self.biased)
    }

    /// Whether an operation takes part.
    fn has_ready(&self) -> bool {
        self.refs.iter().any(|arm| arm.arm().is_ready())
    }

    fn unasked(&self, index: usize) {
        if let Some(arm) = self.refs.get(index) {
            arm.arm().unasked();
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
    /// The result was taken: nothing is left to requeue.
    taken: Cell<bool>,
}

impl<'s, 'a> Ready<'s, 'a> {
    #[inline]
    fn new(select: &'s mut Select<'a>, index: usize) -> Self {
        Self { select, index, taken: Cell::new(false) }
    }
}

impl Ready<'_, '_> {
    /// The index of the operation, in the order in which they were added.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The result, if the completed operation is this receive.
    pub fn recv<T: Send>(&self, case: RecvCase<T>) -> Option<Result<T, RecvError>> {
        self.take::<T, Receiving>(case.0)
    }

    /// The result, if the completed operation is this send.
    pub fn send<T: Send>(&self, case: SendCase<T>) -> Option<Result<(), SendError<T>>> {
        self.take::<T, Sending>(case.0)
    }

    #[inline]
    fn take<T, D: Direction>(&self, key: Key) -> Option<D::Output<T>> {
        if key.index != self.index {
            return None;
        }
        let arm = self.select.arm::<T, D>(key)?;
        self.taken.set(true);
        arm.take_shared()
    }
}

impl Drop for Ready<'_, '_> {
    fn drop(&mut self) {
        if !self.taken.get() {
            self.select.unasked(self.index);
        }
    }
}

/// Waits for one operation of a [`Select`]. Drive it with `.await` or [`wait`](Operation::wait); it
/// fails if it is stopped by a limit, or if there are no operations.
///
/// **Cancel safe**: dropped before it completed, it has moved no value and leaves no trace.
pub type SelectReady<'s, 'a, L = NoLimits> = Operation<SelectWait<'s, 'a>, L>;

/// Waits for one operation of a [`Select`].
pub struct SelectWait<'s, 'a> {
    /// `None` once the select was passed on to the result.
    select: Option<&'s mut Select<'a>>,
    /// The select's, once this is linked.
    claim: *const Claim,
    /// Keeps the claim alive if this is forgotten and the select dropped: the token still leads to
    /// it.
    token_claim: Option<Arc<Claim>>,
}

// SAFETY: the claim is shared through atomics, and lives as long as the select, which may be sent.
unsafe impl Send for SelectWait<'_, '_> {}

type Completed<'s, 'a> = Result<Ready<'s, 'a>, SelectError>;

impl<'s, 'a> SelectWait<'s, 'a> {
    fn new(select: &'s mut Select<'a>) -> Self {
        select.disarm();
        Self { select: Some(select), claim: std::ptr::null(), token_claim: None }
    }

    fn completed(&mut self, index: usize) -> Completed<'s, 'a> {
        let select = self.select.take().ok_or(SelectError::NoCases)?;
        Ok(Ready::new(select, index))
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl<'s, 'a> sealed::Action for SelectWait<'s, 'a> {
    type Output = Completed<'s, 'a>;
    const REWAKES: bool = false;

    #[inline]
    fn fast(&mut self, _: Driver) -> Option<Completed<'s, 'a>> {
        let select = self.select.as_ref()?;
        let index = select.pass()?;
        Some(self.completed(index))
    }

    #[inline]
    fn slow(&mut self, _: Driver) -> Option<Completed<'s, 'a>> {
        let ready = self.select.as_ref().is_some_and(|select| select.has_ready());
        (!ready).then_some(Err(SelectError::NoCases))
    }

    unsafe fn link(
        &mut self,
        _: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<Completed<'s, 'a>> {
        let Some(select) = &mut self.select else {
            return Linked::Ended(Err(SelectError::NoCases));
        };
        if let Some(index) = select.kept.wait(&select.refs, select.biased, wake) {
            return Linked::Ended(self.completed(index));
        }
        self.claim = &raw const **select.kept.claim();
        if shared {
            self.token_claim = Some(select.kept.claim().clone());
        }
        Linked::Waiting
    }

    unsafe fn claim<'w>(&'w self, _: &'w Waiter) -> &'w Claim {
        // SAFETY: linked, so that it is the claim of the select, which is borrowed here.
        unsafe { &*self.claim }
    }

    unsafe fn unlink(&mut self, _: &Waiter) -> Option<WaitOutcome> {
        let select = self.select.as_mut()?;
        select.kept.disarm(&select.refs)
    }

    unsafe fn ended(&mut self, _: &Waiter, outcome: WaitOutcome) -> Option<Completed<'s, 'a>> {
        let select = self.select.as_mut()?;
        select.kept.ended();
        let index = resolve(outcome, &select.refs);
        Some(self.completed(index))
    }

    fn stopped(&mut self, stop: StopReason) -> Completed<'s, 'a> {
        Err(stop.into())
    }

    fn dropped(&mut self, _: &Waiter, ended: Option<WaitOutcome>) {
        if let (Some(select), Some(outcome)) = (&self.select, ended) {
            select.unasked(resolve(outcome, &select.refs));
        }
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
