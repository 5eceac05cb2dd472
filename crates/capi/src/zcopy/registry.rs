// SPDX-License-Identifier: BSD-3-Clause
//! Backends by name and number: `becket_zcopy`'s registry, for C. It includes the backends that
//! Rust code has registered.

use std::ffi::CStr;

use becket_zcopy::{BackendId, RegisterError};
use libc::{c_char, c_int, c_void};

use crate::boundary::{answer, call};
use crate::chan::{CLOSED, Chan, known};
use crate::errno;
use crate::handle::place;

pub use super::vtable::BackendOps;

fn number(id: BackendId) -> c_int {
    c_int::try_from(id.get()).unwrap_or(errno::ENOSPC)
}

fn id(number: c_int) -> Option<BackendId> {
    u32::try_from(number).ok().map(BackendId::new)
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `name` is null or a string; `ops` is null or valid for a read, and its functions for as long as
/// the process runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_register(
    name: *const c_char,
    ops: *const BackendOps,
    caps: u32,
) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(ops) = (unsafe { ops.as_ref() }).filter(|_| !name.is_null()) else {
            return errno::EINVAL;
        };
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(name) };
        match becket_zcopy::register(name.to_bytes(), *ops, caps) {
            Ok(id) => number(id),
            Err(RegisterError::Full) => errno::ENOSPC,
            Err(_) => errno::EINVAL,
        }
    })
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `name` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_resolve(name: *const c_char) -> c_int {
    call(errno::EIO, || {
        if name.is_null() {
            return errno::EINVAL;
        }
        // SAFETY: the caller's promise.
        let name = unsafe { CStr::from_ptr(name) };
        becket_zcopy::resolve(name.to_bytes()).map_or(errno::ENOENT, number)
    })
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_caps(id: c_int, out: *mut u32) -> c_int {
    answer(|| {
        let out = place(out)?;
        let backend = self::id(id).and_then(BackendId::registered).ok_or(errno::ENOENT)?;
        // SAFETY: the caller's promise.
        unsafe { out.write(backend.caps()) };
        Ok(())
    })
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `handle` is null or valid; `opts` is what the backend expects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_enable_zero_copy_backend(
    handle: *mut Chan,
    id: c_int,
    opts: *const c_void,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        if chan.port().is_some() {
            return Err(errno::ENOTSUP);
        }
        chan.zcopy.bind(handle, self::id(id).ok_or(errno::ENOENT)?, opts)?;
        chan.allow_descriptors();
        if chan.has(CLOSED) {
            chan.zcopy.links().close();
        }
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_enable_zero_copy(handle: *mut Chan) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_enable_zero_copy_backend(handle, 0, std::ptr::null()) }
}
