// SPDX-License-Identifier: BSD-3-Clause
//! The one place from which this crate takes atomics, cells and fences.
//!
//! With the feature `loom` (which only the package `crates/chan/loom` has) they are loom's, so that
//! the models explore the very code that runs. Otherwise they are std's, and [`cell::UnsafeCell`]
//! has no cost.

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
        /// As loom's: access goes through a pointer that is passed to a closure.
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
            /// No other access to the cell happens while the reference lives.
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
    use std::collections::VecDeque;
    use std::sync::{Mutex, atomic::AtomicBool};
    use std::time::Instant;

    pub(crate) use loom::sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    };
    use loom::thread::{self, Thread};

    pub(crate) mod cell {
        pub(crate) use loom::cell::{MutPtr, UnsafeCell};
    }

    /// Loom's, except that a store comes after every read-modify-write that ran before it. Loom
    /// does not model that no store fits between the read and the write of a swap, and would let
    /// the store of an unlock vanish behind a swap that found the lock taken.
    #[derive(Debug)]
    pub(crate) struct AtomicU32(loom::sync::atomic::AtomicU32);

    impl AtomicU32 {
        pub(crate) fn new(value: u32) -> Self {
            Self(loom::sync::atomic::AtomicU32::new(value))
        }

        pub(crate) fn store(&self, value: u32, order: Ordering) {
            self.0.swap(value, order);
        }
    }

    impl std::ops::Deref for AtomicU32 {
        type Target = loom::sync::atomic::AtomicU32;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    /// The largest number of threads of a model, including the first.
    const THREADS_MAX: usize = 4;

    loom::lazy_static! {
        static ref FENCES: Fences = Fences::default();
        static ref PARKED: Parked = Parked::default();
    }

    loom::thread_local! {
        static THREAD: usize = FENCES.threads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// A word for each thread. A light fence touches the word of its thread, a heavy one all: so of
    /// a light and a heavy fence one comes first, and accesses before it are visible after the
    /// other. Two light fences order nothing, which a model with ordinary fences would not show.
    #[derive(Default)]
    struct Fences {
        words: [AtomicUsize; THREADS_MAX],
        threads: std::sync::atomic::AtomicUsize,
    }

    pub(crate) fn light() {
        if let Some(word) = THREAD.with(|thread| FENCES.words.get(*thread)) {
            word.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn heavy() {
        for word in &FENCES.words {
            word.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The parking lot: `turn` orders the check before a sleep with a wake, as the lot's lock does.
    /// The code after a `turn` up to the next operation of loom is one step.
    #[derive(Default)]
    struct Parked {
        turn: AtomicUsize,
        sleepers: Mutex<VecDeque<std::sync::Arc<Sleeper>>>,
    }

    struct Sleeper {
        key: usize,
        thread: Thread,
        woken: AtomicBool,
    }

    impl Parked {
        fn act<R>(&self, act: impl FnOnce(&mut VecDeque<std::sync::Arc<Sleeper>>) -> R) -> R {
            self.turn.fetch_add(1, Ordering::AcqRel);
            act(&mut self.sleepers.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
        }
    }

    /// Sleeps under `key` while `blocked` returns true, until the key is unparked. Deadlines are
    /// not modelled.
    pub(crate) fn park_while(key: usize, _deadline: Option<Instant>, blocked: impl Fn() -> bool) {
        let sleeper = std::sync::Arc::new(Sleeper {
            key,
            thread: thread::current(),
            woken: AtomicBool::new(false),
        });
        PARKED.act(|sleepers| sleepers.push_back(sleeper.clone()));
        if blocked() {
            while !sleeper.woken.load(Ordering::Relaxed) {
                thread::park();
            }
        } else {
            PARKED.act(|sleepers| {
                sleepers.retain(|other| !std::sync::Arc::ptr_eq(other, &sleeper));
            });
        }
    }

    /// Wakes one thread that sleeps under `key`.
    pub(crate) fn unpark_one(key: usize) {
        PARKED.act(|sleepers| {
            if let Some(at) = sleepers.iter().position(|sleeper| sleeper.key == key)
                && let Some(sleeper) = sleepers.remove(at)
            {
                sleeper.woken.store(true, Ordering::Relaxed);
                sleeper.thread.unpark();
            }
        });
    }

    /// Lets another thread run, for a thread that spins on a word that another thread will change
    /// soon. Not for a longer pause: that is for a thread that has just seen another thread change
    /// the word, and may continue at once.
    pub(crate) fn relax(steps: u32) {
        const SPIN_STEPS_MAX: u32 = 8;
        if steps <= SPIN_STEPS_MAX {
            thread::yield_now();
        }
    }
}
