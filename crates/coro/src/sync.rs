// SPDX-License-Identifier: BSD-3-Clause
//! The one place from which the atomics and cells come on which threads race. The models, in
//! `crates/coro/loom`, replace them by loom's.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// As loom's: access goes through a pointer that is passed to a closure.
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    #[inline]
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
