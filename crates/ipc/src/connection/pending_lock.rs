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
//! # Lending
//!
//! A holder may [lend](PendingLock::lend) the lock to code that does not use the content and may take long: the
//! lock stays held, and another thread may [relieve](PendingLock::relieve) the holder of it, which is then free
//! for everyone; the holder waits for it anew when the code returns. It costs the holder two stores and two loads.
//!
//! ```text
//!   the holder                            another thread
//!   lent = true                           1. is_relieving = true
//!     the code runs                       2. heavy fence
//!   a. lent = false                       3. lent? yes: unlock in place of the holder
//!   b. light fence                           no: is_relieving = false
//!   c. is_relieving? yes: wait for what
//!      the other has decided
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
//! 4. The fences order a before c and 1 before 3, as above: either the other thread sees that the lock is not
//!    lent, or the holder sees that it may have been relieved, and asks under the lock of the decision. So exactly
//!    one of them unlocks.
//! 5. Threads that relieve do so one after the other, and a holder that was relieved lends nothing until it has
//!    seen that; another holder may lend meanwhile, but is not relieved then.
//!
//! # Safety
//!
//! While it is lent there is no guard: that of the holder was leaked. Invariant 4 chooses the one thread that
//! unlocks, or makes the guard anew.

use crate::sync::{
    AtomicBool, Mutex, MutexGuard, Ordering, fence_behind_update, force_unlock, heavy_fence,
    light_fence, make_guard,
};

/// A lock with a pending flag. See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct PendingLock<T> {
    content: Mutex<T>,
    pending: AtomicBool,
    lent: AtomicBool,
    is_relieving: AtomicBool,
    /// The holder was relieved, and has not seen it yet. Locked while a thread decides.
    was_relieved: Mutex<bool>,
}

impl<T> PendingLock<T> {
    pub(crate) fn new(content: T) -> Self {
        Self {
            content: Mutex::new(content),
            pending: AtomicBool::new(false),
            lent: AtomicBool::new(false),
            is_relieving: AtomicBool::new(false),
            was_relieved: Mutex::new(false),
        }
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

    /// Runs `code` with the lock held, but lent, and returns the lock; true: it was free meanwhile.
    ///
    /// One thread at a time lends it.
    #[inline]
    pub(crate) fn lend<'a>(
        &'a self,
        guard: MutexGuard<'a, T>,
        code: impl FnOnce(),
    ) -> (MutexGuard<'a, T>, bool) {
        MutexGuard::leak(guard);
        self.lent.store(true, Ordering::Release);
        let mut lent = Lent(Some(self));
        code();
        lent.0 = None;
        self.take_back()
    }

    #[inline]
    fn take_back(&self) -> (MutexGuard<'_, T>, bool) {
        self.lent.store(false, Ordering::Relaxed);
        light_fence();
        if self.is_relieving.load(Ordering::Acquire) && self.see_relieved() {
            return (self.content.lock(), true);
        }
        // SAFETY: `lend` leaked the guard, and no thread has unlocked or will: invariant 4.
        (unsafe { make_guard(&self.content) }, false)
    }

    #[cold]
    fn see_relieved(&self) -> bool {
        let mut was_relieved = self.was_relieved.lock();
        if *was_relieved {
            self.is_relieving.store(false, Ordering::Relaxed);
        }
        std::mem::take(&mut was_relieved)
    }

    /// Unlocks in place of a holder that has lent the lock. False: it is not lent, or was unlocked so before.
    #[cold]
    pub(crate) fn relieve(&self) -> bool {
        let mut was_relieved = self.was_relieved.lock();
        if *was_relieved {
            return false;
        }
        self.is_relieving.store(true, Ordering::Relaxed);
        heavy_fence();
        if !self.lent.load(Ordering::Acquire) {
            self.is_relieving.store(false, Ordering::Relaxed);
            return false;
        }
        *was_relieved = true;
        // SAFETY: the lock is held, its guard was leaked, and the holder will not unlock: invariant 4.
        unsafe { force_unlock(&self.content) };
        true
    }

    /// The contents, by exclusive access.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.content.get_mut()
    }
}

/// Unlocks if the code that a lock is lent to panics.
struct Lent<'a, T>(Option<&'a PendingLock<T>>);

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        drop(self.0.map(PendingLock::take_back));
    }
}
