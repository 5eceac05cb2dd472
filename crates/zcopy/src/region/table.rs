// SPDX-License-Identifier: BSD-3-Clause
//! The process's regions, by id. Pinning a region by its id takes no lock.
//!
//! A region's id is an index into the table and a generation. The state of a table slot is one
//! word:
//!
//! ```text
//!   id      ┌─ generation:32 ─┬─ index:32 ────────────────────┐      0 is never a region's id
//!           └─────────────────┴───────────────────────────────┘
//!   state   ┌─ generation:32 ─┬─ L:1 ─┬─ R:1 ─┬─ pins:30 ─────┐      L: leaving, or free
//!           └─────────────────┴───────┴───────┴───────────────┘      R: revoked
//!
//!     free (L, 0 pins) ──insert──► live ──leave──► leaving (L, n pins) ──last unpin──► finished
//!          ▲                                                                             │
//!          └────────────────────────── generation + 1 ◄──────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. A pin is taken by one compare-and-swap from a state with the id's generation: a stale id
//!    never pins. `take` also requires that neither `L` nor `R` is set; `join` requires an existing
//!    pin.
//! 2. `L` is set once per generation. The one step that results in `L` and no pins makes its caller
//!    the slot's only owner, which finishes the slot: it takes the region out, releases the memory,
//!    and wakes the waiting operations.
//! 3. The generation grows before the slot is free again; a slot whose generations are used up is
//!    never used again.
//! 4. At most [`REGIONS_MAX`] regions are registered. Chunks of the table are allocated on first
//!    use, and stay allocated.
//!
//! # Safety
//!
//! `RegionSlot::region` is written by `insert`, which took the slot off the free list, before the
//! state marks the region live; and by `finish`, whose caller is the only owner (2). It is read
//! under a pin, or by a caller that is about to drop one: no write can happen at the same time (1,
//! 2).

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::RegionInner;
use crate::error::Error;

/// The maximum number of regions that may be registered in a process at a time. More are refused
/// ([`Error::TableFull`]).
pub const REGIONS_MAX: usize = 65_536;

const CHUNK_SLOTS: usize = 256;
const LEAVING: u64 = 1 << 31;
const REVOKED: u64 = 1 << 30;
const PINS: u64 = REVOKED - 1;
const GENERATION_SHIFT: u32 = 32;

struct RegionSlot {
    state: AtomicU64,
    region: UnsafeCell<Option<Arc<RegionInner>>>,
}

// SAFETY: the module's "Safety".
unsafe impl Sync for RegionSlot {}

#[derive(Default)]
struct FreeSlots {
    free: Vec<u32>,
    /// The number of slots that were ever used: those below this index.
    used: u32,
}

#[derive(Default)]
struct Addresses {
    /// The length of a region in bytes, by its address and id.
    by_start: BTreeMap<(usize, u64), usize>,
    /// At least the length of the longest region, in bytes.
    len_max: usize,
}

static CHUNKS: [OnceLock<Box<[RegionSlot]>>; REGIONS_MAX / CHUNK_SLOTS] =
    [const { OnceLock::new() }; REGIONS_MAX / CHUNK_SLOTS];
static FREE_SLOTS: Mutex<FreeSlots> = Mutex::new(FreeSlots { free: Vec::new(), used: 0 });
static ADDRESSES: LazyLock<RwLock<Addresses>> = LazyLock::new(RwLock::default);
static REGISTERED: AtomicUsize = AtomicUsize::new(0);

/// Keeps a region, and its memory, at its address.
#[derive(Debug)]
pub(crate) struct Pin {
    id: u64,
}

/// The number of regions registered in this process.
#[must_use]
pub fn regions() -> usize {
    REGISTERED.load(Ordering::Acquire)
}

/// Registers the region that `make` creates for an id.
pub(super) fn insert(
    make: impl FnOnce(u64) -> Arc<RegionInner>,
) -> Result<Arc<RegionInner>, Error> {
    let index = {
        let mut slots = FREE_SLOTS.lock();
        match slots.free.pop() {
            Some(index) => index,
            None if (slots.used as usize) < REGIONS_MAX => {
                slots.used += 1;
                slots.used - 1
            }
            None => return Err(Error::TableFull { max: REGIONS_MAX }),
        }
    };
    let full = Error::TableFull { max: REGIONS_MAX };
    let Some(chunk) = CHUNKS.get(index as usize / CHUNK_SLOTS) else {
        return Err(full);
    };
    let chunk = chunk.get_or_init(|| (0..CHUNK_SLOTS).map(|_| RegionSlot::new()).collect());
    let Some(slot) = chunk.get(index as usize % CHUNK_SLOTS) else {
        return Err(full);
    };
    let generation = slot.state.load(Ordering::Acquire) >> GENERATION_SHIFT;
    let region = make(generation << GENERATION_SHIFT | u64::from(index));
    {
        let mut addresses = ADDRESSES.write();
        addresses.by_start.insert((region.start(), region.id), region.bytes);
        addresses.len_max = addresses.len_max.max(region.bytes);
        REGISTERED.store(addresses.by_start.len(), Ordering::Release);
    }
    // SAFETY: the slot is off the free list and its state is free: this call owns it exclusively.
    unsafe { *slot.region.get() = Some(region.clone()) };
    slot.state.store(generation << GENERATION_SHIFT, Ordering::Release);
    Ok(region)
}

/// The id of the region that `len` bytes at `address` lie in, and the offset in it, in bytes. If
/// only their beginning is in a region, that region: they are past its end.
pub(crate) fn at(address: usize, len: usize) -> Option<(u64, u64)> {
    let addresses = ADDRESSES.read();
    let mut containing = addresses
        .by_start
        .range(..=(address, u64::MAX))
        .rev()
        .take_while(|((start, _), _)| address - start < addresses.len_max)
        .map(|((start, id), bytes)| (*id, address - start, *bytes))
        .filter(|(_, offset, bytes)| offset < bytes);
    let first = containing.next()?;
    let whole = |(_, offset, bytes): &(u64, usize, usize)| len <= bytes - offset;
    // Regions may overlap.
    let (id, offset, _) =
        if whole(&first) { first } else { containing.find(whole).unwrap_or(first) };
    Some((id, offset as u64))
}

/// Refuses new pins. The region is finished when the last pin is dropped.
pub(super) fn leave(id: u64) {
    let Ok(slot) = slot(id) else {
        return;
    };
    let mut state = slot.state.load(Ordering::Relaxed);
    loop {
        if state >> GENERATION_SHIFT != id >> GENERATION_SHIFT || state & LEAVING != 0 {
            return;
        }
        match step(slot, state, state | LEAVING) {
            Ok(_) if state & PINS == 0 => return finish(slot, id),
            Ok(_) => return,
            Err(now) => state = now,
        }
    }
}

/// Refuses new pins, but keeps the region registered.
pub(super) fn revoke(id: u64) {
    let Ok(slot) = slot(id) else {
        return;
    };
    let mut state = slot.state.load(Ordering::Relaxed);
    while state >> GENERATION_SHIFT == id >> GENERATION_SHIFT && state & REVOKED == 0 {
        match step(slot, state, state | REVOKED) {
            Ok(_) => return,
            Err(now) => state = now,
        }
    }
}

/// Whether the region was revoked.
pub(crate) fn is_revoked(id: u64) -> bool {
    slot(id).is_ok_and(|slot| {
        let state = slot.state.load(Ordering::Acquire);
        state >> GENERATION_SHIFT == id >> GENERATION_SHIFT && state & REVOKED != 0
    })
}

/// The number of pins of a region.
pub(super) fn pins(id: u64) -> usize {
    slot(id).map_or(0, |slot| {
        let state = slot.state.load(Ordering::Acquire);
        let same = state >> GENERATION_SHIFT == id >> GENERATION_SHIFT;
        if same { (state & PINS) as usize } else { 0 }
    })
}

/// Whether a region can be pinned.
pub(super) fn check(id: u64) -> Result<(), Error> {
    let slot = slot(id)?;
    allows(slot.state.load(Ordering::Acquire), id)
}

impl Pin {
    /// Pins the region with that id.
    pub(crate) fn take(id: u64) -> Result<Self, Error> {
        let slot = slot(id)?;
        let mut state = slot.state.load(Ordering::Relaxed);
        loop {
            allows(state, id)?;
            match step(slot, state, state + 1) {
                Ok(_) => return Ok(Self { id }),
                Err(now) => state = now,
            }
        }
    }

    /// Adds a pin to existing ones, also while the region is leaving: for claiming and releasing
    /// references to its blocks.
    pub(crate) fn join(id: u64) -> Result<Self, Error> {
        let slot = slot(id)?;
        let mut state = slot.state.load(Ordering::Relaxed);
        loop {
            match state & PINS {
                0 => {
                    allows(state, id)?;
                    return Self::take(id);
                }
                PINS => return Err(Error::Busy { region_id: id }),
                _ if state >> GENERATION_SHIFT != id >> GENERATION_SHIFT => {
                    return Err(Error::Stale { region_id: id });
                }
                _ => {}
            }
            match step(slot, state, state + 1) {
                Ok(_) => return Ok(Self { id }),
                Err(now) => state = now,
            }
        }
    }

    /// The region.
    pub(crate) fn region(&self) -> Option<&RegionInner> {
        let slot = slot(self.id).ok()?;
        // SAFETY: pinned for as long as `self` lives.
        unsafe { (*slot.region.get()).as_deref() }
    }

    /// Forgets the pin; it is released through [`Pin::kept`], once.
    pub(crate) fn keep(self) -> u64 {
        std::mem::ManuallyDrop::new(self).id
    }

    /// The pin that was forgotten.
    ///
    /// # Safety
    ///
    /// [`keep`](Self::keep) returned that id, and this is called once for it.
    pub(crate) unsafe fn kept(id: u64) -> Self {
        Self { id }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let Ok(slot) = slot(self.id) else {
            return;
        };
        let mut state = slot.state.load(Ordering::Relaxed);
        loop {
            match step(slot, state, state - 1) {
                Ok(_) if state & LEAVING != 0 && state & PINS == 1 => return finish(slot, self.id),
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }
}

impl RegionSlot {
    fn new() -> Self {
        let state = AtomicU64::new(1 << GENERATION_SHIFT | LEAVING);
        Self { state, region: UnsafeCell::new(None) }
    }
}

fn step(slot: &RegionSlot, from: u64, to: u64) -> Result<u64, u64> {
    slot.state.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed)
}

fn slot(id: u64) -> Result<&'static RegionSlot, Error> {
    let index = (id & u64::from(u32::MAX)) as usize;
    CHUNKS
        .get(index / CHUNK_SLOTS)
        .and_then(OnceLock::get)
        .and_then(|chunk| chunk.get(index % CHUNK_SLOTS))
        .ok_or(Error::Unknown { region_id: id })
}

/// Whether a region in that state may be pinned by that id.
fn allows(state: u64, region_id: u64) -> Result<(), Error> {
    let (now, named) = (state >> GENERATION_SHIFT, region_id >> GENERATION_SHIFT);
    // A free slot has the generation of its next region.
    let unborn = now == named && state & LEAVING != 0 && state & PINS == 0;
    if named == 0 || named > now || unborn {
        Err(Error::Unknown { region_id })
    } else if named < now {
        Err(Error::Stale { region_id })
    } else if state & LEAVING != 0 {
        Err(Error::Leaving { region_id })
    } else if state & REVOKED != 0 {
        Err(Error::Revoked { region_id })
    } else if state & PINS == PINS {
        Err(Error::Busy { region_id })
    } else {
        Ok(())
    }
}

/// Removes and releases a region. The caller owns the slot: it made the step to `LEAVING` and no
/// pins.
fn finish(slot: &RegionSlot, id: u64) {
    // SAFETY: the caller is the slot's only owner.
    let region = unsafe { (*slot.region.get()).take() };
    if let Some(region) = &region {
        let mut addresses = ADDRESSES.write();
        addresses.by_start.remove(&(region.start(), id));
        if addresses.by_start.is_empty() {
            addresses.len_max = 0;
        }
        REGISTERED.store(addresses.by_start.len(), Ordering::Release);
    }
    let generation = (id >> GENERATION_SHIFT) + 1;
    let used_up = generation > u64::from(u32::MAX);
    let generation = if used_up { generation - 1 } else { generation };
    slot.state.store(generation << GENERATION_SHIFT | LEAVING, Ordering::Release);
    if !used_up {
        FREE_SLOTS.lock().free.push((id & u64::from(u32::MAX)) as u32);
    }
    if let Some(region) = region {
        region.release();
    }
}
