// SPDX-License-Identifier: BSD-3-Clause
//! The network, one way: bytes that were put in and have not come out.

use becket_wire::{DecodeError, Decoder, Full, Head, Outlet};

/// So many bytes that were decoded are kept at most.
const COMPACT_BYTES: usize = 256 << 10;

/// Bytes that are under way. It is as long as the sessions' credit allows.
#[derive(Debug)]
pub(super) struct Pipe {
    bytes: Vec<u8>,
    /// Where those begin that were not decoded.
    start: usize,
    /// How far they have come.
    arrived: usize,
    decoder: Decoder,
}

impl Pipe {
    pub(super) const fn new(frame_body_bytes_max: u32) -> Self {
        let decoder = Decoder::new(frame_body_bytes_max);
        Self { bytes: Vec::new(), start: 0, arrived: 0, decoder }
    }

    /// Nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.arrived == self.bytes.len()
    }

    /// How many bytes are under way.
    pub(super) fn under_way(&self) -> usize {
        self.bytes.len() - self.arrived
    }

    /// So many more have arrived.
    pub(super) fn arrive(&mut self, bytes: usize) {
        self.arrived = (self.arrived + bytes).min(self.bytes.len());
    }

    /// Gives each frame that has arrived whole to `each`, until one is not, or `each` says that it is
    /// enough.
    pub(super) fn frames<E: From<DecodeError>>(
        &mut self,
        mut each: impl FnMut(becket_wire::Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let arrived = self.bytes.get(self.start..self.arrived).unwrap_or_default();
            let Some((frame, length)) = self.decoder.decode(arrived)? else { break };
            self.start += length;
            each(frame)?;
        }
        if self.start == self.bytes.len() || self.start > COMPACT_BYTES {
            self.bytes.drain(..self.start);
            self.arrived -= self.start;
            self.start = 0;
        }
        Ok(())
    }
}

impl Outlet for Pipe {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        self.bytes.extend_from_slice(&head.encode());
        self.bytes.extend_from_slice(body);
        Ok(())
    }
}
