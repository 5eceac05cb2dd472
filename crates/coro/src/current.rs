// SPDX-License-Identifier: BSD-3-Clause
//! The coroutine that runs.

use std::{fmt, marker::PhantomData, sync::Arc};

use becket_chan::park::Unparker;

use crate::{
    context,
    join::Id,
    names,
    runtime::Handle,
    slot::{Flow, Slot},
};

/// The coroutine, or the fiber, that runs on this thread.
///
/// It is not sent anywhere: [`Current::id`] is.
///
/// ```compile_fail,E0277
/// fn to_thread<T: Send>(_: T) {}
/// to_thread(becket_coro::current());
/// ```
#[derive(Clone, Copy)]
pub struct Current {
    flow: Flow,
    slot: &'static Slot,
    _thread: PhantomData<*const ()>,
}

/// Which coroutine or fiber calls; `None` on a plain thread.
pub fn current() -> Option<Current> {
    context::slot().map(|slot| Current { flow: slot.flow(), slot, _thread: PhantomData })
}

impl Current {
    /// Its name for wakes and listings.
    pub fn id(&self) -> Id {
        Id(self.flow)
    }

    /// What it was called when it was spawned.
    pub fn name(&self) -> Option<Arc<str>> {
        if self.slot.is_named() { names::get(self.flow.index()) } else { None }
    }

    /// Wakes it from a park.
    pub fn unparker(&self) -> Unparker {
        self.id().unparker()
    }

    /// Bytes of its stack.
    pub fn stack_size(&self) -> usize {
        self.slot.stack_size()
    }

    /// The runtime whose worker it runs on; `None` for a fiber that a plain thread resumed.
    pub fn runtime(&self) -> Option<Handle> {
        context::with_worker(|worker| worker.map(|worker| Handle::of(&worker.shared)))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("id", &self.id()).field("name", &self.name()).finish()
    }
}
