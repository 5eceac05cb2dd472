// SPDX-License-Identifier: BSD-3-Clause
//! A client of protocol 1.0 that writes its bytes by hand: one connection per channel.

use std::os::fd::OwnedFd;
use std::thread;

use becket_chan::Token;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use crate::client::{Numbers, each_time};
use crate::part::{Part, Role, Transport};
use crate::report::{Reporter, What, element, number};

const HELLO: u16 = 1;
const SEND: u16 = 11;
const RECV: u16 = 13;
const ABI_MAJOR: u16 = 1;
const ABI_MINOR: u16 = 2;
const TIMEOUT_MS: u16 = 8;
const CHAN_ID: u16 = 20;
const ELEMENT: u16 = 21;
const RESULT: u16 = 22;
const FOR_EVER: u32 = u32::MAX;
/// `ETIME`.
const TIMED_OUT: i32 = -62;
/// `EAGAIN`, without waiting.
const NO_ROOM: i32 = -11;
/// So that a receiver checks whether it has to stop.
const RECEIVE_MS: u32 = 20;

type Attribute<'a> = (u16, &'a [u8]);

/// The connection has ended.
struct Over;

struct Old {
    socket: OwnedFd,
    is_stream: bool,
    came: Vec<u8>,
}

pub(crate) fn play(part: &Part) {
    let reporter = &Reporter::of_process();
    let numbers = &Numbers::new(part.id);
    each_time(reporter, |stop| {
        thread::scope(|scope| {
            for channel in 0..4_u8 {
                scope.spawn(move || {
                    let say = |what, number| reporter.say(what, channel, number);
                    let worked = Old::connect(part).and_then(|old| match part.role {
                        Role::Sender => old.send_all(channel, numbers, stop, &say),
                        _ => old.receive_all(channel, stop, &say),
                    });
                    if worked.is_err() {
                        say(What::Ended, 0);
                    }
                });
            }
        });
    });
}

impl Old {
    fn connect(part: &Part) -> Result<Self, Over> {
        let is_stream = part.transport == Transport::OldBytes;
        let kind = if is_stream { SocketType::STREAM } else { SocketType::SEQPACKET };
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(part.path()).unwrap()).map_err(|_| Over)?;
        let mut old = Self { socket, is_stream, came: Vec::new() };
        let versions = [(ABI_MAJOR, 1_u32.to_be_bytes()), (ABI_MINOR, 0_u32.to_be_bytes())];
        let versions = versions.each_ref().map(|(kind, value)| (*kind, value.as_slice()));
        old.ask(HELLO, &versions)?;
        Ok(old)
    }

    fn send_all(
        mut self,
        channel: u8,
        numbers: &Numbers,
        stop: &Token,
        say: &dyn Fn(What, u64),
    ) -> Result<(), Over> {
        let id = (1001 + u32::from(channel)).to_be_bytes();
        while !stop.is_cancelled() {
            let number = numbers.next(channel);
            say(What::Intended, number);
            let timeout_ms = if fastrand::u8(..8) == 0 { fastrand::u32(..3) } else { FOR_EVER };
            let timeout = timeout_ms.to_be_bytes();
            let element = element(number);
            let ask = [(CHAN_ID, &id[..]), (TIMEOUT_MS, &timeout), (ELEMENT, &element)];
            let Ok((result, _)) = self.ask(SEND, &ask) else {
                say(What::Unknown, number);
                return Err(Over);
            };
            say(
                match result {
                    0 => What::Accepted,
                    TIMED_OUT | NO_ROOM => What::Refused,
                    _ => What::Wrong,
                },
                number,
            );
        }
        Ok(())
    }

    fn receive_all(
        mut self,
        channel: u8,
        stop: &Token,
        say: &dyn Fn(What, u64),
    ) -> Result<(), Over> {
        let id = (1001 + u32::from(channel)).to_be_bytes();
        let timeout = RECEIVE_MS.to_be_bytes();
        while !stop.is_cancelled() {
            match self.ask(RECV, &[(CHAN_ID, &id), (TIMEOUT_MS, &timeout)])? {
                (0, element) => match number(&element) {
                    Some(number) => say(What::Received, number),
                    None => say(What::Wrong, element.len() as u64),
                },
                (TIMED_OUT, _) => {}
                (result, _) => say(What::Wrong, u64::from(result.unsigned_abs())),
            }
        }
        Ok(())
    }

    /// Sends a request and waits for the answer: its result, and its element if it has one.
    fn ask(&mut self, command: u16, attributes: &[Attribute<'_>]) -> Result<(i32, Vec<u8>), Over> {
        let mut frame = vec![0; 8];
        for (kind, value) in attributes {
            frame.extend(kind.to_be_bytes());
            frame.extend((value.len() as u16).to_be_bytes());
            frame.extend(*value);
        }
        let payload_bytes = (frame.len() - 8) as u32;
        frame[..2].copy_from_slice(&command.to_be_bytes());
        frame[4..8].copy_from_slice(&payload_bytes.to_be_bytes());
        // Half of the packets are split into header and payload.
        let at = if !self.is_stream && fastrand::bool() { 8 } else { frame.len() };
        self.write(&frame[..at])?;
        self.write(&frame[at..])?;
        self.came.clear();
        self.until(8)?;
        assert_eq!(u16::from_be_bytes([self.came[0], self.came[1]]), command);
        let length = u32::from_be_bytes(self.came[4..8].try_into().unwrap()) as usize;
        self.until(8 + length)?;
        assert_eq!(self.came.len(), 8 + length, "one answer to one request");
        let (mut result, mut element, mut rest) = (0, Vec::new(), &self.came[8..]);
        while !rest.is_empty() {
            let bytes = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            let value = &rest[4..4 + bytes];
            match u16::from_be_bytes([rest[0], rest[1]]) {
                RESULT => result = i32::from_be_bytes(value.try_into().unwrap()),
                ELEMENT => element = value.to_vec(),
                _ => {}
            }
            rest = &rest[4 + bytes..];
        }
        Ok((result, element))
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), Over> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }

    /// Reads until `bytes` bytes have arrived.
    fn until(&mut self, bytes: usize) -> Result<(), Over> {
        let mut buffer = vec![0; 70_000];
        while self.came.len() < bytes {
            match recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(Over),
                Ok((read, _)) => self.came.extend(&buffer[..read]),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }
}
