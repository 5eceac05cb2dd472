// SPDX-License-Identifier: BSD-3-Clause
//! The call that a thread is inside of right now, on that thread's stack.
//!
//! A plugin that answers inside `handle` finds its frame through the thread record and leaves the
//! answer there: no shared table, no wake-up. Frames of nested calls are linked by the record's
//! swap: the innermost is visible, the one before is put back afterwards.

use std::{cell::Cell, marker::PhantomData};

use crate::{
    instance::Instance,
    state::StateMap,
    table::{Outcome, Slot},
    thread::ThreadRecord,
};

/// See the module's documentation. Only its own thread ever touches it.
pub(crate) struct CallFrame {
    /// The call's id.
    pub(crate) sid: u64,
    /// The instance that is being called.
    pub(crate) owner: *const Instance,
    /// The call's slot in the table; `None` for one that only this thread may answer.
    pub(crate) slot: Option<&'static Slot>,
    /// The answer, if it came inside the call.
    pub(crate) outcome: Cell<Option<Outcome>>,
    /// True once it was answered here.
    pub(crate) answered: Cell<bool>,
    /// State of a call without a slot.
    pub(crate) state: Cell<Option<Box<StateMap>>>,
    _not_send: PhantomData<*const ()>,
}

impl CallFrame {
    #[inline]
    pub(crate) fn new(sid: u64, owner: *const Instance, slot: Option<&'static Slot>) -> Self {
        Self {
            sid,
            owner,
            slot,
            outcome: Cell::new(None),
            answered: Cell::new(false),
            state: Cell::new(None),
            _not_send: PhantomData,
        }
    }

    /// Runs `f` with this as the thread's innermost frame.
    #[inline]
    pub(crate) fn scope<R>(&self, record: &ThreadRecord, f: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a ThreadRecord, *const CallFrame);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.swap_frame(self.1);
            }
        }
        let _restore = Restore(record, record.swap_frame(self));
        f()
    }
}
