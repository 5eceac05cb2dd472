// SPDX-License-Identifier: BSD-3-Clause
//! A client that writes the protocol's bytes itself, and a server for it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use becket_ipc::channels::{Channel, Channels};
use becket_ipc::transport::{Socket, SocketKind};
use becket_ipc::v1::{Client, Limits, Server};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recv, send,
    socket, socketpair,
};

pub(crate) const ABI_MAJOR: u16 = 1;
pub(crate) const ABI_MINOR: u16 = 2;
pub(crate) const ID: u16 = 4;
pub(crate) const KIND: u16 = 5;
pub(crate) const ELEM_SIZE: u16 = 6;
pub(crate) const CAPACITY: u16 = 7;
pub(crate) const TIMEOUT_MS: u16 = 8;
pub(crate) const CHAN_ID: u16 = 20;
pub(crate) const ELEMENT: u16 = 21;
pub(crate) const RESULT: u16 = 22;
pub(crate) const SELECT_MASK: u16 = 25;
pub(crate) const REQ_ID: u16 = 26;

pub(crate) const HELLO: u16 = 1;
pub(crate) const GET_INFO: u16 = 2;
pub(crate) const GET_STATS: u16 = 3;
pub(crate) const SET_CONFIG: u16 = 4;
pub(crate) const RESET_STATS: u16 = 5;
pub(crate) const LIST: u16 = 6;
pub(crate) const MAKE: u16 = 10;
pub(crate) const SEND: u16 = 11;
pub(crate) const TRY_SEND: u16 = 12;
pub(crate) const RECV: u16 = 13;
pub(crate) const TRY_RECV: u16 = 14;
pub(crate) const CLOSE: u16 = 15;
pub(crate) const DESTROY: u16 = 16;

pub(crate) const FOR_EVER: u32 = u32::MAX;

/// How the client splits its frames into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    One,
    Two,
    /// A stream of bytes instead of packets.
    Stream,
}

pub(crate) const EVERY_PACKING: [Packing; 3] = [Packing::One, Packing::Two, Packing::Stream];

pub(crate) struct Raw {
    pub(crate) socket: OwnedFd,
    packing: Packing,
    stream: Vec<u8>,
}

/// An answer: its command and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) command: u16,
    pub(crate) attributes: Vec<(u16, Vec<u8>)>,
}

pub(crate) fn server() -> Arc<Server> {
    limited(Limits::default())
}

pub(crate) fn limited(limits: Limits) -> Arc<Server> {
    Server::new(Arc::new(Channels::new(4096)), limits)
}

/// A client that has not sent `HELLO`.
pub(crate) fn stranger(server: &Arc<Server>, packing: Packing) -> (Raw, Arc<Client>) {
    let kind = match packing {
        Packing::Stream => SocketType::STREAM,
        Packing::One | Packing::Two => SocketType::SEQPACKET,
    };
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    let socket = Socket::adopt(theirs).unwrap();
    let is_stream = socket.kind() == SocketKind::Stream;
    assert_eq!(is_stream, packing == Packing::Stream);
    let client = Client::start(socket, None, server).unwrap();
    (Raw { socket: ours, packing, stream: Vec::new() }, client)
}

/// A client that has sent `HELLO`.
pub(crate) fn client(server: &Arc<Server>, packing: Packing) -> Raw {
    let (mut raw, _) = stranger(server, packing);
    raw.hello();
    raw
}

pub(crate) fn four(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

pub(crate) fn payload(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (kind, value) in attributes {
        payload.extend(kind.to_be_bytes());
        payload.extend((value.len() as u16).to_be_bytes());
        payload.extend(*value);
    }
    payload
}

pub(crate) fn header(command: u16, length: u32) -> [u8; 8] {
    let mut header = [0; 8];
    header[..2].copy_from_slice(&command.to_be_bytes());
    header[4..].copy_from_slice(&length.to_be_bytes());
    header
}

impl Raw {
    /// Over packets, to the listener at a path.
    pub(crate) fn connect(path: &std::path::Path, packing: Packing) -> Self {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        Self { socket, packing, stream: Vec::new() }
    }

    pub(crate) fn hello(&mut self) {
        let answer = self.ask(HELLO, &[(ABI_MAJOR, &four(1)), (ABI_MINOR, &four(0))]);
        assert_eq!(answer.command, HELLO);
        let versions = [(ABI_MAJOR, four(1).to_vec()), (ABI_MINOR, four(0).to_vec())];
        assert_eq!(answer.attributes, versions);
    }

    pub(crate) fn say(&mut self, command: u16, attributes: &[(u16, &[u8])]) {
        self.say_bytes(command, &payload(attributes));
    }

    pub(crate) fn say_bytes(&mut self, command: u16, payload: &[u8]) {
        let header = header(command, payload.len() as u32);
        match self.packing {
            Packing::Two if !payload.is_empty() => {
                self.put(&header);
                self.put(payload);
            }
            _ => self.put(&[&header, payload].concat()),
        }
    }

    /// Sends bytes unchanged: a packet, or a piece of the stream.
    pub(crate) fn put(&self, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            sent += send(&self.socket, &bytes[sent..], SendFlags::NOSIGNAL).unwrap();
        }
    }

    /// The next answer; `None`: the server has closed the connection.
    pub(crate) fn hear(&mut self) -> Option<Answer> {
        let frame = match self.packing {
            Packing::One => self.packet()?,
            Packing::Two => {
                let mut frame = self.packet()?;
                assert_eq!(frame.len(), 8, "it is split like the client's frames");
                if frame[4..] != [0; 4] {
                    frame.extend(self.packet()?);
                }
                frame
            }
            Packing::Stream => self.piece()?,
        };
        let length = u32::from_be_bytes(frame[4..8].try_into().unwrap());
        assert_eq!((&frame[2..4], length as usize), ([0, 0].as_slice(), frame.len() - 8));
        let command = u16::from_be_bytes([frame[0], frame[1]]);
        let (mut attributes, mut rest) = (Vec::new(), &frame[8..]);
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            let kind = u16::from_be_bytes([rest[0], rest[1]]);
            attributes.push((kind, rest[4..4 + length].to_vec()));
            rest = &rest[4 + length..];
        }
        Some(Answer { command, attributes })
    }

    fn packet(&self) -> Option<Vec<u8>> {
        let mut packet = vec![0; 70_000];
        match recv(&self.socket, &mut packet, RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => None,
            Ok((bytes, _)) => Some(packet[..bytes].to_vec()),
            Err(errno) => panic!("{errno}"),
        }
    }

    fn piece(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(header) = self.stream.first_chunk::<8>() {
                let length = 8 + u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
                if self.stream.len() >= length {
                    return Some(self.stream.drain(..length).collect());
                }
            }
            let piece = self.packet()?;
            self.stream.extend(piece);
        }
    }

    /// Sends a request and returns its answer.
    pub(crate) fn ask(&mut self, command: u16, attributes: &[(u16, &[u8])]) -> Answer {
        self.say(command, attributes);
        self.hear().expect("an answer")
    }

    /// Creates a channel.
    pub(crate) fn make(&mut self, kind: i32, elem_size: u32, capacity: u32) -> u32 {
        let kind = kind.to_be_bytes();
        let (size, capacity) = (four(elem_size), four(capacity));
        let answer = self.ask(MAKE, &[(KIND, &kind), (ELEM_SIZE, &size), (CAPACITY, &capacity)]);
        assert_eq!(answer.command, MAKE);
        answer.number(CHAN_ID)
    }

    /// Closes the connection in an orderly way, and waits until the server has closed it too.
    pub(crate) fn part(mut self) {
        rustix::net::shutdown(self.socket.as_fd(), rustix::net::Shutdown::Write).unwrap();
        while self.hear().is_some() {}
    }
}

impl Answer {
    pub(crate) fn bytes(&self, attribute: u16) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(kind, _)| *kind == attribute);
        found.map(|(_, value)| value.as_slice())
    }

    /// A number of 4 bytes.
    pub(crate) fn number(&self, attribute: u16) -> u32 {
        let bytes = self.bytes(attribute).unwrap_or_else(|| panic!("no {attribute} in {self:?}"));
        u32::from_be_bytes(bytes.try_into().unwrap())
    }

    /// A number of 8 bytes.
    pub(crate) fn long(&self, attribute: u16) -> u64 {
        u64::from_be_bytes(self.bytes(attribute).unwrap().try_into().unwrap())
    }

    pub(crate) fn result(&self) -> i32 {
        self.number(RESULT) as i32
    }
}

/// The server's channel of a number.
pub(crate) fn inside(server: &Server, chan: u32) -> Arc<Channel> {
    server.channels().by_id(chan).unwrap()
}

/// Receives in the server, waiting.
pub(crate) fn take(channel: &Channel) -> Vec<u8> {
    channel.receiver().unwrap().recv().wait().unwrap().as_slice().to_vec()
}

/// Sends in the server, waiting.
pub(crate) fn give(channel: &Channel, element: &[u8]) {
    channel.sender().unwrap().send(element.to_vec().into()).wait().unwrap();
}
