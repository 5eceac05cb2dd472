// SPDX-License-Identifier: BSD-3-Clause
//! ipc-channel: channels of bytes; memory that is handed over by its descriptor.

use ipc_channel::IpcError;
use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender, IpcSharedMemory,
    bytes_channel, channel,
};

use crate::error::{BenchError, check};
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// Messages of bytes.
pub(crate) enum Bytes {}
/// Messages of a number and shared memory, which is not touched.
pub(crate) enum Memory {}

type Ends = (IpcBytesSender, IpcBytesReceiver);
type MemoryEnds = (IpcSender<Handed>, IpcReceiver<Handed>);
type Handed = (u64, IpcSharedMemory);

/// An end for bytes.
pub(crate) struct BytesEnd {
    out: IpcBytesSender,
    inward: IpcBytesReceiver,
    payload: Payload,
    buffer: Vec<u8>,
}

/// An end for memory.
pub(crate) struct MemoryEnd {
    out: IpcSender<Handed>,
    inward: IpcReceiver<Handed>,
    bytes: usize,
    block: Option<IpcSharedMemory>,
}

impl Kind for Bytes {
    const COLUMN: &str = "ipc-channel";
    type Host = IpcOneShotServer<Ends>;
    type End = BytesEnd;

    fn invite(_: Work) -> Result<(Invitation, Self::Host), BenchError> {
        let (host, text) = IpcOneShotServer::new().map_err(refused)?;
        Ok((invitation(text), host))
    }

    fn accept(host: Self::Host, work: Work) -> Result<BytesEnd, BenchError> {
        let (_, (out, inward)) = host.accept().map_err(failed)?;
        Ok(bytes_end(out, inward, work))
    }

    fn join(invitation: Invitation, work: Work) -> Result<BytesEnd, BenchError> {
        let (theirs_out, inward) = bytes_channel().map_err(refused)?;
        let (out, theirs_inward) = bytes_channel().map_err(refused)?;
        let server = IpcSender::<Ends>::connect(invitation.text).map_err(refused)?;
        server.send((theirs_out, theirs_inward)).map_err(failed)?;
        Ok(bytes_end(out, inward, work))
    }
}

impl Kind for Memory {
    const COLUMN: &str = "ipc-channel";
    type Host = IpcOneShotServer<MemoryEnds>;
    type End = MemoryEnd;

    fn invite(_: Work) -> Result<(Invitation, Self::Host), BenchError> {
        let (host, text) = IpcOneShotServer::new().map_err(refused)?;
        Ok((invitation(text), host))
    }

    fn accept(host: Self::Host, work: Work) -> Result<MemoryEnd, BenchError> {
        let (_, (out, inward)) = host.accept().map_err(failed)?;
        let block = Some(IpcSharedMemory::from_byte(0x5a, work.bytes()));
        Ok(MemoryEnd { out, inward, bytes: work.bytes(), block })
    }

    fn join(invitation: Invitation, work: Work) -> Result<MemoryEnd, BenchError> {
        let (theirs_out, inward) = channel().map_err(refused)?;
        let (out, theirs_inward) = channel().map_err(refused)?;
        let server = IpcSender::<MemoryEnds>::connect(invitation.text).map_err(refused)?;
        server.send((theirs_out, theirs_inward)).map_err(failed)?;
        Ok(MemoryEnd { out, inward, bytes: work.bytes(), block: None })
    }
}

fn invitation(text: String) -> Invitation {
    Invitation { descriptors: Vec::new(), text }
}

fn bytes_end(out: IpcBytesSender, inward: IpcBytesReceiver, work: Work) -> BytesEnd {
    let payload = Payload::new(Bytes::COLUMN, work.bytes());
    let buffer = vec![0; payload.bytes()];
    BytesEnd { out, inward, payload, buffer }
}

impl Way for BytesEnd {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        self.payload.fill(&mut self.buffer, number)?;
        self.out.send(&self.buffer).map_err(refused)
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        self.payload.read(&self.inward.recv().map_err(failed)?)
    }
}

impl Way for MemoryEnd {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let block = self.block.take().ok_or(BenchError::Worker)?;
        self.out.send((number, block)).map_err(failed)
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let (number, block) = self.inward.recv().map_err(failed)?;
        check(Memory::COLUMN, "a block's length", self.bytes, block.len())?;
        check(Memory::COLUMN, "a block's last byte", Some(&0x5a), block.last())?;
        self.block = Some(block);
        Ok(number)
    }
}

fn failed(error: impl Into<IpcError>) -> BenchError {
    BenchError::host(Bytes::COLUMN, error.into().to_string())
}

fn refused(error: std::io::Error) -> BenchError {
    BenchError::host(Bytes::COLUMN, error)
}
