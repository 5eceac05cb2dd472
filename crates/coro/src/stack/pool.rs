// SPDX-License-Identifier: BSD-3-Clause
//! The process's free stacks, class by class.
//!
//! **Allocation**: the stack that was freed last is reused first. If none is warm, one whose memory
//! was released; if there is none either, the caller takes a run of addresses from the class's slab
//! and carves new stacks from it on demand. A slab is as large as all earlier slabs of its class
//! together, up to 1 GiB of addresses.
//!
//! **Free**: a freed stack is warm: its memory stays as it is. Idle workers call [`Pool::trim`]
//! after some sleep. A class then keeps at most 4096 warm stacks and at most 256 MiB of them
//! (counted as if each were touched to its end, which few are). Of those above, the oldest lose
//! their memory (`MADV_DONTNEED`, so that it is free at once and not when the kernel reclaims it)
//! but stay ready for use. A thread that is no worker trims at once, and a worker does when there
//! are 64 GiB too much (a million stacks of 64 KiB, of which one page each is touched, are 4 GiB of
//! memory). Addresses are never returned: a slab stays for the life of the process.
//!
//! # Invariants
//!
//! 1. A slot is in `warm`, in `cold`, in one of `runs`, or owned by a caller: as a stack or in a
//!    run.
//! 2. The kernel is called without the lock, except for the mapping of a slab; the affected slots
//!    are the caller's at that time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use corosensei::stack::StackPointer;
use parking_lot::Mutex;

use super::StackError;
use super::class::{self, Class};
use super::sys::{self, Errno, Guards};
use super::{slab, valgrind};
use crate::context;

/// The pool of this process.
pub(super) static POOL: Pool = Pool::new(None);

/// The limit of addresses for stacks, all classes together.
const ADDRESSES_MAX_BYTES: usize = 16 << 40;
const SLAB_MIN_BYTES: usize = 4 << 20;
const SLAB_MAX_BYTES: usize = 1 << 30;
const WARM_MAX: usize = 4096;
const WARM_MAX_BYTES: usize = 256 << 20;
/// How much more may be warm while workers are busy, in bytes, as if each stack were touched to its
/// end.
const OVER_MAX_BYTES: usize = 64 << 30;
/// The number of stacks whose memory is released in one go.
const RELEASE_BATCH: usize = 64;
/// Slots in a run for a thread that carves many stacks. Long runs keep threads that touch new
/// stacks at the same time in different pages of the page table.
const RUN_MIN: usize = 32;
const RUN_MAX: usize = 1024;

/// The highest address of a stack, where it starts. `NONE` is no stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) StackPointer);

impl Slot {
    /// Marks places that hold no slot yet.
    pub(super) const NONE: Self = Self(StackPointer::MAX);
}

pub(super) struct Pool {
    shelves: [Mutex<Shelf>; class::COUNT],
    addresses_bytes: AtomicUsize,
    /// The kind of guards, if not the best one of the kernel.
    guards: Option<Guards>,
}

struct Shelf {
    /// In the order in which they were freed; the oldest in front.
    warm: VecDeque<Slot>,
    /// Ready, without memory.
    cold: Vec<Slot>,
    /// Parts of slabs that have never been used.
    runs: Vec<Run>,
    /// The number of slots of all slabs, in use or not.
    slots: usize,
}

impl Pool {
    pub(super) const fn new(guards: Option<Guards>) -> Self {
        Self {
            shelves: [const { Mutex::new(Shelf::new()) }; class::COUNT],
            addresses_bytes: AtomicUsize::new(0),
            guards,
        }
    }

    /// Fills `out` from the front with free stacks, the warmest last, as far as there are any.
    /// Returns how many: they are the caller's from here on.
    pub(super) fn take(&self, class: Class, out: &mut [Slot]) -> usize {
        let Some(shelf) = self.shelves.get(class.index()) else { return 0 };
        let mut shelf = shelf.lock();
        let mut taken = 0;
        while let Some(place) = out.get_mut(taken) {
            let Some(slot) = shelf.warm.pop_back().or_else(|| shelf.cold.pop()) else { break };
            *place = slot;
            taken += 1;
        }
        drop(shelf);
        out.get_mut(..taken).unwrap_or_default().reverse();
        taken
    }

    /// Frees stacks of the caller, the oldest first; their contents are not needed by any code any
    /// more.
    pub(super) fn put(&self, class: Class, slots: &[Slot]) {
        let Some(shelf) = self.shelves.get(class.index()) else { return };
        let mut held = shelf.lock();
        held.warm.extend(slots);
        let over = held.warm.len().saturating_sub(warm_max(class));
        drop(held);
        // A busy worker does not trim until it is idle. The batches freed here are smaller than a
        // release, so that trimming catches up.
        if over > OVER_MAX_BYTES / class.size_bytes()
            || (over > 0 && context::with_worker(|worker| worker.is_none()))
        {
            self.trim_class(class, shelf);
        }
    }

    /// Releases the memory of some stacks if more are warm than should be. False: there was
    /// nothing to do.
    pub(super) fn trim(&self) -> bool {
        let mut any = false;
        for (index, shelf) in self.shelves.iter().enumerate() {
            if let Some(class) = Class::at(index) {
                any |= self.trim_class(class, shelf);
            }
        }
        any
    }

    /// Whether [`Self::trim`] would find something to do.
    pub(super) fn has_too_many_warm(&self) -> bool {
        self.shelves.iter().enumerate().any(|(index, shelf)| {
            Class::at(index).is_some_and(|class| shelf.lock().warm.len() > warm_max(class))
        })
    }

    fn trim_class(&self, class: Class, shelf: &Mutex<Shelf>) -> bool {
        let mut held = shelf.lock();
        let count = held.warm.len().saturating_sub(warm_max(class)).min(RELEASE_BATCH);
        if count == 0 {
            return false;
        }
        let mut old = [Slot::NONE; RELEASE_BATCH];
        for (place, slot) in old.iter_mut().zip(held.warm.drain(..count)) {
            *place = slot;
        }
        drop(held);
        let old = old.get(..count).unwrap_or_default();
        let size = class.size_bytes();
        // SAFETY: invariant 1: these slots have just left `warm` and are in no other place.
        unsafe { sys::release(old.iter().map(|slot| (slot.0.get() - size, size))) };
        shelf.lock().cold.extend(old);
        true
    }

    /// Addresses for new stacks: at least one; as many as the class can use if `many`. They are the
    /// caller's from here on.
    pub(super) fn reserve(&self, class: Class, many: bool) -> Result<Run, StackError> {
        let stride = class.stride_bytes();
        let Some(shelf) = self.shelves.get(class.index()) else { return Ok(Run::EMPTY) };
        let mut shelf = shelf.lock();
        let mut run = match shelf.runs.pop() {
            Some(run) => run,
            None => self.map_slab(&mut shelf, class)?,
        };
        let wanted = if many { (shelf.slots / 16).clamp(RUN_MIN, RUN_MAX) } else { 1 };
        let rest = Run { start: run.end.min(run.start + wanted * stride), end: run.end };
        run.end = rest.start;
        if rest.start < rest.end {
            shelf.runs.push(rest);
        }
        Ok(run)
    }

    /// Returns the unused part of a run.
    pub(super) fn unreserve(&self, class: Class, run: Run) {
        if let Some(shelf) = self.shelves.get(class.index()).filter(|_| run.start < run.end) {
            shelf.lock().runs.push(run);
        }
    }

    /// Makes new stacks of the front of `run` until `out` is full or the run empty. Returns how
    /// many. On an error there are none, and the run is unchanged.
    pub(super) fn carve(
        &self,
        class: Class,
        run: &mut Run,
        out: &mut [Slot],
    ) -> Result<usize, StackError> {
        let stride = class.stride_bytes();
        let count = out.len().min((run.end - run.start) / stride);
        let guards = self.guards.unwrap_or_else(Guards::of_this_kernel);
        // SAFETY: invariant 1: the run is the caller's, and no stack yet.
        unsafe { guards.install(run.start, stride, count) }
            .map_err(|errno| no_memory(class, errno))?;
        for place in out.iter_mut().take(count) {
            run.start += stride;
            *place = Slot(StackPointer::new(run.start).unwrap_or(StackPointer::MAX));
            valgrind::register(run.start - class.size_bytes(), run.start);
        }
        Ok(count)
    }

    #[cold]
    fn map_slab(&self, shelf: &mut Shelf, class: Class) -> Result<Run, StackError> {
        let size_bytes = class.size_bytes();
        let stride = class.stride_bytes();
        let before = shelf.slots * stride;
        let slots = (before.clamp(SLAB_MIN_BYTES, SLAB_MAX_BYTES) / stride).max(1);
        let bytes = slots * stride;
        let counted = self.addresses_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mapped = if counted + bytes > ADDRESSES_MAX_BYTES || !slab::has_room() {
            Err(StackError::AddressSpace { size_bytes, limit_bytes: ADDRESSES_MAX_BYTES })
        } else {
            sys::map(bytes).map_err(|errno| no_memory(class, errno))
        };
        let start = mapped.inspect_err(|_| {
            self.addresses_bytes.fetch_sub(bytes, Ordering::Relaxed);
        })?;
        if !slab::add(start, start + bytes, class) {
            // SAFETY: mapped above, and no other code has the address yet.
            unsafe { sys::unmap(start, bytes) };
            self.addresses_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(StackError::AddressSpace { size_bytes, limit_bytes: ADDRESSES_MAX_BYTES });
        }
        shelf.slots += slots;
        Ok(Run { start, end: start + bytes })
    }
}

/// Neighbouring slots that are no stacks yet: they have no guards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    start: usize,
    end: usize,
}

impl Run {
    pub(super) const EMPTY: Self = Self { start: 0, end: 0 };

    pub(super) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

impl Shelf {
    const fn new() -> Self {
        Self { warm: VecDeque::new(), cold: Vec::new(), runs: Vec::new(), slots: 0 }
    }
}

/// The number of stacks that stay warm in an idle process.
fn warm_max(class: Class) -> usize {
    WARM_MAX.min(WARM_MAX_BYTES / class.size_bytes())
}

fn no_memory(class: Class, errno: Errno) -> StackError {
    StackError::OutOfMemory { size_bytes: class.size_bytes(), errno: errno.0 }
}
