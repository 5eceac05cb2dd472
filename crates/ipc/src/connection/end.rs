// SPDX-License-Identifier: BSD-3-Clause
//! How a connection ended.

use std::sync::Arc;

use becket_wire::SessionError;

use crate::transport::LinkError;

/// Why a connection ended. Every operation on the connection gets the same value.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// This side closed it.
    #[error("the connection was closed here")]
    Here,
    /// The peer closed it, with a reason.
    #[error("the peer closed the connection: {why} (code {code})")]
    ByPeer {
        /// The reason's code.
        code: u16,
        /// The reason's message.
        why: Arc<str>,
    },
    /// The peer is gone: its process ended, or its host's socket was closed.
    #[error("the peer is gone")]
    PeerGone,
    /// The peer did not answer a ping in time.
    #[error("the peer has not answered within the liveness timeout")]
    Silent,
    /// The peer did not complete the handshake within so many milliseconds.
    #[error("the peer has not completed the handshake within {0} ms")]
    HandshakeTimeout(u64),
    /// Streams or requests were open so many milliseconds after draining began.
    #[error("streams or requests were still open {0} ms after draining began")]
    DrainTimeout(u64),
    /// The peer violated the protocol.
    #[error("the peer violated the protocol: {0}")]
    Protocol(Arc<str>),
    /// A reconnecting client has used up its attempts.
    #[error("given up after {attempts} attempts: {why}")]
    GaveUp {
        /// The number of consecutive failures; the loss of a connection counts as one.
        attempts: u32,
        /// The error of the last attempt.
        why: Arc<str>,
    },
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(LinkError),
}

impl Ended {
    /// Whether blocks may be held beyond this end: the link works, and the peer has violated nothing.
    pub(super) const fn leaves_blocks(&self) -> bool {
        matches!(self, Self::Here | Self::ByPeer { .. } | Self::Silent | Self::DrainTimeout(_))
    }

    /// By the session's error at one of its deadlines.
    pub(super) fn at_deadline(error: &SessionError) -> Self {
        match *error {
            SessionError::PeerSilent(_) => Self::Silent,
            SessionError::HandshakeTimeout(ms) => Self::HandshakeTimeout(ms),
            SessionError::DrainTimeout(ms) => Self::DrainTimeout(ms),
            _ => Self::Protocol(error.to_string().into()),
        }
    }
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Closed => Self::PeerGone,
            other => Self::Transport(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deadline_has_a_message_of_its_own() {
        let message = |error| Ended::at_deadline(&error).to_string();
        let handshake = message(SessionError::HandshakeTimeout(70));
        assert!(handshake.contains("handshake") && handshake.contains("70 ms"), "{handshake}");
        let drain = message(SessionError::DrainTimeout(80));
        assert!(drain.contains("draining") && drain.contains("80 ms"), "{drain}");
        let silent = message(SessionError::PeerSilent(90));
        assert!(silent.contains("liveness timeout"), "{silent}");
    }
}
