// SPDX-License-Identifier: BSD-3-Clause
//! A block that many have, to read; and its way through a channel as a descriptor.
//!
//! ```text
//!   flags  ┌ SHARE:1 ┬ 0:7 ┬ generation:16 ┬ backend's:8 ┐
//!          └─────────┴─────┴───────────────┴─────────────┘
//! ```
//!
//! A descriptor with `SHARE` carries a share of the block, so that the block does not go back before
//! its receiver has claimed it. Whoever gives up on such a descriptor gives the share back
//! ([`Block::give_back`]).

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

const SHARE: u32 = 1 << 31;
const GENERATION_SHIFT: u32 = 8;

/// A block of a pool, or a part of one, which nobody writes any more. Clones share it; when the last
/// one is dropped, the block goes back to its pool, from whatever thread.
pub struct Block {
    pool: Arc<Shared>,
    number: u32,
    at: NonNull<u8>,
    /// Of the region, in bytes.
    offset: u64,
    len: usize,
}

// SAFETY: it points to bytes that nobody writes while it has a share.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// Takes over one share.
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

    /// Where it begins in the region, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What another process needs in order to map the region that it is in.
    ///
    /// # Errors
    ///
    /// [`Error::NotExportable`]; [`Error::Revoked`].
    pub fn export(&self) -> Result<Export<'_>, Error> {
        self.pool.region.export()
    }

    /// A part of it, with a share of its own.
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

    /// What names it, without a share: for who keeps the block for as long as the name is used, as
    /// towards another process.
    #[must_use]
    pub fn desc(&self) -> Desc {
        let (addr, region_id, offset) = (self.at.as_ptr(), self.pool.region_id, self.offset);
        Desc { addr, len: self.len, region_id, offset, flags: 0 }
    }

    /// Turns into a descriptor that carries its share, to be [claimed](Self::claim) once.
    ///
    /// # Errors
    ///
    /// The block, if millions of its shares are in descriptors already.
    pub fn into_desc(self) -> Result<Desc, Self> {
        let Some(generation) = self.pool.shares(self.number).and_then(|shares| shares.lend())
        else {
            return Err(self);
        };
        let flags = SHARE | u32::from(generation) << GENERATION_SHIFT;
        // Its share, and its hold of the pool, are the descriptor's now.
        let block = ManuallyDrop::new(self);
        Ok(Desc { flags, ..block.desc() })
    }

    /// Whether a descriptor says that it carries a share.
    #[must_use]
    pub fn is_carried_by(desc: &Desc) -> bool {
        desc.flags & SHARE != 0
    }

    /// Takes the share that a descriptor carries. Of copies of one descriptor, one is claimed. What
    /// the descriptor names is checked, and its address is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::NotLent`]; [`Error::Revoked`], after which [`give_back`](Self::give_back) is left;
    /// [`Error::Stale`], [`Error::Unknown`], [`Error::Empty`].
    pub fn claim(desc: &Desc) -> Result<Self, Error> {
        if table::is_revoked(desc.region_id) {
            return Err(Error::Revoked { region_id: desc.region_id });
        }
        take(desc)
    }

    /// Gives back the share that a descriptor carries, for who will not claim it. False: it carries
    /// none, or no more.
    pub fn give_back(desc: &Desc) -> bool {
        give_back(desc)
    }

    fn share(&self) -> Option<&super::Shares> {
        self.pool.shares(self.number)
    }
}

/// See [`Block::give_back`].
pub(crate) fn give_back(desc: &Desc) -> bool {
    desc.flags & SHARE != 0 && take(desc).is_ok()
}

/// Also of a region that is leaving, or was revoked.
fn take(desc: &Desc) -> Result<Block, Error> {
    if desc.len == 0 {
        return Err(Error::Empty);
    }
    if desc.flags & SHARE == 0 {
        return Err(Error::NotLent);
    }
    // While the share is there, the pool is, and has the region pinned.
    let pin = Pin::join(desc.region_id)?;
    let pool = pin.region().and_then(|region| region.pool()).ok_or(Error::NotLent)?;
    let (number, _) = pool.block_at(desc.offset, desc.len).ok_or(Error::NotLent)?;
    let generation = (desc.flags >> GENERATION_SHIFT) as u16;
    if !pool.shares(number).is_some_and(|shares| shares.claim(generation)) {
        return Err(Error::NotLent);
    }
    // SAFETY: `into_desc` left the pool's count one higher for each share that is lent; one was
    // lent, and is not any more.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(&pool)) };
    // SAFETY: within a block, thus within the region, which the pool has pinned.
    let at = unsafe { pool.at.0.add(desc.offset as usize) };
    Ok(Block::new(pool, number, at, desc.offset, desc.len))
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: we have a share, so that the block is there and no lease writes it.
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
        if let Some(shares) = self.share() {
            shares.add();
        }
        Self { pool: self.pool.clone(), ..*self }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.let_go(self.number);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("offset", &self.offset).field("len", &self.len).finish()
    }
}
