// SPDX-License-Identifier: BSD-3-Clause
//! A segment: a sealed memfd that one side writes and the other may only read.
//!
//! This side's segment is created, mapped writable once, then sealed: from there on no process can
//! change its size or map it writable again, not even through `/proc`. The peer's segment is
//! accepted only if it has those seals, is on tmpfs (huge pages may fault), and has the size that
//! its header states. The header is read once.
//!
//! Only the ring and the small blocks are entered into the page tables at once. The kernel takes a
//! killed process's tables apart, page by page, before it closes the sockets by which the peer notices
//! its end.
//!
//! A segment has no name: the memory is freed with the last descriptor and mapping, after kill -9
//! too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_get_seals, fstat,
    fstatfs, memfd_create,
};
use rustix::io::{Errno, retry_on_intr};

use super::error::ShmError;
use super::memory::{Foreign, Own, WORD_BYTES};
use super::validate::{Geometry, HEADER, HEADER_WORDS, Violation};

/// The seals that fix a segment's size and its writer.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);
const TMPFS_MAGIC: i128 = 0x0102_1994;

/// This side's segment.
#[derive(Debug)]
pub struct OwnSegment {
    pub(super) memory: Own,
    pub(super) geometry: Geometry,
}

/// The peer's segment.
#[derive(Debug)]
pub struct PeerSegment {
    pub(super) memory: Foreign,
    pub(super) geometry: Geometry,
}

impl OwnSegment {
    /// Creates a segment and seals it. All its memory is taken here, so that no later access fails
    /// for want of it. The descriptor is for the peer; this side needs only the mapping.
    ///
    /// # Errors
    /// [`ShmError::Io`]: out of descriptors or memory.
    pub fn create(geometry: Geometry) -> Result<(Self, OwnedFd), ShmError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("becket-ipc", flags).map_err(io("make a shared segment"))?;
        let bytes = geometry.bytes();
        retry_on_intr(|| fallocate(&file, FallocateFlags::empty(), 0, bytes as u64))
            .map_err(io("allocate a shared segment"))?;
        let memory = Own::map(file.as_fd(), bytes).map_err(io("map a shared segment"))?;
        memory.warm(geometry.warm_bytes());
        for (at, word) in geometry.to_words().into_iter().enumerate() {
            memory.publish(HEADER + at * WORD_BYTES, word).map_err(Violation::from)?;
        }
        // Only now: the seal refuses later writable mappings, and keeps the existing one.
        fcntl_add_seals(&file, SEALS).map_err(io("seal a shared segment"))?;
        Ok((Self { memory, geometry }, file))
    }
}

impl PeerSegment {
    /// Maps the peer's segment, read-only. It may have up to `bytes_max`.
    ///
    /// # Errors
    /// [`ShmError::PeerViolation`]: it is not a valid segment. [`ShmError::Io`]: it cannot be
    /// mapped.
    pub fn open(file: BorrowedFd<'_>, bytes_max: usize) -> Result<Self, ShmError> {
        // First: this involves no file system, and refuses everything that is not a memfd.
        let seals = match fcntl_get_seals(file) {
            Ok(seals) => seals,
            Err(Errno::INVAL) => return Err(Violation::NoMemory.into()),
            Err(errno) => return Err(io("read the seals of the peer's segment")(errno)),
        };
        if !seals.contains(SEALS) {
            return Err(Violation::Seals.into());
        }
        let system = fstatfs(file).map_err(io("examine the peer's segment"))?;
        if i128::from(system.f_type) != TMPFS_MAGIC {
            return Err(Violation::NoMemory.into());
        }
        let stat = fstat(file).map_err(io("examine the peer's segment"))?;
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes <= bytes_max);
        let Some(mapped) = fits.filter(|bytes| *bytes >= HEADER_WORDS * WORD_BYTES) else {
            return Err(Violation::Size { bytes, expected: bytes_max as u64 }.into());
        };
        let memory = Foreign::map(file, mapped).map_err(io("map the peer's segment"))?;
        let mut words = [0; HEADER_WORDS];
        for (at, word) in words.iter_mut().enumerate() {
            *word = memory.acquire(HEADER + at * WORD_BYTES).map_err(Violation::from)?;
        }
        let geometry = Geometry::from_words(words, bytes)?;
        memory.warm(geometry.warm_bytes());
        Ok(Self { memory, geometry })
    }
}

/// Both views of one segment, without a mapping: for tests under miri.
#[cfg(test)]
pub(super) fn private(geometry: Geometry) -> (OwnSegment, PeerSegment) {
    let (own, peer) = super::memory::private(geometry.bytes());
    (OwnSegment { memory: own, geometry }, PeerSegment { memory: peer, geometry })
}

fn io(doing: &'static str) -> impl Fn(Errno) -> ShmError {
    move |errno| ShmError::Io { doing, source: errno }
}
