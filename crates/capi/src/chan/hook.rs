// SPDX-License-Identifier: BSD-3-Clause
//! The hooks for undelivered elements (`kc_on_undelivered_copy_fn`, `kc_on_undelivered_ptr_fn`).
//!
//! The hook runs exactly once for each such element: one that a conflated channel replaced, one
//! that the overflow policy dropped, one that is left when the channel is destroyed, one whose send was waiting when the channel was
//! closed, its token set or its coroutine destroyed. It runs on the thread that found this out, and
//! under no lock. A send that fails at once, or by its timeout, only returns its result.
//!
//! A channel gets its functions when it is made, or later, and keeps them: one that has none has no
//! hook in its lane either, so that it costs nothing.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use libc::c_void;

use super::descriptor::{self, Slot};
use super::element::Element;

/// `kc_on_undelivered_copy_fn`.
pub type OnUndeliveredCopy = unsafe extern "C" fn(*mut c_void, usize, *mut c_void);
/// `kc_on_undelivered_ptr_fn`.
pub type OnUndeliveredPtr = unsafe extern "C" fn(*mut c_void, usize, *mut c_void);

/// C's functions for undelivered elements.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks {
    pub(crate) on_copy: Option<OnUndeliveredCopy>,
    pub(crate) on_ptr: Option<OnUndeliveredPtr>,
    /// The functions' last argument.
    pub(crate) arg: *mut c_void,
}

// SAFETY: the functions and their argument are C's, which allows calls on any thread.
unsafe impl Send for Callbacks {}
// SAFETY: as above.
unsafe impl Sync for Callbacks {}

/// What a channel does with undelivered elements. Clones have the same functions.
#[derive(Clone)]
pub(crate) struct Hook {
    /// Set once.
    pub(crate) callbacks: Arc<OnceLock<Callbacks>>,
    pub(crate) elem_size: usize,
    /// Descriptors may travel on the channel.
    pub(crate) descriptors: bool,
}

thread_local! {
    /// Values dropped now, on this thread, were never offered.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

impl Hook {
    /// Whether an undelivered element makes a difference: a function is called, or a region is
    /// notified.
    pub(crate) fn is_needed(&self) -> bool {
        self.descriptors || self.callbacks.get().is_some()
    }

    /// The element is undelivered.
    pub(crate) fn lost<E: Element>(&self, mut value: E) {
        if QUIET.get() {
            return;
        }
        if let Some(slot) = self.descriptor(&value) {
            let landed = descriptor::land(&slot);
            if let Some(Callbacks { on_ptr: Some(on_ptr), arg, .. }) = self.callbacks.get() {
                // SAFETY: C passed the function for this.
                unsafe { on_ptr(landed.addr, landed.len, *arg) };
            }
        } else if let Some(Callbacks { on_copy: Some(on_copy), arg, .. }) = self.callbacks.get() {
            // SAFETY: C passed the function for this.
            value.show(self.elem_size, |element| unsafe {
                on_copy(element.cast(), self.elem_size, *arg);
            });
        }
    }

    /// The element stays with its sender: only its region is notified.
    pub(crate) fn kept<E: Element>(&self, value: &E) {
        if let Some(slot) = self.descriptor(value) {
            descriptor::land(&slot);
        }
    }

    fn descriptor<E: Element>(&self, value: &E) -> Option<Slot> {
        let slot = if self.descriptors { value.as_slot()? } else { return None };
        descriptor::descriptor_len(&slot).is_some().then_some(slot)
    }
}

/// Drops values that were never offered: those of a select's sends that did not complete.
pub(crate) fn quietly<R>(body: impl FnOnce() -> R) -> R {
    let before = QUIET.replace(true);
    let answer = body();
    QUIET.set(before);
    answer
}
