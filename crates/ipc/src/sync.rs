// SPDX-License-Identifier: BSD-3-Clause
//! The one place from which come the atomics, locks and fences of those files that have models:
//! `connection/{claim, mark, waking}`, `reactor/calls` and `shm/doorbell`. The models, in
//! `crates/ipc/loom`, put loom's in its place.

use std::sync::atomic::compiler_fence;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
pub(crate) use std::thread_local;

pub(crate) use parking_lot::{Mutex, MutexGuard};

/// A sequentially consistent fence, somewhere behind the read-modify-write that it is to order with
/// what follows: a swap, or the unlock of a [`Mutex`]. On x86 that is an instruction with a full
/// barrier of its own, and a second one would make a lock half as dear again.
#[inline]
pub(crate) fn fence_behind_update() {
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The calling thread's number, from 1; 0 for one that is being torn down.
#[inline]
pub(crate) fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
