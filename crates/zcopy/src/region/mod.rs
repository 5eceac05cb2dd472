// SPDX-License-Identifier: BSD-3-Clause
//! Regions: memory with a number, that lives for as long as anybody needs it.
//!
//! | file | holds |
//! |---|---|
//! | `table` | the process's regions by number; pins |
//! | `memory` | where the bytes come from, and how they are given back |
//! | `meta` | what the bytes are |
//! | `pinned` | a range of a region that stays where it is |
//! | `flight` | descriptors that have been sent and have not arrived |
//! | `deregister` | waiting until nothing is in flight |
//! | `import` | a region of another process |
//! | `copy` | reading memory that another process may write |
//!
//! ```text
//!   Region ──┐                       ┌──────────┐
//!   Region ──┴─► Handle ──► Inner ◄──┤  table   │◄── pins: descriptors in flight, `Pinned`, pools
//!                             │      └──────────┘
//!                             └─► Memory: given back when the table lets go
//! ```
//!
//! # Invariants
//!
//! 1. The memory is where it was from the registration until the region has left the table. It leaves
//!    when it was asked to ([`Region::deregister`], or the last handle is dropped) and the last pin
//!    is gone. Its memory goes once, then.
//! 2. Bytes are read or written by way of a pin only.
//! 3. Bytes that may change are not shown as a safe slice: of a region only frozen ones are, of a
//!    pool only those of a lease, or of a block, which nobody writes.

mod copy;
mod deregister;
pub(crate) mod flight;
mod import;
mod memory;
mod meta;
mod pinned;
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
pub use self::flight::InFlight;
pub use self::import::{ImportedRegion, View};
pub use self::meta::{Check, DIMENSIONS_MAX, Meta};
pub use self::pinned::Pinned;
pub use self::table::{REGIONS_MAX, regions};

/// Memory with a number. Clones are handles of the same region.
///
/// Once the last handle is dropped, or [`deregister`](Self::deregister) is asked for, the region takes
/// no descriptor any more; when nothing is in flight in it, its memory is given back.
#[derive(Debug, Clone)]
pub struct Region(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: u64,
    at: Address,
    pub(crate) bytes: usize,
    pub(crate) meta: Meta,
    /// Its bytes never change.
    frozen: bool,
    fd: Option<OwnedFd>,
    pooled: AtomicBool,
    /// The pool that it is in.
    pool: OnceLock<Weak<Shared>>,
    ends: Mutex<Ends>,
    /// Closed when the memory has been given back.
    gone: Receiver<Infallible>,
}

/// What is used up at the end.
struct Ends {
    memory: Option<Memory>,
    gone: Sender<Infallible>,
}

#[derive(Debug, Clone, Copy)]
struct Address(NonNull<u8>);

// SAFETY: a number, until it is followed by who has a pin.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// What another process needs in order to map a region. See [`ImportedRegion::import`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Export<'a> {
    /// To be passed to the other process.
    pub fd: BorrowedFd<'a>,
    /// The region's length, in bytes.
    pub bytes: u64,
    /// Its number, for descriptors.
    pub id: u64,
    /// The number's generation, its upper half.
    pub generation: u32,
}

impl Region {
    /// Zeroed bytes of the heap, for a [`Pool`](crate::Pool).
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::BadAlignment`], [`Error::TableFull`]; [`Error::System`]: no memory.
    pub fn heap(bytes: usize, meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let (memory, at) = Memory::heap(bytes, meta.align.max(64) as usize)?;
        Self::register(memory, at, bytes, meta, Kept::default())
    }

    /// Bytes of the heap, filled, which never change.
    ///
    /// # Errors
    ///
    /// As for [`heap`](Self::heap).
    pub fn filled(contents: &[u8], meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let (memory, at) = Memory::heap(contents.len(), meta.align.max(64) as usize)?;
        // SAFETY: just allocated, with that length; nobody else knows it.
        unsafe { at.as_ptr().copy_from_nonoverlapping(contents.as_ptr(), contents.len()) };
        let kept = Kept { frozen: true, fd: None };
        Self::register(memory, at, contents.len(), meta, kept)
    }

    /// Zeroed bytes in a memfd, for a [`Pool`](crate::Pool) whose blocks other processes read. The
    /// file is sealed: its length is fixed, and nobody but this region ever maps it writable.
    ///
    /// # Errors
    ///
    /// As for [`heap`](Self::heap); [`Error::System`]: no memory, no descriptors left, no memfd.
    pub fn memfd(bytes: usize, meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        let fd = memory::memfd(bytes)?;
        let mapping = Mapping::of(&fd, bytes, Access::Write)?;
        memory::seal(&fd, SealFlags::FUTURE_WRITE)?;
        let at = mapping.at();
        let kept = Kept { frozen: false, fd: Some(fd) };
        Self::register(Memory::Mapped(mapping), at, bytes, meta, kept)
    }

    /// Bytes in a memfd, filled, which never change: sealed against every write.
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
        let kept = Kept { frozen: true, fd: Some(fd) };
        Self::register(Memory::Mapped(mapping), at, contents.len(), meta, kept)
    }

    /// Memory of somebody else. `release` runs once, when nothing is in flight in the region any
    /// more, on the thread that finds that out; a panic in it is reported by the panic hook and goes
    /// no further.
    ///
    /// # Errors
    ///
    /// As for [`heap`](Self::heap). Then `release` does not run.
    ///
    /// # Safety
    ///
    /// `bytes` bytes at `at` are initialised and valid for reads and writes until `release` runs. If
    /// the region becomes a pool's, nobody else touches them.
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
        let region = Self::register(room, at, bytes, meta, Kept::default())?;
        region.inner().ends.lock().memory = Some(Memory::Foreign(Some(Box::new(release))));
        Ok(region)
    }

    fn register(
        memory: Memory,
        at: NonNull<u8>,
        bytes: usize,
        meta: Meta,
        kept: Kept,
    ) -> Result<Self, Error> {
        let inner = table::insert(|id| {
            let (tx, gone) = becket_chan::rendezvous();
            Arc::new(Inner {
                id,
                at: Address(at),
                bytes,
                meta,
                frozen: kept.frozen,
                fd: kept.fd,
                pooled: AtomicBool::new(false),
                pool: OnceLock::new(),
                ends: Mutex::new(Ends { memory: Some(memory), gone: tx }),
                gone,
            })
        })?;
        Ok(Self(Arc::new(Handle(inner))))
    }

    /// Its number. It is never used again in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner().id
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner().bytes
    }

    /// What it holds.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.inner().meta
    }

    /// Whether its bytes never change.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.inner().frozen
    }

    /// Descriptors in flight in it, pinned ranges, pools.
    #[must_use]
    pub fn pins(&self) -> usize {
        table::pins(self.id())
    }

    /// A descriptor of some of its bytes.
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

    /// Some of its bytes, which stay where they are while this lives.
    ///
    /// # Errors
    ///
    /// As for [`desc`](Self::desc); [`Error::Leaving`], [`Error::Revoked`], [`Error::Stale`].
    pub fn pin(&self, offset: u64, len: usize) -> Result<Pinned, Error> {
        Pinned::of(&self.desc(offset, len)?)
    }

    /// What another process needs in order to map it.
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

    /// From here on its descriptors are refused, everywhere in this process. What is in flight
    /// arrives; what is pinned stays.
    pub fn revoke(&self) {
        table::revoke(self.id());
    }

    /// It takes no descriptor any more; the operation completes when none is in flight and its
    /// memory has been given back.
    ///
    /// One that ended otherwise may be asked for again; the region is left when the last descriptor
    /// has landed, whether anybody waits or not.
    pub fn deregister(&self) -> Deregister<'_> {
        table::leave(self.id());
        Deregister::new(self.inner().gone.recv())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        table::leave(self.0.id);
    }
}

#[derive(Default)]
struct Kept {
    frozen: bool,
    fd: Option<OwnedFd>,
}

impl Inner {
    pub(crate) fn start(&self) -> usize {
        self.at.0.addr().get()
    }

    /// Where it begins. Who follows it holds a pin.
    pub(crate) fn at(&self) -> NonNull<u8> {
        self.at.0
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// True once: the caller's pool has it, alone.
    pub(crate) fn claim_for_pool(&self) -> bool {
        !self.frozen && !self.pooled.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn set_pool(&self, pool: Weak<Shared>) {
        let _set_once = self.pool.set(pool);
    }

    pub(crate) fn pool(&self) -> Option<Arc<Shared>> {
        self.pool.get().and_then(Weak::upgrade)
    }

    /// It has left the table: its memory goes, and who waits for that hears of it.
    fn end(&self) {
        let memory = self.ends.lock().memory.take();
        drop(memory);
        self.ends.lock().gone.close();
    }
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").field("held", &self.memory.is_some()).finish_non_exhaustive()
    }
}
