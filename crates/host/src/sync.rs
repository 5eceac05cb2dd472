// SPDX-License-Identifier: BSD-3-Clause
//! The atomics, cells and fences of the files that have loom models: `stream/{credit, queue}` and
//! `table/phase`. The
//! models, in `crates/host/loom`, replace this module by loom's types.

pub(crate) use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
};

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use becket_chan::fence::{heavy as heavy_fence, light as light_fence};

/// Wakes a task where [`becket_chan::wakes`] allows it. A panic of its waker, which is the user's, ends here.
#[cold]
pub(crate) fn wake(waker: std::task::Waker) {
    crate::jobs::caught(|| becket_chan::wakes::wake(waker), "a waker panicked");
}

/// As loom's: access goes through a pointer that is passed to a closure.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    #[inline]
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
