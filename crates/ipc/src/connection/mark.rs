// SPDX-License-Identifier: BSD-3-Clause
//! A lock with a mark: who finds it taken need not wait, and nothing is left undone.
//!
//! ```text
//!   who has news                          who has the lock
//!   1. try the lock: taken                a. let go of the lock
//!   2. mark                               b. fence
//!   3. fence                              c. marked? enter again, take off the mark, see to the news
//!   4. try the lock again; taken: go
//! ```
//!
//! # Invariants
//!
//! 1. The fences order 2 before 4 and a before c. So who marks gets the lock, or whoever lets go of
//!    it sees the mark; without them both could be too early, and the news would lie there.
//! 2. Who takes off a mark sees what was done before it, and before each mark that it hid: marks
//!    are swaps, which continue one another's release, and it is taken off by a swap that acquires.
//! 3. Every holder asks [`is_marked`](Marked::is_marked) after it has let go, and if so sees to it
//!    that somebody [enters](Marked::enter).

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, fence_behind_update};

/// What the lock guards, and the mark. See this file's first lines.
#[derive(Debug, Default)]
pub(crate) struct Marked<T> {
    content: Mutex<T>,
    mark: AtomicBool,
}

impl<T> Marked<T> {
    pub(crate) fn new(content: T) -> Self {
        Self { content: Mutex::new(content), mark: AtomicBool::new(false) }
    }

    /// For who has news to see to: the lock, without a mark on it. `None`: somebody has the lock,
    /// who will look again.
    #[inline]
    pub(crate) fn enter(&self) -> Option<MutexGuard<'_, T>> {
        let content = self.content.try_lock().or_else(|| self.mark_and_try())?;
        // One that is missed here stays for `is_marked`.
        if self.mark.load(Ordering::Relaxed) {
            self.mark.swap(false, Ordering::Acquire);
        }
        Some(content)
    }

    #[cold]
    fn mark_and_try(&self) -> Option<MutexGuard<'_, T>> {
        self.mark();
        fence_behind_update();
        self.content.try_lock()
    }

    /// Leaves a mark: for who has the lock and leaves something to be done behind it.
    pub(crate) fn mark(&self) {
        self.mark.swap(true, Ordering::Release);
    }

    /// After the lock was let go of: whether somebody is to enter.
    #[inline]
    #[must_use]
    pub(crate) fn is_marked(&self) -> bool {
        fence_behind_update();
        self.mark.load(Ordering::Relaxed)
    }

    /// Waits for the lock.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.content.lock()
    }

    /// The lock if nobody has it, for who need not have it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.content.try_lock()
    }

    /// For who has all of it.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.content.get_mut()
    }
}
