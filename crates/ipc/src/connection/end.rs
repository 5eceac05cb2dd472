// SPDX-License-Identifier: BSD-3-Clause
//! How a connection ended.

use std::sync::Arc;

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
    /// A timeout of the session passed: the peer did not complete the handshake, answer a ping or
    /// finish draining in time.
    #[error("the peer has not answered within the liveness timeout")]
    Silent,
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

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Closed => Self::PeerGone,
            other => Self::Transport(other),
        }
    }
}
