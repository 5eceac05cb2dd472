// SPDX-License-Identifier: BSD-3-Clause
//! Waiting within [`Limits`]: a deadline, a token.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use becket_chan::{Limits, timer};
use bytes::Bytes;

use crate::error::{RecvError, SendError};

/// Why an operation ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    TimedOut,
}

impl Stop {
    pub(crate) fn of_send(self, value: Bytes) -> SendError {
        match self {
            Self::Cancelled => SendError::Cancelled(value),
            Self::TimedOut => SendError::TimedOut(value),
        }
    }

    pub(crate) const fn of_recv(self) -> RecvError {
        match self {
            Self::Cancelled => RecvError::Cancelled,
            Self::TimedOut => RecvError::TimedOut,
        }
    }
}

/// Waits for a future within limits. A cancelled token takes precedence over a future that is ready,
/// and that over a deadline that has passed.
pub(crate) async fn within<T>(
    limits: Limits<'_>,
    future: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut future = pin!(future);
    let mut cancelled = limits.token().map(|token| Box::pin(token.cancelled()));
    let mut sleep = limits.until().map(timer::sleep_until);
    poll_fn(|context| {
        if let Some(cancelled) = &mut cancelled
            && cancelled.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(Stop::Cancelled));
        }
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        match &mut sleep {
            Some(sleep) => Pin::new(sleep).poll(context).map(|()| Err(Stop::TimedOut)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Waits for a future for a time. `None`: it is not ready yet.
pub(crate) async fn at_most<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    within(Limits::none().timeout(duration), future).await.ok()
}
