// SPDX-License-Identifier: BSD-3-Clause
//! A connection without the library: every byte is written here.

use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

pub(super) const HELLO: u8 = 1;
pub(super) const WELCOME: u8 = 2;
pub(super) const PING: u8 = 3;
pub(super) const PONG: u8 = 4;
pub(super) const REQUEST: u8 = 16;
pub(super) const REPLY: u8 = 17;
pub(super) const OPEN: u8 = 32;
pub(super) const ACCEPT: u8 = 33;
pub(super) const DATA: u8 = 34;
pub(super) const CREDIT: u8 = 35;
pub(super) const ACK: u8 = 36;
pub(super) const RETURN: u8 = 39;

/// What a stream is opened for.
pub(super) const SEND: u16 = 1;
pub(super) const RECEIVE: u16 = 2;

/// A channel with room for 8, and one with elements that are not received.
pub(super) const JOBS: &[u8] = b"jobs";
pub(super) const STOCK: &[u8] = b"stock";

/// The first stream that a client opens.
pub(super) const FIRST: u32 = 1 << 17;

/// A peer that keeps the rules must be admitted: an attack that does not reach its defect tests
/// nothing.
const LET_IN: &str = "it is let in";

/// A frame's head.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) code: u16,
    pub(super) stream: u32,
    pub(super) aux: u32,
    pub(super) sequence: u64,
}

impl Head {
    pub(super) fn of(kind: u8) -> Self {
        Self { kind, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.length.to_le_bytes().to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.code.to_le_bytes());
        bytes.extend(self.stream.to_le_bytes());
        bytes.extend(self.aux.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes
    }

    /// With a body, of which it says the length.
    pub(super) fn with(mut self, body: &[u8]) -> Vec<u8> {
        self.length = body.len() as u32;
        let mut bytes = self.bytes();
        bytes.extend(body);
        bytes
    }
}

/// A greeting of a version, as protocol 1.0 has it.
pub(super) fn greeting(major: u32, caps: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    for (kind, value) in [(1_u16, major), (2, 0), (3, caps)] {
        payload.extend(kind.to_be_bytes());
        payload.extend(4_u16.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    old_frame(1, payload.len() as u32, &payload)
}

/// A frame of protocol 1.0 with this announced length.
pub(super) fn old_frame(command: u16, length: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = command.to_be_bytes().to_vec();
    bytes.extend([0, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A hello's body: every limit has its largest value.
pub(super) fn attributes() -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, length, value) in [
        (1_u16, 4, 65_536),
        (2, 4, 1 << 24),
        (3, 8, 1 << 26),
        (4, 4, 65_536),
        (5, 4, 1024),
        (6, 4, 9),
    ] {
        body.extend(kind.to_le_bytes());
        body.extend((length as u16).to_le_bytes());
        body.extend(&u64::to_le_bytes(value)[..length]);
    }
    body
}

/// One connection.
pub(super) struct Hand(pub(super) UnixStream);

impl Hand {
    /// Connects to the stream socket of a server: at the path, or beside it.
    pub(super) fn connect(path: &Path) -> Self {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".stream");
        let beside = PathBuf::from(beside);
        let path = if beside.exists() { &beside } else { path };
        loop {
            match UnixStream::connect(path) {
                Ok(socket) => return Self(socket),
                // The server's backlog is full: try again.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// After the handshake.
    pub(super) fn greeted(path: &Path, caps: u32) -> Self {
        let mut hand = Self::connect(path);
        hand.say(&greeting(2, caps));
        let mut head = [0; 8];
        hand.hear(&mut head).expect(LET_IN);
        let mut rest = vec![0; u32::from_be_bytes(head[4..].try_into().unwrap()) as usize];
        hand.hear(&mut rest).expect(LET_IN);
        hand
    }

    /// In a session without shared memory.
    pub(super) fn in_session(path: &Path) -> Self {
        let mut hand = Self::greeted(path, 0);
        hand.say(&Head { aux: 2, ..Head::of(HELLO) }.with(&attributes()));
        hand.until(WELCOME).expect(LET_IN);
        hand
    }

    /// With a stream open, whose credit for the other side is that.
    pub(super) fn with_stream(path: &Path, service: u16, name: &[u8], credit: u32) -> Self {
        let mut hand = Self::in_session(path);
        let sequence = u64::from(credit) << 16;
        let open = Head {
            code: service,
            stream: FIRST,
            aux: credit,
            sequence,
            flags: 1,
            ..Head::of(OPEN)
        };
        hand.say(&open.with(name));
        hand.until(ACCEPT).expect(LET_IN);
        hand
    }

    /// Sends bytes. `false` if the server has closed the connection.
    pub(super) fn say(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    fn hear(&mut self, bytes: &mut [u8]) -> Option<()> {
        self.0.read_exact(bytes).ok()
    }

    /// The next frame; `None` if the server has closed the connection.
    pub(super) fn frame(&mut self) -> Option<(Head, Vec<u8>)> {
        let mut bytes = [0; 24];
        self.hear(&mut bytes)?;
        let four = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let head = Head {
            length: four(0),
            kind: bytes[4],
            flags: bytes[5],
            code: u16::from_le_bytes([bytes[6], bytes[7]]),
            stream: four(8),
            aux: four(12),
            sequence: u64::from(four(16)) | u64::from(four(20)) << 32,
        };
        let mut body = vec![0; head.length as usize];
        self.hear(&mut body)?;
        Some((head, body))
    }

    /// Receives frames until one of this kind.
    pub(super) fn until(&mut self, kind: u8) -> Option<Head> {
        loop {
            let (head, _) = self.frame()?;
            if head.kind == kind {
                return Some(head);
            }
        }
    }

    /// Whether the server answers a ping: it tolerates this peer.
    pub(super) fn is_borne(&mut self) -> bool {
        self.say(&Head { sequence: 77, ..Head::of(PING) }.bytes()) && self.until(PONG).is_some()
    }

    /// Waits until the server closes the connection.
    pub(super) fn until_put_out(&mut self) {
        let mut bytes = [0; 4096];
        while self.0.read(&mut bytes).is_ok_and(|bytes| bytes > 0) {}
    }

    /// With descriptors beside the bytes.
    pub(super) fn hand_over(&mut self, bytes: &[u8], files: &[OwnedFd]) -> bool {
        let borrowed: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&borrowed));
        }
        let bytes = [IoSlice::new(bytes)];
        rustix::net::sendmsg(&self.0, &bytes, &mut control, SendFlags::NOSIGNAL).is_ok()
    }

    /// What the server offers, and the descriptor of its segment.
    pub(super) fn offered(&mut self) -> OwnedFd {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 16];
        let slices = &mut [std::io::IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&self.0, slices, &mut control, RecvFlags::WAITALL).expect(LET_IN);
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        file.expect(LET_IN)
    }
}

/// Numbers that look random: a new row each time.
pub(super) fn random() -> impl FnMut() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let mut state = RandomState::new().hash_one(0) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

pub(super) fn random_bytes(bytes: usize) -> Vec<u8> {
    let mut random = random();
    (0..bytes).map(|_| random() as u8).collect()
}
