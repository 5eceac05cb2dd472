// SPDX-License-Identifier: BSD-3-Clause
//! Why a link ended, or refused a frame.

use becket_wire::{DecodeError, HeadError};
use rustix::io::Errno;

/// Why a link ended, or refused a frame.
///
/// All but [`LinkError::TooManyDescriptors`] are permanent: every later call returns the same
/// error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer is gone, and every frame that it sent was read.
    #[error(
        "the peer has closed the connection\nhint: it ended, or it refused this connection: its log says why"
    )]
    Closed,
    /// The received bytes are not a frame.
    #[error(
        "the peer sent bytes that are not a frame\ncause: {0}\n\
         hint: check that it uses this protocol, in this version"
    )]
    Garbled(#[from] HeadError),
    /// The body of a received frame exceeds the limit. No memory was allocated for it.
    #[error(
        "the peer sent a frame with a body of {bytes} bytes\n\
         cause: at most {bytes_max} are accepted\nhint: raise body_bytes_max on both sides"
    )]
    BodyTooLong {
        /// The length in its head.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A received packet is not one whole frame.
    #[error(
        "the peer sent a packet of {packet_bytes} bytes\n\
         cause: a packet holds one frame, and this packet's frame has {frame_bytes} bytes"
    )]
    NotOneFrame {
        /// The length of the packet.
        packet_bytes: usize,
        /// The length of the frame, including the head.
        frame_bytes: usize,
    },
    /// The peer wrote invalid data into shared memory.
    #[error(
        "the peer violated the rules of shared memory\ncause: {0}\n\
         hint: it is faulty or hostile; only its connection has ended"
    )]
    SharedMemory(crate::shm::Violation),
    /// This side put a frame that the link cannot carry: a bug of the program.
    #[error(
        "a frame to send has a body of {bytes} bytes\ncause: the link carries at most {bytes_max}, \
         and a head's length is its body's\nhint: query `Link::body_bytes_max` and split elements"
    )]
    OwnFrame {
        /// The length of the body.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More file descriptors than a frame can carry.
    #[error("{count} file descriptors for one frame\ncause: at most {count_max} are allowed")]
    TooManyDescriptors {
        /// The number of descriptors put.
        count: usize,
        /// The limit.
        count_max: usize,
    },
    /// A system call failed.
    #[error("the connection failed\ncause: {0}")]
    System(Errno),
}

impl From<DecodeError> for LinkError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Head(error) => Self::Garbled(error),
            DecodeError::TooLong { bytes, bytes_max } => {
                Self::BodyTooLong { bytes: bytes as usize, bytes_max: bytes_max as usize }
            }
            _ => Self::System(Errno::PROTO),
        }
    }
}

impl LinkError {
    /// The error's number, as in `errno.h`.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Closed => Errno::PIPE,
            Self::Garbled(_) | Self::NotOneFrame { .. } | Self::SharedMemory(_) => Errno::PROTO,
            Self::BodyTooLong { .. } | Self::OwnFrame { .. } => Errno::MSGSIZE,
            Self::TooManyDescriptors { .. } => Errno::TOOMANYREFS,
            Self::System(errno) => *errno,
        }
        .raw_os_error()
    }
}
