// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for a free block.

use std::sync::Arc;

use becket_chan::{Map, Mapped, NoLimits, Operation, Receiving, Recv, RecvError, Transfer};

use super::{Lease, Shared};

/// A lease that waits for a block. See [`Pool::lease`](super::Pool::lease).
///
/// Drive it with `.await` or [`wait`](Operation::wait), which parks a thread or a coroutine; its
/// result is the lease, or a [`LeaseError`]. Waiting leases are served in FIFO order.
///
/// **Cancel safe**: dropped before it completes, it has taken no block.
pub type Leasing<'a, L = NoLimits> =
    Operation<Mapped<Transfer<'a, u32, Receiving>, LeaseOf<'a>>, L>;

/// Converts the number of a free block into a lease.
pub struct LeaseOf<'a> {
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

impl Map<Result<u32, RecvError>> for LeaseOf<'_> {
    type Output = Result<Lease, LeaseError>;

    fn map(&mut self, received: Result<u32, RecvError>) -> Result<Lease, LeaseError> {
        match received {
            Ok(number) => Ok(Lease::new(self.pool.clone(), number, self.len)),
            Err(RecvError::Cancelled) => Err(LeaseError::Cancelled),
            // The pool holds both ends of the free list: it is never closed.
            Err(_) => Err(LeaseError::TimedOut),
        }
    }
}

pub(super) fn leasing<'a>(
    pool: &'a Arc<Shared>,
    operation: Recv<'a, u32>,
    len: usize,
) -> Leasing<'a> {
    operation.map(LeaseOf { pool, len })
}
