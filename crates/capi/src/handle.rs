// SPDX-License-Identifier: BSD-3-Clause
//! Pointers that C holds and passes: a counted value behind one, a place to write to.
//!
//! The pointer to a counted value is one reference. A call takes one more for as long as it runs, so
//! that a handle may be closed while calls wait on it.

use std::ffi::c_int;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::errno;

/// A pointer for C, with the value's reference.
pub(crate) fn lend<T>(value: Arc<T>) -> *mut T {
    Arc::into_raw(value).cast_mut()
}

/// As [`lend`]; null for `None`.
pub(crate) fn lend_any<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(ptr::null_mut(), lend)
}

/// Where a call writes its result, or the error for null.
pub(crate) fn place<T>(out: *mut T) -> Result<NonNull<T>, c_int> {
    NonNull::new(out).ok_or(errno::EINVAL)
}

/// Writes a handle of the value to `out`, or returns the error.
///
/// # Safety
///
/// `out` is null or valid for a write.
pub(crate) unsafe fn give<T>(out: *mut *mut T, made: Result<T, c_int>) -> Result<(), c_int> {
    let (out, value) = (place(out)?, made?);
    // SAFETY: the caller's promise.
    unsafe { out.write(lend(Arc::new(value))) };
    Ok(())
}

/// Writes to `out` if C has asked for it.
///
/// # Safety
///
/// `out` is null or valid for a write.
pub(crate) unsafe fn write_any<T>(out: *mut T, value: T) {
    if let Some(out) = NonNull::new(out) {
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
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

/// As [`share`], or the error for null.
///
/// # Safety
///
/// As for [`share`].
pub(crate) unsafe fn shared<T>(handle: *const T) -> Result<Arc<T>, c_int> {
    // SAFETY: the caller's promise.
    unsafe { share(handle) }.ok_or(errno::EINVAL)
}

/// One more reference for C.
///
/// # Safety
///
/// As for [`share`].
pub(crate) unsafe fn retain<T>(handle: *mut T) -> *mut T {
    // SAFETY: the caller's promise.
    lend_any(unsafe { share(handle) })
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
