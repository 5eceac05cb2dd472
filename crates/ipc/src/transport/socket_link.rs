// SPDX-License-Identifier: BSD-3-Clause
//! A link over a connected Unix socket of either kind: its backlog, its limits, and how it ends.
//! The encoding of frames in the socket is its [`Framing`]'s.
//!
//! # Invariants
//!
//! 1. The backlog holds at most `out_bytes_max` bytes, and any single frame fits into an empty one.
//! 2. Once the peer is gone there is no backlog: frames that are put are counted and discarded.
//!    What the peer sent before it disconnected can still be read; `take` then reports the end.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use rustix::io::Errno;

use super::backlog::Backlog;
use super::counters::LinkCounters;
use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::{Ancillary, Link, OnReady, Watch};
use super::peer::Peer;
use super::socket::Socket;

/// How frames lie in a socket.
pub trait Framing: fmt::Debug + Send {
    /// The transport's name.
    const NAME: &'static str;

    /// Passes frames that have arrived to `sink`, and returns their number. An error is left in
    /// `base`.
    fn take(
        &mut self,
        base: &mut Base,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> usize;

    /// There are frames to take, without the socket becoming readable.
    fn has_more(&self, base: &Base) -> bool;

    /// Takes a frame that fits into the backlog, with the base's descriptors.
    fn put(&mut self, base: &mut Base, head: &[u8; HEAD_BYTES], body: &[u8]) -> Result<(), Full>;

    /// Writes as much of the backlog as one system call can.
    fn write(&mut self, base: &mut Base) -> Result<(), Errno>;

    /// Discards its state of the backlog.
    fn discard(&mut self);
}

/// The part of a link that is independent of its framing.
#[derive(Debug)]
pub struct Base {
    pub(super) socket: Socket,
    pub(super) limits: LinkLimits,
    pub(super) decoder: Decoder,
    pub(super) backlog: Backlog,
    /// Ancillary data of the next frame.
    pub(super) descriptors: Vec<OwnedFd>,
    /// The socket has no room.
    pub(super) blocked: bool,
    pub(super) failed: Option<LinkError>,
    pub(super) counters: LinkCounters,
    gone: bool,
}

impl Base {
    /// An error of this side, not of the peer.
    fn own_error(&self) -> Option<LinkError> {
        self.failed.filter(|error| *error != LinkError::Closed)
    }
}

/// A link over a Unix socket; see the module's documentation.
#[derive(Debug)]
pub struct SocketLink<F> {
    pub(super) base: Base,
    pub(super) framing: F,
}

impl<F: Framing> SocketLink<F> {
    pub(super) fn over(socket: Socket, limits: LinkLimits, framing: F) -> Self {
        let base = Base {
            socket,
            limits,
            decoder: limits.decoder(),
            backlog: Backlog::default(),
            descriptors: Vec::new(),
            blocked: false,
            failed: None,
            counters: LinkCounters::default(),
            gone: false,
        };
        Self { base, framing }
    }

    /// Writes once. `false`: no more can be written now.
    fn write(&mut self) -> bool {
        self.base.counters.writes += 1;
        match self.framing.write(&mut self.base) {
            Ok(()) => {
                self.base.blocked = false;
                return true;
            }
            Err(Errno::AGAIN) => self.base.blocked = true,
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => self.discard(),
            Err(errno) => {
                self.base.failed.get_or_insert(LinkError::System(errno));
            }
        }
        false
    }

    fn discard(&mut self) {
        self.framing.discard();
        let base = &mut self.base;
        base.counters.bytes_discarded += base.backlog.len() as u64;
        base.backlog = Backlog::default();
        base.descriptors.clear();
        base.blocked = false;
        base.gone = true;
    }
}

impl<F: Framing> Outlet for SocketLink<F> {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        let base = &mut self.base;
        let bytes_max = base.limits.body_bytes_max;
        if head.length as usize != body.len() || body.len() > bytes_max {
            base.failed.get_or_insert(LinkError::OwnFrame { bytes: body.len(), bytes_max });
            return Err(Full);
        }
        let bytes = HEAD_BYTES + body.len();
        if base.gone {
            base.descriptors.clear();
            base.counters.bytes_discarded += bytes as u64;
            return Ok(());
        }
        if base.backlog.len() + bytes > base.limits.out_bytes_max {
            return Err(Full);
        }
        self.framing.put(base, &head.encode(), body)?;
        base.counters.frames_out += 1;
        base.counters.bytes_out += bytes as u64;
        Ok(())
    }
}

impl<F: Framing> Link for SocketLink<F> {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        let frames = match self.base.failed {
            None => self.framing.take(&mut self.base, frames_max, sink),
            Some(_) => 0,
        };
        match self.base.failed {
            Some(error) if frames == 0 && frames_max > 0 => Err(error),
            // Frames before an error were passed on: the next call reports the error.
            _ => Ok(frames),
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        while self.base.own_error().is_none() && !self.base.backlog.is_empty() {
            if !self.write() {
                break;
            }
        }
        self.base.own_error().map_or(Ok(self.base.backlog.is_empty()), Err)
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        let (count, count_max) = (descriptors.len(), self.base.limits.descriptors_max);
        if count > count_max {
            return Err(LinkError::TooManyDescriptors { count, count_max });
        }
        self.base.descriptors = descriptors;
        Ok(())
    }

    fn watch(&self) -> Watch<'_> {
        let socket = self.base.socket.as_fd();
        Watch::readable(socket).and_writable(self.base.blocked.then_some(socket))
    }

    fn on_ready(&mut self, _: OnReady) {}

    fn prepare_wait(&mut self) -> bool {
        self.base.failed.is_some() || self.framing.has_more(&self.base)
    }

    fn peer(&self) -> &Peer {
        self.base.socket.peer()
    }

    fn name(&self) -> &'static str {
        F::NAME
    }

    fn body_bytes_max(&self) -> usize {
        self.base.limits.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        self.base.counters
    }

    fn close(&mut self) {
        self.base.failed.get_or_insert(LinkError::Closed);
        self.discard();
        self.base.socket.shut();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_wire::Kind;

    use super::super::{SeqpacketLink, SocketKind, UnixStreamLink};
    use super::*;

    const LIMITS: LinkLimits = LinkLimits {
        body_bytes_max: 1 << 12,
        out_bytes_max: 1 << 16,
        read_bytes: 4096,
        descriptors_max: 1,
    };
    const BODY: [u8; 1000] = [7; 1000];
    const HEAD: Head = Head { length: 1000, ..Head::new(Kind::Data) };

    /// A link of each kind, and the socket at its other end.
    fn links() -> [(Socket, Box<dyn Link>); 2] {
        let (peer, socket) = Socket::pair(SocketKind::Stream).unwrap();
        let stream = UnixStreamLink::new(socket, &[], LIMITS).unwrap();
        let (other, socket) = Socket::pair(SocketKind::Seqpacket).unwrap();
        let packets = SeqpacketLink::new(socket, LIMITS).unwrap();
        [(peer, Box::new(stream)), (other, Box::new(packets))]
    }

    #[test]
    fn waiting_bytes_are_bounded_exactly() {
        for (_peer, mut link) in links() {
            let mut frames = 0;
            while link.put(&HEAD, &BODY).is_ok() {
                frames += 1;
            }
            assert_eq!(frames, LIMITS.out_bytes_max / (HEAD_BYTES + BODY.len()));
            assert_eq!(link.counters().frames_out, frames as u64);
        }
    }

    #[test]
    fn a_frame_for_a_peer_that_is_gone_is_never_refused() {
        for (peer, mut link) in links() {
            drop(peer);
            link.put(&HEAD, &BODY).unwrap();
            assert_eq!(link.flush(), Ok(true));
            let writes = link.counters().writes;
            for _ in 0..10 * LIMITS.out_bytes_max / BODY.len() {
                link.put(&HEAD, &BODY).unwrap();
            }
            assert_eq!(link.flush(), Ok(true));
            assert_eq!(link.counters().writes, writes);
            assert_eq!(link.take(1, &mut |_, _| {}), Err(LinkError::Closed));
        }
    }
}
