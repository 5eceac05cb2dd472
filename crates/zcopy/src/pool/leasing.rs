// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for a free block.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_chan::{Limit, Limits, NoLimits, Operation, Receiving, Recv, RecvError, Token};

use super::{Lease, Shared};

/// A lease that waits for a block. See [`Pool::lease`](super::Pool::lease).
///
/// Drive it with `.await` or [`wait`](Self::wait), which parks a thread or a coroutine. Waiting
/// leases are served in FIFO order.
///
/// **Cancel safe**: dropped before it completes, it has taken no block.
#[must_use = "a lease does nothing until it is awaited or waited for"]
pub struct Leasing<'a, L: Limit = NoLimits> {
    operation: Operation<'a, u32, Receiving, L>,
    pool: &'a Arc<Shared>,
    len: usize,
}

/// No block became free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// The deadline passed first.
    #[error("no block became free before the deadline")]
    TimedOut,
    /// The token was cancelled.
    #[error("the lease was cancelled")]
    Cancelled,
}

impl<'a> Leasing<'a> {
    pub(super) fn new(pool: &'a Arc<Shared>, operation: Recv<'a, u32>, len: usize) -> Self {
        Self { operation, pool, len }
    }

    /// Gives up `duration` from now.
    pub fn timeout(self, duration: Duration) -> Leasing<'a, Limits<'a>> {
        let Self { operation, pool, len } = self;
        Leasing { operation: operation.timeout(duration), pool, len }
    }

    /// Gives up at `deadline`.
    pub fn deadline(self, deadline: Instant) -> Leasing<'a, Limits<'a>> {
        let Self { operation, pool, len } = self;
        Leasing { operation: operation.deadline(deadline), pool, len }
    }

    /// Gives up when `token` is cancelled.
    pub fn cancel_on(self, token: &'a Token) -> Leasing<'a, Limits<'a>> {
        let Self { operation, pool, len } = self;
        Leasing { operation: operation.cancel_on(token), pool, len }
    }
}

impl<'a> Leasing<'a, Limits<'a>> {
    /// As above; the earlier of two deadlines holds.
    pub fn timeout(self, duration: Duration) -> Self {
        Self { operation: self.operation.timeout(duration), ..self }
    }

    /// As above; the earlier of two deadlines holds.
    pub fn deadline(self, deadline: Instant) -> Self {
        Self { operation: self.operation.deadline(deadline), ..self }
    }

    /// As above; the last token holds.
    pub fn cancel_on(self, token: &'a Token) -> Self {
        Self { operation: self.operation.cancel_on(token), ..self }
    }
}

impl<L: Limit> Leasing<'_, L> {
    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// [`LeaseError`]: no block became free.
    pub fn wait(self) -> Result<Lease, LeaseError> {
        lease(self.operation.wait(), self.pool, self.len)
    }
}

impl<L: Limit> Future for Leasing<'_, L> {
    type Output = Result<Lease, LeaseError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (pool, len) = (self.pool, self.len);
        // SAFETY: structural pinning: the operation is never moved out of `self`.
        let operation = unsafe { self.map_unchecked_mut(|this| &mut this.operation) };
        operation.poll(context).map(|received| lease(received, pool, len))
    }
}

fn lease(
    received: Result<u32, RecvError>,
    pool: &Arc<Shared>,
    len: usize,
) -> Result<Lease, LeaseError> {
    match received {
        Ok(number) => Ok(Lease::new(pool.clone(), number, len)),
        Err(RecvError::Cancelled) => Err(LeaseError::Cancelled),
        // The pool holds both ends of the free list: it is never closed.
        Err(_) => Err(LeaseError::TimedOut),
    }
}
