// SPDX-License-Identifier: BSD-3-Clause
//! A lock that costs one read-modify-write: it is acquired by a swap and released by a plain store.
//!
//! ```text
//!   locked: 0 free, 1 taken          parked: number of threads that sleep, or are about to
//! ```
//!
//! An unlock must find out whether a thread sleeps. Other locks get that from the read-modify-write
//! of their unlock; here the sleeper pays instead. It increments `parked`, runs the heavy side of
//! the asymmetric fence ([`crate::fence`]) and checks the lock again before it sleeps. The unlock
//! stores 0, runs the light side, which is no instruction where the kernel helps, and reads
//! `parked`. Either the unlock sees the sleeper, or the sleeper sees the lock free.
//!
//! A critical section of this crate is some tens of instructions and runs no user code, so a thread
//! that finds the lock taken first spins for a bounded time; it sleeps only behind a holder that
//! lost its CPU.
//!
//! # Invariants
//!
//! 1. `locked` goes from 0 to 1 by one thread's swap, and back by that thread.
//! 2. A thread sleeps only while `parked` counts it, after a heavy fence that followed the count.

use std::mem::ManuallyDrop;

use crate::park;
use crate::sync::{
    AtomicU32, Ordering,
    cell::{MutPtr, UnsafeCell},
    heavy, light,
};

/// Checks of a taken lock before the first yield. A critical section takes some 20 ns, but a thread
/// that takes the lock again and again may win a number of times in a row.
const SPINS_MAX: u32 = if cfg!(feature = "loom") { 0 } else { 100 };
/// Yields before it sleeps: the holder may have lost its CPU to another thread.
const YIELDS_MAX: u32 = if cfg!(feature = "loom") { 0 } else { 16 };

/// The lock by itself: a select over channels of several types can hold many of them.
#[derive(Debug)]
pub(crate) struct RawLock {
    locked: AtomicU32,
    parked: AtomicU32,
}

impl RawLock {
    pub(crate) fn new() -> Self {
        Self { locked: AtomicU32::new(0), parked: AtomicU32::new(0) }
    }

    #[inline]
    pub(crate) fn lock(&self) {
        if !self.try_lock() {
            self.lock_taken();
        }
    }

    /// Acquires the lock if it is free; true if it was.
    #[inline]
    fn try_lock(&self) -> bool {
        self.locked.swap(1, Ordering::Acquire) == 0
    }

    /// # Safety
    ///
    /// The calling thread holds the lock, and gives it up.
    #[inline]
    pub(crate) unsafe fn unlock(&self) {
        self.locked.store(0, Ordering::Release);
        light();
        if self.parked.load(Ordering::Relaxed) != 0 {
            park::unpark_one(self.key());
        }
    }

    #[cold]
    fn lock_taken(&self) {
        for look in 0..SPINS_MAX + YIELDS_MAX {
            if self.locked.load(Ordering::Relaxed) == 0
                && self.locked.swap(1, Ordering::Acquire) == 0
            {
                return;
            }
            if look < SPINS_MAX {
                park::relax(4 + look);
            } else {
                std::thread::yield_now();
            }
        }
        self.parked.fetch_add(1, Ordering::Relaxed);
        heavy();
        while self.locked.swap(1, Ordering::Acquire) != 0 {
            park::park_while(self.key(), None, || self.locked.load(Ordering::Relaxed) != 0);
        }
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// A value behind a [`RawLock`].
#[derive(Debug)]
pub(crate) struct Lock<T> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives access to one thread at a time.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { raw: RawLock::new(), value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.raw.lock();
        // SAFETY: the line above took the lock.
        unsafe { self.guard() }
    }

    /// Acquires the lock if it is free, without a call.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        // SAFETY: the swap took the lock.
        self.raw.try_lock().then(|| unsafe { self.guard() })
    }

    pub(crate) fn raw(&self) -> &RawLock {
        &self.raw
    }

    /// A guard for a lock that was taken through [`Self::raw`].
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock and has no other guard of it.
    #[inline]
    pub(crate) unsafe fn guard(&self) -> Guard<'_, T> {
        Guard { value: ManuallyDrop::new(self.value.get_mut()), lock: self }
    }
}

/// Holds a [`Lock`].
#[derive(Debug)]
pub(crate) struct Guard<'a, T> {
    /// Dropped before the unlock, which loom checks.
    value: ManuallyDrop<MutPtr<T>>,
    lock: &'a Lock<T>,
}

impl<T> Guard<'_, T> {
    /// Drops the guard without unlocking.
    pub(crate) fn keep_locked(self) {
        let mut guard = ManuallyDrop::new(self);
        // SAFETY: the guard is not dropped, so that this is the value's only drop.
        unsafe { ManuallyDrop::drop(&mut guard.value) };
    }
}

impl<T> std::ops::Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { MutPtr::deref(&self.value) }
    }
}

impl<T> std::ops::DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock and is borrowed for as long as the reference.
        unsafe { MutPtr::deref(&self.value) }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the value's only drop; the guard held the lock until here.
        unsafe {
            ManuallyDrop::drop(&mut self.value);
            self.lock.raw.unlock();
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "loom"))]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_is_inside() {
        let lock = Lock::new(0_u64);
        let rounds = if cfg!(miri) { 50 } else { 50_000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 4 * rounds);
    }

    #[test]
    fn a_thread_behind_a_sleeping_holder_sleeps_and_is_woken() {
        let lock = Lock::new(0_u32);
        std::thread::scope(|scope| {
            let held = lock.lock();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        *lock.lock() += 1;
                    })
                })
                .collect();
            while lock.raw.parked.load(Ordering::Relaxed) < 3 {
                std::thread::yield_now();
            }
            drop(held);
            for thread in threads {
                thread.join().unwrap();
            }
        });
        assert_eq!(*lock.lock(), 3);
        assert_eq!(lock.raw.parked.load(Ordering::Relaxed), 0);
    }
}
