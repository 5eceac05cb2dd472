// SPDX-License-Identifier: BSD-3-Clause
//! A process's reports to the test: 16 bytes each, over the socket that is its standard input, on
//! which it also gets commands. Reports that were written before a kill can be read after it.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

pub(crate) use crate::what::What;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) what: What,
    pub(crate) channel: u8,
    pub(crate) number: u64,
}

impl Report {
    pub(crate) fn read(from: &mut impl Read) -> Option<Self> {
        let mut bytes = [0; 16];
        from.read_exact(&mut bytes).ok()?;
        let number = u64::from_le_bytes(bytes[8..].try_into().unwrap());
        Some(Self { what: What::of(bytes[0].into()), channel: bytes[1], number })
    }
}

/// Where a process reports, from any thread.
#[derive(Debug)]
pub(crate) struct Reporter(UnixStream);

impl Reporter {
    /// The reporter of this process, which the test has started.
    pub(crate) fn of_process() -> Self {
        Self(std::io::stdin().as_fd().try_clone_to_owned().unwrap().into())
    }

    pub(crate) fn say(&self, what: What, channel: u8, number: u64) {
        let mut bytes = [0; 16];
        bytes[0] = what as u8;
        bytes[1] = channel;
        bytes[8..].copy_from_slice(&number.to_le_bytes());
        if (&self.0).write_all(&bytes).is_err() {
            // The test has ended.
            std::process::abort();
        }
    }

    /// The next command of the test; `None`: the test has ended.
    pub(crate) fn command(&self) -> Option<u8> {
        let mut byte = [0];
        (&self.0).read_exact(&mut byte).ok().map(|()| byte[0])
    }
}

/// The bytes of an element: its number, and then a length that is a function of it.
pub(crate) fn element(number: u64) -> Vec<u8> {
    let more = match number % 64 {
        7 => 50_000,
        8..12 => 3_000,
        _ => number % 128,
    };
    let filler = (0..more).map(|at| (number.wrapping_mul(31) ^ at) as u8);
    number.to_le_bytes().into_iter().chain(filler).collect()
}

/// The number of an element, if it is intact.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(*bytes.first_chunk()?);
    (element(number) == bytes).then_some(number)
}
