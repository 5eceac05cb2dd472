// SPDX-License-Identifier: BSD-3-Clause
//! A server: it listens, negotiates the protocol with each client, and offers its channels.
//!
//! ```text
//!   listener ──accept──► handshake ──► protocol 1.0 ──► v1
//!   (I/O thread)         (a task)   └► protocol 2 ───► link ──► connection ──► side
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `side` | what a connection does for its client |
//!
//! A server has no thread of its own. It ends when the [`Server`] is dropped: the socket files are
//! removed, the connections closed, and its channels closed unless they were passed to it.

mod side;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use becket_chan::{Receiver, Sender, timer};
use becket_wire::Role;
use becket_wire::v1::{Hello, caps};
use bytes::Bytes;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use self::side::ServerSide;
use crate::channels::{Channel, ChannelError, Channels};
use crate::client::Options;
use crate::client::connect::{ShareError, plain, share, stream_path};
use crate::connection::{Connection, Status};
use crate::element::Element;
use crate::handshake::{
    HandshakeError, HelloExchange, MAJOR, MINOR, PeerHello, is_out_of_descriptors,
};
use crate::reactor::{self, Account, Ready, Requested, Watched};
use crate::shm::{self, ShmError};
use crate::task;
use crate::transport::listen::{Access, Admissions, ListenError, Listener, Refusals};
use crate::transport::{Link, LinkError, Socket, SocketKind};
use crate::v1;

/// The maximum number of connections accepted before other descriptors are served.
const ACCEPTED_AT_ONCE: usize = 4;
/// The delay before accepting again when the system refuses another connection.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// The close reason sent to clients when the server is dropped.
const ENDED: &str = "the server has ended";

/// Answers a monitor's query with a report, or with an error message.
pub type Reporter = Arc<dyn Fn(&[u8]) -> Result<Bytes, String> + Send + Sync>;

/// The settings of a server.
#[must_use = "nothing listens until it is bound"]
pub struct Builder {
    access: Access,
    options: Options,
    connections_max: usize,
    channels_max: usize,
    channels_made_max: usize,
    v1_limits: v1::Limits,
    report: Option<Reporter>,
    channels: Option<Arc<Channels>>,
}

/// Listens at a path and offers channels to clients. Dropping it ends it at once.
pub struct Server {
    shared: Arc<Shared>,
    sockets: Vec<Arc<ListenSocket>>,
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) channels: Arc<Channels>,
    /// The channels were passed to the server, and outlive it.
    keeps_channels: bool,
    pub(crate) options: Options,
    pub(crate) channels_made_max: usize,
    pub(crate) report: Option<Reporter>,
    v1: Arc<v1::Server>,
    sessions: Mutex<Vec<Weak<Connection<ServerSide>>>>,
    /// Set before the lists are emptied; read under their locks.
    has_ended: AtomicBool,
}

/// A listening socket of a server.
struct ListenSocket {
    path: PathBuf,
    admissions: Arc<Admissions>,
    shared: Arc<Shared>,
    /// `None` once the server has ended, although the I/O thread may still hold a reference.
    open: Mutex<Option<Listening>>,
    /// More clients wait to be accepted.
    requested: Requested,
}

/// The listener and its watch, which is dropped first.
struct Listening {
    _watched: Watched,
    listener: Listener,
}

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The socket cannot be created.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system cannot watch another descriptor.
    #[error("cannot watch {path}\ncause: {source}")]
    Watch {
        /// The socket's path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            access: Access::own_user(),
            options: Options::default(),
            connections_max: 1024,
            channels_max: 65_536,
            channels_made_max: 16_384,
            v1_limits: v1::Limits::default(),
            report: None,
            channels: None,
        }
    }
}

impl Builder {
    /// Which users may connect. By default only the user that runs the server.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Limits and transports of its connections.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The maximum number of connections at a time; more are refused.
    pub fn connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// The maximum number of channels at a time.
    pub fn channels_max(mut self, channels_max: usize) -> Self {
        self.channels_max = channels_max;
        self
    }

    /// Offers these channels instead of a table of its own. They stay open when the server is
    /// dropped, so that the next server at the path may offer them again, with their contents and
    /// the producers that they remember (see [`Reopened::once`](crate::reconnect::Reopened::once)).
    pub fn channels(mut self, channels: Arc<Channels>) -> Self {
        self.channels = Some(channels);
        self
    }

    /// The maximum number of channels that one connection may create.
    pub fn channels_made_max(mut self, channels_made_max: usize) -> Self {
        self.channels_made_max = channels_made_max;
        self
    }

    /// The limits of each client of protocol 1.0.
    pub fn v1_limits(mut self, limits: v1::Limits) -> Self {
        self.v1_limits = limits;
        self
    }

    /// Answers monitors.
    pub fn report(mut self, report: Reporter) -> Self {
        self.report = Some(report);
        self
    }

    /// Listens at a path, for clients of protocol 2.
    ///
    /// # Errors
    ///
    /// See [`ServeError`].
    pub fn bind(self, path: impl AsRef<Path>) -> Result<Server, ServeError> {
        self.open(&[(path.as_ref().to_owned(), SocketKind::Stream)])
    }

    /// Listens at a path for packets, as clients of protocol 1.0 expect, and additionally at
    /// `PATH.stream` for bytes, so that clients of protocol 2 can use shared memory.
    ///
    /// # Errors
    ///
    /// See [`ServeError`].
    pub fn bind_both(self, path: impl AsRef<Path>) -> Result<Server, ServeError> {
        let path = path.as_ref();
        self.open(&[
            (path.to_owned(), SocketKind::Seqpacket),
            (stream_path(path), SocketKind::Stream),
        ])
    }

    /// Listens nowhere: it serves the links that are given to [`Server::serve`].
    #[must_use]
    pub fn without_socket(self) -> Server {
        let keeps_channels = self.channels.is_some();
        let own = || Arc::new(Channels::new(self.channels_max));
        let channels = self.channels.unwrap_or_else(own);
        let shared = Shared {
            v1: v1::Server::new(channels.clone(), self.v1_limits),
            channels,
            keeps_channels,
            options: self.options,
            channels_made_max: self.channels_made_max,
            report: self.report,
            sessions: Mutex::default(),
            has_ended: AtomicBool::new(false),
        };
        Server { shared: Arc::new(shared), sockets: Vec::new() }
    }

    fn open(self, places: &[(PathBuf, SocketKind)]) -> Result<Server, ServeError> {
        let (access, connections_max) = (self.access.clone(), self.connections_max);
        let mut server = self.without_socket();
        let shared = server.shared.clone();
        for (path, kind) in places {
            let listener = Listener::bind(path, *kind, access.clone(), connections_max)?;
            let listen_socket = Arc::new(ListenSocket {
                path: path.clone(),
                admissions: listener.admissions().clone(),
                shared: shared.clone(),
                open: Mutex::new(None),
                requested: Requested::default(),
            });
            let owner: Arc<dyn Ready> = listen_socket.clone();
            let owner = Arc::downgrade(&owner);
            // A client that connects before this is set waits for the lock.
            let mut open = listen_socket.open.lock();
            let watched = reactor::watch(rustix::fd::AsFd::as_fd(&listener), owner)
                .map_err(|source| ServeError::Watch { path: path.clone(), source })?;
            *open = Some(Listening { _watched: watched, listener });
            drop(open);
            server.sockets.push(listen_socket);
        }
        Ok(server)
    }
}

impl Server {
    /// A server with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Listens at a path, with default settings.
    ///
    /// # Errors
    ///
    /// See [`ServeError`].
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, ServeError> {
        Builder::default().bind(path)
    }

    /// Serves a link that exists already, such as one end of a
    /// [`memory::pair`](crate::transport::memory::pair).
    ///
    /// # Errors
    ///
    /// The system cannot watch another descriptor.
    pub fn serve(&self, link: Box<dyn Link>) -> std::io::Result<()> {
        self.shared.serve(link)
    }

    /// The channels that it offers.
    #[must_use]
    pub fn channels(&self) -> &Arc<Channels> {
        &self.shared.channels
    }

    /// Offers a channel of this program by name: see [`Channels::export`].
    ///
    /// # Errors
    ///
    /// See [`ChannelError`].
    pub fn export(
        &self,
        name: &str,
        sender: Option<Sender<Element>>,
        receiver: Option<Receiver<Element>>,
    ) -> Result<Arc<Channel>, ChannelError> {
        self.shared.channels.export(name, sender, receiver)
    }

    /// The paths at which it listens.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sockets.iter().map(|listen_socket| listen_socket.path.as_path())
    }

    /// The connections that it refused, per socket.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusals> {
        self.sockets.iter().map(|listen_socket| listen_socket.admissions.refusals()).collect()
    }

    /// A function that returns its open connections of protocol 1.0 for as long as the server lives.
    /// May also be called by a [`Reporter`].
    pub fn v1_sessions_later(&self) -> impl Fn() -> Vec<v1::Status> + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| shared.v1.sessions()).unwrap_or_default()
    }

    /// Its open connections of protocol 2. May also be called by a [`Reporter`].
    #[must_use]
    pub fn sessions(&self) -> Vec<Status> {
        self.shared.sessions()
    }

    /// A function that returns [`sessions`](Self::sessions) for as long as the server lives.
    pub fn sessions_later(&self) -> impl Fn() -> Vec<Status> + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| shared.sessions()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for listen_socket in &self.sockets {
            let open = listen_socket.open.lock().take();
            drop(open);
        }
        // A client in its handshake sees the flag when it adds itself to the lists emptied here.
        self.shared.has_ended.store(true, Ordering::Relaxed);
        let sessions = std::mem::take(&mut *self.shared.sessions.lock());
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.close(becket_wire::codes::DONE, ENDED);
        }
        self.shared.v1.close();
        if !self.shared.keeps_channels {
            self.shared.channels.close_all(ENDED);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("paths", &self.paths().collect::<Vec<_>>())
            .field("channels", &self.shared.channels.len())
            .finish_non_exhaustive()
    }
}

impl Ready for ListenSocket {
    fn ready(self: Arc<Self>) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let accepted = match &*self.open.lock() {
                Some(open) => open.listener.accept(),
                None => return,
            };
            match accepted {
                Ok(Some(socket)) => {
                    let listen_socket = self.clone();
                    let account = Account::of_process(socket.peer().pid);
                    // Without an I/O thread this would not be running.
                    let _started = task::spawn_in_turn(account, async move {
                        if let Err(error) = listen_socket.shared.clone().handshake(socket).await {
                            listen_socket.handshake_failed(&error);
                        }
                    });
                }
                Ok(None) => break,
                Err(error) => {
                    self.accept_failed(&error);
                    // The backlog is reported once, edge-triggered: accept again later.
                    let listen_socket = Arc::downgrade(&self);
                    task::spawn(async move {
                        timer::sleep(AFTER_FAILURE).await;
                        if let Some(listen_socket) = listen_socket.upgrade() {
                            listen_socket.ready();
                        }
                    });
                    return;
                }
            }
        }
        if !self.has_backlog() {
            return;
        }
        // Other descriptors first. Without an I/O thread this would not be running.
        let _asked = reactor::again(&self);
    }

    fn requested(&self) -> Option<&Requested> {
        Some(&self.requested)
    }
}

impl ListenSocket {
    /// Every 100 ms while it lasts: the lack of descriptors is logged once.
    fn accept_failed(&self, error: &ListenError) {
        match (error, &*self.open.lock()) {
            (ListenError::System { errno, .. }, Some(open)) if is_out_of_descriptors(*errno) => {
                open.listener.warn_exhausted(*errno);
            }
            _ => tracing::warn!(%error, "no connection can be accepted"),
        }
    }

    fn handshake_failed(&self, error: &NotServed) {
        let errno = error.system().filter(|errno| is_out_of_descriptors(*errno));
        match (errno, &*self.open.lock()) {
            (Some(errno), Some(open)) => open.listener.warn_exhausted(errno),
            _ => tracing::debug!(%error, "a client's handshake failed"),
        }
    }

    /// Whether the backlog holds a connection that was reported already.
    fn has_backlog(&self) -> bool {
        let open = self.open.lock();
        let Some(open) = &*open else { return false };
        let mut line = [PollFd::new(&open.listener, PollFlags::IN)];
        matches!(rustix::event::poll(&mut line, Some(&Timespec::default())), Ok(1..))
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
enum NotServed {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Watch(#[from] std::io::Error),
}

impl NotServed {
    /// The error of the system on this side, if it is one.
    fn system(&self) -> Option<Errno> {
        match self {
            Self::Handshake(error) => error.system(),
            Self::Share(ShareError::Handshake(error)) => error.system(),
            Self::Share(ShareError::Memory(ShmError::Io { source, .. })) => Some(*source),
            Self::Link(LinkError::System(errno)) => Some(*errno),
            Self::Watch(error) => Errno::from_io_error(error),
            Self::Share(ShareError::Memory(_)) | Self::Link(_) => None,
        }
    }
}

impl Shared {
    fn sessions(&self) -> Vec<Status> {
        let sessions: Vec<_> = self.sessions.lock().iter().filter_map(Weak::upgrade).collect();
        let statuses = sessions.iter().filter_map(|session| session.status());
        statuses.filter(|status| !status.is_over).collect()
    }

    async fn handshake(self: Arc<Self>, socket: Socket) -> Result<(), NotServed> {
        let kind = socket.kind();
        let mut exchange = HelloExchange::new(socket, self.options.handshake_timeout)?;
        if kind == SocketKind::Seqpacket && !exchange.is_protocol_2().await? {
            return Ok(self.serve_v1(exchange, None)?);
        }
        let hello = exchange.receive().await?;
        if hello.hello.major < MAJOR {
            let PeerHello { hello, req_id, leftover: rest, packets } = hello;
            return Ok(
                self.serve_v1(exchange, Some(v1::EarlyHello { hello, req_id, packets, rest }))?
            );
        }
        let offers = self.options.shared_memory && kind == SocketKind::Stream;
        let own = if offers { caps::SHARED_MEMORY } else { 0 };
        let both = hello.hello.caps & own;
        exchange.send(Hello { major: MAJOR, minor: MINOR, caps: both }).await?;
        let link = if both & caps::SHARED_MEMORY != 0 {
            share(exchange, shm::Side::Accepted, &self.options).await?
        } else {
            plain(exchange, &hello.leftover, &self.options)?
        };
        Ok(self.serve(link)?)
    }

    /// A client of protocol 1.0, or of an unknown protocol.
    fn serve_v1(
        &self,
        exchange: HelloExchange,
        early_hello: Option<v1::EarlyHello>,
    ) -> std::io::Result<()> {
        let client = v1::Client::start(exchange.into_socket(), early_hello, &self.v1)?;
        if self.has_ended.load(Ordering::Relaxed) {
            client.close();
        }
        Ok(())
    }

    fn serve(self: &Arc<Self>, link: Box<dyn Link>) -> std::io::Result<()> {
        let session = self.options.session(Role::Server, link.body_bytes_max());
        let connection = Connection::start(link, session, ServerSide::new(self.clone()))?;
        let mut sessions = self.sessions.lock();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(&connection));
        drop(sessions);
        if self.has_ended.load(Ordering::Relaxed) {
            connection.close(becket_wire::codes::DONE, ENDED);
        }
        connection.keep();
        Ok(())
    }
}
