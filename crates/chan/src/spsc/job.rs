// SPDX-License-Identifier: BSD-3-Clause
//! The operations of the SPSC handles.
//!
//! A waiter is woken to check again, and no value is handed to it: values move only in the attempt
//! that completes the operation. So a dropped operation has nothing to requeue, and a send, a
//! receive and the batches wait alike: each is a [`Job`] that can be attempted.

use std::mem::ManuallyDrop;

use super::channel::{Channel, Cursor, Side};
use super::handle::{SpscReceiver, SpscSender};
use crate::channel::FailureCause;
use crate::error::{RecvError, SendError};
use crate::limit::{NoLimits, StopReason};
use crate::op::{self, Driver, Linked, Operation};
use crate::park;
use crate::spin;
use crate::waiter::{WaitOutcome, Waiter, Wake};

/// An operation of an SPSC handle, as a value.
pub type SpscOperation<J, L = NoLimits> = Operation<Spsc<J>, L>;
/// A send that has not been driven yet. See [`SpscSender::send`].
pub type SpscSend<'a, T, L = NoLimits> = SpscOperation<SendOne<'a, T>, L>;
/// A receive that has not been driven yet. See [`SpscReceiver::recv`].
pub type SpscRecv<'a, T, L = NoLimits> = SpscOperation<RecvOne<'a, T>, L>;

/// The action of an SPSC handle.
pub struct Spsc<J: Job> {
    job: J,
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
        /// Completes without waiting, if it can by the shortest path. `backoff`: the caller accepts
        /// a short pause.
        fn fast(&mut self, backoff: bool) -> Option<Self::Output> {
            self.attempt(backoff)
        }
        /// Completes without waiting, if possible.
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
    fn fast(&mut self, backoff: bool) -> Option<Self::Output> {
        let (channel, cursor) = (&self.sender.channel, &mut self.sender.cursor);
        if !channel.has_plain_room(cursor, backoff) {
            return None;
        }
        // SAFETY: there is room; the value is present, and the operation ends here.
        let sent = unsafe { channel.send_plain(cursor, &raw const *self.value) };
        Some(sent.map_err(|value| self.sender.send_failed(value)))
    }

    #[inline(always)]
    fn attempt(&mut self, backoff: bool) -> Option<Self::Output> {
        let (channel, cursor) = (&self.sender.channel, &mut self.sender.cursor);
        if channel.has_room(cursor, backoff) {
            // SAFETY: there is room; the value is present, and the operation ends here.
            let sent = unsafe { channel.send(cursor, &raw const *self.value) };
            return Some(sent.map_err(|value| self.sender.send_failed(value)));
        }
        channel.is_closed().then(|| self.fail(FailureCause::Closed))
    }

    #[cold]
    fn fail(&mut self, cause: FailureCause) -> Self::Output {
        self.sender.channel.count_send_failure(cause);
        let value = self.take();
        Err(SendError::failed(cause, value))
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
    fn fast(&mut self, _: bool) -> Option<Self::Output> {
        let (channel, cursor) = (&self.receiver.channel, &mut self.receiver.cursor);
        if !channel.has_plain_value(cursor) {
            return None;
        }
        // SAFETY: there is a value.
        Some(Ok(unsafe { channel.recv_plain(cursor) }))
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
        Err(RecvError::failed(cause))
    }

    fn discard(&mut self) {}
}

impl<J: Job> Spsc<J> {
    /// Pauses, then spins for a while. True: an attempt may succeed.
    fn spin_for_ring(&mut self) -> bool {
        let (channel, cursor) = self.job.parts();
        if !cfg!(feature = "loom") {
            park::relax(cursor.pause());
        }
        let found = channel.has(J::SIDE, cursor);
        cursor.paused(cursor.ring.run());
        found || spin::until(|| channel.may(J::SIDE, cursor))
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl<J: Job> op::sealed::Action for Spsc<J> {
    type Output = J::Output;
    const SPINS_LINKED: bool = false;

    #[inline(always)]
    fn fast(&mut self, driver: Driver) -> Option<J::Output> {
        self.job.fast(driver != Driver::Task)
    }

    #[inline(always)]
    fn slow(&mut self, driver: Driver) -> Option<J::Output> {
        self.job.attempt(driver != Driver::Task)
    }

    fn spin(&mut self, driver: Driver) -> bool {
        driver == Driver::Thread && self.spin_for_ring()
    }

    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<J::Output> {
        let (channel, cursor) = self.job.parts();
        // SAFETY: the caller's promise.
        unsafe {
            let node = waiter.begin(wake(), shared, std::ptr::null_mut());
            if channel.queue(J::SIDE, cursor, node) {
                return Linked::Waiting;
            }
            waiter.end();
            Linked::Again
        }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        let (channel, _) = self.job.parts();
        // SAFETY: the caller's promise: the node is alive, and was queued by this side.
        unsafe {
            channel.unqueue(J::SIDE, waiter.node());
            waiter.end()
        }
    }

    unsafe fn ended(&mut self, waiter: &Waiter, _: WaitOutcome) -> Option<J::Output> {
        // SAFETY: the caller's promise.
        unsafe { self.unlink(waiter) };
        None
    }

    unsafe fn rewake(&mut self, waiter: &Waiter, wake: Wake) -> Option<Wake> {
        let (channel, _) = self.job.parts();
        channel.raw().lock();
        // SAFETY: with the caller's, we hold every lock that leads to the claim; taken above.
        unsafe {
            let old = waiter.claim().replace(wake);
            channel.raw().unlock();
            old
        }
    }

    fn stopped(&mut self, stop: StopReason) -> J::Output {
        self.job.fail(stop.into())
    }

    fn dropped(&mut self, _: &Waiter, _: Option<WaitOutcome>) {
        self.job.discard();
    }
}

impl<J: Job> Operation<Spsc<J>> {
    #[inline]
    pub(super) fn of(job: J) -> Self {
        Self::new(Spsc { job })
    }
}
