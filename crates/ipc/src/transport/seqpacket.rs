// SPDX-License-Identifier: BSD-3-Clause
//! Frames over a Unix socket of packets: one frame per packet, a body of at most 64 KiB.
//!
//! Up to 16 packets are sent by one system call (`sendmmsg`); each is read by a call of its own,
//! into the same buffer.
//!
//! # Invariants
//!
//! 1. A packet is one whole frame. Anything else ends the link.
//! 2. The backlog consists of the packets, in its order.
//! 3. Descriptors are sent with the packet of their frame, so they arrive with it.

use std::array;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use becket_wire::{Frame, Full, HEAD_BYTES};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer};

use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::Ancillary;
use super::rights;
use super::socket::{Socket, SocketKind, retry};
use super::socket_link::{Base, Framing, SocketLink};

/// The maximum body in a packet.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The maximum number of packets per system call.
const BATCH_MAX: usize = 16;

/// Frames over a Unix seqpacket socket: one frame per packet, a body of at most 64 KiB.
pub type SeqpacketLink = SocketLink<Packets>;

impl SeqpacketLink {
    /// A link over this socket. A body has at most 64 KiB, whatever the limits are.
    ///
    /// A socket of bytes is refused.
    pub fn new(socket: Socket, limits: LinkLimits) -> Result<Self, LinkError> {
        if socket.kind() != SocketKind::Seqpacket {
            return Err(LinkError::System(Errno::PROTOTYPE));
        }
        let body_bytes_max = limits.body_bytes_max.min(BODY_BYTES_MAX);
        let limits = LinkLimits { body_bytes_max, ..limits }.fitted();
        let inbox = vec![0; HEAD_BYTES + body_bytes_max];
        let packets = Packets { inbox, waiting: VecDeque::new(), ancillary: VecDeque::new() };
        Ok(Self::over(socket, limits, packets))
    }
}

/// One frame per packet; see the module's documentation.
#[derive(Debug)]
pub struct Packets {
    inbox: Vec<u8>,
    /// Packets that were put and not yet written.
    waiting: VecDeque<Packet>,
    /// The descriptors of waiting packets, in their order.
    ancillary: VecDeque<Vec<OwnedFd>>,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    bytes: usize,
    has_descriptors: bool,
}

impl Framing for Packets {
    const NAME: &'static str = "unix-seqpacket";

    fn take(
        &mut self,
        base: &mut Base,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> usize {
        for frames in 0..frames_max {
            match self.deliver(base, sink) {
                Ok(true) => {}
                Ok(false) => return frames,
                Err(error) => {
                    base.failed = Some(error);
                    return frames;
                }
            }
        }
        frames_max
    }

    fn has_more(&self, _: &Base) -> bool {
        false
    }

    fn put(&mut self, base: &mut Base, head: &[u8; HEAD_BYTES], body: &[u8]) -> Result<(), Full> {
        base.backlog.append(&[head, body]);
        let has_descriptors = !base.descriptors.is_empty();
        if has_descriptors {
            self.ancillary.push_back(std::mem::take(&mut base.descriptors));
        }
        self.waiting.push_back(Packet { bytes: head.len() + body.len(), has_descriptors });
        Ok(())
    }

    fn write(&mut self, base: &mut Base) -> Result<(), Errno> {
        let packets = retry(|| self.send(&base.socket, base.backlog.rest()))?;
        for packet in self.waiting.drain(..packets.min(self.waiting.len())) {
            base.backlog.written(packet.bytes);
            if packet.has_descriptors {
                let sent = self.ancillary.pop_front().map_or(0, |sent| sent.len());
                base.counters.descriptors_out += sent as u64;
            }
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.waiting = VecDeque::new();
        self.ancillary = VecDeque::new();
    }
}

impl Packets {
    /// Passes the next packet's frame on, if one has arrived.
    fn deliver(
        &mut self,
        base: &mut Base,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<bool, LinkError> {
        let Base { socket, limits, decoder, counters, .. } = base;
        let mut descriptors = Vec::new();
        let (inbox, reads) = (&mut self.inbox, &mut counters.reads);
        let got = socket.receive(inbox, &mut descriptors, limits.descriptors_max, reads)?;
        let Some(got) = got else { return Ok(false) };
        counters.descriptors_cut += u64::from(got.cut);
        counters.descriptors_in += descriptors.len() as u64;
        let packet = self.inbox.get(..got.bytes).unwrap_or_default();
        let delivered = match decoder.packet(packet) {
            Ok(Some(frame)) if !got.truncated => {
                counters.frames_in += 1;
                counters.bytes_in += got.bytes as u64;
                sink(frame, Ancillary::of(&mut descriptors));
                Ok(true)
            }
            Ok(_) => Err(LinkError::NotOneFrame {
                packet_bytes: got.bytes,
                frame_bytes: decoder.needs(packet).ok().flatten().unwrap_or(HEAD_BYTES),
            }),
            Err(error) => Err(error.into()),
        };
        counters.descriptors_closed += descriptors.len() as u64;
        delivered
    }

    /// Sends as many packets of these bytes as one call can, and returns their number.
    fn send(&self, socket: &Socket, mut rest: &[u8]) -> Result<usize, Errno> {
        let plain = self.waiting.iter().take_while(|packet| !packet.has_descriptors);
        let count = plain.take(BATCH_MAX).count();
        if count <= 1 {
            let bytes = self.waiting.front().map_or(0, |packet| packet.bytes);
            let packet = [IoSlice::new(rest.get(..bytes).unwrap_or_default())];
            let ancillary = if count == 1 { None } else { self.ancillary.front() };
            return rights::send(socket, &packet, ancillary.map_or(&[], Vec::as_slice)).map(|_| 1);
        }
        let mut packets = self.waiting.iter();
        let mut parts: [_; BATCH_MAX] = array::from_fn(|_| {
            let bytes = packets.next().map_or(0, |packet| packet.bytes);
            let (packet, behind) = rest.split_at_checked(bytes).unwrap_or_default();
            rest = behind;
            ([IoSlice::new(packet)], SendAncillaryBuffer::default())
        });
        let mut batch = parts.each_mut().map(|(packet, none)| MMsgHdr::new(packet, none));
        rustix::net::sendmmsg(socket, batch.get_mut(..count).unwrap_or_default(), rights::SEND)
    }
}
