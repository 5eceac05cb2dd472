// SPDX-License-Identifier: BSD-3-Clause
//! Why an operation on a channel of descriptors did not happen: the words of every backend.
//!
//! | condition | here | in C |
//! |---|---|---|
//! | it would have to wait | [`WouldBlock`](Failure::WouldBlock) | `KC_EAGAIN` |
//! | the deadline passed first | [`TimedOut`](Failure::TimedOut) | `KC_ETIME` |
//! | the token was set | [`Cancelled`](Failure::Cancelled) | `KC_ECANCELED` |
//! | closed before it was delivered | [`Closed`](Failure::Closed) | `KC_EPIPE` |
//! | the backend cannot do that | [`Unsupported`](Failure::Unsupported) | `KC_ENOTSUP` |
//! | the descriptor makes no sense | [`Refused`](Failure::Refused) | `-EINVAL` |

use becket_chan::{RecvError, SendError, TryRecvError, TrySendError};

use crate::error::Error;

/// An operation did not happen. A send's bytes are still the producer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It would have to wait.
    #[error("it would have to wait")]
    WouldBlock,
    /// The deadline passed first.
    #[error("the deadline passed first")]
    TimedOut,
    /// The token was cancelled.
    #[error("it was cancelled")]
    Cancelled,
    /// The channel is closed, and, for a receive, empty.
    #[error("the channel is closed")]
    Closed,
    /// No backend is attached, or it cannot do that.
    #[error("the channel's backend cannot do that, or there is none")]
    Unsupported,
    /// What the descriptor names, or the backend's limits, refuse it.
    #[error(transparent)]
    Refused(#[from] Error),
    /// The backend's own reason.
    #[error("the backend says {code}")]
    Other {
        /// A number of the backend's.
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
