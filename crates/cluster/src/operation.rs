// SPDX-License-Identifier: BSD-3-Clause
//! An operation is a value: created by a handle, given its limits, and driven by its creator.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Limits, Token};
use bytes::Bytes;

use crate::delivery::Delivery;
use crate::error::{AckError, CloseError, RecvError, SendError};

/// A send. See [`Sender::send`](crate::Sender::send).
pub type Send<'a> = Operation<'a, Result<(), SendError>>;
/// An attempt of a send in a select. See [`SendArm::attempt`](crate::SendArm::attempt).
pub type Attempted<'a> = Operation<'a, Option<Result<(), SendError>>>;
/// A receive. See [`Receiver::recv`](crate::Receiver::recv).
pub type Recv<'a> = Operation<'a, Result<Bytes, RecvError>>;
/// A receive whose message is acknowledged later. See [`Receiver::lease`](crate::Receiver::lease).
pub type Lease<'a> = Operation<'a, Result<Delivery, RecvError>>;
/// The acknowledgement of a message. See [`Delivery::ack`].
pub type Ack = Operation<'static, Result<Bytes, AckError>>;
/// A close. See [`Sender::close`](crate::Sender::close).
pub type Close<'a> = Operation<'a, Result<bool, CloseError>>;

type Running<'a, O> = Pin<Box<dyn Future<Output = O> + std::marker::Send + 'a>>;
type Start<'a, O> = Box<dyn FnOnce(Limits<'a>) -> Running<'a, O> + std::marker::Send + 'a>;

/// An operation with the server: a future, and a value that does nothing until it is driven.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Operation<'a, O> {
    limits: Limits<'a>,
    stage: Stage<'a, O>,
}

enum Stage<'a, O> {
    New(Start<'a, O>),
    Running(Running<'a, O>),
    Over,
}

impl<'a, O> Operation<'a, O> {
    pub(crate) fn new<F>(start: impl FnOnce(Limits<'a>) -> F + std::marker::Send + 'a) -> Self
    where
        F: Future<Output = O> + std::marker::Send + 'a,
    {
        let start: Start<'a, O> = Box::new(move |limits| Box::pin(start(limits)));
        Self { limits: Limits::none(), stage: Stage::New(start) }
    }

    /// Gives up `duration` from now; the earlier of two deadlines holds. What was transmitted by
    /// then gets another second for its answer.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limits = self.limits.timeout(duration);
        self
    }

    /// Gives up at `deadline`, likewise.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.limits = self.limits.deadline(deadline);
        self
    }

    /// Gives up when `token` is cancelled, likewise; a second call replaces the token. Cancellation
    /// takes precedence over a timeout.
    pub fn cancel_on(mut self, token: &'a Token) -> Self {
        self.limits = self.limits.cancel_on(token);
        self
    }

    /// Adds `limits`, as [`deadline`](Self::deadline) and [`cancel_on`](Self::cancel_on) do.
    pub fn limits(mut self, limits: Limits<'a>) -> Self {
        self.limits = limits.until().map_or(self.limits, |at| self.limits.deadline(at));
        self.limits = limits.token().map_or(self.limits, |token| self.limits.cancel_on(token));
        self
    }

    /// Drives it from a thread, which sleeps, or from a coroutine, which parks. The client needs more
    /// stack than a coroutine has by default, at least in builds without optimisation: 256 KiB are
    /// enough.
    pub fn wait(self) -> O {
        if becket_coro::current().is_some() {
            becket_coro::block_on(self)
        } else {
            futures_lite::future::block_on(self)
        }
    }
}

impl<O> Future for Operation<'_, O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<O> {
        loop {
            match &mut self.stage {
                Stage::Running(running) => {
                    let polled = running.as_mut().poll(context);
                    if polled.is_ready() {
                        self.stage = Stage::Over;
                    }
                    return polled;
                }
                // Polled again after completion.
                Stage::Over => return Poll::Pending,
                Stage::New(_) => {}
            }
            let limits = self.limits;
            if let Stage::New(start) = std::mem::replace(&mut self.stage, Stage::Over) {
                self.stage = Stage::Running(start(limits));
            }
        }
    }
}

impl<O> fmt::Debug for Operation<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("limits", &self.limits).finish_non_exhaustive()
    }
}
