// SPDX-License-Identifier: BSD-3-Clause
//! An exclusive, writable block.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use super::{Block, Shared};

/// A block of a pool, for its holder's exclusive use. Dropped, it returns to the pool.
pub struct Lease {
    pool: Arc<Shared>,
    number: u32,
    len: usize,
    start: usize,
    block_bytes: usize,
}

impl Lease {
    /// A lease of block `number`, which the caller has taken off the free list.
    pub(super) fn new(pool: Arc<Shared>, number: u32, len: usize) -> Self {
        if let Some(refs) = pool.refs(number) {
            refs.begin();
        }
        pool.inspect(number);
        let (start, block_bytes) = pool.range_of(number).unwrap_or((0, 0));
        Self { pool, number, len: len.min(block_bytes), start, block_bytes }
    }

    /// The length of the block, in bytes. A lease may use a part of it ([`resize`](Self::resize)).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block_bytes
    }

    /// Uses `len` bytes of the block. False, without effect, if `len` is 0 or above the capacity.
    pub fn resize(&mut self, len: usize) -> bool {
        let fits = (1..=self.block_bytes).contains(&len);
        if fits {
            self.len = len;
        }
        fits
    }

    /// Ends writing: from here on the block is shared and read-only.
    #[must_use]
    pub fn freeze(self) -> Block {
        let lease = ManuallyDrop::new(self);
        // SAFETY: `lease` is neither used again nor dropped.
        let pool = unsafe { (&raw const lease.pool).read() };
        Block::new(pool, lease.number, lease.at(), lease.start as u64, lease.len)
    }

    fn at(&self) -> NonNull<u8> {
        // SAFETY: a block is within the region, which the pool has pinned.
        unsafe { self.pool.at.0.add(self.start) }
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the lease holds the block's only reference; its bytes are initialised, like all
        // of the region.
        unsafe { slice::from_raw_parts(self.at().as_ptr(), self.len) }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.at().as_ptr(), self.len) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.release(self.number);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("number", &self.number).field("len", &self.len).finish()
    }
}
