// SPDX-License-Identifier: BSD-3-Clause
//! The process's regions, by id. Pinning a region by its id takes no lock.
//!
//! ```text
//!   id      ┌─ generation:32 ─┬─ index:32 ────────────────────┐      0 is never a region's id
//!           └─────────────────┴───────────────────────────────┘
//!
//!   chunk   slots    │ state, region │ state, region │ …               ([`RegionState`])
//!           flights  │ of thread 0: a count for each slot │ of thread 1 │ …
//! ```
//!
//! # Invariants
//!
//! 1. The generation grows before the slot is free again; a slot whose generations are used up is
//!    never used again.
//! 2. At most [`REGIONS_MAX`] regions are registered. Chunks of the table are allocated on first
//!    use, and stay allocated: a count of flights is there before it is known whether its region is.
//! 3. The only owner of a slot that is no longer pinned ([`RegionState`], 4) finishes it: it takes
//!    the region out, releases the memory, and wakes the waiting operations.
//!
//! # Safety
//!
//! `RegionSlot::region` is written by `insert`, which took the slot off the free list, before the
//! state marks the region live; and by `finish`, whose caller is the only owner (3). It is read
//! under a pin or a flight, or by a caller that is about to end one: no write can happen at the same
//! time.

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, RwLock};

use super::RegionInner;
use super::state::{FlightCount, Refusal, RegionState};
use crate::desc::Desc;
use crate::error::Error;
use crate::shard::{self, SHARDS};

/// The maximum number of regions that may be registered in a process at a time. More are refused
/// ([`Error::TableFull`]).
pub const REGIONS_MAX: usize = 65_536;

const CHUNK_SLOTS: usize = 256;
const GENERATION_SHIFT: u32 = 32;

struct Chunk {
    slots: Box<[RegionSlot]>,
    /// By shard of the threads, a count for each slot.
    flights: Box<[CachePadded<[AtomicU64; CHUNK_SLOTS]>]>,
}

struct RegionSlot {
    state: RegionState,
    region: UnsafeCell<Option<Arc<RegionInner>>>,
}

/// A slot, and where its flights are counted.
#[derive(Clone, Copy)]
struct Place {
    chunk: &'static Chunk,
    slot: &'static RegionSlot,
    /// Of the slot, in the table.
    index: usize,
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

static CHUNKS: [OnceLock<Chunk>; REGIONS_MAX / CHUNK_SLOTS] =
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
    let chunk = chunk.get_or_init(Chunk::new);
    let Some(slot) = chunk.slots.get(index as usize % CHUNK_SLOTS) else {
        return Err(full);
    };
    let generation = slot.state.generation();
    let region = make(generation << GENERATION_SHIFT | u64::from(index));
    {
        let mut addresses = ADDRESSES.write();
        addresses.by_start.insert((region.start(), region.id), region.bytes);
        addresses.len_max = addresses.len_max.max(region.bytes);
        REGISTERED.store(addresses.by_start.len(), Ordering::Release);
    }
    // SAFETY: the slot is off the free list and its state is free: this call owns it exclusively.
    unsafe { *slot.region.get() = Some(region.clone()) };
    slot.state.begin(generation);
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

/// Refuses new pins. The region is finished when nothing pins it.
pub(super) fn leave(id: u64) {
    if let Ok(place) = place(id)
        && place.slot.state.leave(generation(id))
    {
        place.settle();
    }
}

/// Refuses new pins, but keeps the region registered.
pub(super) fn revoke(id: u64) {
    if let Ok(place) = place(id) {
        place.slot.state.revoke(generation(id));
    }
}

/// Whether the region was revoked.
pub(crate) fn is_revoked(id: u64) -> bool {
    place(id).is_ok_and(|place| place.slot.state.is_revoked(generation(id)))
}

/// The number of pins of a region, with its flights.
pub(super) fn pins(id: u64) -> usize {
    let Ok(place) = place(id) else { return 0 };
    let pins = place.slot.state.pins(generation(id));
    // While descriptors land the counts may be read out of step: less than none is none.
    pins.map_or(0, |pins| pins as usize + (place.flights() as i64).max(0) as usize)
}

/// Whether a region can be pinned.
pub(super) fn check(id: u64) -> Result<(), Error> {
    place(id)?.slot.state.check(generation(id)).map_err(refused(id))
}

/// Begins a flight of a descriptor, if the region that it names is in this process and allows it.
/// The address of its bytes.
#[inline]
pub(super) fn depart(desc: &Desc) -> Result<NonNull<u8>, Error> {
    let place = place(desc.region_id)?;
    let count = place.count()?;
    if let Err(refusal) = place.slot.state.depart(generation(desc.region_id), count) {
        place.settle();
        return Err(refused(desc.region_id)(refusal));
    }
    // SAFETY: the flight pins the region.
    let region = unsafe { (*place.slot.region.get()).as_deref() };
    let located = region.ok_or(Error::Unknown { region_id: desc.region_id }).and_then(|region| {
        let start = region.meta.locate(desc.offset, desc.len, region.bytes)?;
        // SAFETY: within the region, whose memory is there while it is pinned.
        Ok(unsafe { region.at().add(start) })
    });
    if located.is_err() {
        arrive(desc.region_id);
    }
    located
}

/// Ends a flight in a region. The caller has one: it [departed](depart), and has not arrived.
#[inline]
pub(super) fn arrive(id: u64) {
    if let Ok(place) = place(id)
        && let Ok(count) = place.count()
        && place.slot.state.arrive(count)
    {
        place.settle();
    }
}

impl Pin {
    /// Pins the region with that id.
    pub(crate) fn take(id: u64) -> Result<Self, Error> {
        place(id)?.slot.state.take(generation(id)).map_err(refused(id))?;
        Ok(Self { id })
    }

    /// Adds a pin to existing ones, also while the region is leaving: for claiming and releasing
    /// references to its blocks.
    pub(crate) fn join(id: u64) -> Result<Self, Error> {
        place(id)?.slot.state.join(generation(id)).map_err(refused(id))?;
        Ok(Self { id })
    }

    /// The region.
    pub(crate) fn region(&self) -> Option<&RegionInner> {
        let place = place(self.id).ok()?;
        // SAFETY: pinned for as long as `self` lives.
        unsafe { (*place.slot.region.get()).as_deref() }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Ok(place) = place(self.id)
            && place.slot.state.release()
        {
            finish(place.slot, self.id);
        }
    }
}

impl Chunk {
    fn new() -> Self {
        let count = |_| AtomicU64::new(0);
        let flights = |_| CachePadded::new(std::array::from_fn(count));
        Self {
            slots: (0..CHUNK_SLOTS).map(|_| RegionSlot::new()).collect(),
            flights: (0..SHARDS).map(flights).collect(),
        }
    }
}

impl RegionSlot {
    fn new() -> Self {
        Self { state: RegionState::new(), region: UnsafeCell::new(None) }
    }
}

impl Place {
    /// The calling thread's count of flights.
    #[inline]
    fn count(&self) -> Result<FlightCount<'static>, Error> {
        let (shard, is_own) = match shard::own() {
            Some(shard) => (shard, true),
            None => shard::any(),
        };
        let counts = self.chunk.flights.get(shard);
        let word = counts.and_then(|counts| counts.get(self.index % CHUNK_SLOTS));
        // There is one for each shard and slot.
        let word = word.ok_or(Error::Unknown { region_id: self.index as u64 })?;
        Ok(FlightCount { word, is_own })
    }

    /// The number of flights, if the counts stand still.
    fn flights(&self) -> u64 {
        let counts =
            self.chunk.flights.iter().filter_map(|counts| counts.get(self.index % CHUNK_SLOTS));
        counts.fold(0, |sum, count| sum.wrapping_add(count.load(Ordering::Acquire)))
    }

    /// Finishes the slot if it waits for its flights, has none left, and nothing else pins it.
    #[cold]
    fn settle(&self) {
        if let Some(generation) = self.slot.state.settle(|| self.flights()) {
            finish(self.slot, generation << GENERATION_SHIFT | self.index as u64);
        }
    }
}

#[inline]
fn place(id: u64) -> Result<Place, Error> {
    let index = (id & u64::from(u32::MAX)) as usize;
    let chunk = CHUNKS.get(index / CHUNK_SLOTS).and_then(OnceLock::get);
    let slot = chunk.and_then(|chunk| Some((chunk, chunk.slots.get(index % CHUNK_SLOTS)?)));
    let (chunk, slot) = slot.ok_or(Error::Unknown { region_id: id })?;
    Ok(Place { chunk, slot, index })
}

#[inline]
fn generation(id: u64) -> u64 {
    id >> GENERATION_SHIFT
}

/// Converts a refusal to pin the region with that id.
#[cold]
fn refused(region_id: u64) -> impl FnOnce(Refusal) -> Error {
    move |refusal| match refusal {
        Refusal::Unknown => Error::Unknown { region_id },
        Refusal::Stale => Error::Stale { region_id },
        Refusal::Leaving => Error::Leaving { region_id },
        Refusal::Revoked => Error::Revoked { region_id },
        Refusal::Busy => Error::Busy { region_id },
    }
}

/// Removes and releases a region. The caller owns the slot: it made the step to `L` and no pins
/// ([`RegionState`], 4).
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
    slot.state.end(generation);
    if !used_up {
        FREE_SLOTS.lock().free.push((id & u64::from(u32::MAX)) as u32);
    }
    if let Some(region) = region {
        region.release();
    }
}
