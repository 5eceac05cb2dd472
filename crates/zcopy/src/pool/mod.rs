// SPDX-License-Identifier: BSD-3-Clause
//! Pools: blocks of a region, leased and returned in O(1).
//!
//! | file | holds |
//! |---|---|
//! | `refs` | the reference count of a block: one word |
//! | `lease` | an exclusive, writable block |
//! | `block` | a shared, read-only block; as a descriptor |
//! | `leasing` | waiting for a block |
//!
//! ```text
//!   region  ├ class 0: 4 KiB ─────────────┼ class 1: 64 KiB ──────────┤ rest ┤
//!           │ block 0 │ block 1 │ block 2 │ block 3     │ block 4     │      │
//!
//!   free ──try_lease──► Lease ──freeze──► Block ──clone──► Block
//!    ▲                    │                 │ into_desc      │
//!    │                    │                 ▼                │
//!    │                    │               Desc ──claim──► Block
//!    └────────────────────┴── the last reference drops ◄─────┘
//! ```
//!
//! The free list of a class is a bounded channel of block numbers: leasing is a receive, returning
//! a block is a send. An exhausted class would block, waiting leases are served in FIFO order with
//! one block each, and any thread may return a block.
//!
//! # Invariants
//!
//! 1. Either a block's number is in the free list of its class, or the block has at least one
//!    reference, never both. The list has room for every block of the class: returning a block
//!    neither waits nor fails.
//! 2. A lease is its block's only reference. Only leases write.
//! 3. A pool never grows. It owns its region exclusively, and pins it while any reference exists.
//! 4. In a debug build a returned block is filled with [`POISON`]. A lease that finds another byte
//!    counts it: the block was written while it was free.

mod block;
mod lease;
mod leasing;
mod refs;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use becket_chan::{Receiver, Sender, bounded};

use self::refs::RefCount;
use crate::error::Error;
use crate::region::Region;
use crate::region::table::Pin;

pub use self::block::Block;
pub(crate) use self::block::give_back;
pub use self::lease::Lease;
pub use self::leasing::{LeaseError, Leasing};

/// The byte that fills a returned block, in a debug build.
pub const POISON: u8 = 0xDB;
/// The maximum number of classes of a pool.
pub const CLASSES_MAX: usize = 16;

/// Blocks begin at multiples of this, in bytes: no two share a cache line.
const BLOCK_ALIGN: usize = 64;

/// A number of blocks of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// The length of a block, in bytes.
    pub block_bytes: usize,
    /// The number of blocks.
    pub blocks: u32,
}

/// Leases blocks of a region. Clones are handles of the same pool, which lives, with its region,
/// until the last handle and the last block are dropped.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    region_id: u64,
    at: BaseAddress,
    /// By length, shortest first.
    classes: Box<[SizeClass]>,
    blocks: Box<[RefCount]>,
    /// See [`Pool::tampered`].
    tampered: AtomicU64,
    /// Before the region: pins are dropped before handles.
    _pin: Pin,
    region: Region,
}

#[derive(Debug, Clone, Copy)]
struct BaseAddress(NonNull<u8>);

// SAFETY: an address, which is only dereferenced by the holder of a reference to a block.
unsafe impl Send for BaseAddress {}
// SAFETY: as above.
unsafe impl Sync for BaseAddress {}

/// A class, laid out in the region.
struct SizeClass {
    block_bytes: usize,
    /// From the start of a block to the start of the next, in bytes.
    stride: usize,
    /// The offset of the first block, in bytes.
    start: usize,
    /// The first block's number.
    first: u32,
    count: u32,
    /// The two ends of the free list, of block numbers.
    back: Sender<u32>,
    free: Receiver<u32>,
}

/// A class at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassSnapshot {
    /// The length of a block, in bytes.
    pub block_bytes: usize,
    /// The number of blocks.
    pub blocks: usize,
    /// Blocks in the free list.
    pub free: usize,
    /// Leases made.
    pub leases: u64,
    /// Leases refused because every block was in use.
    pub refused: u64,
    /// Leases that are waiting.
    pub waiting: usize,
}

impl Pool {
    /// Creates a pool in a region. The classes are laid out consecutively, shortest blocks first.
    ///
    /// # Errors
    ///
    /// [`Error::BadClasses`]: none or more than [`CLASSES_MAX`], an empty one, two of one length,
    /// or more than the region holds; [`Error::NotPoolable`]; [`Error::Leaving`],
    /// [`Error::Revoked`], [`Error::Busy`].
    pub fn new(region: &Region, classes: &[Class]) -> Result<Self, Error> {
        let classes = lay_out(region, classes)?;
        let pin = Pin::take(region.id())?;
        if !region.inner().claim_for_pool() {
            return Err(Error::NotPoolable);
        }
        let count = classes.iter().map(|class| class.count as usize).sum();
        let shared = Arc::new(Shared {
            region_id: region.id(),
            at: BaseAddress(region.inner().at()),
            classes,
            blocks: (0..count).map(|_| RefCount::default()).collect(),
            tampered: AtomicU64::new(0),
            _pin: pin,
            region: region.clone(),
        });
        shared.poison_all();
        region.inner().set_pool(Arc::downgrade(&shared));
        Ok(Self(shared))
    }

    /// Leases a block of the shortest class that has `len` bytes. The block keeps the bytes of its
    /// last use; in a debug build they are [`POISON`].
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: every block of that class is in use; [`Error::TooLong`],
    /// [`Error::Empty`].
    pub fn try_lease(&self, len: usize) -> Result<Lease, Error> {
        let (_, class) = self.0.class_for(len)?;
        let class_bytes = class.block_bytes;
        let number = class.free.try_recv().map_err(|_| Error::WouldBlock { class_bytes })?;
        Ok(Lease::new(self.0.clone(), number, len))
    }

    /// As [`try_lease`](Self::try_lease), but waits for a free block.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Empty`], immediately.
    pub fn lease(&self, len: usize) -> Result<Leasing<'_>, Error> {
        let (_, class) = self.0.class_for(len)?;
        Ok(leasing::leasing(&self.0, class.free.recv(), len))
    }

    /// The region's number.
    #[must_use]
    pub fn region_id(&self) -> u64 {
        self.0.region_id
    }

    /// The length of the longest block, in bytes.
    #[must_use]
    pub fn len_max(&self) -> usize {
        self.0.len_max()
    }

    /// The current state of its classes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ClassSnapshot> {
        self.0.classes.iter().map(SizeClass::snapshot).collect()
    }

    /// The number of leases whose block had been written while it was free. Always 0 in a release
    /// build.
    #[must_use]
    pub fn tampered(&self) -> u64 {
        self.0.tampered.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn len_max(&self) -> usize {
        self.classes.last().map_or(0, |class| class.block_bytes)
    }

    fn class_for(&self, len: usize) -> Result<(usize, &SizeClass), Error> {
        if len == 0 {
            return Err(Error::Empty);
        }
        let too_long = Error::TooLong { len, max: self.len_max() };
        let mut classes = self.classes.iter().enumerate();
        classes.find(|(_, class)| len <= class.block_bytes).ok_or(too_long)
    }

    /// The class of a block.
    fn class_of(&self, number: u32) -> Option<&SizeClass> {
        self.classes.iter().find(|class| number.wrapping_sub(class.first) < class.count)
    }

    /// The block that holds `len` bytes at `offset` of the region, and the block's own offset.
    fn block_at(&self, offset: u64, len: usize) -> Option<(u32, usize)> {
        let offset = usize::try_from(offset).ok()?;
        self.classes.iter().find_map(|class| {
            let within = offset.checked_sub(class.start)?;
            let index = u32::try_from(within / class.stride).ok()?;
            let end = (within % class.stride).checked_add(len)?;
            let fits = index < class.count && end <= class.block_bytes;
            fits.then(|| (class.first + index, class.start + index as usize * class.stride))
        })
    }

    /// The offset of a block in the region and its length, in bytes.
    fn range_of(&self, number: u32) -> Option<(usize, usize)> {
        let class = self.class_of(number)?;
        let index = (number - class.first) as usize;
        Some((class.start + index * class.stride, class.block_bytes))
    }

    fn refs(&self, number: u32) -> Option<&RefCount> {
        self.blocks.get(number as usize)
    }

    /// Releases one reference.
    fn release(&self, number: u32) {
        let last = self.refs(number).is_some_and(RefCount::release);
        if last && let Some(class) = self.class_of(number) {
            // That was the last reference: until the number is in the list, the block is unused.
            self.poison(number);
            // The list has room for every block. But a thread that is taking a number out of it has
            // its slot for a few instructions more, or until it runs again if it is preempted.
            while class.back.try_send(number).is_err() {
                thread::yield_now();
            }
        }
    }

    fn poison_all(&self) {
        if cfg!(debug_assertions) {
            for number in 0..self.blocks.len() {
                self.poison(number as u32);
            }
        }
    }

    /// The caller has exclusive use of the block.
    fn poison(&self, number: u32) {
        if cfg!(debug_assertions)
            && let Some((start, bytes)) = self.range_of(number)
        {
            // SAFETY: a block is within the region, which is pinned, and the caller has it
            // exclusively.
            unsafe { self.at.0.add(start).write_bytes(POISON, bytes) };
        }
    }

    /// Counts a block that was written while it was free. The caller has exclusive use of the
    /// block.
    fn inspect(&self, number: u32) {
        if cfg!(debug_assertions)
            && let Some((start, bytes)) = self.range_of(number)
        {
            // SAFETY: a block is within the region, which is pinned, and the caller has it
            // exclusively.
            let block = unsafe { std::slice::from_raw_parts(self.at.0.add(start).as_ptr(), bytes) };
            if block.iter().any(|byte| *byte != POISON) {
                self.tampered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl SizeClass {
    fn snapshot(&self) -> ClassSnapshot {
        let snapshot = self.free.snapshot();
        ClassSnapshot {
            block_bytes: self.block_bytes,
            blocks: self.count as usize,
            free: snapshot.len,
            leases: snapshot.receives,
            refused: snapshot.receive_failures.would_block,
            waiting: snapshot.receivers_waiting,
        }
    }
}

impl std::fmt::Debug for SizeClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("SizeClass");
        shown.field("block_bytes", &self.block_bytes).field("count", &self.count);
        shown.field("free", &self.free.len()).finish()
    }
}

/// Lays out the classes in the region.
fn lay_out(region: &Region, classes: &[Class]) -> Result<Box<[SizeClass]>, Error> {
    let bytes = region.bytes() as u64;
    let bad = |asked: u64| Error::BadClasses { asked, bytes };
    let mut sorted = classes.to_vec();
    sorted.sort_by_key(|class| class.block_bytes);
    let twice =
        sorted.iter().zip(sorted.iter().skip(1)).any(|(a, b)| a.block_bytes == b.block_bytes);
    let empty = sorted.iter().any(|class| class.block_bytes == 0 || class.blocks == 0);
    if sorted.is_empty() || sorted.len() > CLASSES_MAX || empty || twice {
        return Err(bad(0));
    }
    let align = BLOCK_ALIGN.max(region.meta().align as usize);
    let (mut start, mut first, mut asked) = (0_usize, 0_u32, 0_usize);
    let mut layouts = Vec::with_capacity(sorted.len());
    for class in &sorted {
        let Class { block_bytes, blocks } = *class;
        let stride = block_bytes.checked_next_multiple_of(align);
        let end = stride
            .and_then(|stride| stride.checked_mul(blocks as usize))
            .and_then(|all| start.checked_add(all));
        let next = first.checked_add(blocks);
        let (Some(stride), Some(end), Some(next)) = (stride, end, next) else {
            return Err(bad(u64::MAX));
        };
        layouts.push((*class, stride, start, first));
        // The last block needs no padding behind it.
        asked = end - (stride - block_bytes);
        (start, first) = (end, next);
    }
    if asked > region.bytes() {
        return Err(bad(asked as u64));
    }
    let classes = layouts.into_iter().map(|(class, stride, start, first)| {
        let Class { block_bytes, blocks: count } = class;
        let (back, free) = bounded(count as usize);
        for number in first..first + count {
            let put = back.try_send(number);
            debug_assert!(put.is_ok(), "the list has room for every block");
        }
        SizeClass { block_bytes, stride, start, first, count, back, free }
    });
    Ok(classes.collect())
}
