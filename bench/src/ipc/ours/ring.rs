// SPDX-License-Identifier: BSD-3-Clause
//! The ring of becket-ipc's shared memory, without session and channels: a frame per message, many
//! taken at once. A waiter spins and then sleeps; both are adapted to the waits before.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use becket_ipc::shm::{Endpoint, Handshake, Refused, ShmLimits, Side};
use becket_ipc::transport::{LinkLimits, Socket, SocketKind};
use becket_wire::{Head, Kind as FrameKind};
use rustix::event::{PollFd, PollFlags, poll};

use super::COLUMN;
use crate::error::BenchError;
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Ring {}

/// An end.
pub(crate) struct End {
    pub(super) endpoint: Endpoint,
    /// Kept: its end is the other process's end.
    _socket: Socket,
    payload: Payload,
    taken: VecDeque<u64>,
    unflushed: u32,
}

/// Frames that are taken at once.
const AT_ONCE: usize = 64;
/// Frames that are put before the other side is woken, if it has to be.
const FLUSHED_EVERY: u32 = 16;

impl Kind for Ring {
    const COLUMN: &str = COLUMN;
    type Host = Socket;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, Socket), BenchError> {
        let (ours, theirs) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(failed)?;
        Ok((Invitation::of([theirs]), Socket::adopt(ours).map_err(failed)?))
    }

    fn accept(socket: Socket, work: Work) -> Result<End, BenchError> {
        end(socket, Side::Accepted, work)
    }

    fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
        let socket: OwnedFd = invitation.descriptor()?;
        end(Socket::adopt(socket).map_err(failed)?, Side::Connected, work)
    }
}

fn end(socket: Socket, side: Side, work: Work) -> Result<End, BenchError> {
    debug_assert_eq!(socket.kind(), SocketKind::Stream);
    let payload = Payload::new(COLUMN, work.bytes());
    let defaults = ShmLimits::default();
    let body_bytes_max = payload.bytes().max(defaults.link.body_bytes_max);
    let limits = ShmLimits {
        link: LinkLimits { body_bytes_max, ..defaults.link },
        segment_bytes_max: defaults.segment_bytes_max.max(8 * body_bytes_max),
        ..defaults
    };
    let mut handshake = Handshake::new(socket, side, limits).map_err(failed)?;
    let link = loop {
        if let Some(link) = handshake.progress().map_err(failed)? {
            break link;
        }
        let watch = handshake.watch();
        let (readable, writable) = (watch.readable_one(), watch.writable_one());
        let mut fds: Vec<_> = readable.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.extend(writable.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        poll(&mut fds, None).map_err(failed)?;
    };
    let (endpoint, socket) = link.into_parts();
    Ok(End { endpoint, _socket: socket, payload, taken: VecDeque::new(), unflushed: 0 })
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let head = Head::new(FrameKind::Data);
        loop {
            match self.endpoint.put(&head, self.payload.stamped(number), 0) {
                Ok(()) => break,
                Err(Refused::Full) => self.endpoint.wait(None).map_err(failed)?,
                Err(refused) => return Err(failed(format!("{refused:?}"))),
            };
        }
        self.unflushed += 1;
        if self.unflushed >= FLUSHED_EVERY { self.flush() } else { Ok(()) }
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        loop {
            if let Some(number) = self.take_now()? {
                return Ok(number);
            }
            self.flush()?;
            self.endpoint.wait(None).map_err(failed)?;
        }
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        if let Some(number) = self.taken.pop_front() {
            return Ok(Some(number));
        }
        let (payload, taken, mut wrong) = (&self.payload, &mut self.taken, None);
        self.endpoint
            .take(AT_ONCE, |frame| match payload.read(frame.body) {
                Ok(number) => taken.push_back(number),
                Err(error) => wrong = Some(error),
            })
            .map_err(failed)?;
        match wrong {
            Some(error) => Err(error),
            None => Ok(self.taken.pop_front()),
        }
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        self.unflushed = 0;
        self.endpoint.flush().map_err(failed)
    }
}

pub(super) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BenchError {
    BenchError::host(COLUMN, error)
}
