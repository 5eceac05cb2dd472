// SPDX-License-Identifier: BSD-3-Clause
//! What a process says to the test: 16 bytes at a time, over the socket that is its standard input,
//! on which it is told what to do. What was written before a kill is read after it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) what: What,
    pub(crate) channel: u8,
    pub(crate) number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// A server listens; a client has started.
    Ready,
    /// The element is about to be sent.
    Intended,
    /// Its send is over: the channel has accepted it.
    Accepted,
    /// Its send is over: it was not accepted.
    Refused,
    /// Its send is over: nobody knows.
    Unknown,
    /// The element was received.
    Received,
    /// The element was in the channel when all clients had gone.
    Left,
    /// The operation on this channel ended with the error that the connection is over.
    Ended,
    /// An element that nobody can have sent, or an error that must not be.
    Wrong,
    /// Nothing is open any more.
    Idle,
    /// It ends.
    Done,
}

const ALL: [What; 11] = [
    What::Ready,
    What::Intended,
    What::Accepted,
    What::Refused,
    What::Unknown,
    What::Received,
    What::Left,
    What::Ended,
    What::Wrong,
    What::Idle,
    What::Done,
];

impl Report {
    pub(crate) fn read(from: &mut impl Read) -> Option<Self> {
        let mut bytes = [0; 16];
        from.read_exact(&mut bytes).ok()?;
        let number = u64::from_le_bytes(bytes[8..].try_into().unwrap());
        Some(Self { what: ALL[usize::from(bytes[0])], channel: bytes[1], number })
    }
}

/// Where a process reports. Several threads may.
#[derive(Debug)]
pub(crate) struct Reporter(UnixStream);

impl Reporter {
    /// This process's, which was started by the test.
    pub(crate) fn of_process() -> Self {
        Self(std::io::stdin().as_fd().try_clone_to_owned().unwrap().into())
    }

    pub(crate) fn say(&self, what: What, channel: u8, number: u64) {
        let mut bytes = [0; 16];
        bytes[0] = what as u8;
        bytes[1] = channel;
        bytes[8..].copy_from_slice(&number.to_le_bytes());
        if (&self.0).write_all(&bytes).is_err() {
            // The test is no more.
            std::process::abort();
        }
    }

    /// What the test wants next; `None`: it is no more.
    pub(crate) fn told(&self) -> Option<u8> {
        let mut byte = [0];
        (&self.0).read_exact(&mut byte).ok().map(|()| byte[0])
    }
}

/// The bytes of the element of a number: the number, and then as many as it says.
pub(crate) fn element(number: u64) -> Vec<u8> {
    let more = match number % 64 {
        7 => 50_000,
        8..12 => 3_000,
        _ => number % 128,
    };
    let filler = (0..more).map(|at| (number.wrapping_mul(31) ^ at) as u8);
    number.to_le_bytes().into_iter().chain(filler).collect()
}

/// The number of an element, if it is whole.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    (element(number) == bytes).then_some(number)
}
