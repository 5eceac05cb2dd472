// SPDX-License-Identifier: BSD-3-Clause
//! Errors of shared memory.

use super::validate::{GeometryError, Violation};

/// Why a connection over shared memory failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShmError {
    /// The peer violated a rule. Its connection has ended; nothing else is affected.
    #[error("the peer violated the rules of shared memory: {what}")]
    PeerViolation {
        /// The violation.
        what: Violation,
    },
    /// The peer is gone, and every frame that it sent was read.
    #[error("the peer is gone")]
    Closed,
    /// An invalid geometry.
    #[error("invalid geometry of a segment: {0}")]
    Geometry(GeometryError),
    /// A system call failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// The attempted action.
        doing: &'static str,
        /// The system's error.
        source: rustix::io::Errno,
    },
}

impl From<Violation> for ShmError {
    fn from(what: Violation) -> Self {
        Self::PeerViolation { what }
    }
}

impl From<GeometryError> for ShmError {
    fn from(geometry: GeometryError) -> Self {
        Self::Geometry(geometry)
    }
}
