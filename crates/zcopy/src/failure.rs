// SPDX-License-Identifier: BSD-3-Clause
//! Why an operation on a channel of descriptors failed: the errors that all backends share.
//!
//! | condition | here | in C |
//! |---|---|---|
//! | it would have to wait | [`WouldBlock`](Failure::WouldBlock) | `KC_EAGAIN` |
//! | the deadline passed first | [`TimedOut`](Failure::TimedOut) | `KC_ETIME` |
//! | the token was cancelled | [`Cancelled`](Failure::Cancelled) | `KC_ECANCELED` |
//! | closed before it was delivered | [`Closed`](Failure::Closed) | `KC_EPIPE` |
//! | the backend does not support it | [`Unsupported`](Failure::Unsupported) | `KC_ENOTSUP` |
//! | the descriptor is invalid | [`Refused`](Failure::Refused) | `-EINVAL` |

use becket_chan::{RecvError, SendError, TryRecvError, TrySendError};

use crate::error::Error;

/// An operation failed. After a failed send the bytes still belong to the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The operation would have to wait.
    #[error("the operation would block")]
    WouldBlock,
    /// The deadline passed first.
    #[error("the deadline passed first")]
    TimedOut,
    /// The token was cancelled.
    #[error("the operation was cancelled")]
    Cancelled,
    /// The channel is closed, and, for a receive, empty.
    #[error("the channel is closed")]
    Closed,
    /// No backend is attached, or the backend does not support the operation.
    #[error("the channel has no backend, or the backend does not support the operation")]
    Unsupported,
    /// The descriptor is invalid, or exceeds the backend's limits.
    #[error(transparent)]
    Refused(#[from] Error),
    /// An error code of the backend.
    #[error("the backend failed with code {code}")]
    Other {
        /// The backend's code.
        code: i32,
    },
}

impl From<TryRecvError> for Failure {
    fn from(error: TryRecvError) -> Self {
        if error == TryRecvError::Closed { Self::Closed } else { Self::WouldBlock }
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::TimedOut => Self::TimedOut,
            RecvError::Cancelled => Self::Cancelled,
            _ => Self::Closed,
        }
    }
}

impl<T> From<&TrySendError<T>> for Failure {
    fn from(error: &TrySendError<T>) -> Self {
        if error.is_closed() { Self::Closed } else { Self::WouldBlock }
    }
}

impl<T> From<&SendError<T>> for Failure {
    fn from(error: &SendError<T>) -> Self {
        match error {
            SendError::TimedOut(_) => Self::TimedOut,
            SendError::Cancelled(_) => Self::Cancelled,
            _ => Self::Closed,
        }
    }
}
