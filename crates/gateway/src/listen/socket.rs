// SPDX-License-Identifier: BSD-3-Clause
//! A listening socket, and what it accepts, whatever its kind.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::SocketFile;
use crate::config::ListenAt;

/// A listening socket that another process has opened: [`Builder::passed`](crate::Builder::passed).
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenSocket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix socket. Its file belongs to the process that has opened it.
    Unix(std::os::unix::net::UnixListener),
}

impl TryFrom<OwnedFd> for ListenSocket {
    type Error = io::Error;

    fn try_from(socket: OwnedFd) -> io::Result<Self> {
        use rustix::net::AddressFamily;
        match rustix::net::sockopt::socket_domain(&socket)? {
            AddressFamily::INET | AddressFamily::INET6 => Ok(Self::Tcp(socket.into())),
            AddressFamily::UNIX => Ok(Self::Unix(socket.into())),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither TCP nor Unix")),
        }
    }
}

impl ListenSocket {
    /// What accepts by it, and where it is; `None`: it has no path.
    pub(super) fn into_acceptor(
        self,
        file: Option<SocketFile>,
    ) -> io::Result<(Acceptor, Option<ListenAt>)> {
        match self {
            Self::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                let at = ListenAt::Tcp(socket.local_addr()?);
                Ok((Acceptor::tcp(TcpListener::from_std(socket)?), Some(at)))
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                let path = socket.local_addr()?.as_pathname().map(ToOwned::to_owned);
                let acceptor = Acceptor::unix(UnixListener::from_std(socket)?, file);
                Ok((acceptor, path.map(ListenAt::Unix)))
            }
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp {
        socket: TcpListener,
        handed_over: AtomicBool,
    },
    Unix {
        /// Removed before the socket is closed: while it listens, no other process replaces the file.
        file: Option<SocketFile>,
        socket: UnixListener,
        handed_over: AtomicBool,
    },
}

/// A connection as it was accepted.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Acceptor {
    pub(super) fn tcp(socket: TcpListener) -> Self {
        Self::Tcp { socket, handed_over: AtomicBool::new(false) }
    }

    pub(super) fn unix(socket: UnixListener, file: Option<SocketFile>) -> Self {
        Self::Unix { file, socket, handed_over: AtomicBool::new(false) }
    }

    /// The next connection, and its client's address: a client at a Unix socket has none.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, Option<IpAddr>)>> {
        Poll::Ready(match self {
            Self::Tcp { socket, .. } => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = ready!(socket.poll_accept(cx))?;
                Ok((Stream::Unix(stream), None))
            }
        })
    }

    /// The socket once more, for another process.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp { socket, .. } => socket.as_fd().try_clone_to_owned(),
            Self::Unix { socket, .. } => socket.as_fd().try_clone_to_owned(),
        }
    }

    /// The file is this process's from now on.
    pub(super) fn claim(&self) -> io::Result<()> {
        match self {
            Self::Unix { file: Some(file), .. } => file.claim(),
            Self::Tcp { .. } | Self::Unix { file: None, .. } => Ok(()),
        }
    }

    /// Another process has it, and the file.
    pub(super) fn hand_over(&self) {
        match self {
            Self::Tcp { handed_over, .. } => handed_over.store(true, Ordering::Release),
            Self::Unix { file, handed_over, .. } => {
                file.iter().for_each(SocketFile::keep);
                handed_over.store(true, Ordering::Release);
            }
        }
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        match self {
            Self::Tcp { handed_over, .. } | Self::Unix { handed_over, .. } => {
                handed_over.load(Ordering::Acquire)
            }
        }
    }

    /// No client finds it any more: the file of a Unix socket is removed.
    pub(super) fn hide(&self) {
        if let Self::Unix { file: Some(file), .. } = self {
            file.remove();
        }
    }
}

impl Stream {
    /// Writes `answer` without waiting. What the client already sent is read first: closing a socket
    /// with unread bytes resets the connection, and the client may lose the answer.
    pub(crate) fn refuse(&self, answer: &[u8]) {
        let mut sent = [0; 4096];
        match self {
            Self::Tcp(socket) => {
                let _ = socket.try_read(&mut sent);
                let _ = socket.try_write(answer);
            }
            Self::Unix(socket) => {
                let _ = socket.try_read(&mut sent);
                let _ = socket.try_write(answer);
            }
        }
    }
}
