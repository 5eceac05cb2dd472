// SPDX-License-Identifier: BSD-3-Clause
//! From a path to a connection: socket, handshake, transport.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use becket_wire::v1::{Hello, caps};
use becket_wire::{Limits, Role, Session};

use super::{Client, ClientSide};
use crate::connection::{Connection, Owned};
use crate::handshake::{HandshakeError, HelloExchange, MAJOR, MINOR, is_out_of_descriptors};
use crate::reactor;
use crate::shm::{Handshake, ShmError, ShmLimits, Side};
use crate::transport::listen;
use crate::transport::{Link, LinkError, SeqpacketLink, SocketKind, UnixStreamLink};

/// The limits and transports of one side of a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The session's limits.
    pub limits: Limits,
    /// The transport's limits, and those of shared memory.
    pub transport: ShmLimits,
    /// Whether to use shared memory if the peer supports it.
    pub shared_memory: bool,
    /// The socket's kind. Over packets there is no shared memory.
    pub socket: SocketKind,
    /// The timeout from the connect to the end of the handshake.
    pub handshake_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            transport: ShmLimits::default(),
            shared_memory: true,
            socket: SocketKind::Stream,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// A session over a link that carries bodies of `body_bytes_max` bytes.
    pub(crate) fn session(&self, role: Role, body_bytes_max: usize) -> Session {
        let mut limits = self.limits.clone();
        let carried = u32::try_from(body_bytes_max).unwrap_or(u32::MAX);
        limits.frame_body_bytes_max = limits.frame_body_bytes_max.min(carried);
        Session::new(role, limits, Instant::now())
    }

    pub(crate) fn hello(&self) -> Hello {
        let offers = self.shared_memory && self.socket == SocketKind::Stream;
        Hello { major: MAJOR, minor: MINOR, caps: if offers { caps::SHARED_MEMORY } else { 0 } }
    }
}

/// Why connecting failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server listens at the path, or this user may not connect.
    #[error(transparent)]
    Socket(#[from] listen::ConnectError),
    /// The handshake failed.
    #[error("the handshake at {path} failed\ncause: {source}{}", hint(source))]
    Handshake {
        /// The socket's path.
        path: PathBuf,
        /// The cause.
        source: HandshakeError,
    },
    /// The exchange of shared memory failed.
    #[error("no shared memory with {path}\ncause: {source}")]
    SharedMemory {
        /// The socket's path.
        path: PathBuf,
        /// The cause.
        source: ShmError,
    },
    /// The transport failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The system cannot watch another descriptor.
    #[error("the connection cannot be watched: {0}")]
    Watch(std::io::Error),
}

/// What to try. A closed connection has a hint of its own.
fn hint(source: &HandshakeError) -> &'static str {
    match (source, source.system()) {
        (_, Some(errno)) if is_out_of_descriptors(errno) => {
            "\nhint: raise this process's limit of open files (`ulimit -n`), or close some"
        }
        (_, Some(_)) | (HandshakeError::Link(LinkError::Closed), _) => "",
        _ => "\nhint: check that a becket server listens there",
    }
}

/// A connect in progress. See [`Client::connect`].
#[must_use = "an operation does nothing until it is awaited or waited for"]
pub struct Connecting(Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>>);

impl Connecting {
    pub(super) fn new(path: &Path, options: Options) -> Self {
        let path = path.to_owned();
        Self(Box::pin(async move { connect(&path, &options).await }))
    }

    /// Waits on a thread or in a coroutine.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub fn wait(self) -> Result<Client, ConnectError> {
        becket_coro::block_on(self)
    }
}

impl Future for Connecting {
    type Output = Result<Client, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

async fn connect(path: &Path, options: &Options) -> Result<Client, ConnectError> {
    reactor::start().map_err(ConnectError::Watch)?;
    let socket = match listen::connect(path, options.socket) {
        // A server for clients of protocol 1.0 listens there for packets, and for bytes at this
        // path.
        Err(listen::ConnectError::OtherKind { .. }) if options.socket == SocketKind::Stream => {
            listen::connect(&stream_path(path), SocketKind::Stream)?
        }
        other => other?,
    };
    let handshake_failed = |source| ConnectError::Handshake { path: path.to_owned(), source };
    let mut exchange =
        HelloExchange::new(socket, options.handshake_timeout).map_err(handshake_failed)?;
    exchange.send(options.hello()).await.map_err(handshake_failed)?;
    let hello = exchange.receive().await.map_err(handshake_failed)?;
    if hello.hello.major != MAJOR {
        return Err(handshake_failed(HandshakeError::Version(hello.hello.major)));
    }
    let both = hello.hello.caps & options.hello().caps;
    let link = if both & caps::SHARED_MEMORY != 0 {
        share(exchange, Side::Connected, options).await.map_err(|error| match error {
            ShareError::Handshake(source) => handshake_failed(source),
            ShareError::Memory(source) => {
                ConnectError::SharedMemory { path: path.to_owned(), source }
            }
        })?
    } else {
        plain(exchange, &hello.leftover, options)?
    };
    let session = options.session(Role::Client, link.body_bytes_max());
    let connection =
        Connection::start(link, session, ClientSide::default()).map_err(ConnectError::Watch)?;
    Ok(Client { connection: Owned::new(connection) })
}

/// The path at which a server that listens for packets at `path` listens for bytes.
#[must_use]
pub(crate) fn stream_path(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".stream");
    path.into()
}

/// A link over the socket itself.
pub(crate) fn plain(
    exchange: HelloExchange,
    leftover: &[u8],
    options: &Options,
) -> Result<Box<dyn Link>, LinkError> {
    let limits = options.transport.link;
    Ok(match exchange.socket.kind() {
        SocketKind::Stream => {
            Box::new(UnixStreamLink::new(exchange.into_socket(), leftover, limits)?)
        }
        SocketKind::Seqpacket => Box::new(SeqpacketLink::new(exchange.into_socket(), limits)?),
    })
}

/// Why the exchange of shared memory failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShareError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Memory(#[from] ShmError),
}

/// A link over shared memory.
pub(crate) async fn share(
    exchange: HelloExchange,
    side: Side,
    options: &Options,
) -> Result<Box<dyn Link>, ShareError> {
    let (socket, waiting) = exchange.into_parts();
    let mut handshake = Handshake::new(socket, side, options.transport)?;
    loop {
        if let Some(link) = handshake.progress()? {
            return Ok(Box::new(link));
        }
        waiting.changed().await?;
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn the_peer_is_blamed_for_its_own_faults_only() {
        let said = |source: HandshakeError| {
            ConnectError::Handshake { path: "/s".into(), source }.to_string()
        };
        let blames = |said: &str| said.contains("becket server");
        assert!(blames(&said(HandshakeError::NotAHandshake)));
        assert!(blames(&said(HandshakeError::Silent(Duration::from_secs(5)))));
        for exhausted in [
            HandshakeError::Watch(Errno::MFILE),
            HandshakeError::Link(LinkError::System(Errno::NFILE)),
        ] {
            let said = said(exhausted);
            assert!(!blames(&said) && said.contains("limit of open files"), "{said}");
        }
        let closed = said(LinkError::Closed.into());
        assert!(!blames(&closed) && closed.contains("it refused this connection"), "{closed}");
        assert!(!blames(&said(LinkError::System(Errno::NOMEM).into())));
    }
}
