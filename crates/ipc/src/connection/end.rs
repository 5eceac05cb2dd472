// SPDX-License-Identifier: BSD-3-Clause
//! How a connection ended.

use std::sync::Arc;

use crate::transport::LinkError;

/// Why a connection is over. The same for everybody who used it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// This side closed it.
    #[error("the connection was closed here")]
    Here,
    /// The other side closed it, and said why.
    #[error("the peer closed the connection: {why} (code {code})")]
    ByPeer {
        /// The number of the reason.
        code: u16,
        /// In words.
        why: Arc<str>,
    },
    /// The other side is gone: its process ended, or its machine's socket.
    #[error("the peer has gone")]
    PeerGone,
    /// The other side has not answered for too long.
    #[error("the peer has not answered for too long")]
    Silent,
    /// The other side broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(Arc<str>),
    /// A client that connects again has tried as often as it may.
    #[error("given up after {attempts} attempts: {why}")]
    GaveUp {
        /// How often in a row.
        attempts: u32,
        /// What the last one met.
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
