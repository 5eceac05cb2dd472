// SPDX-License-Identifier: BSD-3-Clause
//! One side of a connection, by hand: it may violate the protocol.

use std::os::fd::OwnedFd;
use std::time::Instant;

use becket_ipc::shm::{Handshake, ShmLimits, Side};
use becket_ipc::transport::{
    Link, LinkLimits, SeqpacketLink, Socket, SocketKind, UnixStreamLink, memory,
};
use becket_ipc::{Client, Options, Server};
use becket_wire::{
    Body, Credit, Event, Head, Kind, Limits, Priority, Role, Session, StreamId, flags,
};
use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::memory::HANGS;

pub(crate) const SEND: u16 = 1;
pub(crate) const RECEIVE: u16 = 2;
pub(crate) const MAPPED: u16 = becket_wire::codes::APPLICATION + 1;

/// The two links of a connection.
pub(crate) type Pair = (Box<dyn Link>, Box<dyn Link>);
pub(crate) type Links = fn() -> Pair;

pub(crate) fn in_memory() -> Pair {
    let (one, other) = memory::pair(1024, 1 << 20);
    (Box::new(one), Box::new(other))
}

pub(crate) fn unix_stream() -> Pair {
    let (one, other) = Socket::pair(SocketKind::Stream).unwrap();
    let link = |socket| UnixStreamLink::new(socket, &[], LinkLimits::default()).unwrap();
    (Box::new(link(one)), Box::new(link(other)))
}

pub(crate) fn seqpacket() -> Pair {
    let (one, other) = Socket::pair(SocketKind::Seqpacket).unwrap();
    let link = |socket| SeqpacketLink::new(socket, LinkLimits::default()).unwrap();
    (Box::new(link(one)), Box::new(link(other)))
}

pub(crate) fn shared_memory() -> Pair {
    let (one, other) = Socket::pair(SocketKind::Stream).unwrap();
    let mut one = Handshake::new(one, Side::Connected, ShmLimits::default()).unwrap();
    let mut other = Handshake::new(other, Side::Accepted, ShmLimits::default()).unwrap();
    assert!(one.progress().unwrap().is_none());
    let other = other.progress().unwrap().unwrap();
    (Box::new(one.progress().unwrap().unwrap()), Box::new(other))
}

pub(crate) struct Raw {
    link: Box<dyn Link>,
    pub(crate) session: Session,
    pub(crate) seen: Vec<Seen>,
}

/// A received event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Ready,
    Opened(StreamId),
    Accepted(StreamId),
    Acked(StreamId, u64),
    Nacked(StreamId, u64, u16),
    Element(StreamId, u8, Vec<u8>),
    Region(u32, u32, u64, usize),
    Release(u32, u32, u64),
    Notice(u16, u64),
    Closed(u16, String),
    Gone,
}

impl Raw {
    pub(crate) fn client(server: &Server) -> Self {
        Self::client_over(server, in_memory())
    }

    pub(crate) fn client_over(server: &Server, (one, other): Pair) -> Self {
        server.serve(one).unwrap();
        let mut raw = Self::new(other, Role::Client);
        raw.until(|seen| *seen == Seen::Ready);
        raw
    }

    pub(crate) fn server() -> (Self, Client) {
        let (one, other) = in_memory();
        let client = Client::over(one, &Options::default()).unwrap();
        (Self::new(other, Role::Server), client)
    }

    fn new(link: Box<dyn Link>, role: Role) -> Self {
        let limits =
            Limits { frame_body_bytes_max: link.body_bytes_max() as u32, ..Limits::default() };
        Self { link, session: Session::new(role, limits, Instant::now()), seen: Vec::new() }
    }

    pub(crate) fn disconnect(&mut self) {
        self.link.close();
    }

    pub(crate) fn turn(&mut self) {
        self.session.transmit(&mut *self.link);
        self.link.flush().ok();
        let Self { link, session, seen } = self;
        let taken = link.take(64, &mut |frame, ancillary| {
            let Head { kind, stream, aux, sequence, .. } = frame.head;
            if session.is_closed() && kind == Kind::Release {
                seen.push(Seen::Release(stream, aux, sequence));
                return;
            }
            let Ok(Some(event)) = session.receive(frame) else { return };
            seen.extend(Some(match event {
                Event::Ready { .. } => Seen::Ready,
                Event::Opened { stream, .. } => Seen::Opened(stream),
                Event::Accepted { stream, .. } => Seen::Accepted(stream),
                Event::Acked { stream, upto } => Seen::Acked(stream, upto),
                Event::Nacked { stream, sequence, code } => Seen::Nacked(stream, sequence, code),
                Event::Element { stream, flags, body, .. } => {
                    let body: Body<'_> = body;
                    Seen::Element(stream, flags, body.to_vec())
                }
                Event::Region { region, generation, bytes } => {
                    Seen::Region(region, generation, bytes, ancillary.len())
                }
                Event::Release { region, generation, offset } => {
                    Seen::Release(region, generation, offset)
                }
                Event::Notice { code, of, .. } => Seen::Notice(code, of),
                Event::Closed { code, why } => {
                    Seen::Closed(code, String::from_utf8_lossy(why).into_owned())
                }
                _ => return,
            }));
        });
        if taken.is_err() && !self.seen.contains(&Seen::Gone) {
            self.seen.push(Seen::Gone);
        }
    }

    /// Continues until a wanted event has arrived.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let begin = Instant::now();
        loop {
            self.turn();
            if let Some(found) = self.seen.iter().position(&wanted) {
                return self.seen.remove(found);
            }
            assert!(begin.elapsed() < HANGS, "in vain; came: {:?}", self.seen);
            assert!(!self.seen.contains(&Seen::Gone), "the other side has gone: {:?}", self.seen);
            std::thread::yield_now();
        }
    }

    pub(crate) fn open(&mut self, service: u16, channel: &'static str) -> StreamId {
        let credit = Credit::new(if service == RECEIVE { 16 } else { 0 }, 1 << 20);
        let name = Bytes::from_static(channel.as_bytes());
        let stream = self.session.open(service, Priority::Normal, credit, name).unwrap();
        self.until(|seen| *seen == Seen::Accepted(stream));
        stream
    }

    /// Announces a region through the session, which then knows it.
    pub(crate) fn tell(&mut self, (region, generation, bytes): (u32, u32, u64), fd: OwnedFd) {
        self.session.transmit(&mut *self.link);
        self.session.region(region, generation, bytes).unwrap();
        self.link.put_descriptors(vec![fd]).unwrap();
        self.turn();
    }

    /// Announces a region with arbitrary values, bypassing the session.
    pub(crate) fn announce(
        &mut self,
        (region, generation, bytes): (u32, u32, u64),
        fds: Vec<OwnedFd>,
    ) {
        self.session.transmit(&mut *self.link);
        self.link.put_descriptors(fds).unwrap();
        let head =
            Head { stream: region, aux: generation, sequence: bytes, ..Head::new(Kind::Region) };
        self.link.put(&head, &[]).unwrap();
        self.link.flush().unwrap();
    }

    /// Releases a block with arbitrary values, bypassing the session.
    pub(crate) fn release(&mut self, (region, generation, offset): (u32, u32, u64)) {
        let head =
            Head { stream: region, aux: generation, sequence: offset, ..Head::new(Kind::Release) };
        self.put(&head, &[]);
    }

    /// Sends a frame, bypassing the session.
    pub(crate) fn put(&mut self, head: &Head, body: &[u8]) {
        self.session.transmit(&mut *self.link);
        let head = Head { length: body.len() as u32, ..*head };
        let begin = Instant::now();
        while self.link.put(&head, body).is_err() {
            assert!(begin.elapsed() < HANGS, "the link stays full");
            self.link.flush().unwrap();
            std::thread::yield_now();
        }
        while self.link.flush() == Ok(false) {
            assert!(begin.elapsed() < HANGS, "the link stays full");
            std::thread::yield_now();
        }
    }

    /// Says that it has mapped the region that the server announces.
    pub(crate) fn map_in_name(&mut self) -> (u32, u32) {
        let region = self.until(|seen| matches!(seen, Seen::Region(..)));
        let Seen::Region(region, generation, ..) = region else { panic!("another came") };
        let of = u64::from(generation) << 32 | u64::from(region);
        self.session.notice(MAPPED, of, Bytes::new()).unwrap();
        (region, generation)
    }

    /// Grants the server this many messages more.
    pub(crate) fn grant(&mut self, stream: StreamId, messages: u32) {
        self.session.grant(stream, messages, 1 << 40).unwrap();
        self.turn();
    }

    pub(crate) fn describe(&mut self, stream: StreamId, body: impl Into<Bytes>) -> u64 {
        self.session.send(stream, flags::DESCRIPTOR, body.into()).unwrap()
    }
}

pub(crate) fn descriptor((region, generation): (u32, u32), offset: u64, len: u64) -> Vec<u8> {
    let mut body = region.to_le_bytes().to_vec();
    body.extend(generation.to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend(len.to_le_bytes());
    body
}

pub(crate) const FIXED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

pub(crate) fn file(bytes: u64, seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&fd, bytes).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}
