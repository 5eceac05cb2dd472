// SPDX-License-Identifier: BSD-3-Clause
//! What ends a session, what refuses a command, what makes bytes no frame.

use crate::{HeadError, Kind, StreamId};

/// Numbers that travel in `code` of `Close`, `End`, `Reset`, `Nack` and `Reply`. Those from 256 on
/// are the application's.
pub mod codes {
    /// All is well.
    pub const DONE: u16 = 0;
    /// The other side broke a rule of the protocol.
    pub const PROTOCOL: u16 = 1;
    /// The other side sent more than it had credit for.
    pub const CREDIT: u16 = 2;
    /// The other side asked for more answers than are kept, without reading them.
    pub const FLOOD: u16 = 3;
    /// A deadline passed.
    pub const TIMEOUT: u16 = 4;
    /// The two sides speak different versions.
    pub const VERSION: u16 = 5;
    /// Nothing new is begun any more.
    pub const DRAINING: u16 = 6;
    /// More than a limit allows.
    pub const LIMIT: u16 = 7;
    /// The first number that is the application's.
    pub const APPLICATION: u16 = 256;
}

/// Why bytes are no frame. The connection cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The kind is not known.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The body is longer than is taken.
    #[error("a frame's body of {bytes} bytes, where at most {bytes_max} are taken")]
    TooLong {
        /// What the head says.
        bytes: u32,
        /// What is taken.
        bytes_max: u32,
    },
}

/// Why a session is over. Except for [`SessionError::Closed`] a `Close` that says why is queued:
/// transmit it, then drop the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It was over already: nothing more comes of it.
    #[error("the session is closed")]
    Closed,
    /// The other side speaks another version: no use to connect again.
    #[error("the other side speaks version {0} of the protocol, here it is 2")]
    Version(u32),
    /// The other side broke the protocol: its program is at fault.
    #[error("{kind:?} frame: {rule}")]
    Protocol {
        /// In which frame.
        kind: Kind,
        /// The rule that was broken.
        rule: &'static str,
    },
    /// A frame names a stream that never was: the other side's program is at fault.
    #[error("{kind:?} frame for stream {stream}, which is not open")]
    UnknownStream {
        /// In which frame.
        kind: Kind,
        /// The stream.
        stream: StreamId,
    },
    /// The other side sent more than it was granted: its program is at fault, or means harm.
    #[error("stream {stream}: an element of {bytes} bytes beyond the credit granted")]
    CreditExceeded {
        /// The stream.
        stream: StreamId,
        /// The element that was too much.
        bytes: u32,
    },
    /// A limit that the other side was told of is exceeded.
    #[error("{kind:?} frame: more than the {limit} {what} allowed")]
    LimitExceeded {
        /// In which frame.
        kind: Kind,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The other side wants answers and does not read them: it means harm, or hangs.
    #[error("the other side lets {0} pile up")]
    Flood(&'static str),
    /// No hello or welcome came in time: what is there does not speak this protocol, or hangs.
    #[error("no greeting within {0} ms")]
    HandshakeTimeout(u64),
    /// The other side answers no ping: take it for dead.
    #[error("no answer to a ping within {0} ms")]
    PeerSilent(u64),
    /// What was open when draining began did not end in time.
    #[error("streams or requests were still open {0} ms after draining began")]
    DrainTimeout(u64),
}

impl SessionError {
    /// The code that the other side is told.
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

/// Why a command was not carried out. Nothing has changed; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The other side has granted no room: wait for `Event::Credit`. No round trip was needed.
    #[error("no credit")]
    NoCredit,
    /// The stream's queue or the session's is full: wait until `transmit` has emptied it.
    #[error("the queue is full")]
    Full,
    /// Longer than the other side takes: it can never be sent.
    #[error("longer than the other side takes")]
    TooLong,
    /// As many are open as may be: wait until one has ended.
    #[error("as many are open as may be")]
    TooMany,
    /// This direction of the stream has ended.
    #[error("the stream has ended")]
    Ended,
    /// The stream has not been accepted yet, or has been already.
    #[error("the stream is not in a state for this")]
    State,
    /// There is no such stream any more.
    #[error("no such stream")]
    UnknownStream,
    /// There is no such request, or it has been answered.
    #[error("no such request")]
    UnknownRequest,
    /// No element of this number is in question.
    #[error("no such element")]
    UnknownElement,
    /// There is no such region, or there is one already.
    #[error("no such region, or it is known already")]
    Region,
    /// One of the two sides is draining: nothing new is begun.
    #[error("draining")]
    Draining,
    /// The greeting is not over: wait for `Event::Ready`.
    #[error("the session is not ready")]
    NotReady,
    /// The session is over.
    #[error("the session is closed")]
    Closed,
}
