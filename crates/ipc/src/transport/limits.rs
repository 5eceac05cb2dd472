// SPDX-License-Identifier: BSD-3-Clause
//! The limits of a link.

use becket_wire::{Decoder, HEAD_BYTES};

/// The limits of one link, above all of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLimits {
    /// The maximum body of a frame, in either direction. A longer frame from the peer ends the link
    /// before memory is allocated for it.
    pub body_bytes_max: usize,
    /// The maximum number of bytes that wait to be written. Beyond it `put` returns `Full`.
    pub out_bytes_max: usize,
    /// Bytes read per system call. The buffer grows beyond this only for a longer frame, as its
    /// bytes arrive.
    pub read_bytes: usize,
    /// File descriptors per frame, in either direction. At most [`LinkLimits::DESCRIPTORS_MAX`].
    pub descriptors_max: usize,
}

impl LinkLimits {
    /// The maximum of [`LinkLimits::descriptors_max`].
    pub const DESCRIPTORS_MAX: usize = 8;

    /// A decoder for frames whose bodies are within the limit.
    pub(crate) fn decoder(&self) -> Decoder {
        Decoder::new(u32::try_from(self.body_bytes_max).unwrap_or(u32::MAX))
    }

    /// The same limits, adjusted to each other: there is always room for one whole frame.
    pub(crate) fn fitted(self) -> Self {
        let body_bytes_max = self.body_bytes_max.min(u32::MAX as usize);
        Self {
            body_bytes_max,
            out_bytes_max: self.out_bytes_max.max(body_bytes_max + HEAD_BYTES),
            read_bytes: self.read_bytes.max(4096),
            descriptors_max: self.descriptors_max.min(Self::DESCRIPTORS_MAX),
        }
    }
}

impl Default for LinkLimits {
    /// Bodies of 64 KiB, 256 KiB waiting, 64 KiB per read, 4 descriptors.
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 10,
            out_bytes_max: 256 << 10,
            read_bytes: 64 << 10,
            descriptors_max: 4,
        }
    }
}
