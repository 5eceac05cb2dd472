// SPDX-License-Identifier: BSD-3-Clause
//! A client: a connection to a server, and the handles to its channels.
//!
//! | file | contents |
//! |---|---|
//! | `connect` | from a path to a connection |
//! | `side` | the streams and requests of a connection |
//! | `state` | whether a stream is open, and why it is not |
//! | `sending`, `receiving` | a stream in each direction |
//! | `open` | operations that open a channel, and requests |

pub(crate) mod connect;
pub(crate) mod open;
pub(crate) mod receiving;
pub(crate) mod sending;
pub(crate) mod side;
pub(crate) mod state;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use becket_chan::Kind;
use becket_wire::Priority;
use bytes::Bytes;

pub use self::connect::{ConnectError, Connecting, Options};
pub use self::open::{OpenReceiver, OpenSender, Request};
use self::side::ClientSide;
use crate::connection::{Connection, Ended, Owned, Status};
use crate::error::OpenError;
use crate::remote::wait;
use crate::streams::service::{self, Close, Info, List, Make, kind_name};
use crate::transport::Link;

/// A connection to a server. Clones share the connection; it is closed when the last clone and the
/// last handle to a channel are dropped.
///
/// Every method may be called from any thread, in a task or in a coroutine. No method waits: the
/// operation that it returns is awaited or waited for.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Owned<ClientSide>>,
}

/// The options of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverOptions {
    /// The maximum number of prefetched elements in this process. 0: each element is taken from its
    /// channel only when a receive waits for it.
    pub window: u32,
    /// The bytes of credit that the server gets. A longer element is not sent.
    pub window_bytes: u64,
    /// The priority of its elements.
    pub priority: Priority,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self { window: 0, window_bytes: 16 << 20, priority: Priority::Normal }
    }
}

impl ReceiverOptions {
    /// The defaults, with a window of this many elements.
    #[must_use]
    pub fn window(window: u32) -> Self {
        Self { window, ..Self::default() }
    }
}

impl Client {
    /// Connects to the server that listens at a path.
    ///
    /// # Errors
    ///
    /// When driven: see [`ConnectError`].
    pub fn connect(path: impl AsRef<Path>) -> Connecting {
        Connecting::new(path.as_ref(), Options::default())
    }

    /// As [`connect`](Self::connect), with other limits or transports.
    ///
    /// # Errors
    ///
    /// When driven: see [`ConnectError`].
    pub fn connect_with(path: impl AsRef<Path>, options: Options) -> Connecting {
        Connecting::new(path.as_ref(), options)
    }

    /// A client over a link that exists already, such as one end of a
    /// [`memory::pair`](crate::transport::memory::pair).
    ///
    /// # Errors
    ///
    /// The system cannot watch another descriptor.
    pub fn over(link: Box<dyn Link>, options: &Options) -> std::io::Result<Self> {
        let session = options.session(becket_wire::Role::Client, link.body_bytes_max());
        let connection = Connection::start(link, session, ClientSide::default())?;
        Ok(Self { connection: Owned::new(connection) })
    }

    /// Opens a channel to send into, by its name or by `#` and its number.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn sender(&self, channel: &str) -> OpenSender {
        self.sender_with(channel, Priority::Normal)
    }

    /// As [`sender`](Self::sender), with a priority.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn sender_with(&self, channel: &str, priority: Priority) -> OpenSender {
        open::sender(&self.connection, channel, priority, None)
    }

    /// As [`sender_with`](Self::sender_with), for elements that this producer numbers.
    pub(crate) fn sender_once(
        &self,
        channel: &str,
        priority: Priority,
        producer: u128,
    ) -> OpenSender {
        open::sender(&self.connection, channel, priority, Some(producer))
    }

    /// Opens a channel to receive from, by its name or by `#` and its number.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn receiver(&self, channel: &str) -> OpenReceiver {
        self.receiver_with(channel, ReceiverOptions::default())
    }

    /// As [`receiver`](Self::receiver), with options.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn receiver_with(&self, channel: &str, options: ReceiverOptions) -> OpenReceiver {
        open::receiver(&self.connection, channel, options)
    }

    /// Requests that the server create a channel. `capacity`, in elements, applies to a bounded
    /// one.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`]; a name that is taken is [`OpenError::Exists`].
    pub fn make(&self, name: &str, kind: Kind, capacity: usize) -> Request<Info> {
        self.make_or_open(name, kind, capacity, false)
    }

    /// As [`make`](Self::make); with `or_open` an existing channel of this name suffices.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn make_or_open(
        &self,
        name: &str,
        kind: Kind,
        capacity: usize,
        or_open: bool,
    ) -> Request<Info> {
        let body = service::encode(&Make {
            name: Some(name.to_owned()),
            kind: kind_name(kind).to_owned(),
            capacity,
            element_bytes: None,
            or_open,
        });
        open::request(&self.connection, service::MAKE, name, body, open::from_json)
    }

    /// A page of the server's channels: those with numbers above `after`.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn list(&self, after: Option<u32>) -> Request<Vec<Info>> {
        let body = service::encode(&List { after });
        open::request(&self.connection, service::LIST, "", body, open::from_json)
    }

    /// Closes a channel for all its users, with an optional reason.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn close_channel(&self, channel: &str, reason: Option<&str>) -> Request<()> {
        self.end_channel(service::CLOSE, channel, reason)
    }

    /// Closes a channel and removes it from the server's table.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn destroy_channel(&self, channel: &str) -> Request<()> {
        self.end_channel(service::DESTROY, channel, None)
    }

    fn end_channel(&self, operation: u16, channel: &str, reason: Option<&str>) -> Request<()> {
        let reason = reason.map(str::to_owned);
        let body = service::encode(&Close { channel: channel.to_owned(), reason });
        open::request(&self.connection, operation, channel, body, |_| Ok(()))
    }

    /// Requests the server's report for a monitor, which defines the query and the answer.
    ///
    /// # Errors
    ///
    /// When driven: see [`OpenError`].
    pub fn report(&self, query: Bytes) -> Request<Bytes> {
        let keep = |body: Bytes| Ok(body);
        open::request(&self.connection, service::REPORT, "", query, keep)
    }

    /// Waits on a thread or in a coroutine for any operation of this client.
    pub fn wait<F: Future>(&self, operation: F) -> F::Output {
        wait::wait(&self.connection, operation)
    }

    /// How the connection ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.connection.ended()
    }

    /// Waits until the connection ends, for one task.
    pub(crate) fn until_ended(&self) -> impl Future<Output = Ended> + Send + '_ {
        std::future::poll_fn(|context| {
            self.connection.with(|side, _| side.poll_ended(context.waker()))
        })
    }

    /// Waits until the server has everything that dropped receivers had not received, or the
    /// connection has ended. See [`RemoteReceiver::close`](crate::RemoteReceiver::close) for one.
    pub fn returned(&self) -> impl Future<Output = ()> + Send + '_ {
        std::future::poll_fn(|context| {
            self.connection.with(|side, _| side.poll_returned(context.waker()))
        })
    }

    /// Closes the connection. Waiting operations fail with [`Ended::Here`].
    pub fn close(&self) {
        self.connection.close(becket_wire::codes::DONE, "");
    }

    /// The transport's name, the peer's process, and the counters. `None`: no status could be taken
    /// yet, because other threads held the connection each time.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.connection.status()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("ended", &self.ended()).finish_non_exhaustive()
    }
}

/// The error of a request that was refused with `code`.
pub(crate) fn refusal(code: u16, why: Arc<str>, channel: &str) -> OpenError {
    use crate::streams::code;
    let name = || Arc::from(channel);
    match code {
        code::NOT_FOUND => OpenError::NotFound(name()),
        code::EXISTS => OpenError::Exists(name()),
        code::UNSUPPORTED => OpenError::Unsupported(name()),
        code::TOO_MANY => OpenError::TooMany,
        code => OpenError::Refused { code: code::errno(code), why },
    }
}
