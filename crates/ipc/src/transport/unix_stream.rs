// SPDX-License-Identifier: BSD-3-Clause
//! Frames in the byte stream of a Unix socket.
//!
//! ```text
//!   inbox    ┌───────────┬──────────────────────────────┬──────────┐   one recvmsg fills the room,
//!            │ passed on │ whole frames … part of one   │   room   │   whole frames are passed on
//!            └───────────┴──────────────────────────────┴──────────┘   without a copy
//!                      start                           end
//!   backlog  ┌───────────┬──────────────────────────────┐              one sendmsg writes all that
//!            │ written   │ frames that wait             │              was put since the last flush
//!            └───────────┴──────────────────────────────┘
//! ```
//!
//! A long body is written from the caller's memory, together with the backlog before it, in one
//! call.
//!
//! # Invariants
//!
//! 1. The inbox grows beyond `read_bytes` only for a frame whose head has been checked, and only as
//!    its bytes arrive: it at most doubles what has arrived.
//! 2. Descriptors are sent as ancillary data of the first byte of their frame, in a call that
//!    writes that frame alone. The kernel ends a read behind the bytes that they belong to. So
//!    their frame is the last one that begins in the bytes of that read; if none does, they are
//!    closed.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use becket_wire::{Decoder, Frame, Full, HEAD_BYTES};
use rustix::io::Errno;

use super::backlog::Backlog;
use super::counters::LinkCounters;
use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::Ancillary;
use super::rights;
use super::socket::{Socket, SocketKind, retry};
use super::socket_link::{Base, Framing, SocketLink};

/// A body of this length or more is not copied before it is written.
const DIRECT_BYTES_MIN: usize = 16 << 10;

/// The maximum number of frames with descriptors that wait to be written.
const DESCRIPTOR_FRAMES_MAX: usize = 8;

/// Frames over a Unix stream socket, consecutively.
pub type UnixStreamLink = SocketLink<Bytes>;

impl UnixStreamLink {
    /// A link over this socket; `leftover` was received after the handshake, by the same read.
    ///
    /// A socket of packets is refused.
    pub fn new(socket: Socket, leftover: &[u8], limits: LinkLimits) -> Result<Self, LinkError> {
        if socket.kind() != SocketKind::Stream {
            return Err(LinkError::System(Errno::PROTOTYPE));
        }
        let limits = limits.fitted();
        let inbox = Inbox::new(leftover, limits.read_bytes);
        Ok(Self::over(socket, limits, Bytes { inbox, sent: 0, descriptor_frames: VecDeque::new() }))
    }
}

/// Consecutive frames; see the module's documentation.
#[derive(Debug)]
pub struct Bytes {
    inbox: Inbox,
    /// Bytes written: the position of the backlog in the stream.
    sent: u64,
    descriptor_frames: VecDeque<DescriptorFrame>,
}

/// Descriptors of the frame at `from..upto` of the stream.
#[derive(Debug)]
struct DescriptorFrame {
    from: u64,
    upto: u64,
    descriptors: Vec<OwnedFd>,
}

/// The result of a read.
enum Read {
    /// Bytes, and there may be more.
    Some,
    /// All bytes that there were.
    All,
    Nothing,
}

impl Framing for Bytes {
    const NAME: &'static str = "unix-stream";

    fn take(
        &mut self,
        base: &mut Base,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> usize {
        let mut frames = 0;
        let mut drained = false;
        while frames < frames_max && base.failed.is_none() {
            match self.inbox.deliver(&base.decoder, &mut base.counters, sink) {
                Ok(true) => frames += 1,
                Ok(false) if drained => break,
                Ok(false) => match self.read(base) {
                    Ok(Read::All) => drained = true,
                    Ok(Read::Some) => {}
                    Ok(Read::Nothing) => break,
                    Err(error) => base.failed = Some(error),
                },
                Err(error) => base.failed = Some(error),
            }
        }
        frames
    }

    fn has_more(&self, base: &Base) -> bool {
        !matches!(base.decoder.decode(self.inbox.rest()), Ok(None))
    }

    fn put(&mut self, base: &mut Base, head: &[u8; HEAD_BYTES], body: &[u8]) -> Result<(), Full> {
        if !base.descriptors.is_empty() {
            if self.descriptor_frames.len() >= DESCRIPTOR_FRAMES_MAX {
                return Err(Full);
            }
            let from = self.sent + base.backlog.len() as u64;
            let upto = from + (head.len() + body.len()) as u64;
            let descriptors = std::mem::take(&mut base.descriptors);
            self.descriptor_frames.push_back(DescriptorFrame { from, upto, descriptors });
            base.backlog.append(&[head, body]);
        } else if body.len() >= DIRECT_BYTES_MIN
            && !base.blocked
            && self.descriptor_frames.is_empty()
        {
            self.put_direct(base, head, body);
        } else {
            base.backlog.append(&[head, body]);
        }
        Ok(())
    }

    fn write(&mut self, base: &mut Base) -> Result<(), Errno> {
        let (bytes, descriptors) = self.next_piece(&base.backlog);
        let sent = retry(|| rights::send(&base.socket, &[IoSlice::new(bytes)], descriptors))?;
        base.counters.descriptors_out += descriptors.len() as u64;
        self.written(base, sent);
        Ok(())
    }

    fn discard(&mut self) {
        self.descriptor_frames.clear();
    }
}

impl Bytes {
    fn read(&mut self, base: &mut Base) -> Result<Read, LinkError> {
        let Base { socket, limits, counters, .. } = base;
        self.inbox.make_room(limits.read_bytes, counters);
        let mut descriptors = Vec::new();
        let room = self.inbox.room();
        let room_bytes = room.len();
        let reads = &mut counters.reads;
        let got = socket.receive(room, &mut descriptors, limits.descriptors_max, reads)?;
        let Some(got) = got else { return Ok(Read::Nothing) };
        counters.descriptors_cut += u64::from(got.cut);
        // A read ends behind the bytes with descriptors, whatever follows them.
        let may_be_more = got.bytes == room_bytes || got.cut || !descriptors.is_empty();
        counters.descriptors_in += descriptors.len() as u64;
        self.inbox.fill(got.bytes, descriptors);
        Ok(if may_be_more { Read::Some } else { Read::All })
    }

    /// Writes a frame without a copy, behind the backlog. The unwritten rest goes to the backlog.
    fn put_direct(&mut self, base: &mut Base, head: &[u8; HEAD_BYTES], body: &[u8]) {
        let waiting = base.backlog.len();
        base.counters.writes += 1;
        let pieces = [base.backlog.rest(), head.as_slice(), body].map(IoSlice::new);
        match retry(|| rights::send(&base.socket, &pieces, &[])) {
            Ok(sent) if sent < waiting => {
                self.written(base, sent);
                base.backlog.append(&[head, body]);
            }
            Ok(sent) => {
                self.written(base, waiting);
                let of_frame = sent - waiting;
                self.sent += of_frame as u64;
                let head_left = head.get(of_frame..).unwrap_or_default();
                let body_left = body.get(of_frame.saturating_sub(HEAD_BYTES)..).unwrap_or_default();
                base.backlog.append(&[head_left, body_left]);
            }
            Err(errno) => {
                base.backlog.append(&[head, body]);
                // Any other error recurs when the backlog is written.
                base.blocked = errno == Errno::AGAIN;
            }
        }
    }

    /// What one call may write: up to the next frame with descriptors, or that frame with them.
    fn next_piece<'a>(&'a self, backlog: &'a Backlog) -> (&'a [u8], &'a [OwnedFd]) {
        let rest = backlog.rest();
        let Some(frame) = self.descriptor_frames.front() else { return (rest, &[]) };
        let (end, descriptors) = match frame.from.checked_sub(self.sent) {
            Some(before) if before > 0 => (before, [].as_slice()),
            _ => (frame.upto - self.sent, frame.descriptors.as_slice()),
        };
        (rest.get(..end as usize).unwrap_or(rest), descriptors)
    }

    fn written(&mut self, base: &mut Base, bytes: usize) {
        if bytes > 0 && self.descriptor_frames.front().is_some_and(|frame| frame.from == self.sent)
        {
            self.descriptor_frames.pop_front();
        }
        self.sent += bytes as u64;
        base.backlog.written(bytes);
    }
}

/// Bytes that were read and not yet passed on.
#[derive(Debug)]
struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The position of `start` in the stream.
    position: u64,
    /// At most two: those of the frame that has begun, and those of a frame of the last read.
    arrivals: Vec<Arrival>,
}

/// Descriptors that arrived with the bytes `from..upto` of the stream.
#[derive(Debug)]
struct Arrival {
    from: u64,
    upto: u64,
    descriptors: Vec<OwnedFd>,
}

impl Inbox {
    fn new(leftover: &[u8], read_bytes: usize) -> Self {
        let mut buffer = leftover.to_vec();
        buffer.resize(leftover.len().max(read_bytes), 0);
        Self { buffer, start: 0, end: leftover.len(), position: 0, arrivals: Vec::new() }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn room(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Passes one frame on, if a whole one has arrived.
    fn deliver(
        &mut self,
        decoder: &Decoder,
        counters: &mut LinkCounters,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<bool, LinkError> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((frame, bytes)) = decoder.decode(rest)? else { return Ok(false) };
        let begin = self.position;
        self.start += bytes;
        self.position += bytes as u64;
        counters.frames_in += 1;
        counters.bytes_in += bytes as u64;
        if self.arrivals.is_empty() {
            sink(frame, Ancillary::nothing());
            return Ok(true);
        }
        let mut ancillary = Vec::new();
        let next = self.position;
        self.arrivals.retain_mut(|arrival| {
            let of_this = (arrival.from..arrival.upto).contains(&begin) && next >= arrival.upto;
            if of_this {
                ancillary.append(&mut arrival.descriptors);
            }
            !of_this
        });
        sink(frame, Ancillary::of(&mut ancillary));
        counters.descriptors_closed += ancillary.len() as u64;
        Ok(true)
    }

    /// Makes room to read into. There is no whole frame in the buffer.
    fn make_room(&mut self, read_bytes: usize, counters: &mut LinkCounters) {
        let position = self.position;
        // The frame that has begun is incomplete: no frame begins in the bytes that came later.
        self.arrivals.retain(|arrival| {
            let stays = (arrival.from..arrival.upto).contains(&position);
            counters.descriptors_closed += if stays { 0 } else { arrival.descriptors.len() as u64 };
            stays
        });
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        } else if self.end == 0 && self.buffer.len() > read_bytes * 8 {
            self.buffer.truncate(read_bytes);
            self.buffer.shrink_to_fit();
        }
    }

    fn fill(&mut self, bytes: usize, descriptors: Vec<OwnedFd>) {
        let from = self.position + (self.end - self.start) as u64;
        self.end += bytes;
        if !descriptors.is_empty() {
            self.arrivals.push(Arrival { from, upto: from + bytes as u64, descriptors });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_wire::{Head, Kind};

    use super::super::link::Link as _;
    use super::*;

    const LIMITS: LinkLimits = LinkLimits {
        body_bytes_max: 1 << 20,
        out_bytes_max: 1 << 21,
        read_bytes: 4096,
        descriptors_max: 1,
    };

    /// The buffer grows with the bytes that arrived, not with the announced length.
    #[test]
    fn a_long_frame_takes_memory_as_it_arrives() {
        let (mut raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
        let mut link = UnixStreamLink::new(socket, &[], LIMITS).unwrap();
        let length = LIMITS.body_bytes_max as u32;
        raw.write_handshake(&Head { length, ..Head::new(Kind::Data) }.encode()).unwrap();
        assert_eq!(link.take(1, &mut |_, _| {}), Ok(0));
        assert_eq!(link.framing.inbox.buffer.capacity(), 4096);
        let mut sent = HEAD_BYTES;
        while sent < HEAD_BYTES + LIMITS.body_bytes_max {
            let bytes = 1000.min(HEAD_BYTES + LIMITS.body_bytes_max - sent);
            sent += raw.write_handshake(&[7; 1000][..bytes]).unwrap().unwrap();
            let frames = link.take(1, &mut |frame, _| assert_eq!(frame.body.len(), 1 << 20));
            assert_eq!(frames, Ok(usize::from(sent == HEAD_BYTES + LIMITS.body_bytes_max)));
            assert!(
                link.framing.inbox.buffer.len() <= 4096.max(sent * 2),
                "{sent} bytes have come"
            );
        }
        assert_eq!(link.take(1, &mut |_, _| {}), Ok(0));
        assert_eq!(link.framing.inbox.buffer.len(), 4096, "it is released");
    }

    #[test]
    fn a_length_above_the_limit_takes_no_memory() {
        let (mut raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
        let mut link = UnixStreamLink::new(socket, &[], LIMITS).unwrap();
        raw.write_handshake(&Head { length: u32::MAX, ..Head::new(Kind::Data) }.encode()).unwrap();
        raw.write_handshake(&[0; 10_000]).unwrap();
        assert!(link.take(1, &mut |_, _| {}).is_err());
        assert_eq!(link.framing.inbox.buffer.capacity(), 4096);
    }
}
