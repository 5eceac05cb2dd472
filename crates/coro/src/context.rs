// SPDX-License-Identifier: BSD-3-Clause
//! What runs on this thread: its worker, and the coroutine on top.
//!
//! A coroutine that was started stays on its thread, so what is read here stays true across a wait.
//! With the thread-backed stand-in a coroutine has a thread of its own, and takes over the context
//! of whoever resumes it ([`snapshot`], [`install`]).

use std::{cell::Cell, ptr};

use becket_chan::park::{self, Park};

use crate::{
    slot::{Flow, Slot},
    worker::Worker,
};

/// A copy of a thread's context.
#[derive(Clone, Copy)]
pub(crate) struct Context {
    /// The thread's worker, or null.
    pub(crate) worker: *const Worker,
    /// The slot of the coroutine that runs, or null.
    pub(crate) slot: *const Slot,
    pub(crate) flow: Flow,
}

thread_local! {
    static CONTEXT: Cell<Context> = const { Cell::new(Context::EMPTY) };
}

impl Context {
    const EMPTY: Self = Self { worker: ptr::null(), slot: ptr::null(), flow: Flow::NONE };

    /// The worker of this thread.
    #[inline]
    pub(crate) fn worker(&self) -> Option<&Worker> {
        // SAFETY: null, or the worker whose loop is below on this thread and outlives the caller,
        // which runs above it.
        unsafe { self.worker.as_ref() }
    }

    /// The slot of the coroutine that runs.
    #[inline]
    pub(crate) fn slot(&self) -> Option<&'static Slot> {
        // SAFETY: null, or a slot, which is never unmapped.
        unsafe { self.slot.as_ref() }
    }
}

/// The calling thread's. Empty while the thread is torn down.
#[inline]
pub(crate) fn get() -> Context {
    CONTEXT.try_with(Cell::get).unwrap_or(Context::EMPTY)
}

/// Replaces the calling thread's; returns what it was.
#[inline]
pub(crate) fn replace(context: Context) -> Context {
    CONTEXT.try_with(|current| current.replace(context)).unwrap_or(Context::EMPTY)
}

/// A context that goes to another thread.
#[derive(Clone, Copy)]
#[cfg_attr(not(any(miri, feature = "threads")), allow(dead_code))]
pub(crate) struct Snapshot {
    context: Context,
    hook: Option<&'static dyn Park>,
}

// SAFETY: whoever takes the snapshot waits until the other thread gives up control again, so that
// what it points to is used by one of them at a time.
unsafe impl Send for Snapshot {}

/// What a coroutine's own thread needs of the thread that resumes it.
#[cfg_attr(not(any(miri, feature = "threads")), allow(dead_code))]
pub(crate) fn snapshot() -> Snapshot {
    let hook = park::set_hook(None);
    park::set_hook(hook);
    Snapshot { context: get(), hook }
}

/// Makes it the calling thread's.
#[cfg_attr(not(any(miri, feature = "threads")), allow(dead_code))]
pub(crate) fn install(snapshot: Snapshot) {
    replace(snapshot.context);
    park::set_hook(snapshot.hook);
}
