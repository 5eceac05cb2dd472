// SPDX-License-Identifier: BSD-3-Clause
//! The table of slabs: which addresses are stacks, for code that cannot take a lock.
//!
//! A slab is one mapping cut into slots of one class. It stays for the life of the process, so
//! that the table only grows: an append-only array of fixed size, of which a signal handler
//! may read the part below `COUNT` at any instant.
//!
//! # Invariants
//!
//! 1. Entries below `COUNT` never change.
//! 2. `COUNT` is raised, with release, after the entry below it is complete.
//! 3. Only the holder of `APPEND` writes entries or `COUNT`.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::class::{Class, page_bytes};

/// The largest number of slabs. Slabs double up to 1 GiB, so this is some 16 TiB of stacks.
const SLABS_MAX: usize = 16 * 1024;

struct Entry {
    start: AtomicUsize,
    end: AtomicUsize,
    class: AtomicUsize,
}

static TABLE: [Entry; SLABS_MAX] = [const {
    Entry { start: AtomicUsize::new(0), end: AtomicUsize::new(0), class: AtomicUsize::new(0) }
}; SLABS_MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static APPEND: Mutex<()> = Mutex::new(());

/// A guard that was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuardHit {
    /// Usable bytes of the stack above the guard.
    pub(crate) stack_size: usize,
    /// The highest address of the stack above the guard, where it starts.
    pub(crate) base: usize,
}

/// Whether there is room for one more. Checked before a slab is mapped; [`add`] decides.
pub(super) fn has_room() -> bool {
    COUNT.load(Ordering::Relaxed) < SLABS_MAX
}

/// Adds a slab; `false` when the table is full.
pub(super) fn add(start: usize, end: usize, class: Class) -> bool {
    let _append = APPEND.lock();
    let count = COUNT.load(Ordering::Relaxed);
    let Some(entry) = TABLE.get(count) else { return false };
    entry.start.store(start, Ordering::Relaxed);
    entry.end.store(end, Ordering::Relaxed);
    entry.class.store(class.index(), Ordering::Relaxed);
    COUNT.store(count + 1, Ordering::Release);
    true
}

/// The stack whose guard `address` lies in, if it lies in one. Async-signal-safe: it reads atomics.
pub(crate) fn guard_of(address: usize) -> Option<GuardHit> {
    let count = COUNT.load(Ordering::Acquire);
    let entry = TABLE.iter().take(count).find(|entry| {
        (entry.start.load(Ordering::Relaxed)..entry.end.load(Ordering::Relaxed)).contains(&address)
    })?;
    let class = Class::at(entry.class.load(Ordering::Relaxed))?;
    let start = entry.start.load(Ordering::Relaxed);
    let slot = (address - start) / class.stride_bytes();
    let within = (address - start) % class.stride_bytes();
    let base = start + (slot + 1) * class.stride_bytes();
    (within < page_bytes()).then_some(GuardHit { stack_size: class.size_bytes(), base })
}
