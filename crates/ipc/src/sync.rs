// SPDX-License-Identifier: BSD-3-Clause
//! The atomics, locks and fences of the files that have loom models:
//! `connection/{claim, pending_lock, waking}`, `reactor/calls` and `shm/doorbell`. The models, in
//! `crates/ipc/loom`, replace this module by loom's types.

use std::sync::atomic::compiler_fence;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use std::thread_local;

pub(crate) use becket_chan::fence::{heavy as heavy_fence, light as light_fence};
pub(crate) use parking_lot::{Mutex, MutexGuard};

/// The guard of a lock that is held.
///
/// # Safety
/// It is held, its guard was leaked, and nothing else makes another or unlocks it.
#[inline]
pub(crate) unsafe fn make_guard<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // SAFETY: the caller's promise. The marker has no state, and stays with the guard.
    unsafe { lock.make_guard_unchecked(Default::default()) }
}

/// Unlocks a lock that is held.
///
/// # Safety
/// As [`make_guard`].
pub(crate) unsafe fn force_unlock<T>(lock: &Mutex<T>) {
    // SAFETY: the same.
    unsafe { lock.force_unlock(Default::default()) };
}

/// A sequentially consistent fence after a read-modify-write (a swap, or the unlock of a
/// [`Mutex`]), which it orders before the operations that follow. On x86 the read-modify-write is
/// itself a full barrier; a second one would make a lock half as expensive again.
#[inline]
pub(crate) fn fence_behind_update() {
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The calling thread's number, from 1; 0 while its thread locals are destroyed.
#[inline]
pub(crate) fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
