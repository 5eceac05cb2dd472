// SPDX-License-Identifier: BSD-3-Clause
//! What fails, with the element back.

use std::sync::Arc;

use crate::connection::Ended;
use crate::element::Element;

/// A send that did not happen, or of which nobody knows. [`into_element`](Self::into_element) gives
/// the element back.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is closed. It was not accepted.
    #[error("the channel is closed{}", because(reason))]
    Closed {
        /// What was to be sent.
        element: Element,
        /// The reason with which it was closed, if it was with one.
        reason: Option<Arc<str>>,
    },
    /// Not accepted within its time.
    #[error("the send was not accepted in time")]
    TimedOut(Element),
    /// Its token was set before it was accepted.
    #[error("the send was cancelled")]
    Cancelled(Element),
    /// It would have had to wait.
    #[error("the channel has no room")]
    WouldBlock(Element),
    /// Longer than the session allows.
    #[error("the element is longer than the session allows")]
    TooLong(Element),
    /// The channel's elements all have the same length, and it is not this one.
    #[error("the element does not have the length of the channel's elements")]
    WrongLength(Element),
    /// The connection was over before it was handed over. It was not accepted.
    #[error("not sent: {ended}")]
    Disconnected {
        /// What was to be sent.
        element: Element,
        /// How the connection ended.
        ended: Ended,
    },
    /// It was handed over, and no answer came: it may have been accepted, or not. Nobody repeats it
    /// but you.
    #[error("sent, but whether it was accepted is not known")]
    Unknown {
        /// What was sent.
        element: Element,
        /// How the connection ended, if it has.
        ended: Option<Ended>,
    },
}

impl SendError {
    /// What was to be sent.
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

/// A receive that did not happen: it has taken nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is closed and drained.
    #[error("the channel is closed{}", because(reason))]
    Closed {
        /// The reason with which it was closed, if it was with one.
        reason: Option<Arc<str>>,
    },
    /// Nothing came within its time.
    #[error("nothing came in time")]
    TimedOut,
    /// Its token was set before something came.
    #[error("the receive was cancelled")]
    Cancelled,
    /// Nothing is there now.
    #[error("the channel is empty")]
    WouldBlock,
    /// The connection is over.
    #[error("nothing can be received: {0}")]
    Disconnected(Ended),
}

/// A channel that could not be opened, or a request that was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server has no channel of this name.
    #[error("the server has no channel {0:?}")]
    NotFound(Arc<str>),
    /// The server has a channel of this name already.
    #[error("the server has a channel {0:?} already")]
    Exists(Arc<str>),
    /// The server does not offer this: the channel's other direction, or what was asked for.
    #[error("the server does not offer that for {0:?}")]
    Unsupported(Arc<str>),
    /// There are as many streams, channels or requests as there may be.
    #[error("there are as many streams, channels or requests as there may be")]
    TooMany,
    /// The server refused for another reason.
    #[error("the server refused (code {code}): {why}")]
    Refused {
        /// The number of the reason, as of the system's errors.
        code: u16,
        /// In words.
        why: Arc<str>,
    },
    /// The server's answer could not be understood.
    #[error("the server's answer makes no sense: {0}")]
    BadAnswer(Arc<str>),
    /// The connection is over.
    #[error("{0}")]
    Disconnected(Ended),
}

fn because(reason: &Option<Arc<str>>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
}
