// SPDX-License-Identifier: BSD-3-Clause
//! An operation's limits, which cover its wait for a connection and the operation itself.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use becket_chan::Token;

use crate::remote::limits::{Limits, Stop};
use crate::remote::receiver::RemoteRecv;
use crate::remote::sender::RemoteSend;

#[derive(Default, Clone, Copy)]
pub(super) struct Bounds<'a> {
    deadline: Option<Instant>,
    token: Option<&'a Token>,
}

impl<'a> Bounds<'a> {
    /// Sets a deadline; the earlier of two holds.
    pub(super) fn deadline(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |other| other.min(at)));
    }

    pub(super) fn cancel_on(&mut self, token: &'a Token) {
        self.token = Some(token);
    }

    pub(super) fn limits(self) -> Limits<'a> {
        let mut limits = Limits::default();
        if let Some(deadline) = self.deadline {
            limits.deadline(deadline);
        }
        if let Some(token) = self.token {
            limits.cancel_on(token);
        }
        limits
    }

    /// Waits for a future within the limits. A cancelled token takes precedence.
    pub(super) async fn over<T>(self, future: impl Future<Output = T>) -> Result<T, Stop> {
        let mut limits = self.limits();
        let mut future = pin!(future);
        poll_fn(|context| {
            if limits.is_cancelled() {
                return Poll::Ready(Err(Stop::Cancelled));
            }
            match future.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                Poll::Pending => limits.poll(context).map(Err),
            }
        })
        .await
    }

    pub(super) fn send<'b>(self, mut send: RemoteSend<'b>) -> RemoteSend<'b>
    where
        'a: 'b,
    {
        if let Some(deadline) = self.deadline {
            send = send.deadline(deadline);
        }
        match self.token {
            Some(token) => send.cancel_on(token),
            None => send,
        }
    }

    pub(super) fn recv<'b>(self, mut recv: RemoteRecv<'b>) -> RemoteRecv<'b>
    where
        'a: 'b,
    {
        if let Some(deadline) = self.deadline {
            recv = recv.deadline(deadline);
        }
        match self.token {
            Some(token) => recv.cancel_on(token),
            None => recv,
        }
    }
}
