// SPDX-License-Identifier: BSD-3-Clause
//! A lock with a pending flag: a thread that finds it held need not wait, and no work is lost.
//!
//! ```text
//!   a thread with work                    the holder of the lock
//!   1. try the lock: held                 a. unlock
//!   2. set the pending flag               b. fence
//!   3. fence                              c. pending? enter again, clear the flag, do the work
//!   4. try the lock again; held: return
//! ```
//!
//! # Invariants
//!
//! 1. The fences order 2 before 4 and a before c. So either the thread that sets the flag gets the
//!    lock, or the thread that unlocks it sees the flag; without the fences store-buffer reordering
//!    could make both checks too early, and the work would be lost.
//! 2. A thread that clears the flag sees what was written before it was set, also by each earlier
//!    setting that it covered: setting is a swap, which continues the release sequence of the
//!    earlier ones, and clearing is a swap that acquires.
//! 3. Every holder checks [`is_pending`](PendingLock::is_pending) after it has unlocked, and if it
//!    is set makes a thread [enter](PendingLock::enter).

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, fence_behind_update};

/// A lock with a pending flag. See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct PendingLock<T> {
    content: Mutex<T>,
    pending: AtomicBool,
}

impl<T> PendingLock<T> {
    pub(crate) fn new(content: T) -> Self {
        Self { content: Mutex::new(content), pending: AtomicBool::new(false) }
    }

    /// Takes the lock to do work, and clears the flag. `None`: the lock is held, and its holder
    /// will see the flag.
    #[inline]
    pub(crate) fn enter(&self) -> Option<MutexGuard<'_, T>> {
        let content = self.content.try_lock().or_else(|| self.set_pending_and_try())?;
        // A flag that this load misses is seen by `is_pending`.
        if self.pending.load(Ordering::Relaxed) {
            self.pending.swap(false, Ordering::Acquire);
        }
        Some(content)
    }

    #[cold]
    fn set_pending_and_try(&self) -> Option<MutexGuard<'_, T>> {
        self.set_pending();
        fence_behind_update();
        self.content.try_lock()
    }

    /// Sets the flag: for a holder of the lock that leaves work to be done after it has unlocked.
    pub(crate) fn set_pending(&self) {
        self.pending.swap(true, Ordering::Release);
    }

    /// After an unlock: whether a thread has to enter.
    #[inline]
    #[must_use]
    pub(crate) fn is_pending(&self) -> bool {
        fence_behind_update();
        self.pending.load(Ordering::Relaxed)
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.content.lock()
    }

    /// Takes the lock if it is free, without setting the flag.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.content.try_lock()
    }

    /// The contents, by exclusive access.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.content.get_mut()
    }
}
