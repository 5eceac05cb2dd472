// SPDX-License-Identifier: BSD-3-Clause
//! The state of the calling thread: its worker, and the coroutine on top.
//!
//! A coroutine that was started stays on its thread, so a value read here stays true across a wait.
//! With the thread-backed stand-in a coroutine has a thread of its own, and takes over the context
//! of the thread that resumes it ([`snapshot`], [`install`]).

use std::{cell::Cell, ptr};

use becket_chan::park::{self, Park};

use crate::{
    slot::{CoroutineKey, Slot},
    worker::Worker,
};

struct Context {
    /// The thread's worker, or null.
    worker: Cell<*const Worker>,
    /// The slot of the coroutine that runs, or null.
    slot: Cell<*const Slot>,
}

thread_local! {
    static CONTEXT: Context =
        const { Context { worker: Cell::new(ptr::null()), slot: Cell::new(ptr::null()) } };
}

/// The worker of this thread. Passed to a closure, since it lives no longer than its loop, which is
/// below the caller on this thread.
#[inline]
pub(crate) fn with_worker<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    let worker = CONTEXT.try_with(|context| context.worker.get()).unwrap_or(ptr::null());
    // SAFETY: null, or the worker whose loop is below on this thread, which the caller runs above.
    f(unsafe { worker.as_ref() })
}

/// The slot of the coroutine that runs.
#[inline]
pub(crate) fn slot() -> Option<&'static Slot> {
    let slot = CONTEXT.try_with(|context| context.slot.get()).unwrap_or(ptr::null());
    // SAFETY: null, or a slot, which is never unmapped.
    unsafe { slot.as_ref() }
}

/// The key of the coroutine that runs.
#[inline]
pub(crate) fn key() -> CoroutineKey {
    slot().map_or(CoroutineKey::NONE, Slot::key)
}

/// Sets the worker whose loop runs on the calling thread, or none.
pub(crate) fn set_worker(worker: *const Worker) {
    let _ = CONTEXT.try_with(|context| context.worker.set(worker));
}

/// Sets the coroutine that runs on the calling thread, or none; returns the previous one.
#[inline]
pub(crate) fn set_slot(slot: *const Slot) -> *const Slot {
    CONTEXT.try_with(|context| context.slot.replace(slot)).unwrap_or(ptr::null())
}

/// A context that is passed to another thread.
#[derive(Clone, Copy)]
#[cfg_attr(not(any(miri, feature = "threads")), allow(dead_code))]
pub(crate) struct Snapshot {
    worker: *const Worker,
    slot: *const Slot,
    hook: Option<&'static dyn Park>,
}

// SAFETY: the thread that takes the snapshot waits until the other thread returns control, so only
// one of them at a time uses the pointers in it.
unsafe impl Send for Snapshot {}

/// The part of the context that a coroutine's own thread takes from the thread that resumes it.
#[cfg_attr(not(any(miri, feature = "threads")), allow(dead_code))]
pub(crate) fn snapshot() -> Snapshot {
    let hook = park::set_hook(None);
    park::set_hook(hook);
    let slot = slot().map_or(ptr::null(), ptr::from_ref);
    Snapshot { worker: with_worker(|worker| worker.map_or(ptr::null(), ptr::from_ref)), slot, hook }
}

/// Installs it on the calling thread.
#[cfg_attr(not(any(miri, feature = "threads")), allow(dead_code))]
pub(crate) fn install(snapshot: Snapshot) {
    set_worker(snapshot.worker);
    set_slot(snapshot.slot);
    park::set_hook(snapshot.hook);
}
