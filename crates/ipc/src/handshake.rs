// SPDX-License-Identifier: BSD-3-Clause
//! The handshake, one frame each way: which protocol is spoken, and over which transport.
//!
//! ```text
//!   client                                     server
//!     │── HELLO {major, minor, caps} ───────────►│   a frame of protocol 1.0, whatever follows
//!     │◄────────── HELLO {major, minor, caps} ───│   the lower major; the caps of both sides
//!     │                                          │
//!     │   major 1: protocol 1.0 from here on     │
//!     │   major 2: frames of protocol 2, over shared memory if both sides support it
//! ```

use std::time::{Duration, Instant};

use becket_chan::timer;
use becket_wire::v1::{Command, HEADER_BYTES, Header, Hello, Packets, ReqId, req_id};
use futures_lite::future::or;
use rustix::io::Errno;

use crate::reactor::Account;
use crate::task::Readiness;
use crate::transport::{LinkError, Socket, SocketKind};

/// The major version of the protocol that this crate implements.
pub(crate) const MAJOR: u32 = 2;
/// Its minor version.
pub(crate) const MINOR: u32 = 0;

/// The maximum payload of a handshake frame, in bytes.
const PAYLOAD_BYTES_MAX: u32 = 512;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer is gone, or its bytes cannot be decoded.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The first frame is not a handshake.
    #[error("the peer's first frame is not a handshake")]
    NotAHandshake,
    /// The peer supports only this version.
    #[error("the peer supports protocol {0}, expected {MAJOR}")]
    Version(u32),
    /// The peer sent nothing before the timeout.
    #[error("the peer sent no handshake within {0:?}")]
    Silent(Duration),
    /// The system cannot watch another descriptor.
    #[error("the socket cannot be watched: {0}")]
    Watch(Errno),
}

impl HandshakeError {
    /// The error of the system on this side, if it is one.
    pub(crate) fn system(&self) -> Option<Errno> {
        match self {
            Self::Watch(errno) | Self::Link(LinkError::System(errno)) => Some(*errno),
            _ => None,
        }
    }
}

/// Whether this process, or the system, has no descriptor left: no peer's fault.
pub(crate) fn is_out_of_descriptors(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE)
}

/// A handshake frame that was received.
#[derive(Debug)]
pub(crate) struct PeerHello {
    pub(crate) hello: Hello,
    /// The client's request id, which the answer repeats.
    pub(crate) req_id: Option<ReqId>,
    /// Bytes that were received after it.
    pub(crate) leftover: Vec<u8>,
    /// How it was split into packets.
    pub(crate) packets: Packets,
}

/// A socket during its handshake.
pub(crate) struct HelloExchange {
    pub(crate) socket: Socket,
    waiting: Waiting,
}

/// Waits for changes of a socket, up to a deadline.
pub(crate) struct Waiting {
    readiness: Readiness,
    until: Instant,
    timeout: Duration,
}

impl HelloExchange {
    pub(crate) fn new(socket: Socket, timeout: Duration) -> Result<Self, HandshakeError> {
        let account = Account::of_process(socket.peer().pid);
        let readiness = Readiness::of(account, &socket).map_err(|error| {
            HandshakeError::Watch(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        let waiting = Waiting { readiness, until: timer::after(timeout), timeout };
        Ok(Self { socket, waiting })
    }

    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    pub(crate) fn into_parts(self) -> (Socket, Waiting) {
        (self.socket, self.waiting)
    }

    /// Sends a handshake frame.
    pub(crate) async fn send(&mut self, hello: Hello) -> Result<(), HandshakeError> {
        let mut frame = Vec::new();
        hello.encode(&mut frame).map_err(|_| HandshakeError::NotAHandshake)?;
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match self.socket.write_handshake(rest)? {
                Some(written) => rest = rest.get(written..).unwrap_or_default(),
                None => self.waiting.changed().await?,
            }
        }
        Ok(())
    }

    /// Whether the first packet is a complete handshake of protocol 2. Anything else, also an
    /// invalid packet, is left to protocol 1.0 to answer: the packet stays in the socket.
    pub(crate) async fn is_protocol_2(&mut self) -> Result<bool, HandshakeError> {
        let mut buffer = [0; HEADER_BYTES + PAYLOAD_BYTES_MAX as usize];
        let bytes = loop {
            match self.socket.peek_handshake(&mut buffer)? {
                Some(bytes) => break bytes,
                None => self.waiting.changed().await?,
            }
        };
        let packet = buffer.get(..bytes).unwrap_or_default();
        let Some((head, payload)) = packet.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(false);
        };
        let header = Header::decode(*head);
        Ok(header.command == Command::Hello.number()
            && header.length as usize == payload.len()
            && Hello::decode(payload).is_ok_and(|hello| hello.major >= MAJOR))
    }

    /// Receives a handshake frame: from bytes the frame and what follows, from packets one or two.
    pub(crate) async fn receive(&mut self) -> Result<PeerHello, HandshakeError> {
        let mut received = Vec::new();
        let mut packets = 0;
        loop {
            let mut buffer = [0; HEADER_BYTES + PAYLOAD_BYTES_MAX as usize];
            let Some(read) = self.socket.read_handshake(&mut buffer)? else {
                self.waiting.changed().await?;
                continue;
            };
            packets += 1;
            received.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let Some((head, rest)) = received.split_first_chunk::<HEADER_BYTES>() else { continue };
            let header = Header::decode(*head);
            if header.command != Command::Hello.number() || header.length > PAYLOAD_BYTES_MAX {
                return Err(HandshakeError::NotAHandshake);
            }
            let Some((payload, leftover)) = rest.split_at_checked(header.length as usize) else {
                continue;
            };
            let hello = Hello::decode(payload).map_err(|_| HandshakeError::NotAHandshake)?;
            let leftover = leftover.to_vec();
            if self.socket.kind() == SocketKind::Seqpacket && !leftover.is_empty() {
                return Err(HandshakeError::NotAHandshake);
            }
            let packets = if packets > 1 { Packets::Two } else { Packets::One };
            return Ok(PeerHello { hello, req_id: req_id(payload), leftover, packets });
        }
    }
}

impl Waiting {
    /// Waits until the socket's readiness changes, or the deadline passes.
    pub(crate) async fn changed(&self) -> Result<(), HandshakeError> {
        let changed = async {
            self.readiness.changed().await;
            Ok(())
        };
        let late = async {
            timer::sleep_until(self.until).await;
            Err(HandshakeError::Silent(self.timeout))
        };
        or(changed, late).await
    }
}
