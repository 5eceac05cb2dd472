// SPDX-License-Identifier: BSD-3-Clause
//! Every limit of a session, with its unit.
//!
//! One side's [`Limits`] say what it takes and keeps. What the other side must know of them travels
//! in the hello or the welcome ([`PeerLimits`]); nobody has to guess where a bound is.

use crate::{HEAD_BYTES, ids::STREAMS_MAX};

/// What a session takes, keeps and waits for. [`Limits::default`] suits programs of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of a frame that is taken; also the longest piece that an element is sent
    /// in.
    pub frame_body_bytes_max: u32,
    /// The longest element that is taken. Never more than `session_credit_bytes`.
    pub element_bytes_max: u32,
    /// Bytes of elements that may be under way to this side, half assembled or held by it, over all
    /// streams. So much memory the other side can make this one use for elements.
    pub session_credit_bytes: u64,
    /// Streams that the other side may have open at once; also how many this side opens. At most
    /// 65 536.
    pub streams_max: u32,
    /// Requests of the other side that may be unanswered; also how many this side leaves open.
    pub requests_max: u32,
    /// Regions that the other side may have announced; also how many this side announces.
    pub regions_max: u32,
    /// Elements that wait to be sent on one stream. At the bound: `Refused::Full`.
    pub stream_queue_messages_max: u32,
    /// Their bytes, over all streams of the session. At the bound: `Refused::Full`.
    pub session_queue_bytes_max: u64,
    /// Nacks, withdrawals, notices and frames of regions that wait to be sent. At the bound, what
    /// this side wants to say is `Refused::Full`; what the other side makes it say ends the
    /// session.
    pub control_frames_max: u32,
    /// Pings that wait to be answered. One more ends the session.
    pub pongs_max: u32,
    /// The words of a close, an end or a reset: longer ones are cut.
    pub text_bytes_max: u32,
    /// Bytes that a stream may send before its neighbour's turn.
    pub quantum_bytes: u32,
    /// From the start to the other side's hello or welcome.
    pub handshake_ms: u64,
    /// When no frame has come from the other side for so long, or for half of it at least, it is sent
    /// a ping.
    pub keep_alive_ms: u64,
    /// After so long without an answer to the ping the other side is taken for dead.
    pub silence_ms: u64,
    /// From `drain` until the session ends with whatever is still open.
    pub drain_ms: u64,
}

/// What the other side takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimits {
    /// The longest body of a frame.
    pub frame_body_bytes_max: u32,
    /// The longest element.
    pub element_bytes_max: u32,
    /// Bytes of elements under way to it over all streams.
    pub session_credit_bytes: u64,
    /// Streams that may be opened towards it.
    pub streams_max: u32,
    /// Requests that may be open towards it.
    pub requests_max: u32,
    /// Regions that may be announced to it.
    pub regions_max: u32,
}

impl PeerLimits {
    /// Of another side that was not heard yet.
    pub(crate) const NONE: Self = Self {
        frame_body_bytes_max: 0,
        element_bytes_max: 0,
        session_credit_bytes: 0,
        streams_max: 0,
        requests_max: 0,
        regions_max: 0,
    };
}

/// The shortest `frame_body_bytes_max` that a side may ask for.
pub const FRAME_BODY_BYTES_LEAST: u32 = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_body_bytes_max: 64 << 10,
            element_bytes_max: 16 << 20,
            session_credit_bytes: 64 << 20,
            streams_max: 16_384,
            requests_max: 1024,
            regions_max: 256,
            stream_queue_messages_max: 1024,
            session_queue_bytes_max: 64 << 20,
            control_frames_max: 4096,
            pongs_max: 8,
            text_bytes_max: 1024,
            quantum_bytes: 8 << 10,
            handshake_ms: 5000,
            keep_alive_ms: 10_000,
            silence_ms: 5000,
            drain_ms: 10_000,
        }
    }
}

impl Limits {
    /// The same limits, brought to where they do not contradict one another: a body can carry a
    /// hello and any text, an element fits into the session's credit and a turn is worth a fair
    /// part of a frame.
    #[must_use]
    pub(crate) fn settled(mut self) -> Self {
        self.frame_body_bytes_max = self.frame_body_bytes_max.max(FRAME_BODY_BYTES_LEAST);
        self.text_bytes_max = self.text_bytes_max.min(self.frame_body_bytes_max);
        self.session_credit_bytes = self.session_credit_bytes.max(1);
        let most = u32::try_from(self.session_credit_bytes).unwrap_or(u32::MAX);
        self.element_bytes_max = self.element_bytes_max.clamp(1, most);
        self.streams_max = self.streams_max.min(STREAMS_MAX);
        // A frame of the greatest length is sent after at most 64 turns.
        let least = self.frame_body_bytes_max.saturating_add(HEAD_BYTES as u32).div_ceil(64);
        self.quantum_bytes = self.quantum_bytes.max(least);
        self
    }

    /// What the other side is told.
    pub(crate) const fn told(&self) -> PeerLimits {
        PeerLimits {
            frame_body_bytes_max: self.frame_body_bytes_max,
            element_bytes_max: self.element_bytes_max,
            session_credit_bytes: self.session_credit_bytes,
            streams_max: self.streams_max,
            requests_max: self.requests_max,
            regions_max: self.regions_max,
        }
    }
}
