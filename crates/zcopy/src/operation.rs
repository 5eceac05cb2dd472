// SPDX-License-Identifier: BSD-3-Clause
//! Sends and receives of a channel of descriptors, as values: limits are set, then they are driven.
//!
//! An operation first tries. If that would block, it creates the backend's operation
//! ([`Link::send`](crate::Link::send), [`Link::recv`](crate::Link::recv)), which it polls, and
//! which is dropped with it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Token, timer};

use crate::backend::Pending;
use crate::binding::Bound;
use crate::channel::ZChannel;
use crate::desc::Desc;
use crate::failure::Failure;
use crate::limits::{Limits, Time};

enum OperationStage<'a, T> {
    New,
    Pending { operation: Pending<'a, T>, was_open: bool, counts: bool },
    Done,
}

/// A send of a descriptor. See [`ZChannel::send`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZSend<'a> {
    channel: &'a ZChannel,
    desc: &'a mut Desc,
    limits: Limits<'a>,
    stage: OperationStage<'a, ()>,
}

/// A receive of a descriptor. See [`ZChannel::recv`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct ZRecv<'a> {
    channel: &'a ZChannel,
    limits: Limits<'a>,
    stage: OperationStage<'a, Desc>,
}

impl<'a> ZSend<'a> {
    pub(crate) fn new(channel: &'a ZChannel, desc: &'a mut Desc) -> Self {
        Self { channel, desc, limits: Limits::default(), stage: OperationStage::New }
    }
}

impl<'a> ZRecv<'a> {
    pub(crate) fn new(channel: &'a ZChannel) -> Self {
        Self { channel, limits: Limits::default(), stage: OperationStage::New }
    }
}

macro_rules! limits {
    ($operation:ident) => {
        impl<'a> $operation<'a> {
            /// Gives up `duration` from now. The earlier of two deadlines holds.
            pub fn timeout(self, duration: Duration) -> Self {
                self.deadline(timer::after(duration))
            }

            /// Gives up at `deadline`. The earlier of two deadlines holds.
            pub fn deadline(mut self, deadline: Instant) -> Self {
                let earlier = match self.limits.time {
                    Time::Until(at) => at.min(deadline),
                    _ => deadline,
                };
                self.limits.time = Time::Until(earlier);
                self
            }

            /// Gives up when `token` is cancelled. A cancelled token takes precedence over
            /// everything.
            pub fn cancel_on(mut self, token: &'a Token) -> Self {
                self.limits.token = Some(token);
                self
            }
        }
    };
}

limits!(ZSend);
limits!(ZRecv);

impl ZSend<'_> {
    /// Sends from a thread or a coroutine, which parks while the operation waits.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the descriptor is unchanged.
    pub fn wait(self) -> Result<(), Failure> {
        let Self { channel, desc, limits, .. } = self;
        if !limits.is_cancelled() && channel.send_fast(desc) {
            return Ok(());
        }
        let was_open = !channel.is_closed();
        let bound = allowed(limits).and_then(|()| channel.bound_for(desc));
        let (answer, counts) = match bound {
            Ok(bound) => (bound.link.send_wait(*desc, limits), bound.counts),
            Err(failure) => (Err(failure), false),
        };
        channel.sent(desc, answer, was_open, counts)
    }
}

impl ZRecv<'_> {
    /// Receives from a thread or a coroutine, which parks while the operation waits.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub fn wait(self) -> Result<Desc, Failure> {
        let Self { channel, limits, .. } = self;
        if !limits.is_cancelled()
            && let Some(desc) = channel.recv_fast()
        {
            return Ok(desc);
        }
        match allowed(limits).and_then(|()| channel.bound()) {
            Ok(bound) => channel.received(bound.link.recv_wait(limits), bound.counts),
            Err(failure) => channel.received(Err(failure), false),
        }
    }
}

/// A cancelled token takes precedence over everything.
#[inline]
fn allowed(limits: Limits<'_>) -> Result<(), Failure> {
    if limits.is_cancelled() { Err(Failure::Cancelled) } else { Ok(()) }
}

impl Future for ZSend<'_> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.stage, OperationStage::New) {
            if !this.limits.is_cancelled() && this.channel.send_fast(this.desc) {
                this.stage = OperationStage::Done;
                return Poll::Ready(Ok(()));
            }
            let was_open = !this.channel.is_closed();
            let bound = allowed(this.limits).and_then(|()| this.channel.bound_for(this.desc));
            let (answer, counts) = match bound {
                Ok(Bound { link, counts }) => match link.try_send(*this.desc) {
                    Err(Failure::WouldBlock) => {
                        let operation = link.send(*this.desc, this.limits);
                        this.stage = OperationStage::Pending { operation, was_open, counts };
                        (None, counts)
                    }
                    answer => (Some(answer), counts),
                },
                Err(failure) => (Some(Err(failure)), false),
            };
            if let Some(answer) = answer {
                this.stage = OperationStage::Done;
                return Poll::Ready(this.channel.sent(this.desc, answer, was_open, counts));
            }
        }
        let OperationStage::Pending { operation, was_open, counts } = &mut this.stage else {
            // Polled again after completion.
            return Poll::Pending;
        };
        let Poll::Ready(answer) = operation.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let (was_open, counts) = (*was_open, *counts);
        this.stage = OperationStage::Done;
        Poll::Ready(this.channel.sent(this.desc, answer, was_open, counts))
    }
}

impl Future for ZRecv<'_> {
    type Output = Result<Desc, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.stage, OperationStage::New) {
            if !this.limits.is_cancelled()
                && let Some(desc) = this.channel.recv_fast()
            {
                this.stage = OperationStage::Done;
                return Poll::Ready(Ok(desc));
            }
            let (answer, counts) = match allowed(this.limits).and_then(|()| this.channel.bound()) {
                Ok(Bound { link, counts }) => match link.try_recv() {
                    Err(Failure::WouldBlock) => {
                        let operation = link.recv(this.limits);
                        this.stage = OperationStage::Pending { operation, was_open: true, counts };
                        (None, counts)
                    }
                    answer => (Some(answer), counts),
                },
                Err(failure) => (Some(Err(failure)), false),
            };
            if let Some(answer) = answer {
                this.stage = OperationStage::Done;
                return Poll::Ready(this.channel.received(answer, counts));
            }
        }
        let OperationStage::Pending { operation, counts, .. } = &mut this.stage else {
            return Poll::Pending;
        };
        let Poll::Ready(answer) = operation.as_mut().poll(context) else {
            return Poll::Pending;
        };
        let counts = *counts;
        this.stage = OperationStage::Done;
        Poll::Ready(this.channel.received(answer, counts))
    }
}
