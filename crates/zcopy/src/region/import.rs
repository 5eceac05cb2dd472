// SPDX-License-Identifier: BSD-3-Clause
//! A region of another process, mapped read-only.
//!
//! ```text
//!   owner                               importer
//!   Region::memfd ──export: fd, bytes, id──► ImportedRegion::import: seals? length? map
//!      │ writes (its own map)                   │ translate(offset, len): within?
//!      ▼                                        ▼
//!   ┌────────────── the same pages ──────────────┐
//!   └────────────────────────────────────────────┘
//! ```
//!
//! The other process may be hostile. It cannot make an access fault, because the file is sealed
//! against shrinking; but it can write while we read, unless the file is sealed against every write. So
//! bytes are copied out by reads that happen once ([`View::copy_to`]), and a slice is shown without
//! further ado only of a file that nobody can write any more.
//!
//! # Invariants
//!
//! 1. A file is mapped only with the seals `SHRINK` and `GROW`, and the length that was announced.
//! 2. A view is within the mapping, and holds it.
//! 3. After [`ImportedRegion::revoke`] nothing is translated any more; views that were made before
//!    stay valid.

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

/// Another process's region. Clones are handles of the same mapping, which goes with the last handle
/// and the last view.
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
    /// Checks a file that another process has announced as its region `id` of so many bytes, and
    /// maps it. The descriptor is not needed any more afterwards.
    ///
    /// The caller bounds `bytes` beforehand: all of them are mapped and touched.
    ///
    /// # Errors
    ///
    /// [`Error::NotSealed`]: the file could be truncated under us, or is no memfd;
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
        // Sealed, so that what is found now stays.
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

    /// Its number in the process that it belongs to.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.mapping.bytes()
    }

    /// What it holds, as its owner says.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.0.meta
    }

    /// Whether nobody can write its bytes any more.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.0.frozen
    }

    /// From here on nothing is translated.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
    }

    /// Some of its bytes.
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

    /// What a descriptor names, if it names this region.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`]: it names another one, or an earlier one; else as for
    /// [`translate`](Self::translate).
    pub fn resolve(&self, desc: &Desc) -> Result<View, Error> {
        if desc.region_id != self.0.id {
            return Err(Error::Stale { region_id: desc.region_id });
        }
        self.translate(desc.offset, desc.len)
    }
}

/// Some bytes of another process's region. While it lives they stay mapped.
#[derive(Debug, Clone)]
pub struct View {
    at: NonNull<u8>,
    len: usize,
    region: Arc<Imported>,
}

// SAFETY: what it points to stays mapped while it holds the region; it is read as memory that
// another process may write.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// How many bytes there are. Never 0.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies as many bytes as both have, from `skip` on, and says how many. Each byte is read once;
    /// what the other process writes meanwhile may be in it or not.
    pub fn copy_to(&self, skip: usize, to: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(skip).min(to.len());
        if count > 0 {
            // SAFETY: `skip + count` bytes are within the view; memory of ours does not overlap it.
            unsafe { copy_shared(self.at.as_ptr().add(skip), to.as_mut_ptr(), count) };
        }
        count
    }

    /// A copy of all of it.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len);
        // SAFETY: it has room for as many, and all of them are written.
        unsafe {
            copy_shared(self.at.as_ptr(), copy.as_mut_ptr(), self.len);
            copy.set_len(self.len);
        }
        copy
    }

    /// Copies it piece by piece through `buffer`, and shows each piece, for who needs not all of it
    /// at once. Nothing is shown if the buffer has no room.
    pub fn chunks(&self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
        let mut done = 0;
        while !buffer.is_empty() && done < self.len {
            let count = self.copy_to(done, buffer);
            each(buffer.get(..count).unwrap_or_default());
            done += count;
        }
    }

    /// The bytes, if nobody can write them any more.
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
    /// The other process does not write them while the slice lives. It is trusted, then: nothing here
    /// can keep it from doing so.
    #[must_use]
    pub unsafe fn as_slice_unchecked(&self) -> &[u8] {
        // SAFETY: mapped while the view lives; the caller's promise.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}
