// SPDX-License-Identifier: BSD-3-Clause
//! Channels of another machine: a transport over TCP and TLS, by `rustls`.
//!
//! It lives outside the core and uses public interfaces alone, so it is the template for a transport of one's own. The
//! handshake of TLS is done before there is a link ([`client`], [`server`]); then nothing blocks.
//!
//! ```text
//!   put ──► outgoing: whole frames ──flush──► TLS ──► socket
//!   sink ◄── take ── incoming: whole frames … part of one ◄── TLS ◄── socket
//! ```
//!
//! # Invariants
//!
//! 1. `outgoing` holds at most `out_bytes_max`, and frames leave it in pieces of 16 KiB, each when TLS has
//!    nothing more to write: what TLS buffers is one piece.
//! 2. The socket is read only while `incoming` has no whole frame, and all that TLS decrypts goes to `incoming` at once.
//!    So what is there beside one frame is what one read brought, and a `take` that returns 0 has emptied the socket.
//! 3. When the peer is gone, `outgoing` stays empty: what is put is counted as discarded.

#![forbid(unsafe_code)]

mod handshake;
mod incoming;

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};

use becket_ipc::transport::{
    Ancillary, Link, LinkCounters, LinkError, LinkLimits, OnReady, Peer, Watch,
};
use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use rustix::io::Errno;
use rustls::Connection;

pub use crate::handshake::{HandshakeError, client, server};
use crate::incoming::Incoming;

/// Plaintext that is given to TLS at once: what one of its records holds.
const PIECE_BYTES: usize = 16 << 10;

// ANCHOR: link
/// A link over an established connection; see the module's documentation.
pub struct TlsLink {
    socket: TcpStream,
    tls: Connection,
    decoder: Decoder,
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// What of `outgoing` was given to TLS.
    given: usize,
    limits: LinkLimits,
    peer: Peer,
    counters: LinkCounters,
    /// The socket took less than there was.
    is_blocked: bool,
    /// Nothing that is written reaches the peer any more.
    is_gone: bool,
    /// What `take` reports after the last frame.
    ended: Option<LinkError>,
    /// A frame of this side that is none.
    failed: Option<LinkError>,
}
// ANCHOR_END: link

impl TlsLink {
    /// `peer` is the user that the other side stands for, as its certificate or the program's settings say.
    fn new(socket: TcpStream, tls: Connection, limits: LinkLimits, peer: Peer) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let body_bytes_max = limits.body_bytes_max.min(u32::MAX as usize);
        let out_bytes_max = limits.out_bytes_max.max(body_bytes_max + HEAD_BYTES);
        let limits = LinkLimits { body_bytes_max, out_bytes_max, ..limits };
        let mut link = Self {
            socket,
            tls,
            decoder: Decoder::new(body_bytes_max as u32),
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            given: 0,
            limits,
            peer,
            counters: LinkCounters::default(),
            is_blocked: false,
            is_gone: false,
            ended: None,
            failed: None,
        };
        // The last packet of the handshake may have had frames behind it.
        link.decrypt();
        Ok(link)
    }

    /// Reads once. False: nothing has come since, nor the end.
    fn read(&mut self) -> bool {
        self.counters.reads += 1;
        match self.tls.read_tls(&mut self.socket) {
            // A peer that was killed says no goodbye, and its connection is over as well.
            Ok(0) => self.ended = Some(LinkError::Closed),
            Ok(_) => self.decrypt(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.ended = Some(ended(&error)),
        }
        true
    }

    fn decrypt(&mut self) {
        let Ok(state) = self.tls.process_new_packets() else {
            // The alert that says so is sent, if the socket takes it.
            let _ = self.tls.write_tls(&mut self.socket);
            self.ended = Some(LinkError::System(Errno::PROTO));
            return;
        };
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            match self.tls.reader().read(self.incoming.room(left)) {
                Ok(bytes @ 1..) => {
                    self.incoming.filled(bytes);
                    left = left.saturating_sub(bytes);
                }
                Ok(0) | Err(_) => break,
            }
        }
        if state.peer_has_closed() {
            self.ended = Some(LinkError::Closed);
        }
    }

    /// Writes what TLS has, until there is none or the socket is full. False: it is full, or the peer is gone.
    fn write(&mut self) -> bool {
        self.is_blocked = false;
        while self.tls.wants_write() && !self.is_blocked && !self.is_gone {
            self.counters.writes += 1;
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_blocked = true,
                Err(_) => self.is_gone = true,
            }
        }
        !self.is_blocked && !self.is_gone
    }

    /// Invariant 3.
    fn discard(&mut self) {
        self.counters.bytes_discarded += (self.outgoing.len() - self.given) as u64;
        self.outgoing.clear();
        self.given = 0;
    }
}

/// How a connection ends whose socket has failed.
fn ended(error: &io::Error) -> LinkError {
    match Errno::from_io_error(error) {
        // The peer was gone before it had read everything.
        Some(Errno::CONNRESET | Errno::PIPE) | None => LinkError::Closed,
        Some(errno) => LinkError::System(errno),
    }
}

impl Outlet for TlsLink {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        let bytes_max = self.limits.body_bytes_max;
        if head.length as usize != body.len() || body.len() > bytes_max {
            self.failed.get_or_insert(LinkError::OwnFrame { bytes: body.len(), bytes_max });
            return Err(Full);
        }
        let bytes = HEAD_BYTES + body.len();
        if self.is_gone {
            self.counters.bytes_discarded += bytes as u64;
            return Ok(());
        }
        if self.outgoing.len() + bytes > self.limits.out_bytes_max {
            return Err(Full);
        }
        self.outgoing.extend_from_slice(&head.encode());
        self.outgoing.extend_from_slice(body);
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
        Ok(())
    }
}

impl Link for TlsLink {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut frames = 0;
        while frames < frames_max {
            match self.incoming.pass_one(&self.decoder, sink) {
                Ok(Some(bytes)) => {
                    frames += 1;
                    self.counters.frames_in += 1;
                    self.counters.bytes_in += bytes as u64;
                }
                Ok(None) if self.ended.is_some() || !self.read() => break,
                Ok(None) => {}
                Err(error) => {
                    self.incoming = Incoming::default();
                    self.ended = Some(error);
                }
            }
        }
        match self.ended {
            Some(error) if frames == 0 && frames_max > 0 => Err(error),
            _ => Ok(frames),
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        while self.write() && self.given < self.outgoing.len() {
            let rest = self.outgoing.get(self.given..).unwrap_or_default();
            let piece = rest.get(..PIECE_BYTES).unwrap_or(rest);
            match self.tls.writer().write(piece) {
                Ok(bytes) => self.given += bytes,
                Err(_) => self.is_gone = true,
            }
        }
        if self.is_gone {
            self.discard();
        }
        // Not moved for each piece: half of it at a time.
        if self.given * 2 >= self.outgoing.len() {
            self.outgoing.drain(..self.given);
            self.given = 0;
        }
        Ok(self.outgoing.is_empty() && !self.is_blocked)
    }

    /// TCP carries none: blocks of shared memory cross as bytes.
    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match descriptors.len() {
            0 => Ok(()),
            count => Err(LinkError::TooManyDescriptors { count, count_max: 0 }),
        }
    }

    fn watch(&self) -> Watch<'_> {
        let socket = self.socket.as_fd();
        Watch::readable(socket).and_writable(self.is_blocked.then_some(socket))
    }

    fn on_ready(&mut self, _: OnReady) {}

    fn prepare_wait(&mut self) -> bool {
        self.failed.is_some() || self.ended.is_some() || self.incoming.has_frame(&self.decoder)
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        "tls"
    }

    fn body_bytes_max(&self) -> usize {
        self.limits.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn close(&mut self) {
        if !self.is_gone {
            self.tls.send_close_notify();
            self.write();
            self.is_gone = true;
        }
        self.ended.get_or_insert(LinkError::Closed);
        // What the peer has sent and no call reads would reset the connection, and with it what the peer has not read yet.
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut unread = [0; 4096];
        while matches!(self.socket.read(&mut unread), Ok(1..)) {}
    }
}

impl Drop for TlsLink {
    fn drop(&mut self) {
        self.close();
    }
}
