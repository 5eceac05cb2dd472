// SPDX-License-Identifier: BSD-3-Clause
//! Every limit of a session, with its unit.
//!
//! [`Limits`] bound what one side accepts and keeps. Those that bind the peer are sent to it in the
//! hello or the welcome ([`PeerLimits`]).

use crate::{HEAD_BYTES, ids::STREAMS_MAX};

/// What a session accepts, keeps and waits for. [`Limits::default`] suits programs of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest body of a frame that is accepted, in bytes; also the longest piece of an element
    /// that is sent.
    pub frame_body_bytes_max: u32,
    /// The longest element that is accepted, in bytes. Never more than `session_credit_bytes`.
    pub element_bytes_max: u32,
    /// Bytes of elements in flight to this side, partly assembled or held by it, over all streams: the
    /// most memory that the peer can make this side use for elements.
    pub session_credit_bytes: u64,
    /// Streams that each side may have open at once. At most 65 536.
    pub streams_max: u32,
    /// Unanswered requests of each side at once.
    pub requests_max: u32,
    /// Announced regions of each side at once.
    pub regions_max: u32,
    /// Elements that wait to be sent on one stream. At the bound: `Refused::Full`.
    pub stream_queue_messages_max: u32,
    /// Their bytes, over all streams of the session. At the bound: `Refused::Full`.
    pub session_queue_bytes_max: u64,
    /// Nacks, withdrawals, notices and frames of regions that wait to be sent. At the bound a command
    /// is `Refused::Full`, except `nack`, which ends the session.
    pub control_frames_max: u32,
    /// Pings that wait to be answered. One more ends the session.
    pub pongs_max: u32,
    /// Bytes of text in a close, an end or a reset: longer texts are cut.
    pub text_bytes_max: u32,
    /// Bytes that a stream may send in one round of the deficit round robin.
    pub quantum_bytes: u32,
    /// The time from the start to the other side's hello or welcome.
    pub handshake_ms: u64,
    /// A ping is sent after the peer was silent for between half of this time and all of it.
    pub keep_alive_ms: u64,
    /// Time without an answer to the ping after which the peer counts as dead.
    pub silence_ms: u64,
    /// The time from `drain` until the session ends, even if streams are open.
    pub drain_ms: u64,
}

/// What the peer accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimits {
    /// The longest body of a frame.
    pub frame_body_bytes_max: u32,
    /// The longest element.
    pub element_bytes_max: u32,
    /// Bytes of elements in flight to it over all streams.
    pub session_credit_bytes: u64,
    /// Streams that may be opened towards it.
    pub streams_max: u32,
    /// Requests that may be open towards it.
    pub requests_max: u32,
    /// Regions that may be announced to it.
    pub regions_max: u32,
}

impl PeerLimits {
    /// Before the handshake.
    pub(crate) const NONE: Self = Self {
        frame_body_bytes_max: 0,
        element_bytes_max: 0,
        session_credit_bytes: 0,
        streams_max: 0,
        requests_max: 0,
        regions_max: 0,
    };
}

/// The least `frame_body_bytes_max` that a side may announce.
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
    /// The same limits, adjusted until they agree: a body can carry a hello and any text, an element
    /// fits into the session's credit, and a quantum is at least 1/64 of the longest frame.
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

    /// What is sent to the peer.
    pub(crate) const fn announced(&self) -> PeerLimits {
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
