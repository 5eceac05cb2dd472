// SPDX-License-Identifier: BSD-3-Clause
//! A plain Unix socket with message boundaries (`SOCK_SEQPACKET`): one call per message.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

use crate::error::BenchError;
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Seqpacket {}

/// An end.
pub(crate) struct End {
    socket: OwnedFd,
    payload: Payload,
    buffer: Vec<u8>,
}

impl Kind for Seqpacket {
    const COLUMN: &str = "Unix seqpacket";
    type Host = OwnedFd;
    type End = End;

    fn invite(_: Work) -> Result<(Invitation, OwnedFd), BenchError> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None)
            .map_err(|error| BenchError::host(Self::COLUMN, error))?;
        Ok((Invitation::of([theirs]), ours))
    }

    fn accept(socket: OwnedFd, work: Work) -> Result<End, BenchError> {
        let payload = Payload::new(Self::COLUMN, work.bytes());
        let buffer = vec![0; payload.bytes()];
        Ok(End { socket, payload, buffer })
    }

    fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
        Self::accept(invitation.descriptor()?, work)
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        self.payload.fill(&mut self.buffer, number)?;
        send(&self.socket, &self.buffer, SendFlags::NOSIGNAL).map_err(failed)?;
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let (read, _) =
            recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()).map_err(failed)?;
        if read == 0 {
            return Err(failed(Errno::PIPE));
        }
        self.payload.read(self.buffer.get(..read).unwrap_or_default())
    }
}

fn failed(error: Errno) -> BenchError {
    BenchError::host(Seqpacket::COLUMN, error)
}
