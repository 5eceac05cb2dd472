// SPDX-License-Identifier: BSD-3-Clause
//! The call that a thread is inside of right now, on that thread's stack.
//!
//! A plugin that answers inside `handle` finds its frame through the thread record and leaves the
//! answer there: no shared table, no wake-up. Frames of nested calls are linked by the record's
//! swap: the innermost is visible, the one before is put back afterwards.

use std::{cell::Cell, marker::PhantomData, mem::ManuallyDrop};

use becket_abi::NrStatus;

use crate::{
    body::Body, call::Response, instance::Instance, state::StateMap, table::Slot,
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
    /// True once it was answered here; then `status` and `body` are the answer.
    pub(crate) answered: Cell<bool>,
    status: Cell<NrStatus>,
    body: Cell<Body>,
    body_len: Cell<u64>,
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
            answered: Cell::new(false),
            status: Cell::new(NrStatus::Ok),
            body: Cell::new(Body::EMPTY),
            body_len: Cell::new(0),
            state: Cell::new(None),
            _not_send: PhantomData,
        }
    }

    /// Claims the right to answer; false if it was claimed before.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        let first = !self.answered.get()
            && match self.slot {
                Some(slot) => slot.claim_for_frame(self.sid),
                None => true,
            };
        self.answered.set(self.answered.get() || first);
        first
    }

    /// Leaves the answer here, for the thread that claimed it.
    #[inline]
    pub(crate) fn answer(&self, status: NrStatus, len: u64, body: Body) {
        self.status.set(status);
        self.body_len.set(len);
        // What was there is empty, as a frame is answered once: there is nothing to drop.
        let _ = ManuallyDrop::new(self.body.replace(body));
    }

    /// The answer's status.
    #[inline]
    pub(crate) fn status(&self) -> NrStatus {
        self.status.get()
    }

    /// The answer's length in bytes.
    #[inline]
    pub(crate) fn body_len(&self) -> u64 {
        self.body_len.get()
    }

    /// The answer, which was left here.
    #[inline]
    pub(crate) fn into_response(self) -> Response {
        Response { status: self.status.get(), body: self.body.into_inner() }
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
