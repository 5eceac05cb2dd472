// SPDX-License-Identifier: BSD-3-Clause
//! Memory that both processes have mapped: for the floors, and for the times that the two sides
//! of a sleeping row tell each other.
//!
//! # Safety
//!
//! - The mapping is as long as the file, a memfd that no other process has and that is never
//!   truncated: no access faults.
//! - Words are atomics, which any number may use. Bytes are handed out by functions whose callers
//!   say whose turn it is.
//! - A fresh memfd is zeros: every byte is initialised.

use std::os::fd::OwnedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::BenchError;

/// Bytes of a cache line, and of its neighbour that is fetched with it.
pub(crate) const LINE: usize = 128;

/// A mapping.
#[derive(Debug)]
pub(crate) struct Shared {
    base: NonNull<u8>,
    bytes: usize,
}

impl Shared {
    /// New memory, and the descriptor by which the other process opens it.
    pub(crate) fn create(bytes: usize) -> Result<(Self, OwnedFd), BenchError> {
        let fd = memfd_create("becket-bench", MemfdFlags::CLOEXEC).map_err(refused)?;
        ftruncate(&fd, bytes as u64).map_err(refused)?;
        Ok((Self::open(&fd, bytes)?, fd))
    }

    /// The memory that the other process has created.
    pub(crate) fn open(fd: &OwnedFd, bytes: usize) -> Result<Self, BenchError> {
        let (access, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping at a place that the kernel chooses; it is unmapped in `drop` only.
        let base = unsafe { mmap(null_mut(), bytes, access, flags, fd, 0) }.map_err(refused)?;
        let base = NonNull::new(base.cast()).ok_or(BenchError::Worker)?;
        Ok(Self { base, bytes })
    }

    /// The word at this offset, if the memory goes that far.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> Result<&AtomicU64, BenchError> {
        if !self.has(offset, 8) || !offset.is_multiple_of(8) {
            return Err(BenchError::Worker);
        }
        // SAFETY: inside the mapping, aligned since a mapping begins at a page.
        Ok(unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) })
    }

    /// The half word at this offset, if the memory goes that far.
    #[inline]
    pub(crate) fn half_word(&self, offset: usize) -> Result<&AtomicU32, BenchError> {
        if !self.has(offset, 4) || !offset.is_multiple_of(4) {
            return Err(BenchError::Worker);
        }
        // SAFETY: as in `word`.
        Ok(unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast()) })
    }

    /// Bytes to write.
    ///
    /// # Safety
    ///
    /// While the result lives, no other code, in either process, reads or writes these bytes.
    #[inline]
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller guarantees exclusive access to these bytes"
    )]
    pub(crate) unsafe fn bytes_mut(
        &self,
        offset: usize,
        length: usize,
    ) -> Result<&mut [u8], BenchError> {
        if !self.has(offset, length) {
            return Err(BenchError::Worker);
        }
        // SAFETY: inside the mapping, initialised; alone with it by the contract.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), length) })
    }

    /// Bytes to read.
    ///
    /// # Safety
    ///
    /// While the result lives, no code, in either process, writes these bytes.
    #[inline]
    pub(crate) unsafe fn bytes(&self, offset: usize, length: usize) -> Result<&[u8], BenchError> {
        if !self.has(offset, length) {
            return Err(BenchError::Worker);
        }
        // SAFETY: inside the mapping, initialised; not written by the contract.
        Ok(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), length) })
    }

    fn has(&self, offset: usize, length: usize) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.bytes)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped in `open`; every reference into it borrows `self`.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

fn refused(error: rustix::io::Errno) -> BenchError {
    BenchError::System { what: "make shared memory", source: error.into() }
}
