// SPDX-License-Identifier: BSD-3-Clause
//! The process's free stacks, class by class.
//!
//! **Out**: the stack that came back last goes out first. When none is warm, one whose memory was
//! given back; when there is none either, new ones are carved from the class's slab, a batch at a
//! time, growing with what the class already has. A slab is as large as all slabs of its class
//! before it together, up to 1 GiB of addresses.
//!
//! **Back**: a stack that comes back is warm: its memory stays as it is. A class keeps at most
//! 4096 warm stacks and at most 256 MiB of them (taken as if each were touched to its end, which
//! few are). Of those above, the ones that have lain longest lose their memory
//! (`MADV_DONTNEED`, so that it is free at once and not when the kernel comes to look) but stay
//! ready for use. Addresses are never given back: a slab stays for the life of the process.
//!
//! 1. A slot is in `warm`, in `cold`, between `next` and `end`, or somebody's.
//! 2. The kernel is called without the lock, except for the mapping of a slab; the slots it is
//!    called for are the caller's at that time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use corosensei::stack::StackPointer;
use parking_lot::Mutex;

use super::StackError;
use super::class::{self, Class, page_bytes};
use super::sys::{self, Errno, Guards};
use super::{slab, valgrind};

/// The pool of this process.
pub(super) static POOL: Pool = Pool::new(None);

/// Addresses that stacks may take, all classes together.
const ADDRESSES_MAX_BYTES: usize = 16 << 40;
const SLAB_MIN_BYTES: usize = 4 << 20;
const SLAB_MAX_BYTES: usize = 1 << 30;
const WARM_MAX: usize = 4096;
const WARM_MAX_BYTES: usize = 256 << 20;
/// Stacks that lose their memory in one go.
const RELEASE_BATCH: usize = 64;
const CARVE_MIN: usize = 8;
const CARVE_MAX: usize = 512;

/// Where a stack begins: its highest address. `NONE` is no stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) StackPointer);

impl Slot {
    /// Fills places that hold no slot yet.
    pub(super) const NONE: Self = Self(StackPointer::MAX);
}

pub(super) struct Pool {
    shelves: [Mutex<Shelf>; class::COUNT],
    addresses_bytes: AtomicUsize,
    /// How guards are made, if not the kernel's best way.
    guards: Option<Guards>,
}

struct Shelf {
    /// As they came back; the oldest in front.
    warm: VecDeque<Slot>,
    /// Ready, without memory.
    cold: Vec<Slot>,
    /// The part of the newest slab that has never been used.
    next: usize,
    end: usize,
    /// What the class has of the address space.
    mapped_bytes: usize,
    carved: usize,
}

impl Pool {
    pub(super) const fn new(guards: Option<Guards>) -> Self {
        Self {
            shelves: [const { Mutex::new(Shelf::new()) }; class::COUNT],
            addresses_bytes: AtomicUsize::new(0),
            guards,
        }
    }

    /// Fills `out` from the front with stacks that are the caller's from here on. Answers how
    /// many: one at least.
    pub(super) fn take(&self, class: Class, out: &mut [Slot]) -> Result<usize, StackError> {
        let Some(shelf) = self.shelves.get(class.index()) else { return Ok(0) };
        let mut shelf = shelf.lock();
        let mut taken = 0;
        // The first to go out of a cache is the last that is put in: the warmest.
        while let Some(place) = out.get_mut(taken) {
            let Some(slot) = shelf.warm.pop_back().or_else(|| shelf.cold.pop()) else { break };
            *place = slot;
            taken += 1;
        }
        if let Some(out) = out.get_mut(..taken).filter(|out| !out.is_empty()) {
            out.reverse();
            return Ok(taken);
        }
        let fresh = self.reserve(&mut shelf, class)?;
        drop(shelf);
        self.carve(class, fresh, out)
    }

    /// Takes back stacks that are the caller's, the oldest first, with nothing on them that
    /// anybody still needs.
    pub(super) fn put(&self, class: Class, slots: &[Slot]) {
        let Some(shelf) = self.shelves.get(class.index()) else { return };
        let warm_max = WARM_MAX.min(WARM_MAX_BYTES / class.size_bytes());
        let mut held = shelf.lock();
        held.warm.extend(slots);
        while held.warm.len() > warm_max {
            let count = (held.warm.len() - warm_max).min(RELEASE_BATCH);
            let mut old = [Slot::NONE; RELEASE_BATCH];
            for (place, slot) in old.iter_mut().zip(held.warm.drain(..count)) {
                *place = slot;
            }
            drop(held);
            let old = old.get(..count).unwrap_or_default();
            let size = class.size_bytes();
            // SAFETY: invariant 1: these slots have just left `warm` and are in no other place.
            unsafe { sys::release(old.iter().map(|slot| (slot.0.get() - size, size))) };
            held = shelf.lock();
            held.cold.extend(old);
        }
    }

    /// Cuts a run of slots from the slab, mapping one if need be. They have no guards yet.
    fn reserve(&self, shelf: &mut Shelf, class: Class) -> Result<Run, StackError> {
        let stride = class.stride_bytes();
        if shelf.end - shelf.next < stride {
            self.grow(shelf, class)?;
        }
        let wanted = (shelf.carved / 4).clamp(CARVE_MIN, CARVE_MAX);
        let count = wanted.min((shelf.end - shelf.next) / stride);
        let start = shelf.next;
        shelf.next += count * stride;
        shelf.carved += count;
        Ok(Run { start, count })
    }

    #[cold]
    fn grow(&self, shelf: &mut Shelf, class: Class) -> Result<(), StackError> {
        let size_bytes = class.size_bytes();
        let stride = class.stride_bytes();
        let slots = shelf.mapped_bytes.clamp(SLAB_MIN_BYTES, SLAB_MAX_BYTES) / stride;
        let bytes = slots.max(1) * stride;
        let full = StackError::AddressSpace { size_bytes, limit_bytes: ADDRESSES_MAX_BYTES };
        let counted = self.addresses_bytes.fetch_add(bytes, Ordering::Relaxed);
        if counted + bytes > ADDRESSES_MAX_BYTES || !slab::has_room() {
            self.addresses_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(full);
        }
        let start = sys::map(bytes).map_err(|errno| {
            self.addresses_bytes.fetch_sub(bytes, Ordering::Relaxed);
            no_memory(class, errno)
        })?;
        if !slab::add(start, start + bytes, class) {
            // SAFETY: mapped above, and nobody has been told of it.
            unsafe { sys::unmap(start, bytes) };
            self.addresses_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(full);
        }
        shelf.next = start;
        shelf.end = start + bytes;
        shelf.mapped_bytes += bytes;
        Ok(())
    }

    /// Makes stacks of a run; what `out` has no room for goes to the pool.
    #[cold]
    fn carve(&self, class: Class, run: Run, out: &mut [Slot]) -> Result<usize, StackError> {
        let stride = class.stride_bytes();
        let guards = self.guards.unwrap_or_else(Guards::of_this_kernel);
        let Some(shelf) = self.shelves.get(class.index()) else { return Ok(0) };
        // SAFETY: invariant 1: `reserve` has taken the run out of the slab for us.
        if let Err(errno) = unsafe { guards.install(run.start, stride, run.count) } {
            let mut shelf = shelf.lock();
            // Back into the slab, unless somebody has cut behind us: then it is lost.
            if shelf.next == run.start + run.count * stride {
                shelf.next = run.start;
                shelf.carved -= run.count;
            }
            return Err(no_memory(class, errno));
        }
        let mut slots = (1..=run.count)
            .filter_map(|nth| StackPointer::new(run.start + nth * stride))
            .map(Slot)
            .inspect(|slot| valgrind::register(slot.0.get() - class.size_bytes(), slot.0.get()));
        let mut taken = 0;
        for (place, slot) in out.iter_mut().zip(&mut slots) {
            *place = slot;
            taken += 1;
        }
        let mut rest = slots.peekable();
        if rest.peek().is_some() {
            shelf.lock().cold.extend(rest);
        }
        Ok(taken)
    }
}

/// Neighbouring slots, by their lowest address.
struct Run {
    start: usize,
    count: usize,
}

impl Shelf {
    const fn new() -> Self {
        Self {
            warm: VecDeque::new(),
            cold: Vec::new(),
            next: 0,
            end: 0,
            mapped_bytes: 0,
            carved: 0,
        }
    }
}

fn no_memory(class: Class, errno: Errno) -> StackError {
    StackError::OutOfMemory { size_bytes: class.size_bytes(), errno: errno.0 }
}
