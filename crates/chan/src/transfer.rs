// SPDX-License-Identifier: BSD-3-Clause
//! The send and the receive of one value.
//!
//! The value of a send is in the operation until a matcher or the operation itself moves it out; a
//! receive has a slot for its value, which a matcher fills.
//!
//! Both directions take the same steps; [`Direction`] has what differs, for this and for the arms of
//! a select.
//!
//! # Dropping
//!
//! The value of a send that did not complete goes to the undelivered hook. A receive that was handed
//! a value and is dropped before it returned the value requeues it, in front of all stored values. A
//! send that was matched before it was dropped has completed: its value was received, or will be.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::pin::Pin;

use crate::channel::{Channel, FailureCause, Outcome};
use crate::core::{Core, DeferredEffects, LockedOutcome};
use crate::error::{RecvError, SendError};
use crate::limit::{Limit, NoLimits, StopReason};
use crate::op::sealed::Action;
use crate::op::{Driver, Linked, Operation};
use crate::ring::Ring;
use crate::spin;
use crate::waiter::{Sequence, WaitOutcome, Waiter, Wake};
use crate::wakes;

/// A send that has not been driven yet. See [`Sender::send`](crate::Sender::send).
pub type Send<'a, T, L = NoLimits> = Operation<Transfer<'a, T, Sending>, L>;
/// A receive that has not been driven yet. See [`Receiver::recv`](crate::Receiver::recv).
pub type Recv<'a, T, L = NoLimits> = Operation<Transfer<'a, T, Receiving>, L>;

/// Sends or receives one value.
pub struct Transfer<'a, T, D: Direction> {
    channel: &'a Channel<T>,
    /// A send's value until it is sent; the place for a receive's value.
    slot: UnsafeCell<MaybeUninit<T>>,
    direction: PhantomData<D>,
}

// SAFETY: it holds a value of `T` or a place for one; the state it shares with other threads is
// behind locks and atomics.
unsafe impl<T: std::marker::Send, D: Direction> std::marker::Send for Transfer<'_, T, D> {}

impl<'a, T, D: Direction> Transfer<'a, T, D> {
    /// A send of the value in `slot`, or a receive into it.
    #[inline]
    pub(crate) fn new(channel: &'a Channel<T>, slot: MaybeUninit<T>) -> Self {
        let slot = UnsafeCell::new(slot);
        Self { channel, slot, direction: PhantomData }
    }

    pub(crate) fn channel(&self) -> &'a Channel<T> {
        self.channel
    }

    /// The channel and the slot of a transfer that was not driven.
    pub(crate) fn into_parts(self) -> (&'a Channel<T>, MaybeUninit<T>) {
        (self.channel, self.slot.into_inner())
    }

    #[inline]
    fn slot(&self) -> *mut T {
        self.slot.get().cast()
    }

    /// Puts the next value into the empty slot.
    pub(crate) fn fill(&mut self, value: T) {
        self.slot.get_mut().write(value);
    }

    /// # Safety
    ///
    /// The slot holds a value, which is moved out.
    pub(crate) unsafe fn empty(&mut self) -> T {
        // SAFETY: the caller's promise.
        unsafe { self.slot().read() }
    }

    /// Completes at once, or links the node.
    ///
    /// # Safety
    ///
    /// As for [`Action::link`]; the slot of a send holds its value.
    #[inline(always)]
    pub(crate) unsafe fn queue(&mut self, waiter: &Waiter, shared: bool, wake: Wake) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            let node = waiter.begin(wake, shared, self.slot().cast());
            if D::SENDS && self.channel.weighs() {
                (*node).set_weight(self.channel.weigh::<D>(self.slot()));
            }
            let outcome = self.channel.try_or_queue::<D>(node);
            if outcome != Outcome::Blocked {
                waiter.end();
            }
            outcome
        }
    }

    /// Counts a match through the node.
    ///
    /// # Safety
    ///
    /// It was queued, and matched.
    #[inline]
    pub(crate) unsafe fn matched(&mut self, waiter: &Waiter) {
        // SAFETY: the caller's promise.
        self.channel.count_matched::<D>(unsafe { waiter.node() }.weight());
    }

    /// The result of a transfer that completed: the value of a receive is moved out of its slot.
    ///
    /// # Safety
    ///
    /// It completed, and its result is taken once.
    #[inline]
    pub(crate) unsafe fn done(&mut self) -> D::Output<T> {
        // SAFETY: the caller's promise.
        unsafe { D::done(self.channel, self.slot()) }
    }

    #[cold]
    fn failed(&mut self, cause: FailureCause) -> D::Output<T> {
        // SAFETY: it did not complete, so a send's value is still in the slot; it is moved out once.
        unsafe { D::failed(self.channel, self.slot(), cause) }
    }

    fn result(&mut self, outcome: Outcome) -> Option<D::Output<T>> {
        match outcome {
            // SAFETY: completed.
            Outcome::Done => Some(unsafe { self.done() }),
            Outcome::Closed => Some(self.failed(FailureCause::Closed)),
            Outcome::Blocked => None,
        }
    }

    /// Discards the value of a send that did not complete; requeues the value of a receive that
    /// did.
    ///
    /// # Safety
    ///
    /// It was queued if it has been matched. The slot is not used again.
    pub(crate) unsafe fn discard(&mut self, waiter: &Waiter, matched: bool) {
        // SAFETY: the caller's promise; no other thread can reach the slot.
        unsafe {
            let mut sequence = Sequence::default();
            if matched {
                sequence = waiter.node().sequence();
                self.matched(waiter);
            }
            D::dropped(self.channel, self.slot(), matched, sequence);
        }
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl<T, D: Direction> Action for Transfer<'_, T, D> {
    type Output = D::Output<T>;

    #[inline]
    fn fast(&mut self, _: Driver) -> Option<D::Output<T>> {
        // SAFETY: not queued, so the slot is ours; a send's holds its value.
        unsafe { D::fast(self.channel, self.slot()) }
    }

    #[inline(always)]
    fn slow(&mut self, _: Driver) -> Option<D::Output<T>> {
        if self.channel.is_blocked::<D>() {
            return None;
        }
        // SAFETY: as above.
        let outcome = unsafe { D::slow(self.channel, self.slot()) };
        self.result(outcome)
    }

    /// A task spins only while no other operation waits: queued operations come first. It does not
    /// where its thread defers wakes, which is under a lock of the caller.
    #[inline(always)]
    fn spin(&mut self, driver: Driver) -> bool {
        let channel = self.channel;
        let (soon, may) = (|| D::may_soon(channel), || channel.may::<D>());
        spin::pays(channel.kind)
            && match driver {
                Driver::Thread => spin::until(soon) || may(),
                Driver::Task => {
                    channel.ring.is_fast()
                        && !wakes::is_deferring()
                        && channel.task_spin::<D>().spin(soon, may)
                }
                Driver::Coroutine => false,
            }
    }

    #[inline(always)]
    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<D::Output<T>> {
        // SAFETY: the caller's promise; a send's slot holds its value.
        match unsafe { self.queue(waiter, shared, wake()) } {
            Outcome::Blocked => Linked::Waiting,
            // SAFETY: it completed through its node.
            Outcome::Done => Linked::Ended(unsafe {
                self.matched(waiter);
                self.done()
            }),
            Outcome::Closed => Linked::Ended(self.failed(FailureCause::Closed)),
        }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        // SAFETY: the caller's promise: the node is alive, and was queued at this channel.
        unsafe {
            self.channel.unqueue::<D>(waiter.node());
            waiter.end()
        }
    }

    /// The matcher, or the close, has unlinked the node.
    #[inline]
    unsafe fn ended(&mut self, waiter: &Waiter, outcome: WaitOutcome) -> Option<D::Output<T>> {
        Some(match outcome {
            // SAFETY: it completed through its node.
            WaitOutcome::Matched(_) => unsafe {
                self.matched(waiter);
                self.done()
            },
            WaitOutcome::Closed(_) | WaitOutcome::Cancelled => self.failed(FailureCause::Closed),
        })
    }

    unsafe fn rewake(&mut self, waiter: &Waiter, wake: Wake) -> Option<Wake> {
        let channel = self.channel.raw();
        channel.lock();
        // SAFETY: with the caller's, we hold every lock that leads to the claim; taken above.
        unsafe {
            let old = waiter.claim().replace(wake);
            channel.unlock();
            old
        }
    }

    fn stopped(&mut self, stop: StopReason) -> D::Output<T> {
        self.failed(stop.into())
    }

    fn dropped(&mut self, waiter: &Waiter, ended: Option<WaitOutcome>) {
        // SAFETY: the operation is dropped: the slot is not used again.
        unsafe { self.discard(waiter, matches!(ended, Some(WaitOutcome::Matched(_)))) };
    }
}

impl<'a, T, L: Limit> Send<'a, T, L> {
    /// Ends the wait and returns the value, unless the send has completed.
    ///
    /// This is for callers whose values must not go to the undelivered hook: those of a send that is
    /// only dropped do.
    pub fn withdraw(self: Pin<&mut Self>) -> Option<T> {
        // SAFETY: nothing is moved out except the value in the slot, once no queue holds its
        // address.
        let this = unsafe { self.get_unchecked_mut() };
        if this.is_over() {
            return None;
        }
        let matched = matches!(this.end(), Some(WaitOutcome::Matched(_)));
        // SAFETY: it was queued if it was matched; otherwise its value is still in the slot, and is
        // moved out once, since the operation is over.
        unsafe {
            let (action, waiter) = this.parts();
            if matched {
                action.matched(waiter);
                return None;
            }
            Some(action.empty())
        }
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
        if this.is_over() || !matches!(this.end(), Some(WaitOutcome::Matched(_))) {
            return None;
        }
        // SAFETY: it was queued, and matched; its result is taken once, since it is over.
        unsafe {
            let (action, waiter) = this.parts();
            action.matched(waiter);
            action.done().ok()
        }
    }
}

/// A direction: [`Sending`] or [`Receiving`]. Sealed.
pub trait Direction: sealed::Direction {}

impl<D: sealed::Direction> Direction for D {}

pub(crate) mod sealed {
    use std::cell::Cell;

    use crate::channel::{Channel, FailureCause, Outcome};
    use crate::core::{Core, DeferredEffects, LockedOutcome};
    use crate::ring::Ring;
    use crate::waiter::Sequence;

    /// How a send differs from a receive.
    #[allow(private_interfaces, reason = "sealed")]
    pub trait Direction {
        /// The result of an operation of this direction.
        type Output<T>;

        /// Whether values go into the channel. A receive can be repeated, a send needs a new value.
        const SENDS: bool;

        /// The fast path: an attempt on the ring. `None`: nothing happened.
        ///
        /// # Safety
        ///
        /// As for [`Self::attempt`]; on `Some` a send's slot holds no value any more.
        unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>>;

        /// The slow path of an attempt, after [`Self::fast`] did nothing.
        ///
        /// # Safety
        ///
        /// As for [`Self::attempt`].
        unsafe fn slow<T>(channel: &Channel<T>, slot: *mut T) -> Outcome;

        /// Completes without waiting, if possible; stores the sequence of a received value in
        /// `left`.
        ///
        /// # Safety
        ///
        /// The slot is the caller's: a send's holds its value, a receive's is valid for a write.
        unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T, left: &Cell<Sequence>) -> Outcome;

        /// The attempt under the lock.
        ///
        /// # Safety
        ///
        /// As for [`Core::send`] and [`Core::recv`].
        unsafe fn locked<T>(
            core: &mut Core<T>,
            ring: &Ring<T>,
            slot: *mut T,
            effects: &mut DeferredEffects<T>,
        ) -> LockedOutcome;

        /// As [`Self::locked`]; stores the sequence of a received value in `left`.
        ///
        /// # Safety
        ///
        /// As for [`Self::locked`].
        unsafe fn locked_in_sequence<T>(
            core: &mut Core<T>,
            ring: &Ring<T>,
            slot: *mut T,
            left: &Cell<Sequence>,
            effects: &mut DeferredEffects<T>,
        ) -> LockedOutcome;

        /// As [`Channel::may`], for a thread that spins before it sleeps: whether to stop spinning
        /// and attempt. A send waits for room for a run of values.
        fn may_soon<T>(channel: &Channel<T>) -> bool;

        /// # Safety
        ///
        /// The operation completed: a receive's slot holds the value, which is moved out.
        unsafe fn done<T>(channel: &Channel<T>, slot: *mut T) -> Self::Output<T>;

        /// # Safety
        ///
        /// The operation did not complete: a send's slot holds the value, which is moved out.
        unsafe fn failed<T>(
            channel: &Channel<T>,
            slot: *mut T,
            cause: FailureCause,
        ) -> Self::Output<T>;

        /// # Safety
        ///
        /// The operation is dropped. `matched`: it had completed, and a receive's slot holds a
        /// value; otherwise a send's slot holds its value.
        unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, sequence: Sequence);
    }
}

/// From a sender into a channel.
#[derive(Debug, Clone, Copy)]
pub struct Sending;

/// Out of a channel to a receiver.
#[derive(Debug, Clone, Copy)]
pub struct Receiving;

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Direction for Sending {
    type Output<T> = Result<(), SendError<T>>;

    const SENDS: bool = true;

    #[inline]
    unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>> {
        // SAFETY: the caller's promise.
        unsafe { channel.send_fast(slot) }.then_some(Ok(()))
    }

    #[inline]
    unsafe fn slow<T>(channel: &Channel<T>, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { channel.try_send(slot) }
    }

    #[inline]
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T, _: &Cell<Sequence>) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe {
            match channel.send_fast(slot) {
                true => Outcome::Done,
                false if channel.may::<Self>() => channel.try_send(slot),
                false => Outcome::Blocked,
            }
        }
    }

    #[inline]
    unsafe fn locked<T>(
        core: &mut Core<T>,
        ring: &Ring<T>,
        slot: *mut T,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        // SAFETY: the caller's promise.
        unsafe { core.send(ring, slot, effects) }
    }

    unsafe fn locked_in_sequence<T>(
        core: &mut Core<T>,
        ring: &Ring<T>,
        slot: *mut T,
        _: &Cell<Sequence>,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        // SAFETY: the caller's promise.
        unsafe { core.send(ring, slot, effects) }
    }

    #[inline]
    fn may_soon<T>(channel: &Channel<T>) -> bool {
        channel.ring.may_push_run().unwrap_or_else(|| channel.may::<Self>())
    }

    #[inline]
    unsafe fn done<T>(_: &Channel<T>, _: *mut T) -> Self::Output<T> {
        Ok(())
    }

    #[cold]
    unsafe fn failed<T>(
        channel: &Channel<T>,
        slot: *mut T,
        cause: FailureCause,
    ) -> Self::Output<T> {
        channel.count_send_failure(cause);
        // SAFETY: the caller's promise.
        let value = unsafe { slot.read() };
        Err(SendError::failed(cause, value))
    }

    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, _: Sequence) {
        if !matched {
            // SAFETY: it did not complete, so the value is still in the slot.
            channel.discard(unsafe { slot.read() });
        }
    }
}

#[allow(private_interfaces, reason = "sealed")]
impl sealed::Direction for Receiving {
    type Output<T> = Result<T, RecvError>;

    const SENDS: bool = false;

    #[inline]
    unsafe fn fast<T>(channel: &Channel<T>, slot: *mut T) -> Option<Self::Output<T>> {
        // SAFETY: the caller's promise; on true the slot holds a value, which is counted.
        unsafe { if channel.recv_fast(slot) { Some(Ok(slot.read())) } else { None } }
    }

    #[inline]
    unsafe fn slow<T>(channel: &Channel<T>, slot: *mut T) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { channel.try_recv(slot) }
    }

    #[inline]
    unsafe fn attempt<T>(channel: &Channel<T>, slot: *mut T, left: &Cell<Sequence>) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { channel.try_recv_in_sequence(slot, left) }
    }

    #[inline]
    unsafe fn locked<T>(
        core: &mut Core<T>,
        ring: &Ring<T>,
        slot: *mut T,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        // SAFETY: the caller's promise.
        unsafe { core.recv(ring, slot, effects) }
    }

    unsafe fn locked_in_sequence<T>(
        core: &mut Core<T>,
        ring: &Ring<T>,
        slot: *mut T,
        left: &Cell<Sequence>,
        effects: &mut DeferredEffects<T>,
    ) -> LockedOutcome {
        // SAFETY: the caller's promise.
        unsafe { core.recv_in_sequence(ring, slot, left, effects) }
    }

    #[inline]
    fn may_soon<T>(channel: &Channel<T>) -> bool {
        channel.may::<Self>()
    }

    #[inline]
    unsafe fn done<T>(channel: &Channel<T>, slot: *mut T) -> Self::Output<T> {
        // SAFETY: the caller's promise.
        unsafe {
            channel.count_returned(slot);
            Ok(slot.read())
        }
    }

    #[cold]
    unsafe fn failed<T>(channel: &Channel<T>, _: *mut T, cause: FailureCause) -> Self::Output<T> {
        channel.count_receive_failure(cause);
        Err(RecvError::failed(cause))
    }

    unsafe fn dropped<T>(channel: &Channel<T>, slot: *mut T, matched: bool, sequence: Sequence) {
        if matched {
            // SAFETY: the receive was handed a value and did not return it.
            channel.requeue(unsafe { slot.read() }, sequence);
        }
    }
}
