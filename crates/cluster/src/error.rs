// SPDX-License-Identifier: BSD-3-Clause
//! The errors. A failed send returns its value. No error holds a payload's text or a secret.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A send that failed, or whose outcome is not known. [`into_inner`](Self::into_inner) returns the
/// value.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channel is closed. The value was not accepted.
    #[error("the channel is closed{}", because(reason.as_deref()))]
    Closed {
        /// The value that was not sent.
        value: Bytes,
        /// The reason given when the channel was closed, if any.
        reason: Option<Arc<str>>,
    },
    /// Not accepted before the deadline.
    #[error("the send was not accepted in time")]
    TimedOut(Bytes),
    /// The token was cancelled before the value was accepted.
    #[error("the send was cancelled")]
    Cancelled(Bytes),
    /// The channel has no room, or no receiver waits, or the server accepts nothing at this moment.
    #[error("the channel has no room")]
    WouldBlock(Bytes),
    /// The server will not accept this value: it is too long, or not permitted.
    #[error("the server does not accept the value: {cause}")]
    Unsupported {
        /// The value that was not sent.
        value: Bytes,
        /// The cause, from the server.
        cause: Arc<str>,
    },
    /// The value was transmitted and no answer arrived: it may have been accepted or not, or be accepted later,
    /// behind values that are sent after it. A caller that sends it again may send it twice.
    #[error("sent, but whether it was accepted is not known")]
    Unknown(Bytes),
}

impl SendError {
    /// The value that was to be sent.
    #[must_use]
    pub fn into_inner(self) -> Bytes {
        match self {
            Self::TimedOut(value)
            | Self::Cancelled(value)
            | Self::WouldBlock(value)
            | Self::Unknown(value)
            | Self::Closed { value, .. }
            | Self::Unsupported { value, .. } => value,
        }
    }

    /// Whether the channel has no room.
    #[must_use]
    pub const fn is_would_block(&self) -> bool {
        matches!(self, Self::WouldBlock(_))
    }

    /// Whether the channel is closed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

/// A payload is never printed.
impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { reason, .. } => write!(f, "Closed {{ reason: {reason:?}, .. }}"),
            Self::TimedOut(_) => f.write_str("TimedOut(..)"),
            Self::Cancelled(_) => f.write_str("Cancelled(..)"),
            Self::WouldBlock(_) => f.write_str("WouldBlock(..)"),
            Self::Unsupported { cause, .. } => write!(f, "Unsupported {{ cause: {cause:?}, .. }}"),
            Self::Unknown(_) => f.write_str("Unknown(..)"),
        }
    }
}

/// A receive that failed: it has received nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is closed and drained.
    #[error("the channel is closed{}", because(reason.as_deref()))]
    Closed {
        /// The reason given when the channel was closed, if any.
        reason: Option<Arc<str>>,
    },
    /// No value arrived before the deadline.
    #[error("no value arrived before the deadline")]
    TimedOut,
    /// The token was cancelled before a value arrived.
    #[error("the receive was cancelled")]
    Cancelled,
    /// No value is there at this moment.
    #[error("the channel is empty")]
    WouldBlock,
    /// A rendezvous has no value that could be asked for without waiting.
    #[error("a rendezvous is received from by waiting only")]
    Unsupported,
}

/// A message was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// It was held for longer than `ack_wait`: the server delivers it again.
    #[error("the message was held longer than its channel's ack_wait, and is delivered again")]
    Expired,
    /// The acknowledgement was transmitted and not confirmed: if it was lost, the message is delivered
    /// again.
    #[error("the acknowledgement was not confirmed")]
    Unknown,
}

/// A channel that could not be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The deadline passed first. The channel may be closed or not.
    #[error("the close was not confirmed in time")]
    TimedOut,
    /// The token was cancelled first. The channel may be closed or not.
    #[error("the close was cancelled")]
    Cancelled,
    /// The server refused it.
    #[error("the server does not close the channel: {0}")]
    Unsupported(Arc<str>),
}

/// A connection or a channel that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL could not be parsed. It is not shown, since it may hold a password.
    #[error("invalid URL of a server: expected nats://host:port, several separated by commas")]
    BadUrl,
    /// The name of the channel or the namespace is no valid name.
    #[error(
        "invalid name {0:?}: expected letters, digits, `-` and `_`, at most 128 (32 for a namespace)"
    )]
    BadName(String),
    /// The capacity is out of range.
    #[error("invalid capacity {0}: a bounded channel holds 1 to {max} values", max = crate::options::CAPACITY_MAX)]
    BadCapacity(usize),
    /// The number of replicas is not possible.
    #[error("invalid number of replicas {0}: expected 1 or 3")]
    BadReplicas(usize),
    /// No server could be connected to.
    #[error("no connection to {servers}: {cause}")]
    Connect {
        /// The servers that were tried: hosts and ports.
        servers: String,
        /// The cause.
        cause: String,
    },
    /// The servers are there, and do not accept this program: its credentials, or its TLS.
    #[error("{servers} refused the connection: {cause}")]
    Refused {
        /// The servers that were tried: hosts and ports.
        servers: String,
        /// The cause.
        cause: String,
    },
    /// The server has the channel with another kind, limit or number of replicas.
    #[error("the channel {name:?} exists as {found}, expected {expected}")]
    Mismatch {
        /// The channel.
        name: String,
        /// The kind and limit that was to be opened.
        expected: String,
        /// That of the channel.
        found: String,
    },
    /// The server refused a stream or a consumer, for example because it has no JetStream.
    #[error("the server does not provide {what}: {cause}")]
    Server {
        /// What was asked for.
        what: &'static str,
        /// The cause, from the server.
        cause: String,
    },
    /// The thread of the connection could not be started.
    #[error("no thread for the connection: {0}")]
    Thread(String),
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}
