// SPDX-License-Identifier: BSD-3-Clause
//! The status of one client, for a monitor.
//!
//! Counters are written by the holder of the client's lock and read by any thread, without a lock:
//! neither side waits for the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::connection::next_id;
use crate::transport::Peer;

/// One client of protocol 1.0. See [`Server::sessions`](super::Server::sessions).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Unique among the connections of the process, never reused.
    pub id: u64,
    /// The client's process.
    pub peer: Peer,
    /// `unix-seqpacket` or `unix-stream`.
    pub transport: &'static str,
    /// When the connection was started.
    pub since: Instant,
    /// When the counts were read.
    pub at: Instant,
    /// Requests that arrived, including a `HELLO` that was read before the protocol was known.
    pub frames_in: u64,
    /// Answers that were sent completely.
    pub frames_out: u64,
    /// Bytes of these requests, without that `HELLO`.
    pub bytes_in: u64,
    /// Bytes that were sent.
    pub bytes_out: u64,
    /// Requests that wait for a channel, including selects.
    pub waiting: u64,
    /// Bytes of answers that wait to be sent.
    pub queued_bytes: u64,
    /// Malformed or unknown requests.
    pub malformed: u64,
    /// Requests refused by a limit.
    pub refused: u64,
}

/// The counters of a client.
#[derive(Debug)]
pub(super) struct ClientCounters {
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

impl ClientCounters {
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

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
