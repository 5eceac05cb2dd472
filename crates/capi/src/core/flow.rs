// SPDX-License-Identifier: BSD-3-Clause
//! State of the calling coroutine, fiber or thread.
//!
//! It is a coroutine-local value, so it is dropped when the coroutine ends, however it ends: its
//! function returned, it panicked, or it was abandoned because its scheduler ended. So actions that
//! must run exactly once at a coroutine's end belong to it, as its `Life`.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use super::object::Coro;
use crate::context::Context;
use crate::sched::{Life, Sched};

/// The state of one coroutine, fiber or thread.
pub(crate) struct Flow {
    /// Its object, if it has one. The life, or the resumer, holds a reference.
    pub(crate) coro: Cell<*const Coro>,
    /// The scheduler that it runs on.
    pub(crate) sched: Cell<*const Sched>,
    /// The address of the scope that it is a member of, which its membership keeps; 0: of none.
    pub(crate) scope: Cell<usize>,
    /// The last is the current one; the earlier ones were replaced temporarily. Here and not on the
    /// stack, which may be abandoned.
    pub(crate) contexts: RefCell<Vec<Arc<Context>>>,
    /// Last: it is dropped after everything above.
    pub(crate) life: RefCell<Option<Life>>,
}

becket_coro::coroutine_local! {
    pub(crate) static FLOW: Flow = Flow {
        coro: Cell::new(ptr::null()),
        sched: Cell::new(ptr::null()),
        scope: Cell::new(0),
        contexts: RefCell::new(Vec::new()),
        life: RefCell::new(None),
    };
}

/// The object of the calling coroutine or fiber; null elsewhere.
#[inline]
pub(crate) fn coro() -> *const Coro {
    FLOW.with(|flow| flow.coro.get())
}

/// Passes the object of the calling coroutine or fiber to `f`, if there is one.
pub(crate) fn with_coro<R>(f: impl FnOnce(&Coro) -> R) -> Option<R> {
    // SAFETY: null, or the object of the calling coroutine, held by its life or its resumer.
    unsafe { coro().as_ref() }.map(f)
}

/// The scheduler whose worker runs the caller; null elsewhere.
pub(crate) fn sched() -> *const Sched {
    FLOW.with(|flow| flow.sched.get())
}

/// The address of the scope that the caller is a member of; 0: of none.
pub(crate) fn scope() -> usize {
    FLOW.with(|flow| flow.scope.get())
}

/// The caller's context, if it has one.
pub(crate) fn context() -> Option<Arc<Context>> {
    FLOW.with(|flow| flow.contexts.borrow().last().cloned())
}
