// SPDX-License-Identifier: BSD-3-Clause
//! The limits of an operation, as a backend gets them.

use std::time::{Duration, Instant};

use becket_chan::{Action, Operation, Token, timer};

/// How long an operation may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// No wait: an operation that cannot complete at once is
    /// [`WouldBlock`](crate::Failure::WouldBlock).
    Now,
    /// A duration that begins when the backend starts the operation.
    For(Duration),
    /// Until an instant.
    Until(Instant),
    /// No deadline.
    #[default]
    Ever,
}

/// A deadline, a token, both or neither. A cancelled token takes precedence over everything else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// How long the operation may wait.
    pub time: Time,
    /// The token that cancels it.
    pub token: Option<&'a Token>,
}

impl<'a> Limits<'a> {
    /// Whether the token is cancelled.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_some_and(Token::is_cancelled)
    }

    /// The same limits, with a [`Time::For`] that becomes a [`Time::Until`], counted from now.
    #[must_use]
    pub fn from_now(self) -> Self {
        let time = match self.time {
            Time::For(duration) => Time::Until(timer::after(duration)),
            time => time,
        };
        Self { time, ..self }
    }

    /// Awaits an operation of `becket_chan` within these limits.
    pub async fn drive<A: Action>(self, operation: Operation<A>) -> A::Output {
        match self.of_operation() {
            Some(limits) => operation.limits(limits).await,
            None => operation.await,
        }
    }

    fn of_operation(&self) -> Option<becket_chan::Limits<'a>> {
        let limits = match self.time {
            Time::Now => becket_chan::Limits::none().timeout(Duration::ZERO),
            Time::For(duration) => becket_chan::Limits::none().timeout(duration),
            Time::Until(at) => becket_chan::Limits::none().deadline(at),
            Time::Ever if self.token.is_none() => return None,
            Time::Ever => becket_chan::Limits::none(),
        };
        Some(self.token.map_or(limits, |token| limits.cancel_on(token)))
    }
}

impl<'a> From<becket_chan::Limits<'a>> for Limits<'a> {
    fn from(limits: becket_chan::Limits<'a>) -> Self {
        let time = limits.until().map_or(Time::Ever, Time::Until);
        Self { time, token: limits.token() }
    }
}
