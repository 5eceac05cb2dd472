// SPDX-License-Identifier: BSD-3-Clause
//! Backends by name and number.
//!
//! A number is a place in a list that only grows; a backend is copied when it is registered, and
//! lives as long as the process. The first is `zref`.

use std::ffi::{CStr, CString};
use std::sync::LazyLock;

use libc::{c_char, c_int, c_long, c_void};
use parking_lot::RwLock;

use crate::boundary::call;
use crate::cancel::Cancel;
use crate::chan::descriptor::Zdesc;
use crate::chan::{Chan, lent};
use crate::errno;

/// More are refused.
const BACKENDS_MAX: usize = 1024;

/// `kc_zcopy_backend_ops_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro_zcopy.h")]
pub struct BackendOps {
    pub attach: Option<unsafe extern "C" fn(*mut Chan, *const c_void) -> c_int>,
    pub detach: Option<unsafe extern "C" fn(*mut Chan)>,
    pub send: Option<unsafe extern "C" fn(*mut Chan, *const Zdesc, c_long) -> c_int>,
    pub recv: Option<unsafe extern "C" fn(*mut Chan, *mut Zdesc, c_long) -> c_int>,
    pub send_c:
        Option<unsafe extern "C" fn(*mut Chan, *const Zdesc, c_long, *const Cancel) -> c_int>,
    pub recv_c: Option<unsafe extern "C" fn(*mut Chan, *mut Zdesc, c_long, *const Cancel) -> c_int>,
}

pub(crate) struct Backend {
    name: CString,
    /// `None`: the one that is built in.
    pub(crate) ops: Option<BackendOps>,
    /// What it says that it can do. Nothing here asks yet which capability a caller wants.
    caps: u32,
}

static BACKENDS: LazyLock<RwLock<Vec<&'static Backend>>> = LazyLock::new(|| {
    let zref = Backend { name: c"zref".into(), ops: None, caps: 0 };
    RwLock::new(vec![Box::leak(Box::new(zref))])
});

impl Backend {
    pub(crate) fn attach(&self, handle: *mut Chan, opts: *const c_void) -> c_int {
        match self.ops.and_then(|ops| ops.attach) {
            // SAFETY: C gave the function, for this.
            Some(attach) => unsafe { attach(handle, opts) },
            None => errno::OK,
        }
    }

    pub(crate) fn detach(&self, handle: *mut Chan) {
        if let Some(detach) = self.ops.and_then(|ops| ops.detach) {
            // SAFETY: C gave the function, for this.
            unsafe { detach(handle) };
        }
    }
}

fn by_id(id: c_int) -> Option<&'static Backend> {
    BACKENDS.read().get(usize::try_from(id).ok()?).copied()
}

fn id_of(backends: &[&'static Backend], name: &CStr) -> Option<c_int> {
    let place = backends.iter().position(|backend| backend.name.as_c_str() == name)?;
    c_int::try_from(place).ok()
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
        let mut backends = BACKENDS.write();
        if let Some(id) = id_of(&backends, name) {
            return id;
        }
        let id = backends.len();
        if id >= BACKENDS_MAX {
            return errno::ENOSPC;
        }
        let backend = Backend { name: name.into(), ops: Some(*ops), caps };
        backends.push(Box::leak(Box::new(backend)));
        c_int::try_from(id).unwrap_or(errno::ENOSPC)
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
        id_of(&BACKENDS.read(), name).unwrap_or(errno::ENOENT)
    })
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_zcopy_caps(id: c_int, out: *mut u32) -> c_int {
    call(errno::EIO, || {
        if out.is_null() {
            return errno::EINVAL;
        }
        match by_id(id) {
            Some(backend) => {
                // SAFETY: the caller's promise.
                unsafe { out.write(backend.caps) };
                errno::OK
            }
            None => errno::ENOENT,
        }
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
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(chan) = (unsafe { lent(handle) }) else {
            return errno::EINVAL;
        };
        let Some(backend) = by_id(id) else {
            return errno::ENOENT;
        };
        let code = chan.zcopy.bind(handle, backend, opts);
        if code == errno::OK {
            chan.allow_descriptors();
        }
        code
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
