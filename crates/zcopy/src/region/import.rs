// SPDX-License-Identifier: BSD-3-Clause
//! A region of another process, mapped read-only.
//!
//! ```text
//!   Region::memfd ──export: fd, bytes, id──► ImportedRegion::import: check seals and length, map
//!      │ writes (its own map)                   │ translate(offset, len): check bounds
//!      ▼                                        ▼
//!   ┌────────────── the same pages ──────────────┐
//!   └────────────────────────────────────────────┘
//! ```
//!
//! The other process may be hostile. It cannot make an access fault, because the file is sealed
//! against shrinking; but it can write during a read, unless the file is sealed against every
//! write. So bytes are copied out by reads that happen exactly once ([`View::copy_to`]), and a safe
//! slice is available only of a file that is sealed against writes.
//!
//! # Invariants
//!
//! 1. A file is mapped only if it has the seals `SHRINK` and `GROW` and the announced length.
//! 2. A view is within the mapping, and keeps it alive.
//! 3. After [`ImportedRegion::revoke`] translation fails; existing views stay valid.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};

use super::copy::copy_shared;
use super::memory::{Access, Mapping};
use super::meta::Meta;
use crate::desc::Desc;
use crate::error::{Error, system};

/// A region of another process. Clones are handles of the same mapping, which is removed with the
/// last handle and the last view.
#[derive(Debug, Clone)]
pub struct ImportedRegion(Arc<Imported>);

#[derive(Debug)]
struct Imported {
    id: u64,
    mapping: Mapping,
    meta: Meta,
    frozen: bool,
    revoked: AtomicBool,
}

impl ImportedRegion {
    /// Checks a file that another process has announced as its region `id` of `bytes` bytes, and
    /// maps it. The file descriptor is closed afterwards.
    ///
    /// The caller bounds `bytes` beforehand: all of them are mapped and touched.
    ///
    /// # Errors
    ///
    /// [`Error::NotSealed`]: the file could be truncated while mapped, or is no memfd;
    /// [`Error::WrongSize`], [`Error::Empty`], [`Error::BadAlignment`], [`Error::System`].
    pub fn import(fd: OwnedFd, id: u64, bytes: u64, meta: Meta) -> Result<Self, Error> {
        let meta = meta.checked()?;
        if bytes == 0 {
            return Err(Error::Empty);
        }
        let seals = fcntl_get_seals(&fd).map_err(|_| Error::NotSealed { seals: 0 })?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(Error::NotSealed { seals: seals.bits() });
        }
        // The file is sealed: its length cannot change after this check.
        let found = u64::try_from(fstat(&fd).map_err(system("fstat"))?.st_size).unwrap_or(0);
        let wrong = Error::WrongSize { announced: bytes, found };
        if found != bytes {
            return Err(wrong);
        }
        let frozen = seals.contains(SealFlags::WRITE);
        let access = if frozen { Access::ReadFrozen } else { Access::Read };
        let mapping = Mapping::of(&fd, usize::try_from(bytes).map_err(|_| wrong)?, access)?;
        let revoked = AtomicBool::new(false);
        Ok(Self(Arc::new(Imported { id, mapping, meta, frozen, revoked })))
    }

    /// Its id in the owning process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.mapping.bytes()
    }

    /// Its contents, as announced by its owner.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// Whether its bytes are sealed against every write.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.0.frozen
    }

    /// Makes every later translation fail.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
    }

    /// A range of its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Revoked`], [`Error::Empty`], [`Error::OutOfRange`], [`Error::Misaligned`].
    pub fn translate(&self, offset: u64, len: usize) -> Result<View, Error> {
        if self.0.revoked.load(Ordering::Acquire) {
            return Err(Error::Revoked { region_id: self.0.id });
        }
        let start = self.0.meta.locate(offset, len, self.bytes())?;
        // SAFETY: within the mapping.
        let at = unsafe { self.0.mapping.at().add(start) };
        Ok(View { at, len, region: self.0.clone() })
    }

    /// The bytes that a descriptor names, if it names this region.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`]: it names another region, or an earlier generation; otherwise as for
    /// [`translate`](Self::translate).
    pub fn resolve(&self, desc: &Desc) -> Result<View, Error> {
        if desc.region_id != self.0.id {
            return Err(Error::Stale { region_id: desc.region_id });
        }
        self.translate(desc.offset, desc.len)
    }
}

/// A range of another process's region. The bytes stay mapped while the view lives.
#[derive(Debug, Clone)]
pub struct View {
    at: NonNull<u8>,
    len: usize,
    region: Arc<Imported>,
}

// SAFETY: the mapping lives as long as the view, which holds the region; the bytes are read as
// memory that another process may write.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// The length in bytes. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes from `skip` on, as many as both sides have, and returns their number. Each byte
    /// is read once; concurrent writes of the other process may or may not be visible.
    pub fn copy_to(&self, skip: usize, to: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(skip).min(to.len());
        if count > 0 {
            // SAFETY: `skip + count` bytes are within the view; private memory does not overlap it.
            unsafe { copy_shared(self.at.as_ptr().add(skip), to.as_mut_ptr(), count) };
        }
        count
    }

    /// A copy of all bytes.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len);
        // SAFETY: the capacity is `len`, and `len` bytes are written.
        unsafe {
            copy_shared(self.at.as_ptr(), copy.as_mut_ptr(), self.len);
            copy.set_len(self.len);
        }
        copy
    }

    /// Copies the bytes piece by piece through `buffer`, and passes each piece to `each`, for
    /// callers that do not need all bytes at once. With an empty buffer `each` is never called.
    pub fn chunks(&self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
        let mut done = 0;
        while !buffer.is_empty() && done < self.len {
            let count = self.copy_to(done, buffer);
            each(buffer.get(..count).unwrap_or_default());
            done += count;
        }
    }

    /// The bytes, if they are sealed against every write.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        // SAFETY: mapped while the view lives; `SEAL_WRITE` is refused while any writable mapping
        // exists, and allows none afterwards.
        self.region.frozen.then(|| unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) })
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// The other process does not write them while the slice lives. The caller has to trust that
    /// process: this crate cannot enforce it.
    #[must_use]
    pub unsafe fn as_slice_unchecked(&self) -> &[u8] {
        // SAFETY: mapped while the view lives; the caller's guarantee.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}
