// SPDX-License-Identifier: BSD-3-Clause
//! Loom's atomics, cells and fences, replacing `crates/host/src/sync.rs`.

pub(crate) use loom::{
    cell::UnsafeCell,
    future::AtomicWaker as LoomWaker,
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

/// Both sides of the asymmetric fence are ordinary ones here.
pub(crate) fn light_fence() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

pub(crate) fn heavy_fence() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// With the names of the crate `atomic-waker`.
pub(crate) struct AtomicWaker(LoomWaker);

impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(LoomWaker::new())
    }

    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn take(&self) -> Option<std::task::Waker> {
        self.0.take_waker()
    }
}

pub(crate) fn wake(waker: std::task::Waker) {
    waker.wake();
}
