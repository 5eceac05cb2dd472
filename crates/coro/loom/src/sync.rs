// SPDX-License-Identifier: BSD-3-Clause
//! Loom's atomics and cells, in place of `crates/coro/src/sync.rs`.
//!
//! Loom treats a sequentially consistent access as one that acquires and releases, and would let a
//! worker and the thread that wakes it miss each other. It does model sequentially consistent
//! fences. So here such a store is followed by a fence and such a load preceded by one, which gives
//! these accesses their one order. That is more than they have: of a store and the load behind it
//! one alone would do here, so the models do not show that both must be sequentially consistent.

use std::fmt;

pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering, fence},
};

pub(crate) struct AtomicU32(loom::sync::atomic::AtomicU32);

impl AtomicU32 {
    pub(crate) fn new(value: u32) -> Self {
        Self(loom::sync::atomic::AtomicU32::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> u32 {
        before(order);
        self.0.load(order)
    }

    /// A swap: loom does not model that no store fits between the read and the write of a swap, and
    /// would let a store vanish behind a swap that saw it.
    pub(crate) fn store(&self, value: u32, order: Ordering) {
        self.0.swap(value, order);
        behind(order);
    }

    pub(crate) fn swap(&self, value: u32, order: Ordering) -> u32 {
        before(order);
        let old = self.0.swap(value, order);
        behind(order);
        old
    }

    pub(crate) fn compare_exchange(
        &self,
        old: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        before(success);
        let result = self.0.compare_exchange(old, new, success, failure);
        behind(success);
        result
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        old: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        self.compare_exchange(old, new, success, failure)
    }
}

impl fmt::Debug for AtomicU32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtomicU32")
    }
}

fn before(order: Ordering) {
    if order == Ordering::SeqCst {
        fence(Ordering::SeqCst);
    }
}

fn behind(order: Ordering) {
    before(order);
}
