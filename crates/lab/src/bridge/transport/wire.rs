// SPDX-License-Identifier: BSD-3-Clause
//! The bytes between the sockets of a link: late, in pieces, and cut behind any byte.
//!
//! ```text
//!   a side's socket ══ near ──read──► bytes ──write──► far ══ the other side's socket
//!                               │ at most HELD_BYTES_MAX; held back until `due`
//! ```
//!
//! The kernel's buffers are made as short as it allows, so that a side whose bytes are held back
//! soon writes a part, and then nothing.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use fastrand::Rng;
use rustix::net::sockopt::set_socket_send_buffer_size;

/// Bytes under way in one direction, at most.
const HELD_BYTES_MAX: usize = 16 << 10;
/// Bytes that pass at once in a disturbed turn, at most.
const PIECE_BYTES_MAX: usize = 64;
/// Ticks for which a direction is held back, at most.
const HELD_TICKS_MAX: u64 = 4;

/// A connection, with the lab in its middle.
#[derive(Debug)]
pub(super) struct Wire {
    /// The client's side and the server's.
    sockets: [UnixStream; 2],
    /// To the client, and to the server.
    ways: [Way; 2],
}

#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    due: u64,
    /// Its sender has ended, or is gone.
    is_over: bool,
    /// The end was passed on.
    is_shut: bool,
    /// Its receiver is gone: what still comes is discarded.
    is_lost: bool,
    /// The connection is cut when so many more bytes have passed.
    cut: Option<usize>,
}

/// What a pass over the wire came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Bytes, or an end.
    Some,
    Nothing,
    /// The connection is cut, or over.
    Gone,
}

impl Wire {
    /// A wire, and the sockets of its two sides.
    pub(super) fn new() -> io::Result<(Self, UnixStream, UnixStream)> {
        let (one, near) = UnixStream::pair()?;
        let (other, far) = UnixStream::pair()?;
        for socket in [&one, &near, &other, &far] {
            socket.set_nonblocking(true)?;
            // The kernel rounds it up to its least.
            set_socket_send_buffer_size(socket, 1)?;
        }
        Ok((Self { sockets: [near, far], ways: Default::default() }, one, other))
    }

    /// Cuts the connection behind any of the bytes that are under way to the client.
    pub(super) fn cut(&mut self, random: &mut Rng) {
        let [to_client, _] = &mut self.ways;
        to_client.cut.get_or_insert(random.usize(..=to_client.bytes.len()));
    }

    /// When bytes are next to be passed that are held back.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        self.ways.iter().map(|way| way.due).filter(|due| *due > now).min()
    }

    /// Passes bytes in both directions; with random numbers late, or in pieces.
    pub(super) fn pass(&mut self, now: u64, mut random: Option<&mut Rng>) -> Passed {
        let mut passed = Passed::Nothing;
        let [client, server] = &self.sockets;
        let [to_client, to_server] = &mut self.ways;
        for (way, from, to) in [(to_client, server, client), (to_server, client, server)] {
            if way.due > now && way.cut.is_none() {
                continue;
            }
            let mut piece = usize::MAX;
            if let Some(random) = &mut random {
                match random.u8(..4) {
                    0 => {
                        way.due = now + random.u64(1..=HELD_TICKS_MAX);
                        continue;
                    }
                    1 => piece = random.usize(1..=PIECE_BYTES_MAX),
                    _ => {}
                }
            }
            match way.pass(from, to, piece) {
                Passed::Gone => return Passed::Gone,
                Passed::Some => passed = Passed::Some,
                Passed::Nothing => {}
            }
        }
        if self.ways.iter().all(|way| way.is_shut) { Passed::Gone } else { passed }
    }
}

impl Way {
    fn pass(&mut self, from: &UnixStream, to: &UnixStream, piece: usize) -> Passed {
        let read = self.read(from, piece);
        let written = self.write(to, piece);
        if self.cut == Some(0) {
            return Passed::Gone;
        }
        if self.is_over && self.bytes.is_empty() && !self.is_shut {
            self.is_shut = true;
            // Of a side that is gone there is nothing left to shut down.
            let _gone = to.shutdown(Shutdown::Write);
            return Passed::Some;
        }
        if read || written { Passed::Some } else { Passed::Nothing }
    }

    fn read(&mut self, mut from: &UnixStream, piece: usize) -> bool {
        let mut any = false;
        let mut buffer = [0; 4096];
        let mut left = piece;
        while !self.is_over && self.cut.is_none() && left > 0 {
            let room = HELD_BYTES_MAX.saturating_sub(self.bytes.len()).min(left).min(buffer.len());
            let Some(into) = buffer.get_mut(..room).filter(|into| !into.is_empty()) else { break };
            match from.read(into) {
                Ok(0) => self.is_over = true,
                Ok(count) => {
                    self.bytes.extend(into.iter().take(count));
                    left -= count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // It is gone, with bytes that it has not read.
                Err(_) => self.is_over = true,
            }
            any = true;
        }
        any
    }

    fn write(&mut self, mut to: &UnixStream, piece: usize) -> bool {
        let mut any = false;
        let mut left = piece.min(self.cut.unwrap_or(usize::MAX));
        if self.is_lost {
            any = !self.bytes.is_empty();
            self.bytes.clear();
        }
        while left > 0 && !self.bytes.is_empty() {
            let (first, _) = self.bytes.as_slices();
            let first = first.get(..left).unwrap_or(first);
            match to.write(first) {
                Ok(count) => {
                    self.bytes.drain(..count);
                    left -= count;
                    self.cut = self.cut.map(|cut| cut - count);
                    any = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_lost = true;
                    self.bytes.clear();
                    any = true;
                }
            }
        }
        any
    }
}
