// SPDX-License-Identifier: BSD-3-Clause
//! What a session has counted.

use crate::HEAD_BYTES;

/// One direction of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Frames.
    pub frames: u64,
    /// Their bytes, heads included.
    pub bytes: u64,
    /// Whole elements.
    pub elements: u64,
    /// Bytes of elements, as far as they have passed.
    pub element_bytes: u64,
}

/// Commands that were refused, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefusedCounts {
    /// For want of credit.
    pub no_credit: u64,
    /// Because a queue was full.
    pub full: u64,
    /// Because it was too long.
    pub too_long: u64,
    /// Because too many were open.
    pub too_many: u64,
    /// Because a side is draining.
    pub draining: u64,
    /// Because the stream, the request or the session is over or not there.
    pub gone: u64,
}

/// Everything a session has counted since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// What came.
    pub received: Traffic,
    /// What went.
    pub sent: Traffic,
    /// Commands that were refused.
    pub refused: RefusedCounts,
    /// Frames that were dropped because their stream had just ended. They cross with its end; many
    /// of them mean a peer at fault.
    pub stale_frames: u64,
    /// Pings sent.
    pub pings: u64,
}

impl Traffic {
    /// Counts a frame with a body of so many bytes.
    #[inline]
    pub(crate) fn frame(&mut self, body_bytes: usize) {
        self.frames += 1;
        self.bytes += (HEAD_BYTES + body_bytes) as u64;
    }
}
