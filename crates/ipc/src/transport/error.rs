// SPDX-License-Identifier: BSD-3-Clause
//! Why a link ended, or refused something.

use becket_wire::{DecodeError, HeadError};
use rustix::io::Errno;

/// Why a link ended, or refused something.
///
/// All but [`LinkError::TooManyDescriptors`] are for good: the link says the same from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer is gone, and everything that it sent has been read.
    #[error("the other side has closed the connection\nhint: it ended, or it did not let us in")]
    Closed,
    /// What came is no frame.
    #[error(
        "the other side sent what is no frame\ncause: {0}\n\
         hint: does it speak this protocol, in this version?"
    )]
    Garbled(#[from] HeadError),
    /// A frame came whose body is above the limit. No memory was taken for it.
    #[error(
        "the other side sent a frame with a body of {bytes} bytes\n\
         cause: at most {bytes_max} are let in\nhint: raise body_bytes_max on both sides"
    )]
    BodyTooLong {
        /// What its head said.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A packet came that is not one whole frame.
    #[error(
        "the other side sent a packet of {packet_bytes} bytes\n\
         cause: a packet is one frame, this one's is {frame_bytes} bytes long"
    )]
    NotOneFrame {
        /// Bytes that came.
        packet_bytes: usize,
        /// Bytes that the head tells of, with itself.
        frame_bytes: usize,
    },
    /// What the peer wrote into shared memory cannot be.
    #[error(
        "the other side broke the rules of shared memory\ncause: {0}\n\
         hint: it is broken or hostile; only its connection has ended"
    )]
    SharedMemory(crate::shm::Broken),
    /// This side put a frame that the link cannot carry: a mistake of the program.
    #[error(
        "a frame of ours has a body of {bytes} bytes\ncause: the link carries at most {bytes_max}, \
         and a head's length is its body's\nhint: ask `Link::body_bytes_max` and split elements"
    )]
    OwnFrame {
        /// Bytes of the body.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// More file descriptors than travel beside one frame.
    #[error("{count} file descriptors beside one frame\ncause: at most {count_max} travel")]
    TooManyDescriptors {
        /// How many were put.
        count: usize,
        /// The limit.
        count_max: usize,
    },
    /// The system refused.
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
