// SPDX-License-Identifier: BSD-3-Clause
//! The default scheduler of the process.

use std::ptr;

use parking_lot::Mutex;

use super::Sched;

/// Its address, or 0: there is none yet.
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

/// Passes the default scheduler to `f`; `None`: it cannot be created.
pub(crate) fn with<R>(f: impl FnOnce(&Sched) -> R) -> Option<R> {
    // SAFETY: it lives until C ends it, and C does not during a call that uses it.
    unsafe { get().as_ref() }.map(f)
}

/// Called before it ends: the next use creates another.
pub(super) fn forget(sched: *mut Sched) {
    let mut default = DEFAULT.lock();
    if default.as_ref().is_some_and(|place| ptr::eq(place.0, sched)) {
        *default = None;
    }
}
