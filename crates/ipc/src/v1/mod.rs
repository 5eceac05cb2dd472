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
//! A connection has no thread and no task of its own: it is dispatched when its socket has news,
//! when a channel wakes one of its operations, and when a timer fires.
//!
//! # Invariants
//!
//! 1. Every request that has an answer gets exactly one, whatever its outcome. Answers of
//!    operations that wait are sent when these complete, so in any order; the others are sent in
//!    order.
//! 2. A value that was received for a client belongs to the client once it was read. Until then the
//!    server keeps a copy, and sends nothing after it; if the client disconnects, the value is
//!    requeued at the front of its channel.
//! 3. When a client disconnects, its waiting operations are cancelled: sends that have not happened
//!    do not happen.
//! 4. Everything is bounded by [`Limits`]; at the bound a request is refused with `ENOSPC` and
//!    counted. A client that does not read its answers is not read from.
//!
//! | module | contents |
//! |---|---|
//! | `client` | the connection: lock, dispatches, socket |
//! | `session` | a client without a connection, driven by its caller |
//! | `state` | the requests |
//! | `operation` | a send, a receive and a select as futures with the protocol's errors |
//! | `waits` | waiting operations, by slot |
//! | `selects` | selects: built, registered, decided, claimed |
//! | `outgoing` | answers to send, and values that are not read yet |
//! | `status` | the status of a client, for a monitor |
//! | `seen` | a channel's counters, as one connection sees them |
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
use crate::quota::CLIENT_BYTES_MAX;

pub use client::{Client, EarlyHello};
pub use outgoing::{Flushed, Outgoing};
pub use session::{Answer, Session, Value};
pub use status::Status;

/// The limits of one client of protocol 1.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The maximum payload, in bytes. A longer one ends the connection.
    pub payload_bytes_max: u32,
    /// Operations that wait, including selects.
    pub waits_max: usize,
    /// Selects that are not claimed or cancelled yet.
    pub selects_max: usize,
    /// Answers that wait to be sent; beyond it no more requests are read.
    pub answers_max: usize,
    /// Channels that one client has created and not destroyed.
    pub channels_made_max: usize,
    /// Bytes of elements in one channel; beyond it the channel accepts no more from clients. The
    /// estimate is the number of queued elements times the length of the new one: exact for a
    /// channel whose elements have one length.
    pub channel_bytes_max: u64,
    /// Bytes that a client may use: the slots of the channels that it has created, and the elements
    /// that it has sent and no receiver has taken, also after it is gone. All clients together are
    /// bounded by the [`Channels`].
    pub bytes_max: u64,
    /// Channels of which a connection keeps its own statistics.
    pub channels_seen_max: usize,
    /// The timeout of a client's `HELLO`.
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
            bytes_max: CLIENT_BYTES_MAX,
            channels_seen_max: 1024,
            hello_timeout: Duration::from_secs(10),
        }
    }
}

/// The state that the clients of protocol 1.0 of one server share.
#[derive(Debug)]
pub struct Server {
    pub(in crate::v1) channels: Arc<Channels>,
    pub(in crate::v1) limits: Limits,
    pub(in crate::v1) counters: Counters,
    /// Clients with a connection.
    clients: Mutex<Vec<Weak<Client>>>,
}

/// Counters over all clients. See [`Server::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were started.
    pub clients: u64,
    /// Frames that arrived.
    pub requests: u64,
    /// Frames that were sent completely.
    pub answers: u64,
    /// Malformed or unknown requests.
    pub malformed: u64,
    /// Requests refused by a limit.
    pub refused: u64,
    /// Values that were requeued because their client had disconnected.
    pub requeued: u64,
}

#[derive(Debug, Default)]
pub(in crate::v1) struct Counters {
    clients: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
    requeued: AtomicU64,
}

impl Server {
    /// A server that offers these channels.
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

    /// Its connected clients, without those that a caller drives ([`Session`]).
    #[must_use]
    pub fn sessions(&self) -> Vec<Status> {
        let clients = self.connected();
        let clients = clients.iter().filter(|client| !client.over().is_cancelled());
        clients.map(|client| client.status()).collect()
    }

    /// Ends the connections of its clients, as [`Client::close`] does.
    pub(crate) fn close(&self) {
        for client in self.connected() {
            client.close();
        }
    }

    fn connected(&self) -> Vec<Arc<Client>> {
        self.clients.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Adds a client. Their number is bounded by the listener.
    fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients.lock();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(client));
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            clients: read(&self.counters.clients),
            requests: read(&self.counters.requests),
            answers: read(&self.counters.answers),
            malformed: read(&self.counters.malformed),
            refused: read(&self.counters.refused),
            requeued: read(&self.counters.requeued),
        }
    }
}

/// Increments a counter.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
