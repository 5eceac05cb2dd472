// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for a region to be released.
//!
//! No value is ever sent on the region's channel; it is closed when the memory has been released.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Limit, Limits, NoLimits, Operation, Receiving, Recv, RecvError, Token};

/// Waits until nothing is in flight in a region. See
/// [`Region::deregister`](super::Region::deregister).
///
/// Drive it with `.await` or [`wait`](Self::wait), which parks a thread or a coroutine.
///
/// **Cancel safe**: dropped, it no longer waits; the region continues to be deregistered.
#[must_use = "the region accepts no more descriptors, but this does not wait for its release"]
pub struct Deregister<'a, L: Limit = NoLimits>(Operation<'a, Infallible, Receiving, L>);

/// The region is not released yet. It accepts no more descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeregisterError {
    /// The deadline passed first.
    #[error("descriptors are still in flight")]
    TimedOut,
    /// The token was cancelled.
    #[error("the wait was cancelled")]
    Cancelled,
}

impl<'a> Deregister<'a> {
    pub(super) fn new(gone: Recv<'a, Infallible>) -> Self {
        Self(gone)
    }

    /// Gives up `duration` from now.
    pub fn timeout(self, duration: Duration) -> Deregister<'a, Limits<'a>> {
        Deregister(self.0.timeout(duration))
    }

    /// Gives up at `deadline`.
    pub fn deadline(self, deadline: Instant) -> Deregister<'a, Limits<'a>> {
        Deregister(self.0.deadline(deadline))
    }

    /// Gives up when `token` is cancelled.
    pub fn cancel_on(self, token: &'a Token) -> Deregister<'a, Limits<'a>> {
        Deregister(self.0.cancel_on(token))
    }
}

impl<'a> Deregister<'a, Limits<'a>> {
    /// As above; the earlier of two deadlines holds.
    pub fn timeout(self, duration: Duration) -> Self {
        Self(self.0.timeout(duration))
    }

    /// As above; the earlier of two deadlines holds.
    pub fn deadline(self, deadline: Instant) -> Self {
        Self(self.0.deadline(deadline))
    }

    /// As above; the last token holds.
    pub fn cancel_on(self, token: &'a Token) -> Self {
        Self(self.0.cancel_on(token))
    }
}

impl<L: Limit> Deregister<'_, L> {
    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// [`DeregisterError`]: the region is not released yet.
    pub fn wait(self) -> Result<(), DeregisterError> {
        ended(self.0.wait())
    }
}

impl<L: Limit> Future for Deregister<'_, L> {
    type Output = Result<(), DeregisterError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: structural pinning: the operation is never moved out of `self`.
        let operation = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        operation.poll(context).map(ended)
    }
}

fn ended(received: Result<Infallible, RecvError>) -> Result<(), DeregisterError> {
    match received {
        Ok(never) => match never {},
        Err(RecvError::TimedOut) => Err(DeregisterError::TimedOut),
        Err(RecvError::Cancelled) => Err(DeregisterError::Cancelled),
        Err(_) => Ok(()),
    }
}
