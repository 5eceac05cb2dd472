// SPDX-License-Identifier: BSD-3-Clause
//! Bytes that have arrived, as frames.
//!
//! ```text
//!   ┌───────────┬──────────────────────────────┬──────────┐
//!   │ passed on │ whole frames … part of one   │   room   │
//!   └───────────┴──────────────────────────────┴──────────┘
//!               start                          end
//! ```
//!
//! The buffer grows as bytes arrive, never by what a head announces.

use becket_ipc::transport::{Ancillary, LinkError};
use becket_wire::{Decoder, Frame};

/// A buffer that is empty and larger than this is released.
const KEPT_BYTES: usize = 128 << 10;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Where the next `bytes` go; call [`filled`](Self::filled) then.
    pub(crate) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.buffer.len() - self.end < bytes {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            self.buffer.resize(self.buffer.len().max(self.end + bytes), 0);
        }
        self.buffer.get_mut(self.end..self.end + bytes).unwrap_or_default()
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Passes one frame on, if there is a whole one; its length.
    pub(crate) fn pass_one(
        &mut self,
        decoder: &Decoder,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<Option<usize>, LinkError> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((frame, bytes)) = decoder.decode(rest)? else { return Ok(None) };
        sink(frame, Ancillary::nothing());
        self.start += bytes;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT_BYTES {
                self.buffer = Vec::new();
            }
        }
        Ok(Some(bytes))
    }

    /// Whether there is a whole frame, or what is none.
    pub(crate) fn has_frame(&self, decoder: &Decoder) -> bool {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        !matches!(decoder.decode(rest), Ok(None))
    }
}
