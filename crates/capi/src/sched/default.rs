// SPDX-License-Identifier: BSD-3-Clause
//! The default scheduler of the process.

use std::ffi::c_int;
use std::ptr;

use parking_lot::Mutex;

use super::{Sched, Start};
use crate::context::KC_CTX_KEY_DISPATCHER;
use crate::dispatch::{Dispatcher, kc_dispatcher_scheduler};
use crate::errno;

/// `None`: there is none yet.
static DEFAULT: Mutex<Option<Place>> = Mutex::new(None);

struct Place(*mut Sched);

// SAFETY: a scheduler may be used and ended by any thread.
unsafe impl Send for Place {}

/// Borrowed; created by the first call. Null: it cannot be created.
pub(crate) fn get() -> *mut Sched {
    let mut default = DEFAULT.lock();
    if let Some(place) = &*default {
        return place.0;
    }
    let Some(sched) = Sched::new("kcoro", 0) else { return ptr::null_mut() };
    let place = Box::into_raw(sched);
    *default = Some(Place(place));
    place
}

/// Starts it on the scheduler that its context names (`KC_CTX_KEY_DISPATCHER`), or else on the
/// default one.
pub(crate) fn start(start: Start) -> Result<(), c_int> {
    // The dispatcher lives as long as the context that holds it.
    let context = start.context.clone();
    let named = context
        .as_ref()
        .map_or(ptr::null_mut(), |context| context.get(&raw const KC_CTX_KEY_DISPATCHER))
        .cast::<Dispatcher>();
    // SAFETY: by the header, the value under this key is a dispatcher, and the context holds it; the
    // default one lives until C ends it, and C does not during a call that uses it.
    let sched =
        unsafe { if named.is_null() { get() } else { kc_dispatcher_scheduler(named) }.as_ref() };
    sched.ok_or(errno::ENOMEM)?.start(start)
}

/// Called before it ends: the next use creates another.
pub(super) fn forget(sched: *mut Sched) {
    let mut default = DEFAULT.lock();
    if default.as_ref().is_some_and(|place| ptr::eq(place.0, sched)) {
        *default = None;
    }
}
