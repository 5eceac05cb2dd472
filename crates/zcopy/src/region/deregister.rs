// SPDX-License-Identifier: BSD-3-Clause
//! Waiting for a region to be released.
//!
//! No value is ever sent on the region's channel; it is closed when the memory has been released.

use std::convert::Infallible;

use becket_chan::{Map, Mapped, NoLimits, Operation, Receiving, Recv, RecvError, Transfer};

/// Waits until nothing is in flight in a region. See
/// [`Region::deregister`](super::Region::deregister).
///
/// Drive it with `.await` or [`wait`](Operation::wait), which parks a thread or a coroutine; it
/// fails with a [`DeregisterError`].
///
/// **Cancel safe**: dropped, it no longer waits; the region continues to be deregistered.
pub type Deregister<'a, L = NoLimits> =
    Operation<Mapped<Transfer<'a, Infallible, Receiving>, Released>, L>;

/// Converts the close of the region's channel into the result of a deregistration.
pub struct Released;

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

impl Map<Result<Infallible, RecvError>> for Released {
    type Output = Result<(), DeregisterError>;

    fn map(&mut self, gone: Result<Infallible, RecvError>) -> Result<(), DeregisterError> {
        match gone {
            Err(RecvError::TimedOut) => Err(DeregisterError::TimedOut),
            Err(RecvError::Cancelled) => Err(DeregisterError::Cancelled),
            Err(_) => Ok(()),
            Ok(never) => match never {},
        }
    }
}

pub(super) fn deregister(gone: Recv<'_, Infallible>) -> Deregister<'_> {
    gone.map(Released)
}
