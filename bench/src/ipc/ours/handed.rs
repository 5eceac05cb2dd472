// SPDX-License-Identifier: BSD-3-Clause
//! Blocks of a pool that are handed over: the ring carries the position of a block in a region that
//! the other process has mapped read-only. Each side lends its own blocks; an answer means that the
//! previous block is no longer read.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use becket_ipc::shm::Refused;
use becket_wire::{Head, Kind as FrameKind, flags};
use becket_zcopy::{Block, Class, Desc, ImportedRegion, Meta, Pool, Region};

use super::COLUMN;
use super::ring::{self, Ring, failed};
use crate::error::{BenchError, check};
use crate::ipc::child::{hand_over, taken_over};
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The kind.
pub(crate) enum Handed {}

/// An end.
pub(crate) struct End {
    ring: ring::End,
    pool: Pool,
    bytes: usize,
    /// What the other side may be reading.
    lent: Option<Block>,
    theirs: ImportedRegion,
}

/// Blocks of a pool: one that is being read, one that is being filled.
const BLOCKS: u32 = 2;
/// A descriptor in a frame: region, offset, length.
const DESCRIPTOR: usize = 24;

impl Kind for Handed {
    const COLUMN: &str = COLUMN;
    type Host = (<Ring as Kind>::Host, UnixStream);
    type End = End;

    fn invite(work: Work) -> Result<(Invitation, Self::Host), BenchError> {
        let (mut invitation, ring) = Ring::invite(work)?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        invitation.descriptors.push(OwnedFd::from(theirs));
        Ok((invitation, (ring, ours)))
    }

    fn accept((ring, aside): Self::Host, work: Work) -> Result<End, BenchError> {
        end(Ring::accept(ring, Work::RoundTrip(DESCRIPTOR))?, aside, work)
    }

    fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
        let aside = invitation.descriptors.pop().ok_or(BenchError::Worker)?;
        let ring = Ring::join(invitation, Work::RoundTrip(DESCRIPTOR))?;
        end(ring, UnixStream::from(aside), work)
    }
}

/// Both sides show each other their regions.
fn end(ring: ring::End, mut aside: UnixStream, work: Work) -> Result<End, BenchError> {
    let bytes = work.bytes();
    let region = Region::memfd(bytes * BLOCKS as usize, Meta::default()).map_err(failed)?;
    let class = Class { block_bytes: bytes, blocks: BLOCKS as _ };
    let pool = Pool::new(&region, &[class]).map_err(failed)?;
    let export = region.export().map_err(failed)?;
    hand_over(&aside, &[export.fd.as_fd().try_clone_to_owned().map_err(failed)?])?;
    aside.write_all(&export.id.to_le_bytes()).map_err(failed)?;

    let fd = taken_over(&aside)?.pop().ok_or(BenchError::Worker)?;
    let mut id = [0; 8];
    aside.read_exact(&mut id).map_err(failed)?;
    let theirs = ImportedRegion::import(fd, u64::from_le_bytes(id), export.bytes, Meta::default())
        .map_err(failed)?;
    Ok(End { ring, pool, bytes, lent: None, theirs })
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let mut lease = self.pool.try_lease(self.bytes).map_err(failed)?;
        let (first, rest) = lease.split_first_chunk_mut().ok_or(BenchError::Worker)?;
        *first = number.to_le_bytes();
        *rest.last_chunk_mut().ok_or(BenchError::Worker)? = number.to_le_bytes();
        let block = lease.freeze();

        let desc = block.desc();
        let mut body = [0; DESCRIPTOR];
        let words = [desc.region_id, desc.offset, desc.len as u64];
        for (place, word) in body.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        let head = Head { flags: flags::DESCRIPTOR, ..Head::new(FrameKind::Data) };
        loop {
            match self.ring.endpoint.put(&head, &body, 0) {
                Ok(()) => break,
                Err(Refused::Full) => self.ring.endpoint.wait(None).map_err(failed)?,
                Err(refused) => return Err(failed(format!("{refused:?}"))),
            };
        }
        self.lent = Some(block);
        Ok(())
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        let mut words = [0; 3];
        while self
            .ring
            .endpoint
            .take(1, |frame| {
                for (word, bytes) in words.iter_mut().zip(frame.body.as_chunks().0) {
                    *word = u64::from_le_bytes(*bytes);
                }
            })
            .map_err(failed)?
            == 0
        {
            self.ring.endpoint.wait(None).map_err(failed)?;
        }
        // An answer means that its sender no longer reads the block that it was lent.
        self.lent = None;
        let [region_id, offset, length] = words;
        let length = usize::try_from(length).map_err(failed)?;
        let desc = Desc::in_region(region_id, offset, length).map_err(failed)?;
        let view = self.theirs.resolve(&desc).map_err(failed)?;
        check(COLUMN, "a block's length", self.bytes, view.len())?;
        let (mut first, mut last) = ([0; 8], [0; 8]);
        view.copy_to(0, &mut first);
        view.copy_to(length - 8, &mut last);
        check(COLUMN, "a block's last word", first, last)?;
        Ok(u64::from_le_bytes(first))
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        self.ring.flush()
    }
}
