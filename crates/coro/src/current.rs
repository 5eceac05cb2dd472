// SPDX-License-Identifier: BSD-3-Clause
//! The coroutine that runs.

use std::{fmt, marker::PhantomData, sync::Arc};

use becket_chan::park::Unparker;

use crate::{
    context,
    join::Id,
    names,
    runtime::Handle,
    slot::{CoroutineKey, Slot},
    worker::Worker,
};

/// The coroutine, or the fiber, that runs on this thread.
///
/// It cannot be sent; [`Current::id`] can.
///
/// ```compile_fail,E0277
/// fn to_thread<T: Send>(_: T) {}
/// to_thread(becket_coro::current());
/// ```
#[derive(Clone, Copy)]
pub struct Current {
    key: CoroutineKey,
    slot: &'static Slot,
    _thread: PhantomData<*const ()>,
}

/// The calling coroutine or fiber; `None` on a plain thread.
pub fn current() -> Option<Current> {
    context::slot().map(|slot| Current { key: slot.key(), slot, _thread: PhantomData })
}

impl Current {
    /// Its id for wakes and listings.
    pub fn id(&self) -> Id {
        Id(self.key)
    }

    /// The name with which it was spawned.
    pub fn name(&self) -> Option<Arc<str>> {
        if self.slot.is_named() { names::get(self.key.index()) } else { None }
    }

    /// Wakes it from a park.
    pub fn unparker(&self) -> Unparker {
        self.id().unparker()
    }

    /// The size of its stack in bytes.
    pub fn stack_size(&self) -> usize {
        self.slot.stack_size()
    }

    /// The index of its worker among its runtime's; `None` for a fiber that a plain thread resumed.
    pub fn worker(&self) -> Option<usize> {
        context::with_worker(|worker| worker.map(Worker::index))
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
