// SPDX-License-Identifier: BSD-3-Clause
//! The errors of channels between processes. A failed send returns its element.

use std::sync::Arc;

use crate::connection::Ended;
use crate::element::Element;
use crate::streams::code;

/// A send that failed, or whose outcome is unknown. [`into_element`](Self::into_element) returns
/// the element.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is closed. The element was not accepted.
    #[error("the channel is closed{}", because(reason))]
    Closed {
        /// The element that was not sent.
        element: Element,
        /// The reason given when it was closed, if any.
        reason: Option<Arc<str>>,
    },
    /// Not accepted before the deadline.
    #[error("the send was not accepted in time")]
    TimedOut(Element),
    /// The token was cancelled before the element was accepted.
    #[error("the send was cancelled")]
    Cancelled(Element),
    /// The channel is full.
    #[error("the channel has no room")]
    WouldBlock(Element),
    /// The element exceeds the session's maximum.
    #[error("the element is longer than the session allows")]
    TooLong(Element),
    /// The channel's elements have a fixed length, which differs from this element's.
    #[error("the element does not have the length of the channel's elements")]
    WrongLength(Element),
    /// The connection ended before the element was transmitted. It was not accepted.
    #[error("not sent: {ended}")]
    Disconnected {
        /// The element that was not sent.
        element: Element,
        /// How the connection ended.
        ended: Ended,
    },
    /// The element was transmitted, but not acknowledged: it may have been accepted or not. It is
    /// not sent again unless the caller does so.
    #[error("sent, but whether it was accepted is not known")]
    Unknown {
        /// The element.
        element: Element,
        /// How the connection ended, if it has.
        ended: Option<Ended>,
    },
}

impl SendError {
    /// The error of a send that the server refused with this code.
    pub(crate) fn refused(
        code: u16,
        element: Element,
        reason: impl FnOnce() -> Option<Arc<str>>,
    ) -> Self {
        match code {
            code::WOULD_BLOCK => Self::WouldBlock(element),
            code::WITHDRAWN => Self::Cancelled(element),
            code::WRONG_LENGTH => Self::WrongLength(element),
            _ => Self::Closed { element, reason: reason() },
        }
    }

    /// The element that was to be sent.
    #[must_use]
    pub fn into_element(self) -> Element {
        match self {
            Self::TimedOut(element)
            | Self::Cancelled(element)
            | Self::WouldBlock(element)
            | Self::TooLong(element)
            | Self::WrongLength(element)
            | Self::Closed { element, .. }
            | Self::Disconnected { element, .. }
            | Self::Unknown { element, .. } => element,
        }
    }
}

/// A receive that failed: it has received nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is closed and drained.
    #[error("the channel is closed{}", because(reason))]
    Closed {
        /// The reason given when it was closed, if any.
        reason: Option<Arc<str>>,
    },
    /// No element arrived before the deadline.
    #[error("no element arrived before the deadline")]
    TimedOut,
    /// The token was cancelled before an element arrived.
    #[error("the receive was cancelled")]
    Cancelled,
    /// The channel is empty.
    #[error("the channel is empty")]
    WouldBlock,
    /// The connection ended.
    #[error("nothing can be received: {0}")]
    Disconnected(Ended),
}

/// A channel that could not be opened, or a request that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server has no channel of this name.
    #[error("the server has no channel {0:?}")]
    NotFound(Arc<str>),
    /// The server has a channel of this name already.
    #[error("the server has a channel {0:?} already")]
    Exists(Arc<str>),
    /// The server does not offer this: the channel's other direction, or the request.
    #[error("the server does not offer that for {0:?}")]
    Unsupported(Arc<str>),
    /// The maximum number of streams, channels or requests is in use.
    #[error("the maximum number of streams, channels or requests is in use")]
    TooMany,
    /// The server refused for another reason.
    #[error("the server refused (code {code}): {why}")]
    Refused {
        /// The error code, an `errno` number.
        code: u16,
        /// The server's message.
        why: Arc<str>,
    },
    /// The server's answer could not be parsed.
    #[error("the server's answer is invalid: {0}")]
    BadAnswer(Arc<str>),
    /// The connection ended.
    #[error("{0}")]
    Disconnected(Ended),
}

fn because(reason: &Option<Arc<str>>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
}
