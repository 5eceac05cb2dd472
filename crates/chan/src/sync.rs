// SPDX-License-Identifier: BSD-3-Clause
//! The one place from which this crate takes atomics, cells and fences.
//!
//! With the feature `loom` (which only the package `crates/chan/loom` has) they are loom's, so that
//! the models explore the very code that runs. Elsewhere they are std's, and [`cell::UnsafeCell`]
//! costs nothing.

#[cfg(feature = "loom")]
pub(crate) use self::checked::*;
#[cfg(not(feature = "loom"))]
pub(crate) use self::real::*;

#[cfg(not(feature = "loom"))]
mod real {
    pub(crate) use std::sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    };

    pub(crate) use crate::fence::{heavy, light};

    pub(crate) mod cell {
        /// As loom's: access goes through a pointer that is asked for.
        #[derive(Debug)]
        #[repr(transparent)]
        pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

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

            #[inline]
            pub(crate) fn get_mut(&self) -> MutPtr<T> {
                MutPtr(self.0.get())
            }
        }

        /// Exclusive access for as long as it lives.
        #[derive(Debug)]
        pub(crate) struct MutPtr<T>(*mut T);

        impl<T> MutPtr<T> {
            /// # Safety
            ///
            /// Nobody else may access the cell while the reference lives.
            #[inline]
            #[allow(clippy::mut_from_ref, reason = "as loom's")]
            pub(crate) unsafe fn deref(&self) -> &mut T {
                // SAFETY: the caller's promise; the pointer comes from a live cell.
                unsafe { &mut *self.0 }
            }
        }
    }
}

#[cfg(feature = "loom")]
mod checked {
    pub(crate) use loom::sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    };

    pub(crate) mod cell {
        pub(crate) use loom::cell::{MutPtr, UnsafeCell};
    }

    pub(crate) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy() {
        fence(Ordering::SeqCst);
    }
}
