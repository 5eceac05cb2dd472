// SPDX-License-Identifier: BSD-3-Clause
//! What may end an operation early: a deadline, a token.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::timer::{self, Sleep};
use becket_chan::{Cancelled, Token};

/// Why an operation ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    TimedOut,
}

/// An operation's limits. A cancelled token takes precedence over a deadline that has passed.
#[derive(Default)]
pub(crate) struct Limits<'a> {
    deadline: Option<Sleep>,
    token: Option<&'a Token>,
    cancelled: Option<Pin<Box<Cancelled<'a>>>>,
}

impl<'a> Limits<'a> {
    pub(crate) fn timeout(&mut self, duration: Duration) {
        self.deadline(timer::after(duration));
    }

    /// Sets a deadline; the earlier of two holds.
    pub(crate) fn deadline(&mut self, at: Instant) {
        if self.deadline.as_ref().is_none_or(|sleep| at < sleep.deadline()) {
            self.deadline = Some(timer::sleep_until(at));
        }
    }

    pub(crate) fn cancel_on(&mut self, token: &'a Token) {
        self.token = Some(token);
        self.cancelled = None;
    }

    /// Whether its token is cancelled. That takes precedence over a channel that is ready.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_some_and(Token::is_cancelled)
    }

    /// Whether a limit ends the operation; if not, the task is woken when one does.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        if let Some(token) = self.token {
            let cancelled = self.cancelled.get_or_insert_with(|| Box::pin(token.cancelled()));
            if cancelled.as_mut().poll(context).is_ready() {
                return Poll::Ready(Stop::Cancelled);
            }
        }
        if let Some(sleep) = &mut self.deadline
            && Pin::new(sleep).poll(context).is_ready()
        {
            return Poll::Ready(Stop::TimedOut);
        }
        Poll::Pending
    }
}
