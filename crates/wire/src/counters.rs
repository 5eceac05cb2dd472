// SPDX-License-Identifier: BSD-3-Clause
//! Counters of a session.

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
    /// Bytes of elements, of partial ones too.
    pub element_bytes: u64,
}

/// Commands that were refused, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefusedCounts {
    /// No credit.
    pub no_credit: u64,
    /// A queue was full.
    pub full: u64,
    /// Too long.
    pub too_long: u64,
    /// Too many open.
    pub too_many: u64,
    /// A side is draining.
    pub draining: u64,
    /// The stream, the request or the session is over or unknown.
    pub gone: u64,
}

/// The counters of a session since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Received.
    pub received: Traffic,
    /// Sent.
    pub sent: Traffic,
    /// Commands that were refused.
    pub refused: RefusedCounts,
    /// Frames that were dropped because they crossed with the end of their stream. Many of them
    /// indicate a defective peer.
    pub stale_frames: u64,
    /// Pings sent.
    pub pings: u64,
}

impl Traffic {
    /// Counts a frame with a body of `body_bytes`.
    #[inline]
    pub(crate) fn frame(&mut self, body_bytes: usize) {
        self.frames += 1;
        self.bytes += (HEAD_BYTES + body_bytes) as u64;
    }
}
