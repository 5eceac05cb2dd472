// SPDX-License-Identifier: BSD-3-Clause
//! Pools: blocks of a region, lent and given back in O(1).
//!
//! | file | holds |
//! |---|---|
//! | `shares` | who has a block: one word |
//! | `lease` | a block that one has, to write |
//! | `block` | a block that many have, to read; as a descriptor |
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
//!    └────────────────────┴── the last one is dropped ◄──────┘
//! ```
//!
//! The free list of a class is a bounded channel of block numbers: a lease is a receive, giving back
//! is a send. So exhaustion is would-block, whoever waits is served first come first, by one block
//! each, and any thread may give back.
//!
//! # Invariants
//!
//! 1. A block's number is in the free list of its class, or the block has at least one share, never
//!    both. The list has room for every block of the class: giving back never waits nor fails.
//! 2. A lease is its block's only share. Only leases write.
//! 3. A pool never grows. It has its region alone, and pinned, while any share is there.
//! 4. In a debug build a block is filled with [`POISON`] when it comes back. A lease that finds
//!    something else counts it: somebody wrote what was no longer theirs.

mod block;
mod lease;
mod leasing;
mod shares;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_chan::{Receiver, Sender, bounded};

use self::shares::Shares;
use crate::error::Error;
use crate::region::Region;
use crate::region::table::Pin;

pub use self::block::Block;
pub(crate) use self::block::give_back;
pub use self::lease::Lease;
pub use self::leasing::{LeaseError, Leasing};

/// What a block is filled with when it comes back, in a debug build.
pub const POISON: u8 = 0xDB;
/// Classes of a pool.
pub const CLASSES_MAX: usize = 16;

/// Blocks begin at multiples of it, in bytes: no two share a cache line.
const BLOCK_ALIGN: usize = 64;

/// So many blocks of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// The length of a block, in bytes.
    pub block_bytes: usize,
    /// How many there are.
    pub blocks: u32,
}

/// Lends blocks of a region. Clones are handles of the same pool, which lives, with its region, until
/// the last handle and the last block are gone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    region_id: u64,
    at: Base,
    /// By length, shortest first.
    classes: Box<[Lane]>,
    blocks: Box<[Shares]>,
    tampered: AtomicU64,
    /// Before the region: pins go before handles.
    _pin: Pin,
    region: Region,
}

#[derive(Debug, Clone, Copy)]
struct Base(NonNull<u8>);

// SAFETY: a number, until it is followed by who has a share of a block.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}

/// A class, in its place.
struct Lane {
    block_bytes: usize,
    /// From block to block, in bytes.
    stride: usize,
    /// Where the first block begins, in bytes.
    start: usize,
    /// The first block's number.
    first: u32,
    count: u32,
    back: Sender<u32>,
    free: Receiver<u32>,
}

/// A class at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassSnapshot {
    /// The length of a block, in bytes.
    pub block_bytes: usize,
    /// How many there are.
    pub blocks: usize,
    /// How many are not lent out.
    pub free: usize,
    /// Leases made.
    pub leases: u64,
    /// Leases refused because every block was lent out.
    pub refused: u64,
    /// Leases in line.
    pub waiting: usize,
}

impl Pool {
    /// Makes a pool of a region. The classes are laid out one after the other, shortest blocks first.
    ///
    /// # Errors
    ///
    /// [`Error::BadClasses`]: none or more than [`CLASSES_MAX`], an empty one, two of one length, or
    /// more than the region holds; [`Error::NotPoolable`]; [`Error::Leaving`], [`Error::Revoked`].
    pub fn new(region: &Region, classes: &[Class]) -> Result<Self, Error> {
        let lanes = lay_out(region, classes)?;
        let pin = Pin::take(region.id())?;
        if !region.inner().claim_for_pool() {
            return Err(Error::NotPoolable);
        }
        let count = lanes.iter().map(|lane| lane.count as usize).sum();
        let shared = Arc::new(Shared {
            region_id: region.id(),
            at: Base(region.inner().at()),
            classes: lanes,
            blocks: (0..count).map(|_| Shares::default()).collect(),
            tampered: AtomicU64::new(0),
            _pin: pin,
            region: region.clone(),
        });
        shared.poison_all();
        region.inner().set_pool(Arc::downgrade(&shared));
        Ok(Self(shared))
    }

    /// Lends a block of the shortest class that has `len` bytes. Its bytes are what they were left
    /// as; in a debug build [`POISON`].
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: every block of that class is lent out; [`Error::TooLong`],
    /// [`Error::Empty`].
    pub fn try_lease(&self, len: usize) -> Result<Lease, Error> {
        let (_, lane) = self.0.class_for(len)?;
        let class_bytes = lane.block_bytes;
        let number = lane.free.try_recv().map_err(|_| Error::WouldBlock { class_bytes })?;
        Ok(Lease::new(self.0.clone(), number, len))
    }

    /// As [`try_lease`](Self::try_lease), and waits for a block to come back.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Empty`], at once.
    pub fn lease(&self, len: usize) -> Result<Leasing<'_>, Error> {
        let (_, lane) = self.0.class_for(len)?;
        Ok(Leasing::new(&self.0, lane.free.recv(), len))
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

    /// Its classes at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ClassSnapshot> {
        self.0.classes.iter().map(Lane::snapshot).collect()
    }

    /// How often a lease found that somebody had written to a block that was not lent. Always 0 but
    /// in a debug build.
    #[must_use]
    pub fn tampered(&self) -> u64 {
        self.0.tampered.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn len_max(&self) -> usize {
        self.classes.last().map_or(0, |lane| lane.block_bytes)
    }

    fn class_for(&self, len: usize) -> Result<(usize, &Lane), Error> {
        if len == 0 {
            return Err(Error::Empty);
        }
        let too_long = Error::TooLong { len, max: self.len_max() };
        let mut lanes = self.classes.iter().enumerate();
        lanes.find(|(_, lane)| len <= lane.block_bytes).ok_or(too_long)
    }

    /// The class of a block.
    fn lane_of(&self, number: u32) -> Option<&Lane> {
        self.classes.iter().find(|lane| number.wrapping_sub(lane.first) < lane.count)
    }

    /// The block that has `len` bytes at `offset` of the region, and where in the region it begins.
    fn block_at(&self, offset: u64, len: usize) -> Option<(u32, usize)> {
        let offset = usize::try_from(offset).ok()?;
        self.classes.iter().find_map(|lane| {
            let within = offset.checked_sub(lane.start)?;
            let place = u32::try_from(within / lane.stride).ok()?;
            let end = (within % lane.stride).checked_add(len)?;
            let fits = place < lane.count && end <= lane.block_bytes;
            fits.then(|| (lane.first + place, lane.start + place as usize * lane.stride))
        })
    }

    /// Where a block begins in the region, in bytes, and how long it is.
    fn place_of(&self, number: u32) -> Option<(usize, usize)> {
        let lane = self.lane_of(number)?;
        let place = (number - lane.first) as usize;
        Some((lane.start + place * lane.stride, lane.block_bytes))
    }

    fn shares(&self, number: u32) -> Option<&Shares> {
        self.blocks.get(number as usize)
    }

    /// Somebody gives up a share.
    fn let_go(&self, number: u32) {
        let last = self.shares(number).is_some_and(Shares::let_go);
        if last && let Some(lane) = self.lane_of(number) {
            // The last share was ours: until the number is in the list, the block is nobody else's.
            self.poison(number);
            let back = lane.back.try_send(number);
            debug_assert!(back.is_ok(), "the list has room for every block");
        }
    }

    fn poison_all(&self) {
        if cfg!(debug_assertions) {
            for number in 0..self.blocks.len() {
                self.poison(number as u32);
            }
        }
    }

    /// The caller has the block alone.
    fn poison(&self, number: u32) {
        if cfg!(debug_assertions)
            && let Some((start, bytes)) = self.place_of(number)
        {
            // SAFETY: a block is within the region, which is pinned, and the caller's alone.
            unsafe { self.at.0.add(start).write_bytes(POISON, bytes) };
        }
    }

    /// Looks whether somebody wrote where nobody may. The caller has the block alone.
    fn inspect(&self, number: u32) {
        if cfg!(debug_assertions)
            && let Some((start, bytes)) = self.place_of(number)
        {
            // SAFETY: a block is within the region, which is pinned, and the caller's alone.
            let block = unsafe { std::slice::from_raw_parts(self.at.0.add(start).as_ptr(), bytes) };
            if block.iter().any(|byte| *byte != POISON) {
                self.tampered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Lane {
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

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Lane");
        shown.field("block_bytes", &self.block_bytes).field("count", &self.count);
        shown.field("free", &self.free.len()).finish()
    }
}

/// Where each class goes.
fn lay_out(region: &Region, classes: &[Class]) -> Result<Box<[Lane]>, Error> {
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
    let mut places = Vec::with_capacity(sorted.len());
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
        places.push((*class, stride, start, first));
        // The last block needs no room behind it.
        asked = end - (stride - block_bytes);
        (start, first) = (end, next);
    }
    if asked > region.bytes() {
        return Err(bad(asked as u64));
    }
    let lanes = places.into_iter().map(|(class, stride, start, first)| {
        let Class { block_bytes, blocks: count } = class;
        let (back, free) = bounded(count as usize);
        for number in first..first + count {
            let put = back.try_send(number);
            debug_assert!(put.is_ok(), "the list has room for every block");
        }
        Lane { block_bytes, stride, start, first, count, back, free }
    });
    Ok(lanes.collect())
}
