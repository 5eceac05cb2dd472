// SPDX-License-Identifier: BSD-3-Clause
//! How two sides exchange their segments, over the socket of the connection's handshake.
//!
//! ```text
//!   the connecting side                          the accepting side
//!        │ offer + descriptor of its segment ──────►│ checks, maps
//!        │◄────── offer + descriptor of its segment │
//!        │ checks, maps                             │
//! ```
//!
//! An offer is 16 bytes: magic, version, and the maximum body that its sender accepts. The
//! connecting side sends first, because it alone can tell that the peer has read the whole
//! handshake: an offer that is read together with the handshake's last bytes would lose its
//! descriptor.
//!
//! 1. Nothing blocks: [`progress`](Handshake::progress) does what is possible, `watch` returns what
//!    to wait for. The caller bounds the time.
//! 2. Exactly the offer's bytes are read; what follows belongs to the link.
//! 3. One descriptor is accepted. Others are closed.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::endpoint::{Endpoint, EndpointLimits};
use super::error::ShmError;
use super::link::ShmLink;
use super::segment::{OwnSegment, PeerSegment};
use super::spin::SpinLimits;
use super::validate::{Geometry, Violation};
use crate::transport::rights;
use crate::transport::{LinkError, LinkLimits, Socket, SocketKind, Watch};

const OFFER_BYTES: usize = 16;
/// "becketof", little-endian.
const MAGIC: u64 = 0x666f_7465_6b63_6562;
const VERSION: u32 = 1;

/// The limits of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShmLimits {
    /// Those of every link. This side's segment is created for bodies of `body_bytes_max`.
    pub link: LinkLimits,
    /// The maximum size of the peer's segment. All its pages are mapped.
    pub segment_bytes_max: usize,
    /// How long to spin before sleeping.
    pub spin: SpinLimits,
}

/// Which side sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It connected, and has read the peer's handshake.
    Connected,
    /// It accepted.
    Accepted,
}

/// The exchange of segments. Dropping it ends the connection.
#[derive(Debug)]
pub struct Handshake {
    /// `None`: the exchange is over.
    parts: Option<(Socket, OwnSegment, OwnedFd)>,
    limits: ShmLimits,
    side: Side,
    offered: bool,
    offer: [u8; OFFER_BYTES],
    came_bytes: usize,
    descriptors: Vec<OwnedFd>,
    peer: Option<(PeerSegment, u32)>,
}

impl Default for ShmLimits {
    /// A link's defaults, and peers' segments of up to 8 MiB.
    fn default() -> Self {
        let (link, spin) = (LinkLimits::default(), SpinLimits::default());
        Self { link, segment_bytes_max: 8 << 20, spin }
    }
}

impl Handshake {
    /// Creates this side's segment. The socket is a stream with no bytes in flight.
    ///
    /// # Errors
    /// [`ShmError::Geometry`]: bodies too long for shared memory (64 MiB). [`ShmError::Io`]: out of
    /// descriptors or memory.
    pub fn new(socket: Socket, side: Side, limits: ShmLimits) -> Result<Self, ShmError> {
        if socket.kind() != SocketKind::Stream {
            let doing = "share memory over a socket of packets";
            return Err(ShmError::Io { doing, source: Errno::PROTOTYPE });
        }
        let (own, file) =
            OwnSegment::create(Geometry::for_bodies(bytes(limits.link.body_bytes_max))?)?;
        let (offer, descriptors) = ([0; OFFER_BYTES], Vec::new());
        let (offered, came_bytes, peer) = (false, 0, None);
        let parts = Some((socket, own, file));
        Ok(Self { parts, limits, side, offered, offer, came_bytes, descriptors, peer })
    }

    /// The descriptor to wait for.
    #[must_use]
    pub fn watch(&self) -> Watch<'_> {
        let Some((socket, ..)) = &self.parts else { return Watch::nothing() };
        let socket = socket.as_fd();
        Watch::readable(socket).and_writable((!self.offered && self.may_offer()).then_some(socket))
    }

    /// Does what is possible without waiting. `None`: wait for what [`watch`](Self::watch) returns.
    ///
    /// # Errors
    /// The peer is gone, or its offer is invalid. The connection is over, and every later call
    /// returns [`ShmError::Closed`].
    pub fn progress(&mut self) -> Result<Option<ShmLink>, ShmError> {
        let Some((socket, own, file)) = self.parts.take() else { return Err(ShmError::Closed) };
        self.send_offer(&socket, &file)?;
        self.receive_offer(&socket)?;
        self.send_offer(&socket, &file)?;
        match self.peer.take() {
            Some((peer, body_bytes_max)) if self.offered => {
                let link = self.limits.link;
                let limits = EndpointLimits {
                    body_bytes_max: bytes(link.body_bytes_max),
                    spin: self.limits.spin,
                };
                let endpoint = Endpoint::new(own, peer, limits);
                Ok(Some(ShmLink::new(socket, endpoint, link, body_bytes_max)))
            }
            peer => {
                self.peer = peer;
                self.parts = Some((socket, own, file));
                Ok(None)
            }
        }
    }

    fn may_offer(&self) -> bool {
        self.side == Side::Connected || self.peer.is_some()
    }

    fn send_offer(&mut self, socket: &Socket, file: &OwnedFd) -> Result<(), ShmError> {
        if self.offered || !self.may_offer() {
            return Ok(());
        }
        let offer = encode(bytes(self.limits.link.body_bytes_max));
        match rights::send(socket, &[IoSlice::new(&offer)], std::slice::from_ref(file)) {
            Ok(OFFER_BYTES) => {
                self.offered = true;
                Ok(())
            }
            // A stream accepts 16 bytes whole or not at all.
            Ok(_) => Err(ShmError::Closed),
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ShmError::Closed),
            Err(source) => Err(ShmError::Io { doing: "offer a shared segment", source }),
        }
    }

    fn receive_offer(&mut self, socket: &Socket) -> Result<(), ShmError> {
        while self.peer.is_none() {
            let Some(rest) = self.offer.get_mut(self.came_bytes..) else { break };
            match rights::receive(socket, rest, &mut self.descriptors, 1) {
                Ok(got) if got.cut => return Err(descriptors(2).into()),
                Ok(got) if got.bytes == 0 => return Err(ShmError::Closed),
                Ok(got) => self.came_bytes += got.bytes,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNRESET) => return Err(ShmError::Closed),
                Err(source) => {
                    return Err(ShmError::Io { doing: "receive a shared segment", source });
                }
            }
            if self.came_bytes == OFFER_BYTES {
                let body_bytes_max = decode(&self.offer)?;
                let file = self.descriptors.pop().ok_or_else(|| descriptors(0))?;
                let peer = PeerSegment::open(file.as_fd(), self.limits.segment_bytes_max)?;
                self.peer = Some((peer, body_bytes_max));
            }
        }
        Ok(())
    }
}

impl From<ShmError> for LinkError {
    fn from(error: ShmError) -> Self {
        match error {
            ShmError::PeerViolation { what } => what.into(),
            ShmError::Closed => Self::Closed,
            ShmError::Geometry(_) => Self::System(Errno::INVAL),
            ShmError::Io { source, .. } => Self::System(source),
        }
    }
}

impl From<Violation> for LinkError {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Head(error) => Self::Garbled(error),
            Violation::Length { bytes, bytes_max } => {
                Self::BodyTooLong { bytes: bytes as usize, bytes_max: bytes_max as usize }
            }
            violation => Self::SharedMemory(violation),
        }
    }
}

fn encode(body_bytes_max: u32) -> [u8; OFFER_BYTES] {
    let second = u64::from(VERSION) | u64::from(body_bytes_max) << 32;
    let mut offer = [0; OFFER_BYTES];
    let (words, _) = offer.as_chunks_mut::<8>();
    for (place, word) in words.iter_mut().zip([MAGIC, second]) {
        *place = word.to_le_bytes();
    }
    offer
}

/// The maximum body that the peer accepts.
fn decode(offer: &[u8; OFFER_BYTES]) -> Result<u32, Violation> {
    let mut decoded = [0; 2];
    let (words, _) = offer.as_chunks::<8>();
    for (word, bytes) in decoded.iter_mut().zip(words) {
        *word = u64::from_le_bytes(*bytes);
    }
    let [magic, second] = decoded;
    if magic != MAGIC || second as u32 != VERSION {
        return Err(Violation::Offer);
    }
    Ok((second >> 32) as u32)
}

/// A limit, at most as large as a head can state.
fn bytes(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

fn descriptors(came: usize) -> Violation {
    Violation::Descriptors { came, expected: 1 }
}
