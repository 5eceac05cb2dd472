// SPDX-License-Identifier: BSD-3-Clause
//! Channels of a server that may restart: reconnecting connections, and sends that happen exactly
//! once over all of them.
//!
//! ```text
//!   driver (a task)    connect ──► client ──► until it ends ──► back-off ──┐
//!                         ▲                                                │
//!                         └────────────────────────────────────────────────┘
//!   reconnect task     client ──► open ──► stream ──► until it ends ──┐
//!   (one per handle)      ▲                                           │
//!                         └───────────────────────────────────────────┘
//!   operation          waits for a stream, within its limits; then it is one of that stream's
//! ```
//!
//! Nothing is repeated implicitly. An operation that was in progress when the connection ended
//! fails with its error, as it would without reconnection; only operations that begin later use the
//! new connection. [`OnceSender`] repeats, and may: the server identifies each element by its
//! number.
//!
//! | file | contents |
//! |---|---|
//! | `backoff` | how long to wait before another attempt |
//! | `availability` | the current client or stream, if there is one |
//! | `driver` | connects repeatedly |
//! | `operation` | operations that wait for a connection |
//! | `reopen` | opens a channel repeatedly |
//! | `sender`, `receiver` | handles to a channel |
//! | `select` | those handles in a select |
//! | `once` | a sender whose elements are accepted exactly once |
//! | `queue` | its elements, from the send to the answer |

mod availability;
mod backoff;
mod driver;
mod once;
mod operation;
mod queue;
mod receiver;
mod reopen;
mod select;
mod sender;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use becket_chan::{Kind, Receiver, Token};
use becket_wire::Priority;

use self::availability::Availability;
pub use self::backoff::{Backoff, Delays};
pub use self::driver::Event;
use self::driver::ReconnectState;
pub use self::once::{OnceSend, OnceSender, ProducerId};
pub use self::operation::{Limited, Waiting};
pub use self::receiver::{ReconnectingReceiver, ReconnectingRecv, ReconnectingWant};
use self::reopen::ReopenSpec;
pub use self::select::WhyClosed;
pub use self::sender::{ReconnectingAhead, ReconnectingSend, ReconnectingSender};
use crate::client::{Client, Options, ReceiverOptions};
use crate::connection::Ended;

/// A client that reconnects when its connection has ended. Clones share the connection; it stops
/// when the last clone and the last handle to a channel are dropped.
///
/// Every method may be called from any thread, in a task or in a coroutine.
#[derive(Clone)]
pub struct Reconnecting {
    owner: Arc<Owner>,
}

/// Stops all tasks when the last user is dropped.
struct Owner(Arc<ReconnectState>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

/// A channel's name, and how it is opened on each connection. See [`Reconnecting::channel`].
#[derive(Clone)]
#[must_use = "nothing is opened until a sender or a receiver is requested"]
pub struct Reopened {
    owner: Arc<Owner>,
    name: Arc<str>,
    priority: Priority,
    make: Option<(Kind, usize)>,
}

impl Reconnecting {
    /// Connects to the server that listens at a path, and reconnects whenever the connection has
    /// ended. It starts at once and does not wait.
    #[must_use]
    pub fn new(path: impl AsRef<Path>, options: Options, backoff: Backoff) -> Self {
        let inner = ReconnectState::start(path.as_ref(), options, backoff);
        Self { owner: Arc::new(Owner(inner)) }
    }

    /// A channel of the server, by its name. (`#` and a number work too, but a restarted server
    /// assigns other numbers.)
    pub fn channel(&self, name: &str) -> Reopened {
        let (owner, name) = (self.owner.clone(), name.into());
        Reopened { owner, name, priority: Priority::Normal, make: None }
    }

    /// Reports when the connection is lost and when it is restored. The channel is conflated: a
    /// slow receiver gets only the latest event. Each event goes to one of the receivers.
    #[must_use]
    pub fn events(&self) -> Receiver<Event> {
        self.owner.0.news.clone()
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    ///
    /// When driven: [`Ended::GaveUp`], or [`Ended::Here`] after [`close`](Self::close).
    pub fn connected(&self) -> Opened<'_, ()> {
        Opened::new(async {
            let is_live = |client: &Client| client.ended().is_none();
            self.owner.0.client.available(is_live).await.map(|_| ())
        })
    }

    /// The current connection, if there is one: for requests, which nothing repeats.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        match self.owner.0.client.get().0 {
            Availability::Available(client) if client.ended().is_none() => Some(client),
            _ => None,
        }
    }

    /// Ends the connection, and does not reconnect.
    pub fn close(&self) {
        self.owner.0.stop.cancel();
        // At once, and not when the task notices: what begins after this call is not sent.
        if let Some(client) = self.client() {
            client.close();
        }
    }
}

impl Reopened {
    /// The priority of sent elements.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// On each connection the channel is created if the server has none of its name. `capacity`
    /// applies to a bounded one.
    pub fn make(mut self, kind: Kind, capacity: usize) -> Self {
        self.make = Some((kind, capacity));
        self
    }

    /// A sender into it.
    #[must_use]
    pub fn sender(self) -> ReconnectingSender {
        ReconnectingSender::start(self)
    }

    /// A receiver from it.
    #[must_use]
    pub fn receiver(self, options: ReceiverOptions) -> ReconnectingReceiver {
        ReconnectingReceiver::start(self, options)
    }

    /// A sender into it whose elements are accepted exactly once over all connections: see
    /// [`OnceSender`].
    #[must_use]
    pub fn once(self, producer: ProducerId) -> OnceSender {
        OnceSender::start(self, producer)
    }

    fn reopen_spec(&self) -> (ReopenSpec, Handle) {
        let stop = self.owner.0.stop.child();
        let spec = ReopenSpec {
            inner: self.owner.0.clone(),
            name: self.name.clone(),
            make: self.make,
            stop: stop.clone(),
        };
        (spec, Handle { stop, _owner: self.owner.clone() })
    }
}

/// Keeps the connection, and stops its reconnect task when it is dropped.
struct Handle {
    stop: Token,
    _owner: Arc<Owner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits until a connection or a stream is available. It fails with [`Ended::GaveUp`] or
/// [`Ended::Here`]: it will not become available.
pub type Opened<'a, T> = Waiting<'a, Result<T, Ended>>;

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting").field("path", &self.owner.0.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reopened").field("name", &self.name).finish_non_exhaustive()
    }
}
