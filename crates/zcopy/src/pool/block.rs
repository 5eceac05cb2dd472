// SPDX-License-Identifier: BSD-3-Clause
//! A shared, read-only block; and how it travels through a channel as a descriptor.
//!
//! ```text
//!   flags  ┌ REFERENCE:1 ┬ 0:7 ┬ generation:16 ┬ backend's:8 ┐
//!          └─────────────┴─────┴───────────────┴─────────────┘
//! ```
//!
//! A descriptor with `REFERENCE` carries a reference to the block, so that the block is not freed
//! before the descriptor's receiver has claimed it. Code that discards such a descriptor releases
//! the reference ([`Block::give_back`]).

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use super::Shared;
use crate::desc::Desc;
use crate::error::Error;
use crate::region::Export;
use crate::region::table::{self, Pin};

const REFERENCE: u32 = 1 << 31;
const GENERATION_SHIFT: u32 = 8;

/// A block of a pool, or a part of one, that is no longer written. Clones share it; when the last
/// one is dropped, on any thread, the block returns to its pool.
pub struct Block {
    pool: Arc<Shared>,
    number: u32,
    at: NonNull<u8>,
    /// The offset in the region, in bytes.
    offset: u64,
    len: usize,
}

// SAFETY: it points to bytes that are not written while it holds a reference.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// A handle of a block that takes over one reference from the caller.
    pub(super) fn new(
        pool: Arc<Shared>,
        number: u32,
        at: NonNull<u8>,
        offset: u64,
        len: usize,
    ) -> Self {
        Self { pool, number, at, offset, len }
    }

    /// The region's number.
    #[must_use]
    pub fn region_id(&self) -> u64 {
        self.pool.region_id
    }

    /// Its offset in the region, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What another process needs in order to map the block's region.
    ///
    /// # Errors
    ///
    /// [`Error::NotExportable`]; [`Error::Revoked`].
    pub fn export(&self) -> Result<Export<'_>, Error> {
        self.pool.region.export()
    }

    /// A part of the block, with a reference of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::OutOfRange`].
    pub fn part(&self, start: usize, len: usize) -> Result<Self, Error> {
        if len == 0 {
            return Err(Error::Empty);
        }
        if start.checked_add(len).is_none_or(|end| end > self.len) {
            let (offset, bytes) = (start as u64, self.len as u64);
            return Err(Error::OutOfRange { offset, len: len as u64, bytes });
        }
        let mut part = self.clone();
        // SAFETY: within the block.
        part.at = unsafe { self.at.add(start) };
        part.offset += start as u64;
        part.len = len;
        Ok(part)
    }

    /// A descriptor without a reference. The caller keeps the block for as long as the descriptor
    /// is used, for example by another process.
    #[must_use]
    pub fn desc(&self) -> Desc {
        let (addr, region_id, offset) = (self.at.as_ptr(), self.pool.region_id, self.offset);
        Desc { addr, len: self.len, region_id, offset, flags: 0 }
    }

    /// Converts the block into a descriptor that carries its reference, to be
    /// [claimed](Self::claim) once.
    ///
    /// # Errors
    ///
    /// Returns the block if 2^24 - 1 of its references are in descriptors already.
    pub fn into_desc(self) -> Result<Desc, Self> {
        let Some(generation) = self.pool.refs(self.number).and_then(|refs| refs.lend()) else {
            return Err(self);
        };
        let flags = REFERENCE | u32::from(generation) << GENERATION_SHIFT;
        // The block's reference, and its handle of the pool, belong to the descriptor now.
        let block = ManuallyDrop::new(self);
        Ok(Desc { flags, ..block.desc() })
    }

    /// Whether a descriptor's flags say that it carries a reference.
    #[must_use]
    pub fn is_carried_by(desc: &Desc) -> bool {
        desc.flags & REFERENCE != 0
    }

    /// Takes the reference that a descriptor carries. Of several copies of one descriptor, only one
    /// can be claimed. The region, offset and length are checked; the address is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::NotLent`]; [`Error::Revoked`], after which the reference can still be released by
    /// [`give_back`](Self::give_back); [`Error::Stale`], [`Error::Unknown`], [`Error::Empty`],
    /// [`Error::Busy`].
    pub fn claim(desc: &Desc) -> Result<Self, Error> {
        if table::is_revoked(desc.region_id) {
            return Err(Error::Revoked { region_id: desc.region_id });
        }
        take(desc)
    }

    /// Releases the reference that a descriptor carries, without claiming the block. False: it
    /// carries none, or it was claimed or released already.
    pub fn give_back(desc: &Desc) -> bool {
        give_back(desc)
    }

    fn refs(&self) -> Option<&super::RefCount> {
        self.pool.refs(self.number)
    }
}

/// See [`Block::give_back`].
pub(crate) fn give_back(desc: &Desc) -> bool {
    desc.flags & REFERENCE != 0 && take(desc).is_ok()
}

/// As [`Block::claim`], but also while the region is leaving or was revoked.
fn take(desc: &Desc) -> Result<Block, Error> {
    if desc.len == 0 {
        return Err(Error::Empty);
    }
    if desc.flags & REFERENCE == 0 {
        return Err(Error::NotLent);
    }
    // A reference in a descriptor keeps the pool alive, and the pool pins the region.
    let pin = Pin::join(desc.region_id)?;
    let pool = pin.region().and_then(|region| region.pool()).ok_or(Error::NotLent)?;
    let (number, _) = pool.block_at(desc.offset, desc.len).ok_or(Error::NotLent)?;
    let generation = (desc.flags >> GENERATION_SHIFT) as u16;
    if !pool.refs(number).is_some_and(|refs| refs.claim(generation)) {
        return Err(Error::NotLent);
    }
    // SAFETY: `into_desc` left the pool's count one higher for each reference in a descriptor; this
    // call has just claimed one of those.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(&pool)) };
    // SAFETY: within a block, thus within the region, which the pool has pinned.
    let at = unsafe { pool.at.0.add(desc.offset as usize) };
    Ok(Block::new(pool, number, at, desc.offset, desc.len))
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `self` holds a reference: the block is allocated and no lease writes it.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        if let Some(refs) = self.refs() {
            refs.add();
        }
        Self { pool: self.pool.clone(), ..*self }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.release(self.number);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("offset", &self.offset).field("len", &self.len).finish()
    }
}
