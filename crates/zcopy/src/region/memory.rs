// SPDX-License-Identifier: BSD-3-Clause
//! Where a region's bytes come from, and how they are given back: once, when this is dropped.

use std::alloc::{self, Layout};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, memfd_create};
use rustix::fs::{fcntl_add_seals, ftruncate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::{Error, system};

/// What is run when foreign memory is let go.
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// A region's bytes, until it is dropped.
pub(crate) enum Memory {
    Heap { at: NonNull<u8>, layout: Layout },
    Mapped(#[allow(dead_code, reason = "held")] Mapping),
    Foreign(Option<Release>),
}

// SAFETY: it owns what it points to, and nothing here reads or writes it.
unsafe impl Send for Memory {}

/// A mapping, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

/// What a mapping is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Read,
    /// Of a file that nobody can write: a private mapping, which is the same then. Before Linux 6.7 a
    /// shared one is refused.
    ReadFrozen,
}

// SAFETY: an address and a length; the mapping is undone once, by who owns this.
unsafe impl Send for Mapping {}
// SAFETY: nothing can be done through a shared reference but to ask where it is.
unsafe impl Sync for Mapping {}

impl Memory {
    /// Zeroed bytes of the heap.
    pub(crate) fn heap(bytes: usize, align: usize) -> Result<(Self, NonNull<u8>), Error> {
        let no_memory = || Error::System { call: "alloc", errno: rustix::io::Errno::NOMEM };
        let layout = Layout::from_size_align(bytes, align).map_err(|_| no_memory())?;
        if bytes == 0 {
            return Err(Error::Empty);
        }
        // SAFETY: the layout is not of no bytes.
        let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or_else(no_memory)?;
        Ok((Self::Heap { at, layout }, at))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self {
            // SAFETY: allocated by `heap` with that layout, and let go here only.
            Self::Heap { at, layout } => unsafe { alloc::dealloc(at.as_ptr(), *layout) },
            Self::Mapped(_) => {}
            Self::Foreign(release) => {
                if let Some(release) = release.take() {
                    // It may run inside somebody else's receive: a panic is told by the panic hook
                    // and goes no further.
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
        // SAFETY: a new mapping, at an address that the system chooses.
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
        // SAFETY: mapped by `of` with that length; who reads it holds this.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
    }
}

/// A memfd of that many bytes, all of them there: touching them cannot fail.
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

/// From here on the file keeps its length, and `writes` of its bytes cease.
pub(crate) fn seal(fd: &OwnedFd, writes: SealFlags) -> Result<(), Error> {
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL | writes;
    fcntl_add_seals(fd, seals).map_err(system("fcntl(F_ADD_SEALS)"))
}
