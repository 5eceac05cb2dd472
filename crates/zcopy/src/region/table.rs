// SPDX-License-Identifier: BSD-3-Clause
//! The process's regions, by number. Pinning one by its number takes no lock.
//!
//! A region's number is a place in the table and a generation. The place's state is one word:
//!
//! ```text
//!   id      ┌─ generation:32 ─┬─ place:32 ────────────────────┐      0 is no region's
//!           └─────────────────┴───────────────────────────────┘
//!   state   ┌─ generation:32 ─┬─ L:1 ─┬─ R:1 ─┬─ pins:30 ─────┐
//!           └─────────────────┴───────┴───────┴───────────────┘
//!
//!     free (L, 0 pins) ──insert──► live ──leave──► leaving (L, n pins) ──last unpin──► finished
//!          ▲                                                                             │
//!          └────────────────────────── generation + 1 ◄──────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. A pin is taken only by one step from a state with the number's generation: a stale number never
//!    pins. `take` also wants neither `L` nor `R`; `join` wants a pin that is there already.
//! 2. `L` is set once in a generation. The one step that leaves `L` and no pins makes whoever took it
//!    the place's only owner, who finishes it: takes the region out, lets its memory go, and says so.
//! 3. The generation grows before the place is free again; a place whose generations are used up is
//!    never used again.
//! 4. At most [`REGIONS_MAX`] regions are registered. Chunks of the table are allocated when they are
//!    first needed, and stay.
//!
//! # Safety
//!
//! `Slot::region` is written by `insert`, which took the place off the free list, before the state
//! says that the region is live; and by `finish`, whose caller is the only owner (2). It is read under
//! a pin, or by who is about to give up one: neither happens meanwhile (1, 2).

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::Inner;
use crate::error::Error;

/// So many regions may be registered in a process at a time. More are refused
/// ([`Error::TableFull`]).
pub const REGIONS_MAX: usize = 65_536;

const CHUNK_SLOTS: usize = 256;
const LEAVING: u64 = 1 << 31;
const REVOKED: u64 = 1 << 30;
const PINS: u64 = REVOKED - 1;
const GENERATION_SHIFT: u32 = 32;

struct Slot {
    state: AtomicU64,
    region: UnsafeCell<Option<Arc<Inner>>>,
}

// SAFETY: the module's "Safety".
unsafe impl Sync for Slot {}

#[derive(Default)]
struct Places {
    free: Vec<u32>,
    /// Places above have never been used.
    used: u32,
}

#[derive(Default)]
struct Addresses {
    by_start: BTreeMap<(usize, u64), usize>,
    /// No region here is longer.
    len_max: usize,
}

static CHUNKS: [OnceLock<Box<[Slot]>>; REGIONS_MAX / CHUNK_SLOTS] =
    [const { OnceLock::new() }; REGIONS_MAX / CHUNK_SLOTS];
static PLACES: Mutex<Places> = Mutex::new(Places { free: Vec::new(), used: 0 });
static ADDRESSES: LazyLock<RwLock<Addresses>> = LazyLock::new(RwLock::default);
static REGISTERED: AtomicUsize = AtomicUsize::new(0);

/// Keeps a region, and its memory, where it is.
#[derive(Debug)]
pub(crate) struct Pin {
    id: u64,
}

/// How many regions are registered in this process.
#[must_use]
pub fn regions() -> usize {
    REGISTERED.load(Ordering::Acquire)
}

/// Registers what `make` makes of its number.
pub(super) fn insert(make: impl FnOnce(u64) -> Arc<Inner>) -> Result<Arc<Inner>, Error> {
    let place = {
        let mut places = PLACES.lock();
        match places.free.pop() {
            Some(place) => place,
            None if (places.used as usize) < REGIONS_MAX => {
                places.used += 1;
                places.used - 1
            }
            None => return Err(Error::TableFull { max: REGIONS_MAX }),
        }
    };
    let full = Error::TableFull { max: REGIONS_MAX };
    let Some(chunk) = CHUNKS.get(place as usize / CHUNK_SLOTS) else {
        return Err(full);
    };
    let chunk = chunk.get_or_init(|| (0..CHUNK_SLOTS).map(|_| Slot::new()).collect());
    let Some(slot) = chunk.get(place as usize % CHUNK_SLOTS) else {
        return Err(full);
    };
    let generation = slot.state.load(Ordering::Acquire) >> GENERATION_SHIFT;
    let region = make(generation << GENERATION_SHIFT | u64::from(place));
    {
        let mut addresses = ADDRESSES.write();
        addresses.by_start.insert((region.start(), region.id), region.bytes);
        addresses.len_max = addresses.len_max.max(region.bytes);
        REGISTERED.store(addresses.by_start.len(), Ordering::Release);
    }
    // SAFETY: the place is off the free list, and its state says that it is free: it is ours.
    unsafe { *slot.region.get() = Some(region.clone()) };
    slot.state.store(generation << GENERATION_SHIFT, Ordering::Release);
    Ok(region)
}

/// The region's number, if `address` lies in one.
pub(crate) fn at(address: usize) -> Option<(u64, u64)> {
    let addresses = ADDRESSES.read();
    addresses
        .by_start
        .range(..=(address, u64::MAX))
        .rev()
        .take_while(|((start, _), _)| address - start < addresses.len_max)
        .find(|((start, _), bytes)| address - start < **bytes)
        .map(|((start, id), _)| (*id, (address - start) as u64))
}

/// The region takes no pin any more. It is finished when the last one is gone.
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

/// The region takes no pin any more, but stays registered.
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

/// Whether it was revoked.
pub(crate) fn is_revoked(id: u64) -> bool {
    slot(id).is_ok_and(|slot| slot.state.load(Ordering::Acquire) & REVOKED != 0)
}

/// How often the region is pinned.
pub(super) fn pins(id: u64) -> usize {
    slot(id).map_or(0, |slot| {
        let state = slot.state.load(Ordering::Acquire);
        let same = state >> GENERATION_SHIFT == id >> GENERATION_SHIFT;
        if same { (state & PINS) as usize } else { 0 }
    })
}

/// Why it cannot be pinned.
pub(super) fn check(id: u64) -> Result<(), Error> {
    let slot = slot(id)?;
    allows(slot.state.load(Ordering::Acquire), id)
}

impl Pin {
    /// Pins the region of that number.
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

    /// Pins it beside others, also while it is leaving: for what came from it to go home.
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
    pub(crate) fn region(&self) -> Option<&Inner> {
        let slot = slot(self.id).ok()?;
        // SAFETY: it is pinned, for as long as `self` lives.
        unsafe { (*slot.region.get()).as_deref() }
    }

    /// The pin is kept by other means: it is undone by [`Pin::kept`], once.
    pub(crate) fn keep(self) -> u64 {
        std::mem::ManuallyDrop::new(self).id
    }

    /// The pin that was kept.
    ///
    /// # Safety
    ///
    /// [`keep`](Self::keep) gave that number, and it is given back once.
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

impl Slot {
    fn new() -> Self {
        let state = AtomicU64::new(1 << GENERATION_SHIFT | LEAVING);
        Self { state, region: UnsafeCell::new(None) }
    }
}

fn step(slot: &Slot, from: u64, to: u64) -> Result<u64, u64> {
    slot.state.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed)
}

fn slot(id: u64) -> Result<&'static Slot, Error> {
    let place = (id & u64::from(u32::MAX)) as usize;
    CHUNKS
        .get(place / CHUNK_SLOTS)
        .and_then(OnceLock::get)
        .and_then(|chunk| chunk.get(place % CHUNK_SLOTS))
        .ok_or(Error::Unknown { region_id: id })
}

/// Whether a region in that state may be pinned by that number.
fn allows(state: u64, region_id: u64) -> Result<(), Error> {
    let (now, named) = (state >> GENERATION_SHIFT, region_id >> GENERATION_SHIFT);
    // A free place has the generation that comes next.
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

/// Lets a region go. The caller owns the place: it took the step to `LEAVING` and no pins.
fn finish(slot: &Slot, id: u64) {
    // SAFETY: the caller is the place's only owner.
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
        PLACES.lock().free.push((id & u64::from(u32::MAX)) as u32);
    }
    if let Some(region) = region {
        region.end();
    }
}
