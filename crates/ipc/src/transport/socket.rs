// SPDX-License-Identifier: BSD-3-Clause
//! A connected Unix socket before it is a link: handshake frames are read from and written to it
//! directly.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType};

use super::error::LinkError;
use super::listen::Permit;
use super::peer::Peer;
use super::rights::{self, Received};

/// The kind of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Bytes.
    Stream,
    /// Packets.
    Seqpacket,
}

impl SocketKind {
    pub(crate) const fn socket_type(self) -> SocketType {
        match self {
            Self::Stream => SocketType::STREAM,
            Self::Seqpacket => SocketType::SEQPACKET,
        }
    }
}

/// A connected, non-blocking Unix socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    kind: SocketKind,
    peer: Peer,
    /// Its permit among the connections of a listener, released when the socket is dropped.
    _permit: Option<Permit>,
}

impl Socket {
    /// Takes over a connected Unix socket, inherited or created elsewhere.
    ///
    /// Anything else is refused as [`LinkError::System`].
    pub fn adopt(fd: OwnedFd) -> Result<Self, LinkError> {
        Self::of(fd, None).map_err(LinkError::System)
    }

    pub(crate) fn of(fd: OwnedFd, permit: Option<Permit>) -> Result<Self, Errno> {
        if rustix::net::sockopt::socket_domain(&fd)? != AddressFamily::UNIX {
            return Err(Errno::AFNOSUPPORT);
        }
        let kind = match rustix::net::sockopt::socket_type(&fd)? {
            SocketType::STREAM => SocketKind::Stream,
            SocketType::SEQPACKET => SocketKind::Seqpacket,
            _ => return Err(Errno::PROTOTYPE),
        };
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        if !flags.contains(OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        }
        let peer = Peer::of(&fd)?;
        Ok(Self { fd, kind, peer, _permit: permit })
    }

    /// Two sockets, connected to each other. The kernel names this process as both peers.
    pub fn pair(kind: SocketKind) -> Result<(Self, Self), LinkError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, kind.socket_type(), flags, None)
                .map_err(LinkError::System)?;
        Ok((Self::adopt(one)?, Self::adopt(other)?))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// The process at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Reads bytes that have arrived, or one packet. `Ok(None)`: nothing yet. Ancillary descriptors
    /// are closed. A packet longer than the buffer is an error ([`LinkError::NotOneFrame`]).
    pub fn read_handshake(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError> {
        let buffer_bytes = buffer.len();
        match self.receive(buffer, &mut Vec::new(), 0, &mut 0)? {
            Some(got) if got.truncated => {
                Err(LinkError::NotOneFrame { packet_bytes: got.bytes, frame_bytes: buffer_bytes })
            }
            got => Ok(got.map(|got| got.bytes)),
        }
    }

    /// Receives bytes or one packet, at least one byte; ancillary descriptors are appended, at most
    /// up to `descriptors_max`. `Ok(None)`: there is nothing yet. Counts its system calls.
    ///
    /// With packets, the kernel's first report of the end is not final. The kernel looks for a
    /// packet, then checks whether the peer is gone: of a peer that sent and disconnected in
    /// between, the end is reported before its packet. And `ECONNRESET`, of a peer that
    /// disconnected with unread data, is reported before the packets that it had sent. Once the end
    /// was reported all packets are in the socket, so the second report is final. Between the two
    /// there can be nothing, unless the first one was an empty packet.
    pub(crate) fn receive(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        descriptors_max: usize,
        reads: &mut u64,
    ) -> Result<Option<Received>, LinkError> {
        let mut was_reported = self.kind == SocketKind::Stream;
        loop {
            *reads += 1;
            match retry(|| rights::receive(&self.fd, buffer, descriptors, descriptors_max)) {
                Ok(got) if got.bytes > 0 => return Ok(Some(got)),
                Ok(_) | Err(Errno::CONNRESET | Errno::NOTCONN) if was_reported => {
                    return Err(LinkError::Closed);
                }
                Ok(_) | Err(Errno::CONNRESET | Errno::NOTCONN) => was_reported = true,
                Err(Errno::AGAIN) if was_reported && self.kind == SocketKind::Seqpacket => {
                    return Err(LinkError::NotOneFrame {
                        packet_bytes: 0,
                        frame_bytes: becket_wire::HEAD_BYTES,
                    });
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(LinkError::System(errno)),
            }
        }
    }

    /// As [`read_handshake`](Self::read_handshake), but leaves the bytes in the socket. A packet
    /// longer than the buffer is truncated; an end reads as no bytes.
    pub fn peek_handshake(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, LinkError> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match retry(|| rustix::net::recv(&self.fd, &mut *buffer, flags)) {
            Ok((bytes, _)) => Ok(Some(bytes)),
            Err(Errno::AGAIN) => Ok(None),
            Err(Errno::CONNRESET) => Err(LinkError::Closed),
            Err(errno) => Err(LinkError::System(errno)),
        }
    }

    /// Writes the bytes, or a prefix of them, or one whole packet. `Ok(None)`: no room.
    pub fn write_handshake(&mut self, bytes: &[u8]) -> Result<Option<usize>, LinkError> {
        match retry(|| rights::send(&self.fd, &[IoSlice::new(bytes)], &[])) {
            Ok(sent) => Ok(Some(sent)),
            Err(Errno::AGAIN) => Ok(None),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(LinkError::Closed),
            Err(errno) => Err(LinkError::System(errno)),
        }
    }

    /// Shuts down both directions. The peer still reads what was written.
    pub(crate) fn shut(&self) {
        // Fails if the peer is gone already, and then there is nothing to shut down.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Both);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Repeats a call that a signal has interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
