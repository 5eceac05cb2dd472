// SPDX-License-Identifier: BSD-3-Clause
//! The server's side of protocol 1.0, one connection at a time.
//!
//! ```text
//!   socket ──► Assembler ──► State::frame ──┬── answered at once ──────────┐
//!                                           ├── Waits: polled operations ──┤
//!                                           └── Selects ───────────────────┤
//!   socket ◄── Outgoing ◄───────────────────────────────── answers ────────┘
//! ```
//!
//! There is no thread and no task of a connection's own: it has a turn when its socket has news,
//! when a channel wakes one of its operations, and when a time is up.
//!
//! # Invariants
//!
//! 1. Every request that has an answer gets exactly one, whatever becomes of it. Answers of
//!    operations that wait come when these are done, so in any order; the others come in turn.
//! 2. A value that was received for a client belongs to it once the client has read it. Until then
//!    the server has it too, and sends nothing after it; when the client vanishes, it goes back in
//!    front of its channel.
//! 3. A client that vanishes waits for nothing any more: its sends that have not happened do not
//!    happen.
//! 4. Everything is bounded by [`Limits`]; at the bound a request is refused with `ENOSPC` and
//!    counted. A client that does not read its answers is not read from.
//!
//! | module | what lives there |
//! |---|---|
//! | `client` | the connection: lock, turns, socket |
//! | `session` | a client whose connection is somebody else's |
//! | `state` | what each request does |
//! | `operation` | a send, a receive and a select as futures with the protocol's errors |
//! | `waits` | operations that wait, by slot |
//! | `selects` | selects: built, registered, decided, claimed |
//! | `outgoing` | answers on their way, and values that are not read yet |
//! | `status` | what one client is like, for a monitor |
//! | `seen` | what a channel has counted, as one connection sees it |
//! | `unread` | how much of what was sent the client has not read |

mod client;
mod operation;
mod outgoing;
mod seen;
mod selects;
mod session;
mod state;
mod status;
mod unread;
mod waits;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::channels::Channels;

pub use client::{Client, Greeting};
pub use session::{Answer, Session, Value};
pub use status::Status;

/// What one client of protocol 1.0 may have at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a payload. A longer one ends the connection.
    pub payload_bytes_max: u32,
    /// Operations that wait, selects among them.
    pub waits_max: usize,
    /// Selects that are not claimed or cancelled yet.
    pub selects_max: usize,
    /// Answers that wait to be sent; with so many no more requests are read.
    pub answers_max: usize,
    /// Channels that one client has made and not destroyed.
    pub channels_made_max: usize,
    /// Bytes of elements in one channel; with so many it takes no more from clients.
    pub channel_bytes_max: u64,
    /// Channels of which a client sees statistics of its own.
    pub channels_seen_max: usize,
    /// Until it has said `HELLO`.
    pub hello_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: becket_wire::v1::PAYLOAD_BYTES_MAX,
            waits_max: 1024,
            selects_max: 256,
            answers_max: 256,
            channels_made_max: 1024,
            channel_bytes_max: 256 << 20,
            channels_seen_max: 1024,
            hello_timeout: Duration::from_secs(10),
        }
    }
}

/// What the clients of protocol 1.0 of one server share.
#[derive(Debug)]
pub struct Server {
    pub(in crate::v1) channels: Arc<Channels>,
    pub(in crate::v1) limits: Limits,
    pub(in crate::v1) counters: Counters,
    /// Those that have a connection of their own.
    clients: Mutex<Vec<Weak<Client>>>,
}

/// What was counted over all clients. See [`Server::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were begun.
    pub clients: u64,
    /// Frames that came.
    pub requests: u64,
    /// Frames that were sent whole.
    pub answers: u64,
    /// Requests that were malformed, or unknown.
    pub malformed: u64,
    /// Requests refused by a limit.
    pub refused: u64,
    /// Values that went back to their channels, because their client had vanished.
    pub given_back: u64,
}

#[derive(Debug, Default)]
pub(in crate::v1) struct Counters {
    clients: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
    given_back: AtomicU64,
}

impl Server {
    /// One that offers these channels.
    #[must_use]
    pub fn new(channels: Arc<Channels>, limits: Limits) -> Arc<Self> {
        let (counters, clients) = (Counters::default(), Mutex::default());
        Arc::new(Self { channels, limits, counters, clients })
    }

    /// The channels that it offers.
    #[must_use]
    pub fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }

    /// Its clients that are connected, but for those whose connection is somebody else's
    /// ([`Session`]).
    #[must_use]
    pub fn sessions(&self) -> Vec<Status> {
        let clients: Vec<_> = self.clients.lock().iter().filter_map(Weak::upgrade).collect();
        let clients = clients.iter().filter(|client| !client.over().is_cancelled());
        clients.map(|client| client.status()).collect()
    }

    /// One more. There are as many as were let in.
    fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(client));
    }

    /// What was counted until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            clients: read(&self.counters.clients),
            requests: read(&self.counters.requests),
            answers: read(&self.counters.answers),
            malformed: read(&self.counters.malformed),
            refused: read(&self.counters.refused),
            given_back: read(&self.counters.given_back),
        }
    }
}

/// Counts one more.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
