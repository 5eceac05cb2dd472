// SPDX-License-Identifier: BSD-3-Clause
//! Many values per synchronisation.
//!
//! While the ring is fast, a batch claims a run of slots with one compare-exchange and publishes
//! them one by one; otherwise it runs under one hold of the lock. When no value can be moved, it
//! waits for one value (or room for one) as a single operation does, and continues.

use std::collections::VecDeque;
use std::mem::{ManuallyDrop, MaybeUninit};

use crate::channel::{Channel, FailureCause, Outcome};
use crate::error::{RecvError, SendManyError, TryRecvError};
use crate::handle::{Receiver, Sender};
use crate::limit::{NoLimits, StopReason};
use crate::op::{Driver, Linked, Operation, sealed};
use crate::transfer::{Receiving, Sending, Transfer};
use crate::waiter::{WaitOutcome, Waiter, Wake};

/// Sends a queue of values. See [`Sender::send_many`].
pub type SendMany<'a, T, L = NoLimits> = Operation<ManySent<'a, T>, L>;
/// Receives up to a number of values. See [`Receiver::recv_many`].
pub type RecvMany<'a, T, L = NoLimits> = Operation<ManyReceived<'a, T>, L>;

/// Sends a queue of values. Unsent values are in the queue, except that the first is in `first`
/// while the operation is linked.
pub struct ManySent<'a, T> {
    values: &'a mut VecDeque<T>,
    /// Waits for room for the first of them.
    first: Transfer<'a, T, Sending>,
}

/// Receives up to a number of values.
pub struct ManyReceived<'a, T> {
    values: &'a mut Vec<T>,
    max: usize,
    /// Waits for the first of them.
    first: Transfer<'a, T, Receiving>,
}

impl<'a, T> ManySent<'a, T> {
    pub(crate) fn new(channel: &'a Channel<T>, values: &'a mut VecDeque<T>) -> Self {
        Self { values, first: Transfer::new(channel, MaybeUninit::uninit()) }
    }

    fn failed(&self, cause: FailureCause) -> SendManyError {
        self.first.channel().count_send_failure(cause);
        SendManyError::failed(cause)
    }

    /// Takes the first value back into the queue.
    ///
    /// # Safety
    ///
    /// It was not sent, and not taken back yet.
    unsafe fn take_back(&mut self) {
        // SAFETY: the caller's promise.
        self.values.push_front(unsafe { self.first.empty() });
    }
}

/// Takes the first value back if its weight panics, which is computed before it may be sent.
struct TakesBack<'m, 'a, T>(&'m mut ManySent<'a, T>);

impl<T> Drop for TakesBack<'_, '_, T> {
    fn drop(&mut self) {
        // SAFETY: its weight panicked: it was not sent.
        unsafe { self.0.take_back() };
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl<T> sealed::Action for ManySent<'_, T> {
    type Output = Result<(), SendManyError>;

    fn fast(&mut self, _: Driver) -> Option<Self::Output> {
        match self.first.channel().try_send_many(self.values) {
            _ if self.values.is_empty() => Some(Ok(())),
            (_, Outcome::Closed) => Some(Err(self.failed(FailureCause::Closed))),
            _ => None,
        }
    }

    fn spin(&mut self, driver: Driver) -> bool {
        self.first.spin(driver)
    }

    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<Self::Output> {
        let wake = wake();
        let Some(value) = self.values.pop_front() else {
            return Linked::Ended(Ok(()));
        };
        self.first.fill(value);
        // SAFETY: the caller's promise; the line above filled the slot.
        unsafe {
            let unsent = TakesBack(self);
            let queued = unsent.0.first.queue(waiter, shared, wake);
            let _not_needed = ManuallyDrop::new(unsent);
            match queued {
                Outcome::Blocked => Linked::Waiting,
                Outcome::Done => {
                    self.first.matched(waiter);
                    Linked::Again
                }
                Outcome::Closed => {
                    self.take_back();
                    Linked::Ended(Err(self.failed(FailureCause::Closed)))
                }
            }
        }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        // SAFETY: the caller's promise. Without a match the value is still in the slot.
        unsafe {
            let ended = self.first.unlink(waiter);
            if matches!(ended, None | Some(WaitOutcome::Cancelled)) {
                self.take_back();
            }
            ended
        }
    }

    unsafe fn ended(&mut self, waiter: &Waiter, outcome: WaitOutcome) -> Option<Self::Output> {
        // SAFETY: the caller's promise: a matched value was sent, another is still in the slot.
        unsafe {
            if let WaitOutcome::Matched(_) = outcome {
                self.first.matched(waiter);
                return None;
            }
            self.take_back();
        }
        Some(Err(self.failed(FailureCause::Closed)))
    }

    unsafe fn rewake(&mut self, waiter: &Waiter, wake: Wake) -> Option<Wake> {
        // SAFETY: the caller's promise.
        unsafe { self.first.rewake(waiter, wake) }
    }

    fn stopped(&mut self, stop: StopReason) -> Self::Output {
        Err(self.failed(stop.into()))
    }

    fn dropped(&mut self, waiter: &Waiter, ended: Option<WaitOutcome>) {
        if let Some(outcome) = ended {
            // SAFETY: it was linked, and has ended like this. A cancelled one was taken back.
            unsafe {
                match outcome {
                    WaitOutcome::Matched(_) => self.first.matched(waiter),
                    WaitOutcome::Closed(_) => self.take_back(),
                    WaitOutcome::Cancelled => {}
                }
            }
        }
    }
}

impl<'a, T> ManyReceived<'a, T> {
    pub(crate) fn new(channel: &'a Channel<T>, values: &'a mut Vec<T>, max: usize) -> Self {
        Self { values, max, first: Transfer::new(channel, MaybeUninit::uninit()) }
    }

    fn closed(&self) -> Result<usize, RecvError> {
        self.first.channel().count_receive_failure(FailureCause::Closed);
        Err(RecvError::Closed)
    }

    /// The result after a wait for the first value: that value, and those that are available.
    fn rest(&mut self, first: Result<T, RecvError>) -> Result<usize, RecvError> {
        self.values.push(first?);
        let more = self.max.saturating_sub(1);
        Ok(1 + self.first.channel().try_recv_many(self.values, more).0)
    }
}

#[allow(private_bounds, private_interfaces, reason = "sealed")]
impl<T> sealed::Action for ManyReceived<'_, T> {
    type Output = Result<usize, RecvError>;

    fn fast(&mut self, _: Driver) -> Option<Self::Output> {
        if self.max == 0 {
            return Some(Ok(0));
        }
        match self.first.channel().try_recv_many(self.values, self.max) {
            (0, Outcome::Closed) => Some(self.closed()),
            (0, _) => None,
            (received, _) => Some(Ok(received)),
        }
    }

    fn spin(&mut self, driver: Driver) -> bool {
        self.first.spin(driver)
    }

    unsafe fn link(
        &mut self,
        waiter: &Waiter,
        shared: bool,
        wake: impl Fn() -> Wake,
    ) -> Linked<Self::Output> {
        // SAFETY: the caller's promise.
        match unsafe { self.first.link(waiter, shared, wake) } {
            Linked::Waiting => Linked::Waiting,
            Linked::Again => Linked::Again,
            Linked::Ended(first) => Linked::Ended(self.rest(first)),
        }
    }

    unsafe fn unlink(&mut self, waiter: &Waiter) -> Option<WaitOutcome> {
        // SAFETY: the caller's promise.
        unsafe { self.first.unlink(waiter) }
    }

    unsafe fn ended(&mut self, waiter: &Waiter, outcome: WaitOutcome) -> Option<Self::Output> {
        // SAFETY: the caller's promise.
        let first = unsafe { self.first.ended(waiter, outcome) }?;
        Some(self.rest(first))
    }

    unsafe fn rewake(&mut self, waiter: &Waiter, wake: Wake) -> Option<Wake> {
        // SAFETY: the caller's promise.
        unsafe { self.first.rewake(waiter, wake) }
    }

    fn stopped(&mut self, stop: StopReason) -> Self::Output {
        let stopped = self.first.stopped(stop);
        self.rest(stopped)
    }

    fn dropped(&mut self, waiter: &Waiter, ended: Option<WaitOutcome>) {
        self.first.dropped(waiter, ended);
    }
}

impl<T> Sender<T> {
    /// Sends from the front of `values` without waiting, and returns how many were sent.
    ///
    /// # Errors
    ///
    /// Full or closed, if no value was sent.
    pub fn try_send_many(&self, values: &mut VecDeque<T>) -> Result<usize, SendManyError> {
        match self.channel.try_send_many(values) {
            (0, Outcome::Blocked) => {
                self.channel.count_send_failure(FailureCause::WouldBlock);
                Err(SendManyError::Full)
            }
            (0, Outcome::Closed) => {
                self.channel.count_send_failure(FailureCause::Closed);
                Err(SendManyError::Closed)
            }
            (sent, _) => Ok(sent),
        }
    }
}

impl<T> Receiver<T> {
    /// Appends up to `max` values without waiting, and returns how many.
    ///
    /// # Errors
    ///
    /// Empty, or closed and drained, if there was no value.
    pub fn try_recv_many(&self, values: &mut Vec<T>, max: usize) -> Result<usize, TryRecvError> {
        match self.channel.try_recv_many(values, max) {
            (0, Outcome::Blocked) => {
                self.channel.count_receive_failure(FailureCause::WouldBlock);
                Err(TryRecvError::Empty)
            }
            (0, Outcome::Closed) => {
                self.channel.count_receive_failure(FailureCause::Closed);
                Err(TryRecvError::Closed)
            }
            (received, _) => Ok(received),
        }
    }
}
