// SPDX-License-Identifier: BSD-3-Clause
//! What can go wrong, by what the plugin should conclude.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use becket_abi::NrStatus;
use thiserror::Error;

/// Why a handler failed: the status and text that the caller gets.
///
/// Every [`std::error::Error`] converts into one with `?`: status `Err`, its message as the text.
/// The text travels to the caller, so say nothing in it that the caller may not know.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    status: NrStatus,
    text: Cow<'static, str>,
    silent: bool,
}

impl Failure {
    /// Answers the call with this status and text.
    pub fn new(status: NrStatus, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), silent: false }
    }

    /// Status `Invalid`: the caller sent something wrong.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(NrStatus::Invalid, text)
    }

    /// Status `Err`: it failed while running.
    pub fn failed(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(NrStatus::Err, text)
    }

    /// Status `Unsupported`.
    pub fn unsupported(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(NrStatus::Unsupported, text)
    }

    /// Refuses the call without an answer: the status is what `handle` itself returns. In a
    /// handler that has returned already (a future), it is answered, with an empty text.
    #[must_use]
    pub const fn refused(status: NrStatus) -> Self {
        Self { status, text: Cow::Borrowed(""), silent: true }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> NrStatus {
        self.status
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) const fn is_silent(&self) -> bool {
        self.silent
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({}: {})", self.status, self.text)
    }
}

// `Failure` is no `Error` itself, so that this conversion can exist.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(error.to_string())
    }
}

/// Why the host did not take a frame or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stream's queue is full; the frame was not taken. [`crate::Sink::send_async`] waits
    /// for room.
    #[error("the stream's queue is full")]
    Full,
    /// No caller reads any more: the call ended, was cancelled, or its deadline passed.
    #[error("the call has no caller any more")]
    Closed,
    /// It is longer than the host takes; nothing of it was taken. A stream goes on after a frame
    /// like that; an answer or a last frame like that ended its call with status `TooLong`.
    #[error("it is longer than the host takes")]
    TooLong,
    /// The host refused for another reason.
    #[error("the host refused with {0}")]
    Refused(NrStatus),
}

impl SendError {
    pub(crate) const fn check(status: NrStatus) -> Result<(), Self> {
        match status {
            NrStatus::Ok => Ok(()),
            NrStatus::Backpressure => Err(Self::Full),
            NrStatus::Invalid => Err(Self::Closed),
            NrStatus::TooLong => Err(Self::TooLong),
            other => Err(Self::Refused(other)),
        }
    }

    /// The status behind it.
    #[must_use]
    pub const fn status(self) -> NrStatus {
        match self {
            Self::Full => NrStatus::Backpressure,
            Self::Closed => NrStatus::Invalid,
            Self::TooLong => NrStatus::TooLong,
            Self::Refused(status) => status,
        }
    }
}

/// How [`crate::Session::on_data`] ends when it is not well.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// The message was not taken, since an answer to it found the queue full. The host keeps it
    /// and offers it again when there is room.
    NotTaken,
    /// No caller reads any more; the session is forgotten.
    Closed,
    /// The stream ends with this.
    Failed(Failure),
}

impl From<SendError> for SessionError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => Self::NotTaken,
            SendError::Closed => Self::Closed,
            SendError::TooLong => {
                let text = "a frame is longer than the host takes";
                Self::Failed(Failure::new(NrStatus::TooLong, text))
            }
            SendError::Refused(status) => {
                Self::Failed(Failure::new(status, "the host refused a frame"))
            }
        }
    }
}

impl From<Failure> for SessionError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Why the state of a call could not be set or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The host keeps no state for plugins.
    #[error("the host offers no state")]
    Unsupported,
    /// The plugin's quota is used up; nothing was stored.
    #[error("the quota for state is used up")]
    Quota,
    /// The host refused: the call has ended, or the key is not acceptable.
    #[error("the host refused with {0}")]
    Refused(NrStatus),
}

impl StateError {
    pub(crate) const fn of(status: NrStatus) -> Self {
        match status {
            NrStatus::Unsupported => Self::Unsupported,
            NrStatus::Backpressure => Self::Quota,
            other => Self::Refused(other),
        }
    }

    /// The status behind it.
    #[must_use]
    pub const fn status(self) -> NrStatus {
        match self {
            Self::Unsupported => NrStatus::Unsupported,
            Self::Quota => NrStatus::Backpressure,
            Self::Refused(status) => status,
        }
    }
}

/// Why a timer was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimerError {
    /// The host has no timers for plugins.
    #[error("the host offers no timers")]
    Unsupported,
    /// The plugin has as many timers as it may.
    #[error("no timer is free")]
    Quota,
}

/// The configuration does not fit the plugin's type.
#[derive(Debug, Error)]
#[error("the configuration does not fit: {0}")]
pub struct ConfigError(#[from] serde_json::Error);
