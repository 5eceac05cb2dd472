// SPDX-License-Identifier: BSD-3-Clause
//! The header of a frame, and frames in a stream of bytes.
//!
//! The caller owns the buffer. A header whose length exceeds the limit is refused as soon as its
//! eight bytes have arrived, so the buffer never needs more than [`HEADER_BYTES`] and the limit.

/// Bytes of a header.
pub const HEADER_BYTES: usize = 8;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The command's number, known or not.
    pub command: u16,
    /// 0. A request with another value is answered with `EPROTO`.
    pub reserved: u16,
    /// Bytes of payload.
    pub length: u32,
}

/// A frame in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload: `header.length` bytes, unless its packet had another length.
    pub payload: &'a [u8],
}

/// The boundary of the next frame is unknown: the connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload exceeds the limit.
    #[error("payload of {length} bytes, {length_max} is the limit")]
    TooLong {
        /// The length in the header, or of the packet.
        length: u64,
        /// The limit.
        length_max: u32,
    },
    /// A packet shorter than a header.
    #[error("packet of {0} bytes, a header has {HEADER_BYTES}")]
    Short(usize),
}

impl Header {
    /// The header of a well-formed frame.
    #[must_use]
    pub const fn new(command: u16, length: u32) -> Self {
        Self { command, reserved: 0, length }
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn encode(self) -> [u8; HEADER_BYTES] {
        let word = (self.command as u64) << 48 | (self.reserved as u64) << 32 | self.length as u64;
        word.to_be_bytes()
    }

    /// The header that these bytes are.
    #[must_use]
    pub const fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let word = u64::from_be_bytes(bytes);
        Self { command: (word >> 48) as u16, reserved: (word >> 32) as u16, length: word as u32 }
    }

    /// The same header, if its length is within the limit.
    pub(super) const fn within(self, length_max: u32) -> Result<Self, FrameError> {
        if self.length > length_max {
            return Err(FrameError::TooLong { length: self.length as u64, length_max });
        }
        Ok(self)
    }
}

impl Frame<'_> {
    /// Whether the payload has its header's length, and the header's reserved field is 0.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.header.reserved == 0 && u32::try_from(self.payload.len()) == Ok(self.header.length)
    }
}

/// The first frame of a byte stream and its length in bytes; `None`: more bytes are needed.
pub fn decode(
    buffer: &[u8],
    payload_bytes_max: u32,
) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((bytes, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let header = Header::decode(*bytes).within(payload_bytes_max)?;
    let length = header.length as usize;
    let frame =
        rest.get(..length).map(|payload| (Frame { header, payload }, HEADER_BYTES + length));
    Ok(frame)
}
