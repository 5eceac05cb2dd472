// SPDX-License-Identifier: BSD-3-Clause
//! Many values per synchronisation.
//!
//! While the ring is fast, a batch claims a run of slots with one compare-exchange and publishes
//! them one by one; otherwise it runs under one hold of the lock. When no value can be moved, it
//! waits for one value (or room for one) as a single operation does, and continues.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::channel::{Channel, FailureCause, TryOutcome};
use crate::error::{RecvError, SendError, SendManyError, TryRecvError};
use crate::handle::{Receiver, Sender};
use crate::limit::Limits;
use crate::op::{Operation, Recv, Send};
use crate::token::Token;

/// Sends a queue of values. See [`Sender::send_many`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct SendMany<'a, T> {
    channel: &'a Channel<T>,
    values: &'a mut VecDeque<T>,
    bounds: BatchLimits<'a>,
    /// Waits for room for one value.
    one: Option<Send<'a, T, Limits<'a>>>,
}

/// Receives up to a number of values. See [`Receiver::recv_many`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct RecvMany<'a, T> {
    channel: &'a Channel<T>,
    values: &'a mut Vec<T>,
    max: usize,
    bounds: BatchLimits<'a>,
    /// Waits for one value.
    one: Option<Recv<'a, T, Limits<'a>>>,
}

/// The limits of a batch, from which each wait gets a copy.
#[derive(Debug, Default, Clone, Copy)]
struct BatchLimits<'a> {
    deadline: Option<Instant>,
    token: Option<&'a Token>,
}

impl<'a> BatchLimits<'a> {
    fn limits(self) -> Limits<'a> {
        let mut limits = Limits::none();
        if let Some(deadline) = self.deadline {
            limits = limits.deadline(deadline);
        }
        if let Some(token) = self.token {
            limits = limits.cancel_on(token);
        }
        limits
    }

    fn is_cancelled(self) -> bool {
        self.token.is_some_and(Token::is_cancelled)
    }
}

macro_rules! limits {
    ($batch:ident) => {
        impl<'a, T> $batch<'a, T> {
            /// Fails with a timeout `duration` from now.
            pub fn timeout(self, duration: Duration) -> Self {
                self.deadline(crate::timer::after(duration))
            }

            /// Fails with a timeout at `deadline`.
            pub fn deadline(mut self, deadline: Instant) -> Self {
                self.bounds.deadline = Some(deadline);
                self
            }

            /// Fails when `token` is cancelled. A cancelled token wins over a channel that is
            /// ready.
            pub fn cancel_on(mut self, token: &'a Token) -> Self {
                self.bounds.token = Some(token);
                self
            }
        }
    };
}

limits!(SendMany);
limits!(RecvMany);

impl<'a, T> SendMany<'a, T> {
    pub(crate) fn new(channel: &'a Channel<T>, values: &'a mut VecDeque<T>) -> Self {
        Self { channel, values, bounds: BatchLimits::default(), one: None }
    }

    /// Drives it from a thread or a coroutine. See [`Operation::wait`].
    ///
    /// # Errors
    ///
    /// Closed, timed out or cancelled; unsent values are still in the queue.
    pub fn wait(self) -> Result<(), SendManyError> {
        if self.bounds.is_cancelled() {
            self.channel.count_send_failure(FailureCause::Cancelled);
            return Err(SendManyError::Cancelled);
        }
        loop {
            self.channel.try_send_many(self.values);
            let Some(value) = self.values.pop_front() else {
                return Ok(());
            };
            let one = Operation::limited_to(self.channel, value, self.bounds.limits());
            if let Err(error) = one.wait() {
                return Err(returned(self.values, error));
            }
        }
    }

    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendManyError>> {
        if self.one.is_none() && self.bounds.is_cancelled() {
            self.channel.count_send_failure(FailureCause::Cancelled);
            return Poll::Ready(Err(SendManyError::Cancelled));
        }
        loop {
            if let Some(one) = &mut self.one {
                // SAFETY: `poll` pinned us, and `one` is not moved until it is over.
                let sent = match unsafe { Pin::new_unchecked(one) }.poll(context) {
                    Poll::Ready(sent) => sent,
                    Poll::Pending => return Poll::Pending,
                };
                self.one = None;
                if let Err(error) = sent {
                    return Poll::Ready(Err(returned(self.values, error)));
                }
            }
            self.channel.try_send_many(self.values);
            let Some(value) = self.values.pop_front() else {
                return Poll::Ready(Ok(()));
            };
            self.one = Some(Operation::limited_to(self.channel, value, self.bounds.limits()));
        }
    }
}

fn returned<T>(values: &mut VecDeque<T>, error: SendError<T>) -> SendManyError {
    let (value, error) = match error {
        SendError::Closed(value) => (value, SendManyError::Closed),
        SendError::TimedOut(value) => (value, SendManyError::TimedOut),
        SendError::Cancelled(value) => (value, SendManyError::Cancelled),
    };
    values.push_front(value);
    error
}

impl<T> Future for SendMany<'_, T> {
    type Output = Result<(), SendManyError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `one` is not moved out of while it is linked.
        unsafe { self.get_unchecked_mut() }.poll_inner(context)
    }
}

impl<T> Drop for SendMany<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.one.as_mut().and_then(Operation::take_back) {
            self.values.push_front(value);
        }
    }
}

impl<'a, T> RecvMany<'a, T> {
    pub(crate) fn new(channel: &'a Channel<T>, values: &'a mut Vec<T>, max: usize) -> Self {
        Self { channel, values, max, bounds: BatchLimits::default(), one: None }
    }

    /// Drives it from a thread or a coroutine. See [`Operation::wait`].
    ///
    /// # Errors
    ///
    /// Closed (and drained), timed out or cancelled.
    pub fn wait(mut self) -> Result<usize, RecvError> {
        if let Some(ready) = self.try_now() {
            return ready;
        }
        let value = Operation::limited_from(self.channel, self.bounds.limits()).wait()?;
        self.values.push(value);
        Ok(1 + self.channel.try_recv_many(self.values, self.max.saturating_sub(1)).0)
    }
}

impl<T> RecvMany<'_, T> {
    fn poll_inner(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, RecvError>> {
        if self.one.is_none() {
            if let Some(ready) = self.try_now() {
                return Poll::Ready(ready);
            }
            self.one = Some(Operation::limited_from(self.channel, self.bounds.limits()));
        }
        let Some(one) = &mut self.one else {
            return Poll::Pending;
        };
        // SAFETY: `poll` pinned us, and `one` is not moved until it is over.
        match unsafe { Pin::new_unchecked(one) }.poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(received) => {
                self.one = None;
                Poll::Ready(received.map(|value| {
                    self.values.push(value);
                    1 + self.channel.try_recv_many(self.values, self.max.saturating_sub(1)).0
                }))
            }
        }
    }
}

impl<T> RecvMany<'_, T> {
    fn try_now(&mut self) -> Option<Result<usize, RecvError>> {
        if self.bounds.is_cancelled() {
            self.channel.count_receive_failure(FailureCause::Cancelled);
            return Some(Err(RecvError::Cancelled));
        }
        if self.max == 0 {
            return Some(Ok(0));
        }
        match self.channel.try_recv_many(self.values, self.max) {
            (0, _) => None,
            (received, _) => Some(Ok(received)),
        }
    }
}

impl<T> Future for RecvMany<'_, T> {
    type Output = Result<usize, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `one` is not moved while it is linked.
        unsafe { self.get_unchecked_mut() }.poll_inner(context)
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
            (0, TryOutcome::Blocked) => {
                self.channel.count_send_failure(FailureCause::WouldBlock);
                Err(SendManyError::Full)
            }
            (0, TryOutcome::Closed) => {
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
            (0, TryOutcome::Blocked) => {
                self.channel.count_receive_failure(FailureCause::WouldBlock);
                Err(TryRecvError::Empty)
            }
            (0, TryOutcome::Closed) => {
                self.channel.count_receive_failure(FailureCause::Closed);
                Err(TryRecvError::Closed)
            }
            (received, _) => Ok(received),
        }
    }
}
