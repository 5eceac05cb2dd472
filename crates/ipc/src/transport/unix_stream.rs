// SPDX-License-Identifier: BSD-3-Clause
//! Frames in the byte stream of a Unix socket.
//!
//! ```text
//!   inbox    ┌───────────┬──────────────────────────────┬──────────┐   one recvmsg fills what is
//!            │ given on  │ whole frames … part of one   │   room   │   free, whole frames are given
//!            └───────────┴──────────────────────────────┴──────────┘   on from where they lie
//!                      start                           end
//!   outbox   ┌───────────┬──────────────────────────────┐              one sendmsg writes all that
//!            │ written   │ frames that wait             │              was put since the last flush
//!            └───────────┴──────────────────────────────┘
//! ```
//!
//! A long body is written from where it lies, with all that waits before it, in one call.
//!
//! # Invariants
//!
//! 1. The outbox holds at most `out_bytes_max` bytes that wait, and any one frame finds room in an
//!    empty one.
//! 2. The inbox grows beyond `read_bytes` only for a frame whose head has been checked, and only as
//!    its bytes arrive: it at most doubles what has come.
//! 3. Descriptors are sent beside the first byte of their frame, in a call that writes of that frame
//!    alone. The kernel ends a read behind the piece that they are beside. So their frame is the
//!    last that begins in the bytes of that read; when none does, they are closed.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use rustix::io::Errno;

use super::counters::LinkCounters;
use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::{Beside, Link, OnReady, Watch};
use super::peer::Peer;
use super::rights;
use super::socket::{Socket, retry};

/// From here on a body is not copied before it is written.
const DIRECT_BYTES_MIN: usize = 16 << 10;

/// Frames with descriptors that wait to be written, at most.
const MARKS_MAX: usize = 8;

/// Frames over a Unix stream socket; see this file's first lines.
#[derive(Debug)]
pub struct UnixStreamLink {
    socket: Socket,
    limits: LinkLimits,
    decoder: Decoder,
    inbox: Inbox,
    outbox: Outbox,
    failed: Option<LinkError>,
    counters: LinkCounters,
}

impl UnixStreamLink {
    /// A link over this socket; `leftover` came behind the greeting and was read with it.
    ///
    /// A socket of packets is refused.
    pub fn new(socket: Socket, leftover: &[u8], limits: LinkLimits) -> Result<Self, LinkError> {
        if socket.kind() != super::SocketKind::Stream {
            return Err(LinkError::System(Errno::PROTOTYPE));
        }
        let limits = limits.fitted();
        Ok(Self {
            socket,
            limits,
            decoder: limits.decoder(),
            inbox: Inbox::new(leftover, limits.read_bytes),
            outbox: Outbox::default(),
            failed: None,
            counters: LinkCounters::default(),
        })
    }
}

impl Outlet for UnixStreamLink {
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
        let head = head.encode();
        if !self.outbox.descriptors.is_empty() {
            if self.outbox.marks.len() >= MARKS_MAX {
                return Err(Full);
            }
            self.outbox.mark(bytes);
            self.outbox.append(&[&head, body]);
        } else if body.len() >= DIRECT_BYTES_MIN && !self.outbox.blocked {
            self.put_direct(&head, body);
        } else {
            self.outbox.append(&[&head, body]);
        }
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
        Ok(())
    }
}

impl Link for UnixStreamLink {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Beside<'_>),
    ) -> Result<usize, LinkError> {
        let mut frames = 0;
        let mut drained = false;
        while frames < frames_max {
            let given = match self.failed {
                None => self.inbox.give(&self.decoder, &mut self.counters, sink),
                Some(error) => Err(error),
            };
            match given {
                Ok(true) => frames += 1,
                // What came before the error has been given on: the error is told next time.
                Err(_) if frames > 0 => break,
                Err(error) => return Err(*self.failed.insert(error)),
                Ok(false) if drained => break,
                Ok(false) => match self.read() {
                    Ok(Read::All) => drained = true,
                    Ok(Read::Some) => {}
                    Ok(Read::Nothing) => break,
                    Err(error) => self.failed = Some(error),
                },
            }
        }
        Ok(frames)
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        if let Some(error) = self.failed.filter(|error| *error != LinkError::Closed) {
            return Err(error);
        }
        while self.outbox.waiting() > 0 {
            if !self.write() {
                break;
            }
        }
        match self.failed {
            Some(error) if error != LinkError::Closed => Err(error),
            _ => Ok(self.outbox.waiting() == 0),
        }
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
        self.failed.is_some() || !matches!(self.decoder.decode(self.inbox.rest()), Ok(None))
    }

    fn peer(&self) -> &Peer {
        self.socket.peer()
    }

    fn name(&self) -> &'static str {
        "unix-stream"
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

/// What a read has brought.
enum Read {
    /// Bytes, and there may be more.
    Some,
    /// All bytes that there were.
    All,
    Nothing,
}

impl UnixStreamLink {
    fn read(&mut self) -> Result<Read, LinkError> {
        self.inbox.make_room(self.limits.read_bytes, &mut self.counters);
        let mut descriptors = Vec::new();
        let room = self.inbox.room();
        let room_bytes = room.len();
        let descriptors_max = self.limits.descriptors_max;
        let reads = &mut self.counters.reads;
        let got = self.socket.receive(room, &mut descriptors, descriptors_max, reads)?;
        let Some(got) = got else { return Ok(Read::Nothing) };
        self.counters.descriptors_cut += u64::from(got.cut);
        // A read ends behind descriptors, whatever follows them.
        let may_be_more = got.bytes == room_bytes || got.cut || !descriptors.is_empty();
        self.counters.descriptors_in += descriptors.len() as u64;
        self.inbox.fill(got.bytes, descriptors);
        Ok(if may_be_more { Read::Some } else { Read::All })
    }

    /// Writes once. `false`: no more can be written now.
    fn write(&mut self) -> bool {
        let (bytes, descriptors) = self.outbox.next_piece();
        self.counters.writes += 1;
        match retry(|| rights::send(&self.socket, &[IoSlice::new(bytes)], descriptors)) {
            Ok(sent) => {
                self.counters.descriptors_out += descriptors.len() as u64;
                self.outbox.written(sent);
                true
            }
            Err(errno) => self.no_write(errno),
        }
    }

    fn put_direct(&mut self, head: &[u8; HEAD_BYTES], body: &[u8]) {
        if !self.outbox.marks.is_empty() {
            return self.outbox.append(&[head, body]);
        }
        let waiting = self.outbox.waiting();
        let pieces = [self.outbox.rest(), head.as_slice(), body].map(IoSlice::new);
        self.counters.writes += 1;
        match retry(|| rights::send(&self.socket, &pieces, &[])) {
            Ok(sent) if sent < waiting => {
                self.outbox.written(sent);
                self.outbox.append(&[head, body]);
            }
            Ok(sent) => {
                self.outbox.written(waiting);
                let of_frame = sent - waiting;
                self.outbox.sent += of_frame as u64;
                let head_left = head.get(of_frame..).unwrap_or_default();
                let body_left = body.get(of_frame.saturating_sub(HEAD_BYTES)..).unwrap_or_default();
                self.outbox.append(&[head_left, body_left]);
            }
            Err(errno) => {
                self.outbox.append(&[head, body]);
                self.no_write(errno);
            }
        }
    }

    fn no_write(&mut self, errno: Errno) -> bool {
        match errno {
            Errno::AGAIN => self.outbox.blocked = true,
            // What the peer sent before it went is still to be read: `take` tells of its end.
            Errno::PIPE | Errno::CONNRESET => self.outbox.discard(&mut self.counters),
            errno => {
                self.failed.get_or_insert(LinkError::System(errno));
            }
        }
        false
    }
}

/// What has been read and not yet given on.
#[derive(Debug)]
struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` is in the stream.
    position: u64,
    /// At most two: beside the frame that has begun, and beside one of the last read.
    arrivals: Vec<Arrival>,
}

/// Descriptors that came with the bytes `from..upto` of the stream.
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

    /// Gives one frame on, if a whole one is there.
    fn give(
        &mut self,
        decoder: &Decoder,
        counters: &mut LinkCounters,
        sink: &mut dyn FnMut(Frame<'_>, Beside<'_>),
    ) -> Result<bool, LinkError> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((frame, bytes)) = decoder.decode(rest)? else { return Ok(false) };
        let begin = self.position;
        self.start += bytes;
        self.position += bytes as u64;
        counters.frames_in += 1;
        counters.bytes_in += bytes as u64;
        if self.arrivals.is_empty() {
            sink(frame, Beside::nothing());
            return Ok(true);
        }
        let mut beside = Vec::new();
        let next = self.position;
        self.arrivals.retain_mut(|arrival| {
            let of_this = (arrival.from..arrival.upto).contains(&begin) && next >= arrival.upto;
            if of_this {
                beside.append(&mut arrival.descriptors);
            }
            !of_this
        });
        sink(frame, Beside::of(&mut beside));
        counters.descriptors_closed += beside.len() as u64;
        Ok(true)
    }

    /// Makes room to read into. There is no whole frame in the buffer.
    fn make_room(&mut self, read_bytes: usize, counters: &mut LinkCounters) {
        let position = self.position;
        // The frame that has begun is not whole: what came later is beside no frame's beginning.
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

/// What was put and not yet written.
#[derive(Debug, Default)]
struct Outbox {
    buffer: Vec<u8>,
    start: usize,
    /// Bytes written: where `start` is in the stream.
    sent: u64,
    marks: VecDeque<Mark>,
    /// To go beside the next frame.
    descriptors: Vec<OwnedFd>,
    /// The socket has no room.
    blocked: bool,
    /// The peer is gone.
    gone: bool,
}

/// Descriptors that go beside the frame at `from..upto` of the stream.
#[derive(Debug)]
struct Mark {
    from: u64,
    upto: u64,
    descriptors: Vec<OwnedFd>,
}

impl Outbox {
    fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn mark(&mut self, bytes: usize) {
        let from = self.sent + self.waiting() as u64;
        let descriptors = std::mem::take(&mut self.descriptors);
        self.marks.push_back(Mark { from, upto: from + bytes as u64, descriptors });
    }

    fn append(&mut self, pieces: &[&[u8]]) {
        // Moving what waits is paid for by what was written since.
        if self.start >= self.waiting() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// What one call may write: up to the next frame with descriptors, or that frame with them.
    fn next_piece(&self) -> (&[u8], &[OwnedFd]) {
        let rest = self.rest();
        let Some(mark) = self.marks.front() else { return (rest, &[]) };
        let (end, descriptors) = match mark.from.checked_sub(self.sent) {
            Some(before) if before > 0 => (before, [].as_slice()),
            _ => (mark.upto - self.sent, mark.descriptors.as_slice()),
        };
        (rest.get(..end as usize).unwrap_or(rest), descriptors)
    }

    fn written(&mut self, bytes: usize) {
        if bytes > 0 && self.marks.front().is_some_and(|mark| mark.from == self.sent) {
            self.marks.pop_front();
        }
        self.start += bytes;
        self.sent += bytes as u64;
        self.blocked = false;
        if self.waiting() == 0 {
            self.buffer.clear();
            self.start = 0;
        }
    }

    fn discard(&mut self, counters: &mut LinkCounters) {
        counters.bytes_discarded += self.waiting() as u64;
        self.sent += self.waiting() as u64;
        self.buffer = Vec::new();
        self.start = 0;
        self.marks.clear();
        self.descriptors.clear();
        self.blocked = false;
        self.gone = true;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_wire::Kind;

    use super::super::SocketKind;
    use super::*;

    const LIMITS: LinkLimits = LinkLimits {
        body_bytes_max: 1 << 20,
        out_bytes_max: 1 << 21,
        read_bytes: 4096,
        descriptors_max: 1,
    };

    /// Memory follows what has come, never what was promised.
    #[test]
    fn a_long_frame_takes_memory_as_it_arrives() {
        let (mut raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
        let mut link = UnixStreamLink::new(socket, &[], LIMITS).unwrap();
        let length = LIMITS.body_bytes_max as u32;
        raw.write_greeting(&Head { length, ..Head::new(Kind::Data) }.encode()).unwrap();
        assert_eq!(link.take(1, &mut |_, _| {}), Ok(0));
        assert_eq!(link.inbox.buffer.capacity(), 4096);
        let mut sent = HEAD_BYTES;
        while sent < HEAD_BYTES + LIMITS.body_bytes_max {
            let bytes = 1000.min(HEAD_BYTES + LIMITS.body_bytes_max - sent);
            sent += raw.write_greeting(&[7; 1000][..bytes]).unwrap().unwrap();
            let frames = link.take(1, &mut |frame, _| assert_eq!(frame.body.len(), 1 << 20));
            assert_eq!(frames, Ok(usize::from(sent == HEAD_BYTES + LIMITS.body_bytes_max)));
            assert!(link.inbox.buffer.len() <= 4096.max(sent * 2), "{sent} bytes have come");
        }
        assert_eq!(link.take(1, &mut |_, _| {}), Ok(0));
        assert_eq!(link.inbox.buffer.len(), 4096, "it is given back");
    }

    #[test]
    fn a_length_above_the_limit_takes_no_memory() {
        let (mut raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
        let mut link = UnixStreamLink::new(socket, &[], LIMITS).unwrap();
        raw.write_greeting(&Head { length: u32::MAX, ..Head::new(Kind::Data) }.encode()).unwrap();
        raw.write_greeting(&[0; 10_000]).unwrap();
        assert!(link.take(1, &mut |_, _| {}).is_err());
        assert_eq!(link.inbox.buffer.capacity(), 4096);
    }

    /// What waits is moved to the front of its buffer only when as much has been written.
    #[test]
    fn the_outbox_does_not_grow_beyond_what_waits() {
        let (mut raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
        let mut link = UnixStreamLink::new(socket, &[], LIMITS).unwrap();
        let head = Head { length: 5_000, ..Head::new(Kind::Data) };
        let mut buffer = vec![0; 7_000];
        for _ in 0..2_000 {
            while link.put(&head, &[1; 5_000]).is_ok() {}
            link.flush().unwrap();
            raw.read_greeting(&mut buffer).unwrap();
            assert!(link.outbox.buffer.len() <= 2 * LIMITS.out_bytes_max);
        }
    }
}
