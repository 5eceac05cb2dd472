// SPDX-License-Identifier: BSD-3-Clause
//! Frames in packets, as a `SOCK_SEQPACKET` socket gives them: header and payload in one or in two.
//!
//! ```text
//!            packet of 8 bytes, length > 0
//!   Header ────────────────────────────────▶ Payload(header)
//!     ▲ │                                        │
//!     │ └─ header and payload: a frame           │ any packet: a frame
//!     └──────────────────────────────────────────┘
//! ```
//!
//! Packets have boundaries, so a payload whose length differs from its header's does not affect the
//! next frame: it is returned as it is, [`Frame::is_whole`] is false, the request is answered with
//! `EPROTO`, and the next packet begins a new frame. Nothing is copied and nothing is allocated.

use super::frame::{Frame, FrameError, HEADER_BYTES, Header};

/// How a peer splits its frames into packets. Answers are split in the same way: some peers read a
/// header and its payload with two calls, and would lose the payload of a single packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packets {
    /// Header and payload are one packet.
    #[default]
    One,
    /// The header is a packet, and so is the payload.
    Two,
}

/// Assembles frames from packets.
#[derive(Debug)]
pub struct Assembler {
    payload_bytes_max: u32,
    /// A header whose payload is the next packet.
    header: Option<Header>,
    packets: Packets,
}

impl Assembler {
    /// An assembler that refuses payloads of more than `payload_bytes_max` bytes.
    #[must_use]
    pub const fn new(payload_bytes_max: u32) -> Self {
        Self { payload_bytes_max, header: None, packets: Packets::One }
    }

    /// The required size of a buffer for packets, in bytes. A longer packet, which the system
    /// truncates, exceeds the limit: see [`cut`](Self::cut).
    #[must_use]
    pub const fn packet_bytes_max(&self) -> usize {
        HEADER_BYTES + self.payload_bytes_max as usize
    }

    /// Takes a packet; `None`: it was a header and its payload is still to come.
    ///
    /// # Errors
    ///
    /// The connection has to end: see [`FrameError`].
    pub fn packet<'a>(&mut self, packet: &'a [u8]) -> Result<Option<Frame<'a>>, FrameError> {
        if packet.len() > self.packet_bytes_max() {
            return Err(self.cut(packet.len()));
        }
        if let Some(header) = self.header.take() {
            self.packets = Packets::Two;
            return Ok(Some(Frame { header, payload: packet }));
        }
        let Some((bytes, payload)) = packet.split_first_chunk::<HEADER_BYTES>() else {
            return Err(FrameError::Short(packet.len()));
        };
        let header = Header::decode(*bytes).within(self.payload_bytes_max)?;
        if payload.is_empty() && header.length > 0 {
            self.header = Some(header);
            return Ok(None);
        }
        // A frame without a payload is one packet either way.
        if header.length > 0 {
            self.packets = Packets::One;
        }
        Ok(Some(Frame { header, payload }))
    }

    /// The error of a packet of this length, which the system has truncated.
    #[must_use]
    pub const fn cut(&self, packet_bytes: usize) -> FrameError {
        let length = packet_bytes.saturating_sub(HEADER_BYTES) as u64;
        FrameError::TooLong { length, length_max: self.payload_bytes_max }
    }

    /// How the last frame with a payload was packed.
    #[must_use]
    pub const fn packets(&self) -> Packets {
        self.packets
    }

    /// Whether a payload is still to come.
    #[must_use]
    pub const fn is_half(&self) -> bool {
        self.header.is_some()
    }
}
