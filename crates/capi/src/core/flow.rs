// SPDX-License-Identifier: BSD-3-Clause
//! What the flow of control that calls carries with it: coroutine, fiber or thread.
//!
//! It is a coroutine-local value, so it goes when the coroutine ends, in whichever way: its function
//! returned, it panicked, it was left where it stood because its scheduler ended. So what has to
//! happen at a coroutine's end exactly once hangs here, as its `Life`.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use super::object::Coro;
use crate::context::Context;
use crate::sched::{Life, Sched};

/// Of one coroutine, fiber or thread.
pub(crate) struct Flow {
    /// Its object, if it has one. The life, or the resumer, holds a reference.
    pub(crate) coro: Cell<*const Coro>,
    /// The scheduler that it runs on.
    pub(crate) sched: Cell<*const Sched>,
    /// The last is the current one; those before are of whoever changed it. Here and not on the
    /// stack, which may be left for good.
    pub(crate) contexts: RefCell<Vec<Arc<Context>>>,
    /// Last: its end is the end of everything above.
    pub(crate) life: RefCell<Option<Life>>,
}

becket_coro::coroutine_local! {
    pub(crate) static FLOW: Flow = Flow {
        coro: Cell::new(ptr::null()),
        sched: Cell::new(ptr::null()),
        contexts: RefCell::new(Vec::new()),
        life: RefCell::new(None),
    };
}

/// The object of the coroutine or fiber that calls; null elsewhere.
pub(crate) fn coro() -> *const Coro {
    FLOW.with(|flow| flow.coro.get())
}

/// Shows the object of the coroutine or fiber that calls, if there is one.
pub(crate) fn with_coro<R>(f: impl FnOnce(&Coro) -> R) -> Option<R> {
    // SAFETY: null, or the object of the flow that calls, held by its life or its resumer.
    unsafe { coro().as_ref() }.map(f)
}

/// The scheduler whose worker runs the caller; null elsewhere.
pub(crate) fn sched() -> *const Sched {
    FLOW.with(|flow| flow.sched.get())
}

/// The caller's context, if it has one.
pub(crate) fn context() -> Option<Arc<Context>> {
    FLOW.with(|flow| flow.contexts.borrow().last().cloned())
}
