// SPDX-License-Identifier: BSD-3-Clause
//! Decodes frames.
//!
//! The caller owns the buffer; the decoder has no state and allocates nothing. The length of a body is
//! checked as soon as its head is complete, before memory is reserved for it.

use crate::{DecodeError, Frame, HEAD_BYTES, Head};

/// Decodes frames from a byte stream or from packets.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    body_bytes_max: u32,
}

impl Decoder {
    /// A decoder that accepts bodies of at most `body_bytes_max`.
    #[must_use]
    pub const fn new(body_bytes_max: u32) -> Self {
        Self { body_bytes_max }
    }

    /// The first frame in `buffer` and its length in bytes; `None`: it is incomplete.
    #[inline]
    pub fn decode<'a>(&self, buffer: &'a [u8]) -> Result<Option<(Frame<'a>, usize)>, DecodeError> {
        let Some((head, rest)) = buffer.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let head = self.head(head)?;
        let length = head.length as usize;
        Ok(rest.get(..length).map(|body| (Frame { head, body }, HEAD_BYTES + length)))
    }

    /// The frame in a packet. `None`: the packet is longer or shorter than its frame.
    #[inline]
    pub fn packet<'a>(&self, packet: &'a [u8]) -> Result<Option<Frame<'a>>, DecodeError> {
        Ok(self.decode(packet)?.and_then(|(frame, used)| (used == packet.len()).then_some(frame)))
    }

    /// The length in bytes of the first frame in `buffer`; `None`: its head is incomplete.
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
