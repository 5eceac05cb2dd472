// SPDX-License-Identifier: BSD-3-Clause
//! Channels of a server that may go and come again: connections that are made again, and sends that
//! happen exactly once over all of them.
//!
//! ```text
//!   driver (a task)    connect ──► client ──► until it ends ──► back-off ──┐
//!                         ▲                                                │
//!                         └────────────────────────────────────────────────┘
//!   keeper (a task     client ──► open ──► stream ──► until it ends ──┐
//!    of each handle)      ▲                                           │
//!                         └───────────────────────────────────────────┘
//!   operation          waits for a stream, within its limits; then it is one of that stream's
//! ```
//!
//! Nothing is repeated behind anybody's back. An operation that was under way when the connection
//! ended ends with its error, as it would without reconnection; only those that begin later meet
//! the new connection. [`OnceSender`] repeats, and may: the server knows each element by its number.
//!
//! | file | holds |
//! |---|---|
//! | `backoff` | how long to wait before another attempt |
//! | `bounds` | what may end an operation |
//! | `slot` | what there is now, or is not |
//! | `driver` | connects again and again |
//! | `keeper` | opens a channel again and again |
//! | `sender`, `receiver` | handles to a channel |
//! | `desk` | what a select receives from, over all connections |
//! | `line`, `ahead` | what a select sends into, and what became of it |
//! | `later` | a keeper is woken where it may take locks |
//! | `once` | a sender whose elements are accepted exactly once |
//! | `queue` | its elements, from the send to the answer |

mod ahead;
mod backoff;
mod bounds;
mod desk;
mod driver;
mod keeper;
mod later;
mod line;
mod once;
mod queue;
mod receiver;
mod sender;
mod slot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use becket_chan::{Kind, Receiver, Token};
use becket_wire::Priority;

pub use self::backoff::{Backoff, Delays};
pub use self::desk::ReconnectingWant;
pub use self::driver::Event;
use self::driver::Inner;
use self::keeper::Place;
pub use self::once::{OnceFlush, OnceSend, OnceSender, ProducerId};
pub use self::receiver::{ReconnectingReceiver, ReconnectingRecv};
pub use self::sender::{ReconnectingFlush, ReconnectingSend, ReconnectingSender};
use crate::client::{Options, ReceiverOptions};
use crate::connection::Ended;

/// A client that connects again when its connection has ended. Cloned, it is the same one; it stops
/// when the last clone and the last handle to a channel have gone.
///
/// Every method may be called from any thread, in a task or in a coroutine.
#[derive(Clone)]
pub struct Reconnecting {
    owner: Arc<Owner>,
}

/// Stops everything when the last user has gone.
struct Owner(Arc<Inner>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

/// A channel's name, and how it is opened on each connection. See [`Reconnecting::channel`].
#[derive(Clone)]
#[must_use = "nothing is opened until it is told which end"]
pub struct Reopened {
    owner: Arc<Owner>,
    name: Arc<str>,
    priority: Priority,
    make: Option<(Kind, usize)>,
}

impl Reconnecting {
    /// Connects to the server that listens at a path, and again whenever the connection has ended.
    /// It begins at once and does not wait.
    #[must_use]
    pub fn new(path: impl AsRef<Path>, options: Options, backoff: Backoff) -> Self {
        let inner = Inner::start(path.as_ref(), options, backoff);
        Self { owner: Arc::new(Owner(inner)) }
    }

    /// A channel of the server's, by its name. (A `#` and a number will do too, but a server that
    /// was started again gives other numbers.)
    pub fn channel(&self, name: &str) -> Reopened {
        let (owner, name) = (self.owner.clone(), name.into());
        Reopened { owner, name, priority: Priority::Normal, make: None }
    }

    /// Tells when the connection is lost and when there is one again. The channel is conflated: who
    /// is late finds the latest news only. Each goes to one of the receivers.
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
            let is_live = |client: &crate::Client| client.ended().is_none();
            self.owner.0.client.there(is_live).await.map(|_| ())
        })
    }

    /// Ends the connection, and makes no other.
    pub fn close(&self) {
        self.owner.0.stop.cancel();
    }
}

impl Reopened {
    /// How urgent what is sent is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// On each connection the channel is made if the server has none of its name. `capacity` is of
    /// a bounded one.
    pub fn make(mut self, kind: Kind, capacity: usize) -> Self {
        self.make = Some((kind, capacity));
        self
    }

    /// To send into it.
    #[must_use]
    pub fn sender(self) -> ReconnectingSender {
        ReconnectingSender::start(self)
    }

    /// To receive from it.
    #[must_use]
    pub fn receiver(self, options: ReceiverOptions) -> ReconnectingReceiver {
        ReconnectingReceiver::start(self, options)
    }

    /// To send into it, each element exactly once over all connections: see [`OnceSender`].
    #[must_use]
    pub fn once(self, producer: ProducerId) -> OnceSender {
        OnceSender::start(self, producer)
    }

    fn place(&self) -> (Place, Handle) {
        let stop = self.owner.0.stop.child();
        let place = Place {
            inner: self.owner.0.clone(),
            name: self.name.clone(),
            make: self.make,
            stop: stop.clone(),
        };
        (place, Handle { stop, _owner: self.owner.clone() })
    }
}

/// Keeps the connection, and stops its keeper when it goes.
struct Handle {
    stop: Token,
    _owner: Arc<Owner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits until something is there.
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Opened<'a, T>(Pin<Box<dyn Future<Output = Result<T, Ended>> + Send + 'a>>);

impl<'a, T> Opened<'a, T> {
    fn new(future: impl Future<Output = Result<T, Ended>> + Send + 'a) -> Self {
        Self(Box::pin(future))
    }

    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// [`Ended::GaveUp`] or [`Ended::Here`]: it never will be there.
    pub fn wait(self) -> Result<T, Ended> {
        becket_coro::block_on(self)
    }
}

impl<T> Future for Opened<'_, T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

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
