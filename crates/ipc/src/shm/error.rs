// SPDX-License-Identifier: BSD-3-Clause
//! What goes wrong with shared memory, and what to conclude.

use super::validate::{Broken, GeometryError};

/// Why there is no connection over shared memory, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShmError {
    /// The peer did what no peer does. Its connection is over; nothing else is harmed.
    #[error("the peer broke the rules of shared memory: {what}")]
    PeerBroke {
        /// What it did.
        what: Broken,
    },
    /// The peer is gone, and all that it sent was read.
    #[error("the peer is gone")]
    Closed,
    /// A frame that never fits: keep to [`Geometry::body_bytes_max`](super::Geometry).
    #[error("a body of {bytes} bytes, where the segment has room for {bytes_max}")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What fits.
        bytes_max: usize,
    },
    /// A geometry that cannot be.
    #[error("a segment cannot have {0}")]
    Geometry(GeometryError),
    /// The system refused.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// What the system said.
        source: rustix::io::Errno,
    },
}

impl From<Broken> for ShmError {
    fn from(what: Broken) -> Self {
        Self::PeerBroke { what }
    }
}

impl From<GeometryError> for ShmError {
    fn from(geometry: GeometryError) -> Self {
        Self::Geometry(geometry)
    }
}
