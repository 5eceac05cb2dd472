// SPDX-License-Identifier: BSD-3-Clause
//! Regions: memory with an id, which lives as long as any handle or pin needs it.
//!
//! | file | holds |
//! |---|---|
//! | `table` | the process's regions by id; pins |
//! | `state` | what pins a slot of the table: one word, and counts of flights by thread |
//! | `memory` | allocation and release of the bytes |
//! | `meta` | what the bytes contain |
//! | `pinned` | a range of a region that stays at its address |
//! | `in_flight` | descriptors that were sent and not yet received |
//! | `deregister` | waiting until nothing is in flight |
//! | `import` | a region of another process |
//! | `copy` | reading memory that another process may write |
//!
//! ```text
//!   Region ──┐                             ┌──────────┐
//!   Region ──┴─► Handle ──► RegionInner ◄──┤  table   │◄── pins: descriptors in flight, `Pinned`, pools
//!                             │            └──────────┘
//!                             └─► Memory: released when the region leaves the table
//! ```
//!
//! # Invariants
//!
//! 1. The memory stays at its address from the registration until the region has left the table.
//!    The region leaves when its deregistration was requested ([`Region::deregister`], or the drop
//!    of the last handle) and the last pin is dropped. Its memory is then released, once.
//! 2. Bytes are read or written only under a pin.
//! 3. Bytes that may change are not available as a safe slice, with two exceptions: those of a
//!    lease, and those of a block, which is no longer written. Frozen bytes always are.

mod copy;
mod deregister;
mod import;
pub(crate) mod in_flight;
mod memory;
mod meta;
mod pinned;
mod state;
pub(crate) mod table;

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use becket_chan::{Receiver, Sender};
use parking_lot::Mutex;
use rustix::fs::SealFlags;

use self::memory::{Access, Mapping, Memory};
use crate::error::{Error, system};
use crate::pool::Shared;

pub use self::deregister::{Deregister, DeregisterError};
pub use self::import::{ImportedRegion, View};
pub use self::in_flight::InFlight;
pub use self::meta::{Check, DIMENSIONS_MAX, Meta};
pub use self::pinned::Pinned;
pub use self::table::{REGIONS_MAX, regions};

/// Memory with an id. Clones are handles of the same region.
///
/// Once the last handle is dropped, or [`deregister`](Self::deregister) is called, the region
/// accepts no more descriptors; when nothing is in flight in it, its memory is released.
#[derive(Debug, Clone)]
pub struct Region(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<RegionInner>);

#[derive(Debug)]
pub(crate) struct RegionInner {
    pub(crate) id: u64,
    at: BaseAddress,
    pub(crate) bytes: usize,
    pub(crate) meta: Meta,
    /// Its bytes never change.
    frozen: bool,
    fd: Option<OwnedFd>,
    pooled: AtomicBool,
    /// The pool in it.
    pool: OnceLock<Weak<Shared>>,
    teardown: Mutex<Teardown>,
    /// Closed when the memory has been released.
    gone: Receiver<Infallible>,
}

/// Consumed when the region is released.
struct Teardown {
    memory: Option<Memory>,
    gone: Sender<Infallible>,
}

#[derive(Debug, Clone, Copy)]
struct BaseAddress(NonNull<u8>);

// SAFETY: an address, which is only dereferenced by the holder of a pin.
unsafe impl Send for BaseAddress {}
// SAFETY: as above.
unsafe impl Sync for BaseAddress {}

/// What another process needs in order to map a region. See [`ImportedRegion::import`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Export<'a> {
    /// The file descriptor to pass to the other process.
    pub fd: BorrowedFd<'a>,
    /// The region's length, in bytes.
    pub bytes: u64,
    /// Its id, for descriptors.
    pub id: u64,
    /// The id's generation, its upper half.
    pub generation: u32,
}

impl Region {
    /// Zeroed bytes on the heap, for a [`Pool`](crate::Pool).
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::BadAlignment`], [`Error::TableFull`]; [`Error::System`]: out of
    /// memory.
    pub fn heap(bytes: usize, meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let (memory, at) = Memory::heap(bytes, meta.align.max(64) as usize)?;
        Self::register(memory, at, bytes, meta, Backing::default())
    }

    /// Bytes on the heap with the given contents, which never change.
    ///
    /// # Errors
    ///
    /// As for [`heap`](Self::heap).
    pub fn filled(contents: &[u8], meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let (memory, at) = Memory::heap(contents.len(), meta.align.max(64) as usize)?;
        // SAFETY: just allocated with that length, and not shared yet.
        unsafe { at.as_ptr().copy_from_nonoverlapping(contents.as_ptr(), contents.len()) };
        let backing = Backing { frozen: true, fd: None };
        Self::register(memory, at, contents.len(), meta, backing)
    }

    /// Zeroed bytes in a memfd, for a [`Pool`](crate::Pool) whose blocks other processes read. The
    /// file is sealed: its length is fixed, and only this region's mapping is writable.
    ///
    /// # Errors
    ///
    /// As for [`heap`](Self::heap); [`Error::System`]: out of memory or file descriptors, no memfd.
    pub fn memfd(bytes: usize, meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let fd = memory::memfd(bytes)?;
        let mapping = Mapping::of(&fd, bytes, Access::Write)?;
        memory::seal(&fd, SealFlags::FUTURE_WRITE)?;
        let at = mapping.at();
        let backing = Backing { frozen: false, fd: Some(fd) };
        Self::register(Memory::Mapped(mapping), at, bytes, meta, backing)
    }

    /// Bytes in a memfd with the given contents, which never change: sealed against every write.
    ///
    /// # Errors
    ///
    /// As for [`memfd`](Self::memfd).
    pub fn memfd_filled(contents: &[u8], meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let fd = memory::memfd(contents.len())?;
        let mut left = contents;
        while !left.is_empty() {
            let at = (contents.len() - left.len()) as u64;
            let written = rustix::io::pwrite(&fd, left, at).map_err(system("pwrite"))?;
            left = left.get(written..).unwrap_or_default();
        }
        memory::seal(&fd, SealFlags::WRITE)?;
        let mapping = Mapping::of(&fd, contents.len(), Access::ReadFrozen)?;
        let at = mapping.at();
        let backing = Backing { frozen: true, fd: Some(fd) };
        Self::register(Memory::Mapped(mapping), at, contents.len(), meta, backing)
    }

    /// Memory that the caller allocated. `release` runs once, when nothing is in flight in the
    /// region any more, on the thread that drops the last pin or handle; the panic hook reports a
    /// panic in it, and the panic does not propagate.
    ///
    /// # Errors
    ///
    /// As for [`heap`](Self::heap). In that case `release` does not run.
    ///
    /// # Safety
    ///
    /// `bytes` bytes at `at` are initialised and valid for reads and writes until `release` runs.
    /// If a pool is created in the region, other code does not access them.
    pub unsafe fn foreign(
        at: NonNull<u8>,
        bytes: usize,
        meta: Meta,
        release: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let meta = meta.checked()?;
        if bytes == 0 {
            return Err(Error::Empty);
        }
        if at.addr().get().checked_add(bytes).is_none() {
            return Err(Error::OutOfRange { offset: 0, len: bytes as u64, bytes: 0 });
        }
        let room = Memory::Foreign(None);
        let region = Self::register(room, at, bytes, meta, Backing::default())?;
        region.inner().teardown.lock().memory = Some(Memory::Foreign(Some(Box::new(release))));
        Ok(region)
    }

    fn register(
        memory: Memory,
        at: NonNull<u8>,
        bytes: usize,
        meta: Meta,
        backing: Backing,
    ) -> Result<Self, Error> {
        let inner = table::insert(|id| {
            let (tx, gone) = becket_chan::rendezvous();
            Arc::new(RegionInner {
                id,
                at: BaseAddress(at),
                bytes,
                meta,
                frozen: backing.frozen,
                fd: backing.fd,
                pooled: AtomicBool::new(false),
                pool: OnceLock::new(),
                teardown: Mutex::new(Teardown { memory: Some(memory), gone: tx }),
                gone,
            })
        })?;
        Ok(Self(Arc::new(Handle(inner))))
    }

    /// Its id. An id is never reused in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner().id
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner().bytes
    }

    /// Its contents.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.inner().meta
    }

    /// Whether its bytes never change.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.inner().frozen
    }

    /// The number of pins: descriptors in flight, pinned ranges, pools.
    #[must_use]
    pub fn pins(&self) -> usize {
        table::pins(self.id())
    }

    /// A descriptor of a range of its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::OutOfRange`], [`Error::Misaligned`].
    pub fn desc(&self, offset: u64, len: usize) -> Result<crate::Desc, Error> {
        let inner = self.inner();
        let start = inner.meta.locate(offset, len, inner.bytes)?;
        let addr = inner.at.0.as_ptr().wrapping_add(start);
        Ok(crate::Desc { addr, len, region_id: inner.id, offset, flags: 0 })
    }

    /// A range of its bytes, which stay at their address while the pin lives.
    ///
    /// # Errors
    ///
    /// As for [`desc`](Self::desc); [`Error::Leaving`], [`Error::Revoked`], [`Error::Stale`].
    pub fn pin(&self, offset: u64, len: usize) -> Result<Pinned, Error> {
        Pinned::of(&self.desc(offset, len)?)
    }

    /// What another process needs in order to map the region.
    ///
    /// # Errors
    ///
    /// [`Error::NotExportable`]; [`Error::Leaving`], [`Error::Revoked`], [`Error::Stale`].
    pub fn export(&self) -> Result<Export<'_>, Error> {
        let inner = self.inner();
        table::check(inner.id)?;
        let fd = inner.fd.as_ref().ok_or(Error::NotExportable)?;
        let generation = (inner.id >> 32) as u32;
        Ok(Export { fd: fd.as_fd(), bytes: inner.bytes as u64, id: inner.id, generation })
    }

    /// Makes every later use of its descriptors fail, everywhere in this process. Descriptors in
    /// flight still arrive; pinned ranges stay pinned.
    pub fn revoke(&self) {
        table::revoke(self.id());
    }

    /// Refuses new descriptors; the operation completes when none is in flight and the memory has
    /// been released.
    ///
    /// After an operation that ended early this may be called again; the region is released when
    /// the last descriptor has landed, whether an operation waits for it or not.
    pub fn deregister(&self) -> Deregister<'_> {
        table::leave(self.id());
        deregister::deregister(self.inner().gone.recv())
    }

    pub(crate) fn inner(&self) -> &RegionInner {
        &self.0.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        table::leave(self.0.id);
    }
}

#[derive(Default)]
struct Backing {
    frozen: bool,
    fd: Option<OwnedFd>,
}

impl RegionInner {
    pub(crate) fn start(&self) -> usize {
        self.at.0.addr().get()
    }

    /// Its address. The caller holds a pin while dereferencing it.
    pub(crate) fn at(&self) -> NonNull<u8> {
        self.at.0
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Claims the region for the caller's pool, which then has it exclusively. True once, for bytes
    /// that may change.
    pub(crate) fn claim_for_pool(&self) -> bool {
        !self.frozen && !self.pooled.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn set_pool(&self, pool: Weak<Shared>) {
        let _set_once = self.pool.set(pool);
    }

    pub(crate) fn pool(&self) -> Option<Arc<Shared>> {
        self.pool.get().and_then(Weak::upgrade)
    }

    /// Releases the memory and wakes the waiting operations. The region has left the table.
    fn release(&self) {
        let memory = self.teardown.lock().memory.take();
        drop(memory);
        self.teardown.lock().gone.close();
    }
}

impl std::fmt::Debug for Teardown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teardown").field("held", &self.memory.is_some()).finish_non_exhaustive()
    }
}
