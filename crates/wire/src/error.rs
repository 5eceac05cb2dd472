// SPDX-License-Identifier: BSD-3-Clause
//! Errors: of a session, of a command, of the decoder.

use crate::{HeadError, Kind, StreamId};

/// Numbers that travel in `code` of `Close`, `End`, `Reset`, `Nack` and `Reply`. Those from 256 on
/// are the application's.
pub mod codes {
    /// Success.
    pub const DONE: u16 = 0;
    /// The other side broke a rule of the protocol.
    pub const PROTOCOL: u16 = 1;
    /// The other side sent more than it had credit for.
    pub const CREDIT: u16 = 2;
    /// The other side demands answers and does not read them.
    pub const FLOOD: u16 = 3;
    /// A deadline passed.
    pub const TIMEOUT: u16 = 4;
    /// The two sides have different versions.
    pub const VERSION: u16 = 5;
    /// The session is draining: nothing new begins.
    pub const DRAINING: u16 = 6;
    /// A limit was exceeded.
    pub const LIMIT: u16 = 7;
    /// The first code of the application.
    pub const APPLICATION: u16 = 256;
}

/// Why bytes are not a frame. The connection cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The kind is not known.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The body is longer than the limit.
    #[error("frame body of {bytes} bytes, the limit is {bytes_max}")]
    TooLong {
        /// Its length in the head.
        bytes: u32,
        /// The limit.
        bytes_max: u32,
    },
}

/// Why a session is over. Except for [`SessionError::Closed`] a `Close` with the reason is queued:
/// transmit it, then drop the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session was over before.
    #[error("the session is closed")]
    Closed,
    /// The peer has another version: another attempt fails too.
    #[error("the peer has version {0} of the protocol, expected 2")]
    Version(u32),
    /// The peer violated the protocol: a defect of its program.
    #[error("{kind:?} frame: {rule}")]
    Protocol {
        /// In which frame.
        kind: Kind,
        /// The violation.
        rule: &'static str,
    },
    /// A frame names a stream that was never opened: a defect of the peer.
    #[error("{kind:?} frame for stream {stream}, which is not open")]
    UnknownStream {
        /// In which frame.
        kind: Kind,
        /// The stream.
        stream: StreamId,
    },
    /// The peer sent more than its credit: a defect, or an attack.
    #[error("stream {stream}: an element of {bytes} bytes beyond the credit granted")]
    CreditExceeded {
        /// The stream.
        stream: StreamId,
        /// Length of the element in bytes.
        bytes: u32,
    },
    /// The peer exceeded a limit that was announced to it.
    #[error("{kind:?} frame: more than the {limit} {what} allowed")]
    LimitExceeded {
        /// In which frame.
        kind: Kind,
        /// What the limit counts.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The peer demands answers and does not read them: it hangs, or attacks.
    #[error("the peer demands {0} and reads no answers")]
    Flood(&'static str),
    /// No hello or welcome in time: the peer has another protocol, or hangs.
    #[error("no greeting within {0} ms")]
    HandshakeTimeout(u64),
    /// No answer to a ping in time: the peer counts as dead.
    #[error("no answer to a ping within {0} ms")]
    PeerSilent(u64),
    /// Streams or requests were open at the end of `Limits::drain_ms`.
    #[error("streams or requests were still open {0} ms after draining began")]
    DrainTimeout(u64),
}

impl SessionError {
    /// The code of the `Close` that is sent for it.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Closed => codes::DONE,
            Self::Version(_) => codes::VERSION,
            Self::Protocol { .. } | Self::UnknownStream { .. } => codes::PROTOCOL,
            Self::CreditExceeded { .. } => codes::CREDIT,
            Self::LimitExceeded { .. } => codes::LIMIT,
            Self::Flood(_) => codes::FLOOD,
            Self::HandshakeTimeout(_) | Self::PeerSilent(_) => codes::TIMEOUT,
            Self::DrainTimeout(_) => codes::DRAINING,
        }
    }
}

/// Why a command was refused. It had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No credit of the peer is left: wait for `Event::Credit`.
    #[error("no credit")]
    NoCredit,
    /// The stream's queue or the session's is full: wait until `transmit` has emptied it.
    #[error("the queue is full")]
    Full,
    /// Longer than the peer accepts: it can never be sent.
    #[error("longer than the peer accepts")]
    TooLong,
    /// The limit of open ones is reached: wait until one has ended.
    #[error("the limit of open ones is reached")]
    TooMany,
    /// This direction of the stream has ended.
    #[error("the stream has ended")]
    Ended,
    /// The stream has not been accepted yet, or has been already.
    #[error("the stream is not in a state for this")]
    State,
    /// No such stream, or it has ended.
    #[error("no such stream")]
    UnknownStream,
    /// No such request, or it has been answered.
    #[error("no such request")]
    UnknownRequest,
    /// No element of this number is unacknowledged.
    #[error("no such element")]
    UnknownElement,
    /// No such region, or it was announced before.
    #[error("no such region, or it was announced before")]
    Region,
    /// One of the sides is draining: nothing new begins.
    #[error("draining")]
    Draining,
    /// The handshake is not complete: wait for `Event::Ready`.
    #[error("the session is not ready")]
    NotReady,
    /// The session is over.
    #[error("the session is closed")]
    Closed,
}
