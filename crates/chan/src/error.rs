// SPDX-License-Identifier: BSD-3-Clause
//! The errors: would-block, timeout, cancelled, closed. A send's error returns the value.
//!
//! Those of a receive are as wide as a word. So a value of a word and its error are returned in two
//! registers, and no byte of an error lies before a wide value: the compiler would then move value
//! and padding as one, from odd address to odd address (256 bytes: 37 ns in place of 50).

use std::fmt;

use crate::channel::FailureCause;

/// A send that does not wait failed. The value is inside.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room, or no receiver waits on a rendezvous channel.
    #[error("the channel is full")]
    Full(T),
    /// The channel is closed.
    #[error("the channel is closed")]
    Closed(T),
}

/// A send failed. The value is inside.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is closed.
    #[error("the channel is closed")]
    Closed(T),
    /// The deadline passed first.
    #[error("the send timed out")]
    TimedOut(T),
    /// The token was cancelled.
    #[error("the send was cancelled")]
    Cancelled(T),
}

/// A batch was not sent completely. The unsent values are still in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendManyError {
    /// There is no room, and the send does not wait.
    #[error("the channel is full")]
    Full,
    /// The channel is closed.
    #[error("the channel is closed")]
    Closed,
    /// The deadline passed first.
    #[error("the send timed out")]
    TimedOut,
    /// The token was cancelled.
    #[error("the send was cancelled")]
    Cancelled,
}

/// A receive that does not wait found no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[repr(usize)]
pub enum TryRecvError {
    /// The channel is empty.
    #[error("the channel is empty")]
    Empty,
    /// The channel is closed, and all its values have been received.
    #[error("the channel is closed")]
    Closed,
}

/// A receive ended without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[repr(usize)]
pub enum RecvError {
    /// The channel is closed, and all its values have been received.
    #[error("the channel is closed")]
    Closed,
    /// The deadline passed first.
    #[error("the receive timed out")]
    TimedOut,
    /// The token was cancelled.
    #[error("the receive was cancelled")]
    Cancelled,
}

impl<T> TrySendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(value) | Self::Closed(value) => value,
        }
    }

    /// Whether there was no room.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the channel is closed.
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

impl<T> SendError<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Closed(value) | Self::TimedOut(value) | Self::Cancelled(value) => value,
        }
    }
}

impl<T> SendError<T> {
    /// The error of a send of `value`. A send that waits does not fail for want of room: only its
    /// deadline ends it.
    pub(crate) fn failed(cause: FailureCause, value: T) -> Self {
        match cause {
            FailureCause::TimedOut | FailureCause::WouldBlock => Self::TimedOut(value),
            FailureCause::Closed => Self::Closed(value),
            FailureCause::Cancelled => Self::Cancelled(value),
        }
    }
}

impl SendManyError {
    pub(crate) const fn failed(cause: FailureCause) -> Self {
        match cause {
            FailureCause::WouldBlock => Self::Full,
            FailureCause::TimedOut => Self::TimedOut,
            FailureCause::Closed => Self::Closed,
            FailureCause::Cancelled => Self::Cancelled,
        }
    }
}

impl RecvError {
    /// As [`SendError::failed`].
    pub(crate) const fn failed(cause: FailureCause) -> Self {
        match cause {
            FailureCause::TimedOut | FailureCause::WouldBlock => Self::TimedOut,
            FailureCause::Closed => Self::Closed,
            FailureCause::Cancelled => Self::Cancelled,
        }
    }
}

// Not derived: a value need not be `Debug`, and must not be printed.
impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed(..)",
            Self::TimedOut(_) => "TimedOut(..)",
            Self::Cancelled(_) => "Cancelled(..)",
        })
    }
}
