// SPDX-License-Identifier: BSD-3-Clause
//! From bytes to frames.
//!
//! The caller owns the buffer; the decoder keeps nothing and allocates nothing. A body's length is
//! checked as soon as the head is there, before anybody makes room for the body.

use crate::{DecodeError, Frame, HEAD_BYTES, Head};

/// Finds the frames in a stream of bytes.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    body_bytes_max: u32,
}

impl Decoder {
    /// Takes bodies of at most so many bytes.
    #[must_use]
    pub const fn new(body_bytes_max: u32) -> Self {
        Self { body_bytes_max }
    }

    /// The first frame in `buffer` and how many bytes it takes there; `None` while it is not whole.
    #[inline]
    pub fn decode<'a>(&self, buffer: &'a [u8]) -> Result<Option<(Frame<'a>, usize)>, DecodeError> {
        let Some((head, rest)) = buffer.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let head = self.head(head)?;
        let length = head.length as usize;
        Ok(rest.get(..length).map(|body| (Frame { head, body }, HEAD_BYTES + length)))
    }

    /// The frame that a packet is, as far as its head says. `None`: the packet has another length.
    #[inline]
    pub fn packet<'a>(&self, packet: &'a [u8]) -> Result<Option<Frame<'a>>, DecodeError> {
        Ok(self.decode(packet)?.and_then(|(frame, used)| (used == packet.len()).then_some(frame)))
    }

    /// How many bytes a buffer must hold for the frame that it begins with; `None` while its head
    /// is not whole.
    pub fn needs(&self, buffer: &[u8]) -> Result<Option<usize>, DecodeError> {
        match buffer.first_chunk::<HEAD_BYTES>() {
            Some(head) => Ok(Some(HEAD_BYTES + self.head(head)?.length as usize)),
            None => Ok(None),
        }
    }

    fn head(&self, bytes: &[u8; HEAD_BYTES]) -> Result<Head, DecodeError> {
        let head = Head::decode(bytes)?;
        if head.length > self.body_bytes_max {
            let (bytes, bytes_max) = (head.length, self.body_bytes_max);
            return Err(DecodeError::TooLong { bytes, bytes_max });
        }
        Ok(head)
    }
}
