// SPDX-License-Identifier: BSD-3-Clause
//! Waiting within [`Limits`]: a deadline, a token.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use becket_chan::timer::{self, Sleep};
use becket_chan::{Cancelled, Limits};

use crate::element::Element;
use crate::error::{RecvError, SendError};

/// Why an operation ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    TimedOut,
}

impl Stop {
    /// The error of a send that was stopped.
    pub(crate) fn of_send(self, element: Element) -> SendError {
        match self {
            Self::Cancelled => SendError::Cancelled(element),
            Self::TimedOut => SendError::TimedOut(element),
        }
    }

    /// The error of a receive that was stopped.
    pub(crate) fn of_recv(self) -> RecvError {
        match self {
            Self::Cancelled => RecvError::Cancelled,
            Self::TimedOut => RecvError::TimedOut,
        }
    }
}

/// A wait for the limits of an operation.
#[derive(Default)]
pub(crate) struct LimitsWait<'a> {
    deadline: Option<Sleep>,
    cancelled: Option<Pin<Box<Cancelled<'a>>>>,
}

impl<'a> LimitsWait<'a> {
    /// Whether a limit ends the operation; if not, the task is woken when one does. A cancelled
    /// token takes precedence over a deadline that has passed.
    pub(crate) fn poll(&mut self, limits: &Limits<'a>, context: &mut Context<'_>) -> Poll<Stop> {
        if let Some(token) = limits.token() {
            let cancelled = self.cancelled.get_or_insert_with(|| Box::pin(token.cancelled()));
            if cancelled.as_mut().poll(context).is_ready() {
                return Poll::Ready(Stop::Cancelled);
            }
        }
        if let Some(deadline) = limits.until() {
            let sleep = self.deadline.get_or_insert_with(|| timer::sleep_until(deadline));
            if Pin::new(sleep).poll(context).is_ready() {
                return Poll::Ready(Stop::TimedOut);
            }
        }
        Poll::Pending
    }
}

/// Waits for a future within limits. A cancelled token takes precedence over one that is ready.
pub(crate) async fn within<T>(
    limits: Limits<'_>,
    future: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut wait = LimitsWait::default();
    let mut future = pin!(future);
    poll_fn(|context| {
        if limits.is_cancelled() {
            return Poll::Ready(Err(Stop::Cancelled));
        }
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => wait.poll(&limits, context).map(Err),
        }
    })
    .await
}

/// The methods that set the limits of an operation, which are in the field `$limits`.
macro_rules! limit_methods {
    ($operation:ident $(<$output:ident>)?, $($limits:ident).+ $(, $at_the_limit:literal)?) => {
        impl<'a $(, $output)?> $operation<'a $(, $output)?> {
            /// Gives up `duration` from now.
            $(#[doc = concat!(" ", $at_the_limit)])?
            pub fn timeout(mut self, duration: std::time::Duration) -> Self {
                self.$($limits).+ = self.$($limits).+.timeout(duration);
                self
            }

            /// Gives up at `deadline`, likewise. The earlier of two deadlines holds.
            pub fn deadline(mut self, deadline: std::time::Instant) -> Self {
                self.$($limits).+ = self.$($limits).+.deadline(deadline);
                self
            }

            /// Gives up when `token` is cancelled, likewise. The last token holds.
            pub fn cancel_on(mut self, token: &'a becket_chan::Token) -> Self {
                self.$($limits).+ = self.$($limits).+.cancel_on(token);
                self
            }

            /// Adds `limits`, as [`deadline`](Self::deadline) and [`cancel_on`](Self::cancel_on) do.
            pub fn limits(mut self, limits: becket_chan::Limits<'a>) -> Self {
                let own = &mut self.$($limits).+;
                *own = limits.until().map_or(*own, |at| own.deadline(at));
                *own = limits.token().map_or(*own, |token| own.cancel_on(token));
                self
            }
        }
    };
}

pub(crate) use limit_methods;
