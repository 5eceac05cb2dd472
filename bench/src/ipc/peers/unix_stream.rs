// SPDX-License-Identifier: BSD-3-Clause
//! A plain Unix stream socket: a length of four bytes, then the message. One call reads everything
//! that has arrived. One call writes a message, or all messages that were put before the sender
//! waits.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::error::BenchError;
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// One call a message.
pub(crate) enum Plain {}
/// The same, by two that do not sleep: they ask again and again.
pub(crate) enum Polled {}
/// One call for many messages.
pub(crate) enum Coalesced {}

/// Bytes that are put off at most.
const COALESCED_MAX: usize = 64 << 10;
const LENGTH: usize = 4;

/// An end.
pub(crate) struct End {
    column: &'static str,
    socket: UnixStream,
    payload: Payload,
    coalesces: bool,
    out: Vec<u8>,
    inbox: Vec<u8>,
    begin: usize,
    end: usize,
}

macro_rules! kind {
    ($kind:ident, $column:literal, coalesces: $coalesces:literal, polls: $polls:literal) => {
        impl Kind for $kind {
            const COLUMN: &str = $column;
            type Host = UnixStream;
            type End = End;

            fn invite(_: Work) -> Result<(Invitation, UnixStream), BenchError> {
                let (ours, theirs) = UnixStream::pair().map_err(refused)?;
                Ok((Invitation::of([OwnedFd::from(theirs)]), ours))
            }

            fn accept(socket: UnixStream, work: Work) -> Result<End, BenchError> {
                socket.set_nonblocking($polls).map_err(refused)?;
                let payload = Payload::new($column, work.bytes());
                Ok(End {
                    column: $column,
                    socket,
                    coalesces: $coalesces,
                    out: Vec::new(),
                    inbox: vec![0; 2 * COALESCED_MAX + LENGTH + payload.bytes()],
                    begin: 0,
                    end: 0,
                    payload,
                })
            }

            fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
                Self::accept(UnixStream::from(invitation.descriptor()?), work)
            }
        }
    };
}

kind!(Plain, "Unix stream", coalesces: false, polls: false);
kind!(Polled, "Unix stream, polled", coalesces: false, polls: true);
kind!(Coalesced, "Unix stream, coalesced", coalesces: true, polls: false);

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let bytes = self.payload.bytes();
        self.out.extend_from_slice(&(bytes as u32).to_le_bytes());
        let begin = self.out.len();
        self.out.resize(begin + bytes, 0);
        if let Some(message) = self.out.get_mut(begin..) {
            self.payload.fill(message, number)?;
        }
        if self.coalesces && self.out.len() < COALESCED_MAX {
            return Ok(());
        }
        self.flush()
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        loop {
            if let Some(number) = self.take_now()? {
                return Ok(number);
            }
            self.flush()?;
            self.fetch()?;
        }
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        let inbox = self.inbox.get(self.begin..self.end).unwrap_or_default();
        let Some((length, rest)) = inbox.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some(message) = rest.get(..length) else {
            return Ok(None);
        };
        let number = self.payload.read(message)?;
        self.begin += LENGTH + length;
        Ok(Some(number))
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if asks_again(&error) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.out.clear();
        Ok(())
    }
}

impl End {
    /// Reads what is there; waits if there is nothing.
    fn fetch(&mut self) -> Result<(), BenchError> {
        self.inbox.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let room = self.inbox.get_mut(self.end..).unwrap_or_default();
        match self.socket.read(room) {
            Ok(0) => Err(self.failed(ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                self.end += read;
                Ok(())
            }
            Err(error) if asks_again(&error) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: std::io::Error) -> BenchError {
        BenchError::host(self.column, error)
    }
}

fn asks_again(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn refused(source: std::io::Error) -> BenchError {
    BenchError::System { what: "make a pair of sockets", source }
}
