// SPDX-License-Identifier: BSD-3-Clause
//! A channel of C, as a backend uses it.
//!
//! # Safety
//!
//! The handle is valid for as long as the carrier is used: a link is used by calls on the channel,
//! and detached when it is destroyed.

use std::any::Any;

use becket_chan::Kind as Shape;
use becket_zcopy::{Block, Carrier, Desc, Event};
use libc::c_void;

use super::count;
use crate::chan::hook::Callbacks;
use crate::chan::lane::Kind;
use crate::chan::{Chan, Lent, lent};

/// A channel of C.
pub(super) struct CarrierOf(pub(super) *mut Chan);

// SAFETY: a handle may be used by any thread.
unsafe impl Send for CarrierOf {}
// SAFETY: as above.
unsafe impl Sync for CarrierOf {}

/// C's argument for the backend: `opts`.
pub(super) struct Options(pub(super) *const c_void);

impl CarrierOf {
    fn chan(&self) -> Option<Lent> {
        // SAFETY: the module's "Safety".
        unsafe { lent(self.0) }
    }
}

impl Carrier for CarrierOf {
    fn kind(&self) -> Shape {
        match self.chan().map(|chan| chan.kind) {
            Some(Kind::Buffered(_)) => Shape::Bounded,
            Some(Kind::Conflated) => Shape::Conflated,
            Some(Kind::Unlimited) => Shape::Unlimited,
            Some(Kind::Rendezvous) | None => Shape::Rendezvous,
        }
    }

    fn capacity(&self) -> Option<usize> {
        match self.chan().map(|chan| chan.kind) {
            Some(Kind::Buffered(capacity)) => Some(capacity),
            _ => None,
        }
    }

    fn count(&self, event: Event, bytes: u64) {
        if let Some(chan) = self.chan() {
            count::note(&chan, event, bytes);
        }
    }

    fn undelivered(&self, desc: Desc) {
        let callbacks = self.chan().and_then(|chan| chan.hook.callbacks.get().copied());
        match callbacks {
            // SAFETY: C passed the function for this.
            Some(Callbacks { on_ptr: Some(on_ptr), arg, .. }) => unsafe {
                on_ptr(desc.addr.cast(), desc.len, arg);
            },
            _ => {
                Block::give_back(&desc);
            }
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
