// SPDX-License-Identifier: BSD-3-Clause
//! A call into the host that interrupts the host on its own thread: from a signal handler.
//!
//! No function of the host may be called from a signal handler. Such a call interrupts whatever its
//! thread was doing; if that was host code, it may wait for ever for a lock that its own thread
//! holds, or find a structure half changed. Two cells of the thread show most of these cases, and
//! the call is refused and counted instead:
//!
//! | what was interrupted | how it shows |
//! |---|---|
//! | host code that holds a [`Mutex`] of this module | the thread holds one |
//! | a host function that the plugin called | one is running at this depth of vtable calls |
//!
//! The second distinguishes a signal handler from a host function that a plugin calls inside
//! another one as it may: that happens only below a vtable call, which has another depth, or in a
//! `release`, which runs [`outside`]. A function is not marked from its first wait on: on a
//! coroutine, others run meanwhile.
//!
//! What does not show: a handler that interrupts `malloc`, which the host needs too, or a channel.
//!
//! # Invariants
//!
//! 1. A handler runs to its end before what it interrupted goes on, so each cell is as the interrupted
//!    code left it. The compiler keeps the order of their stores; the processor needs no fence for its
//!    own thread.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::atomic::{Ordering, compiler_fence},
};

use crate::thread::{self, ThreadRecord};

thread_local! {
    /// Locks that the thread holds, or is about to.
    static HELD: Cell<u32> = const { Cell::new(0) };
    /// One more than the depth at which a host function is running; 0: none is.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

/// `LocalKey::set` is a call, and this is one store.
#[inline(always)]
fn set_running(mark: usize) {
    RUNNING.with(|running| running.set(mark));
}

/// A host function is running on this thread until this is dropped.
pub(crate) struct Running {
    before: usize,
}

impl Running {
    /// `None` if the call interrupts the host.
    #[inline]
    pub(crate) fn begin() -> Option<Self> {
        Self::begin_on(thread::current())
    }

    /// The same, with the calling thread's record.
    #[inline]
    pub(crate) fn begin_on(record: &ThreadRecord) -> Option<Self> {
        if HELD.get() > 0 {
            return None;
        }
        let mark = record.depth() + 1;
        let before = RUNNING.get();
        if before == mark {
            return None;
        }
        set_running(mark);
        compiler_fence(Ordering::SeqCst);
        Some(Self { before })
    }

    /// From here on the function waits.
    pub(crate) fn waits() {
        RUNNING.set(0);
    }
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        set_running(self.before);
    }
}

/// Runs code of a plugin that may call the host, although a host function is running.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    let before = RUNNING.replace(0);
    let result = f();
    RUNNING.set(before);
    result
}

/// A lock that host functions take. [`Running::begin`] fails on a thread that holds one.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

/// What a [`Mutex`] guards.
pub(crate) struct MutexGuard<'a, T> {
    // Unlocked first, as the fields of a structure are dropped in order.
    guard: parking_lot::MutexGuard<'a, T>,
    _held: Held,
}

struct Held;

impl Held {
    #[inline]
    fn begin() -> Self {
        HELD.set(HELD.get() + 1);
        compiler_fence(Ordering::SeqCst);
        Self
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        HELD.set(HELD.get() - 1);
    }
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let held = Held::begin();
        MutexGuard { guard: self.0.lock(), _held: held }
    }

    /// `None` if it is held, by whichever thread.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = Held::begin();
        self.0.try_lock().map(|guard| MutexGuard { guard, _held: held })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_interrupts_the_host_shows_and_what_is_nested_by_right_does_not() {
        let lock = Mutex::new(0);
        let guard = lock.lock();
        assert!(Running::begin().is_none(), "a lock is held");
        drop(guard);
        let running = Running::begin().expect("nothing is interrupted");
        assert!(Running::begin().is_none(), "a host function is running");
        outside(|| assert!(Running::begin().is_some(), "a release may call the host"));
        assert!(Running::begin().is_none());
        Running::waits();
        assert!(Running::begin().is_some(), "others run while it waits");
        drop(running);
        assert!(Running::begin().is_some());
    }
}
