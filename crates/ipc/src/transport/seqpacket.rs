// SPDX-License-Identifier: BSD-3-Clause
//! Frames over a Unix socket of packets: one frame a packet, a body of at most 64 KiB.
//!
//! Up to 16 packets leave with one system call (`sendmmsg`); each is read by one of its own, into the
//! same buffer.
//!
//! # Invariants
//!
//! 1. A packet is one whole frame. Anything else ends the link.
//! 2. The outbox holds at most `out_bytes_max` bytes that wait, and any one frame finds room in an
//!    empty one.
//! 3. Descriptors leave with the packet of their frame, so they arrive with it.

use std::array;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer};

use super::counters::LinkCounters;
use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::{Beside, Link, OnReady, Watch};
use super::peer::Peer;
use super::rights;
use super::socket::{Socket, SocketKind, retry};

/// The longest body in a packet.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Packets that leave with one system call, at most.
const BATCH_MAX: usize = 16;

/// Frames over a Unix seqpacket socket; see this file's first lines.
#[derive(Debug)]
pub struct SeqpacketLink {
    socket: Socket,
    limits: LinkLimits,
    decoder: Decoder,
    inbox: Vec<u8>,
    outbox: Outbox,
    failed: Option<LinkError>,
    counters: LinkCounters,
}

impl SeqpacketLink {
    /// A link over this socket. A body is 64 KiB long at most, whatever the limits say.
    ///
    /// A socket of bytes is refused.
    pub fn new(socket: Socket, limits: LinkLimits) -> Result<Self, LinkError> {
        if socket.kind() != SocketKind::Seqpacket {
            return Err(LinkError::System(Errno::PROTOTYPE));
        }
        let body_bytes_max = limits.body_bytes_max.min(BODY_BYTES_MAX);
        let limits = LinkLimits { body_bytes_max, ..limits }.fitted();
        Ok(Self {
            socket,
            limits,
            decoder: limits.decoder(),
            inbox: vec![0; HEAD_BYTES + body_bytes_max],
            outbox: Outbox::default(),
            failed: None,
            counters: LinkCounters::default(),
        })
    }
}

impl Outlet for SeqpacketLink {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        let bytes_max = self.limits.body_bytes_max;
        if head.length as usize != body.len() || body.len() > bytes_max {
            self.failed.get_or_insert(LinkError::OwnFrame { bytes: body.len(), bytes_max });
            return Err(Full);
        }
        let bytes = HEAD_BYTES + body.len();
        if self.outbox.gone {
            self.outbox.descriptors.clear();
            self.counters.bytes_discarded += bytes as u64;
            return Ok(());
        }
        if self.outbox.waiting() + bytes > self.limits.out_bytes_max {
            return Err(Full);
        }
        self.outbox.append(&head.encode(), body);
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
        Ok(())
    }
}

impl Link for SeqpacketLink {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Beside<'_>),
    ) -> Result<usize, LinkError> {
        let mut frames = 0;
        while frames < frames_max {
            let given = match self.failed {
                None => self.give(sink),
                Some(error) => Err(error),
            };
            match given {
                Ok(true) => frames += 1,
                Ok(false) => break,
                Err(error) => {
                    self.failed = Some(error);
                    // What came before the error has been given on: the error is told next time.
                    return if frames > 0 { Ok(frames) } else { Err(error) };
                }
            }
        }
        Ok(frames)
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        while self.own_error().is_none() && !self.outbox.packets.is_empty() {
            if !self.write() {
                break;
            }
        }
        self.own_error().map_or(Ok(self.outbox.packets.is_empty()), Err)
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        let (count, count_max) = (descriptors.len(), self.limits.descriptors_max);
        if count > count_max {
            return Err(LinkError::TooManyDescriptors { count, count_max });
        }
        self.outbox.descriptors = descriptors;
        Ok(())
    }

    fn watch(&self) -> Watch<'_> {
        let socket = self.socket.as_fd();
        Watch::readable(socket).and_writable(self.outbox.blocked.then_some(socket))
    }

    fn on_ready(&mut self, _: OnReady) {}

    fn prepare_wait(&mut self) -> bool {
        self.failed.is_some()
    }

    fn peer(&self) -> &Peer {
        self.socket.peer()
    }

    fn name(&self) -> &'static str {
        "unix-seqpacket"
    }

    fn body_bytes_max(&self) -> usize {
        self.limits.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn close(&mut self) {
        self.failed.get_or_insert(LinkError::Closed);
        self.outbox.discard(&mut self.counters);
        self.socket.shut();
    }
}

impl SeqpacketLink {
    /// Gives the next packet's frame on, if one has come.
    fn give(&mut self, sink: &mut dyn FnMut(Frame<'_>, Beside<'_>)) -> Result<bool, LinkError> {
        let mut descriptors = Vec::new();
        let descriptors_max = self.limits.descriptors_max;
        let (inbox, reads) = (&mut self.inbox, &mut self.counters.reads);
        let got = self.socket.receive(inbox, &mut descriptors, descriptors_max, reads)?;
        let Some(got) = got else { return Ok(false) };
        self.counters.descriptors_cut += u64::from(got.cut);
        self.counters.descriptors_in += descriptors.len() as u64;
        let packet = self.inbox.get(..got.bytes).unwrap_or_default();
        let given = match self.decoder.packet(packet) {
            Ok(Some(frame)) if !got.truncated => {
                self.counters.frames_in += 1;
                self.counters.bytes_in += got.bytes as u64;
                sink(frame, Beside::of(&mut descriptors));
                Ok(true)
            }
            Ok(_) => Err(LinkError::NotOneFrame {
                packet_bytes: got.bytes,
                frame_bytes: self.decoder.needs(packet).ok().flatten().unwrap_or(HEAD_BYTES),
            }),
            Err(error) => Err(error.into()),
        };
        self.counters.descriptors_closed += descriptors.len() as u64;
        given
    }

    /// Writes one batch. `false`: no more can be written now.
    fn write(&mut self) -> bool {
        self.counters.writes += 1;
        match retry(|| self.outbox.send(&self.socket)) {
            Ok(packets) => {
                self.counters.descriptors_out += self.outbox.written(packets);
                return true;
            }
            Err(Errno::AGAIN) => self.outbox.blocked = true,
            // What the peer sent before it went is still to be read: `take` tells of its end.
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                self.outbox.discard(&mut self.counters);
            }
            Err(errno) => {
                self.failed.get_or_insert(LinkError::System(errno));
            }
        }
        false
    }

    fn own_error(&self) -> Option<LinkError> {
        self.failed.filter(|error| *error != LinkError::Closed)
    }
}

/// What was put and not yet written.
#[derive(Debug, Default)]
struct Outbox {
    buffer: Vec<u8>,
    start: usize,
    packets: VecDeque<Packet>,
    /// Of packets that wait, in their order.
    beside: VecDeque<Vec<OwnedFd>>,
    /// To go beside the next frame.
    descriptors: Vec<OwnedFd>,
    blocked: bool,
    gone: bool,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    bytes: usize,
    has_descriptors: bool,
}

impl Outbox {
    fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn append(&mut self, head: &[u8], body: &[u8]) {
        // Moving what waits is paid for by what was written since.
        if self.start >= self.waiting() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(body);
        let has_descriptors = !self.descriptors.is_empty();
        if has_descriptors {
            self.beside.push_back(std::mem::take(&mut self.descriptors));
        }
        self.packets.push_back(Packet { bytes: head.len() + body.len(), has_descriptors });
    }

    /// Sends what one call can, and says how many packets those were.
    fn send(&self, socket: &Socket) -> Result<usize, Errno> {
        let mut rest = self.buffer.get(self.start..).unwrap_or_default();
        let plain = self.packets.iter().take_while(|packet| !packet.has_descriptors);
        let count = plain.take(BATCH_MAX).count();
        if count <= 1 {
            let bytes = self.packets.front().map_or(0, |packet| packet.bytes);
            let packet = [IoSlice::new(rest.get(..bytes).unwrap_or_default())];
            let beside = if count == 1 { None } else { self.beside.front() };
            return rights::send(socket, &packet, beside.map_or(&[], Vec::as_slice)).map(|_| 1);
        }
        let mut packets = self.packets.iter();
        let mut parts: [_; BATCH_MAX] = array::from_fn(|_| {
            let bytes = packets.next().map_or(0, |packet| packet.bytes);
            let (packet, behind) = rest.split_at_checked(bytes).unwrap_or_default();
            rest = behind;
            ([IoSlice::new(packet)], SendAncillaryBuffer::default())
        });
        let mut batch = parts.each_mut().map(|(packet, none)| MMsgHdr::new(packet, none));
        rustix::net::sendmmsg(socket, batch.get_mut(..count).unwrap_or_default(), rights::SEND)
    }

    /// These packets have been written; says how many descriptors were beside them.
    fn written(&mut self, packets: usize) -> u64 {
        let mut descriptors = 0;
        for packet in self.packets.drain(..packets.min(self.packets.len())) {
            self.start += packet.bytes;
            if packet.has_descriptors {
                descriptors += self.beside.pop_front().map_or(0, |sent| sent.len() as u64);
            }
        }
        self.blocked = false;
        if self.packets.is_empty() {
            self.buffer.clear();
            self.start = 0;
        }
        descriptors
    }

    fn discard(&mut self, counters: &mut LinkCounters) {
        counters.bytes_discarded += self.waiting() as u64;
        *self = Self { gone: true, ..Self::default() };
    }
}
