// SPDX-License-Identifier: BSD-3-Clause
//! What one client is like, for a monitor.
//!
//! Counters are written by whoever has the client's lock and read by anybody: who looks waits for
//! nobody, and nobody waits for who looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::connection::next_id;
use crate::transport::Peer;

/// One client of protocol 1.0. See [`Server::sessions`](super::Server::sessions).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Unique in the process among all connections, never used again.
    pub id: u64,
    /// Who is at the other end.
    pub peer: Peer,
    /// `unix-seqpacket` or `unix-stream`.
    pub transport: &'static str,
    /// When it was begun to be served.
    pub since: Instant,
    /// When the counts were read.
    pub at: Instant,
    /// Requests that came; a `HELLO` that was read by whoever found out the protocol is one of them.
    pub frames_in: u64,
    /// Answers that were sent whole.
    pub frames_out: u64,
    /// Bytes of such frames, without that `HELLO`.
    pub bytes_in: u64,
    /// Bytes that were sent.
    pub bytes_out: u64,
    /// Requests that wait for a channel, selects among them.
    pub waiting: u64,
    /// Bytes of answers that wait to be sent.
    pub queued_bytes: u64,
    /// Requests that were malformed, or unknown.
    pub malformed: u64,
    /// Requests refused by a limit.
    pub refused: u64,
}

/// Where a client counts.
#[derive(Debug)]
pub(super) struct Tally {
    id: u64,
    since: Instant,
    pub(super) frames_in: AtomicU64,
    pub(super) frames_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) queued_bytes: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            id: next_id(),
            since: Instant::now(),
            frames_in: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            queued_bytes: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn status(&self, peer: Peer, transport: &'static str) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            id: self.id,
            peer,
            transport,
            since: self.since,
            at: Instant::now(),
            frames_in: read(&self.frames_in),
            frames_out: read(&self.frames_out),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            waiting: read(&self.waiting),
            queued_bytes: read(&self.queued_bytes),
            malformed: read(&self.malformed),
            refused: read(&self.refused),
        }
    }
}

/// Counts more.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
