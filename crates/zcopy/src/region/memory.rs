// SPDX-License-Identifier: BSD-3-Clause
//! The memory of a region: how it is allocated, and how it is released, once, when it is dropped.

use std::alloc::{self, Layout};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, memfd_create};
use rustix::fs::{fcntl_add_seals, ftruncate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::{Error, system};

/// The callback that releases foreign memory.
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// The memory of a region.
pub(crate) enum Memory {
    Heap { at: NonNull<u8>, layout: Layout },
    Mapped(#[allow(dead_code, reason = "held")] Mapping),
    Foreign(Option<Release>),
}

// SAFETY: it owns its memory, and no method reads or writes it.
unsafe impl Send for Memory {}

/// A mapping. Dropped, it is unmapped.
#[derive(Debug)]
pub(crate) struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

/// The access that a mapping allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
    /// For a file that is sealed against writes: a private mapping, which shows the same bytes.
    /// Linux before 6.7 refuses a shared one.
    ReadFrozen,
}

// SAFETY: an address and a length; only the drop of its single owner unmaps it.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference only allows address and length to be read.
unsafe impl Sync for Mapping {}

impl Memory {
    /// Zeroed bytes from the heap.
    pub(crate) fn heap(bytes: usize, align: usize) -> Result<(Self, NonNull<u8>), Error> {
        let no_memory = || Error::System { call: "alloc", errno: rustix::io::Errno::NOMEM };
        let layout = Layout::from_size_align(bytes, align).map_err(|_| no_memory())?;
        if bytes == 0 {
            return Err(Error::Empty);
        }
        // SAFETY: the layout has a size above 0.
        let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or_else(no_memory)?;
        Ok((Self::Heap { at, layout }, at))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self {
            // SAFETY: allocated by `heap` with that layout, and deallocated only here.
            Self::Heap { at, layout } => unsafe { alloc::dealloc(at.as_ptr(), *layout) },
            Self::Mapped(_) => {}
            Self::Foreign(release) => {
                if let Some(release) = release.take() {
                    // It may run inside a receive of unrelated code: the panic hook reports a
                    // panic, and the panic stops here.
                    let _ = catch_unwind(AssertUnwindSafe(release));
                }
            }
        }
    }
}

impl Mapping {
    /// Maps all of a file.
    pub(crate) fn of(fd: &OwnedFd, bytes: usize, access: Access) -> Result<Self, Error> {
        let (protection, flags) = match access {
            Access::Write => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED),
            Access::Read => (ProtFlags::READ, MapFlags::SHARED),
            Access::ReadFrozen => (ProtFlags::READ, MapFlags::PRIVATE),
        };
        let flags = flags | MapFlags::POPULATE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe { mmap(ptr::null_mut(), bytes, protection, flags, fd, 0) };
        let at = at.map_err(system("mmap"))?;
        let at = NonNull::new(at.cast()).ok_or(Error::Empty)?;
        Ok(Self { at, bytes })
    }

    pub(crate) fn at(&self) -> NonNull<u8> {
        self.at
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` with that length; every reader holds this mapping.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

/// A memfd of `bytes` bytes, all allocated: access to them cannot fail.
pub(crate) fn memfd(bytes: usize) -> Result<OwnedFd, Error> {
    if bytes == 0 {
        return Err(Error::Empty);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("becket-region", flags).map_err(system("memfd_create"))?;
    ftruncate(&fd, bytes as u64).map_err(system("ftruncate"))?;
    fallocate(&fd, FallocateFlags::empty(), 0, bytes as u64).map_err(system("fallocate"))?;
    Ok(fd)
}

/// Seals the file's length, adds the seals `writes`, and allows no further seals.
pub(crate) fn seal(fd: &OwnedFd, writes: SealFlags) -> Result<(), Error> {
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL | writes;
    fcntl_add_seals(fd, seals).map_err(system("fcntl(F_ADD_SEALS)"))
}
