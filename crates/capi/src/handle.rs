// SPDX-License-Identifier: BSD-3-Clause
//! A counted value behind a pointer that C holds.
//!
//! The pointer is one reference. A call takes one more for as long as it runs, so that a handle may
//! be closed while calls wait on it.

use std::ffi::c_int;
use std::sync::Arc;

use crate::errno;

/// A pointer for C, with the value's reference.
pub(crate) fn lend<T>(value: Arc<T>) -> *mut T {
    Arc::into_raw(value).cast_mut()
}

/// Writes a handle of the value to `out`, or returns the error.
///
/// # Safety
///
/// `out` is valid for a write if something was made.
pub(crate) unsafe fn give<T>(out: *mut *mut T, made: Result<T, c_int>) -> c_int {
    match made {
        Ok(value) => {
            // SAFETY: the caller's promise.
            unsafe { out.write(lend(Arc::new(value))) };
            errno::OK
        }
        Err(code) => code,
    }
}

/// A reference to the value of a handle; `None` for null.
///
/// # Safety
///
/// The handle is null, or came from [`lend`] and was not taken back before the call.
pub(crate) unsafe fn share<T>(handle: *const T) -> Option<Arc<T>> {
    if handle.is_null() {
        return None;
    }
    // SAFETY: the caller's promise: C's share is there.
    unsafe {
        Arc::increment_strong_count(handle);
        Some(Arc::from_raw(handle))
    }
}

/// Takes C's own reference back; `None` for null.
///
/// # Safety
///
/// As for [`share`]; the handle is not used again.
pub(crate) unsafe fn take_back<T>(handle: *const T) -> Option<Arc<T>> {
    // SAFETY: the caller's promise.
    (!handle.is_null()).then(|| unsafe { Arc::from_raw(handle) })
}
