// SPDX-License-Identifier: BSD-3-Clause
//! Operations on descriptors, by the backend that is bound to the channel.
//!
//! A backend without `send_c` or `recv_c` is called by its plain function, under an ambient token
//! (`ambient`): whatever it waits for in this library ends when the token is set. Nothing is sliced.

use std::ptr;
use std::sync::Arc;

use libc::{c_int, c_long, c_void};

use super::registry::BackendOps;
use super::zref;
use crate::ambient;
use crate::boundary::call;
use crate::cancel::{self, Cancel};
use crate::chan::descriptor::Zdesc;
use crate::chan::operate::Limits;
use crate::chan::{Chan, copy::refused, lent};
use crate::errno;

/// A call's limits, as C gave them.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) timeout_ms: c_long,
    pub(crate) cancel: *const Cancel,
}

impl Asked {
    /// # Safety
    ///
    /// The token is null or valid for the call.
    unsafe fn limits<'a>(self) -> Limits<'a> {
        // SAFETY: the caller's promise.
        unsafe { Limits::with(self.timeout_ms, self.cancel) }
    }
}

/// Sends a descriptor by the channel's backend.
///
/// # Safety
///
/// `handle` is null or valid, the token too.
pub(crate) unsafe fn send(handle: *mut Chan, zdesc: Option<&Zdesc>, asked: Asked) -> c_int {
    // SAFETY: the caller's promise.
    let (chan, limits) = unsafe { (lent(handle), asked.limits()) };
    let (Some(chan), Some(zdesc)) = (chan, zdesc) else {
        return refused(limits);
    };
    if limits.is_cancelled() {
        return count_cancelled(&chan, true);
    }
    if zdesc.addr.is_null() || zdesc.len == 0 {
        return errno::EINVAL;
    }
    let Some(backend) = chan.zcopy.backend() else {
        return errno::ENOTSUP;
    };
    match backend.ops {
        None => zref::send(&chan, *zdesc, limits),
        // SAFETY: the caller's promise.
        Some(ops) => unsafe { send_by(&ops, handle, zdesc, asked) },
    }
}

/// # Safety
///
/// As for [`send`].
unsafe fn send_by(ops: &BackendOps, handle: *mut Chan, zdesc: &Zdesc, asked: Asked) -> c_int {
    let Asked { timeout_ms, cancel } = asked;
    // SAFETY: C gave the functions, for this; the caller's promise.
    unsafe {
        match (ops.send, ops.send_c, cancel::share(cancel)) {
            (_, Some(send_c), Some(_)) => send_c(handle, zdesc, timeout_ms, cancel),
            (Some(send), _, Some(token)) => {
                ambient::under(&token, || send(handle, zdesc, timeout_ms))
            }
            (Some(send), ..) => send(handle, zdesc, timeout_ms),
            (None, Some(send_c), None) => send_c(handle, zdesc, timeout_ms, ptr::null()),
            (None, None, _) => errno::ENOTSUP,
        }
    }
}

/// Receives a descriptor by the channel's backend.
///
/// # Safety
///
/// As for [`send`].
pub(crate) unsafe fn recv(handle: *mut Chan, out: Option<&mut Zdesc>, asked: Asked) -> c_int {
    // SAFETY: the caller's promise.
    let (chan, limits) = unsafe { (lent(handle), asked.limits()) };
    let (Some(chan), Some(out)) = (chan, out) else {
        return refused(limits);
    };
    if limits.is_cancelled() {
        return count_cancelled(&chan, false);
    }
    let Some(backend) = chan.zcopy.backend() else {
        return errno::ENOTSUP;
    };
    match backend.ops {
        None => match zref::recv(&chan, limits) {
            Ok(zdesc) => {
                *out = zdesc;
                errno::OK
            }
            Err(code) => code,
        },
        // SAFETY: the caller's promise.
        Some(ops) => unsafe { recv_by(&ops, handle, out, asked) },
    }
}

/// # Safety
///
/// As for [`send`].
unsafe fn recv_by(ops: &BackendOps, handle: *mut Chan, out: &mut Zdesc, asked: Asked) -> c_int {
    let Asked { timeout_ms, cancel } = asked;
    // SAFETY: C gave the functions, for this; the caller's promise.
    unsafe {
        match (ops.recv, ops.recv_c, cancel::share(cancel)) {
            (_, Some(recv_c), Some(_)) => recv_c(handle, out, timeout_ms, cancel),
            (Some(recv), _, Some(token)) => {
                ambient::under(&token, || recv(handle, out, timeout_ms))
            }
            (Some(recv), ..) => recv(handle, out, timeout_ms),
            (None, Some(recv_c), None) => recv_c(handle, out, timeout_ms, ptr::null()),
            (None, None, _) => errno::ENOTSUP,
        }
    }
}

/// The token was set before anything was tried.
fn count_cancelled(chan: &Arc<Chan>, sending: bool) -> c_int {
    chan.tally.zref.cancelled.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let side = if sending { &chan.tally.send } else { &chan.tally.recv };
    side.count(errno::ECANCELED)
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `handle` is null or valid; `zdesc` is null or valid for a read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_desc(
    handle: *mut Chan,
    zdesc: *const Zdesc,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_send_desc_c(handle, zdesc, timeout_ms, ptr::null()) }
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// As for [`kc_chan_send_desc`]; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_desc_c(
    handle: *mut Chan,
    zdesc: *const Zdesc,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    // SAFETY: the caller's promise.
    call(errno::EIO, || unsafe { send(handle, zdesc.as_ref(), Asked { timeout_ms, cancel }) })
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_desc(
    handle: *mut Chan,
    out: *mut Zdesc,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_recv_desc_c(handle, out, timeout_ms, ptr::null()) }
}

/// See `kcoro_zcopy.h`.
///
/// # Safety
///
/// As for [`kc_chan_recv_desc`]; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_desc_c(
    handle: *mut Chan,
    out: *mut Zdesc,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    call(errno::EIO, || {
        let mut zdesc = Zdesc::plain(ptr::null_mut(), 0);
        let to = (!out.is_null()).then_some(&mut zdesc);
        // SAFETY: the caller's promise.
        unsafe {
            let code = recv(handle, to, Asked { timeout_ms, cancel });
            if code == errno::OK {
                out.write(zdesc);
            }
            code
        }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_zref(
    handle: *mut Chan,
    ptr: *mut c_void,
    len: usize,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_send_zref_c(handle, ptr, len, timeout_ms, ptr::null()) }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_zref_c(
    handle: *mut Chan,
    ptr: *mut c_void,
    len: usize,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    call(errno::EIO, || {
        let zdesc = Zdesc::plain(ptr, len);
        // SAFETY: the caller's promise.
        unsafe { send(handle, Some(&zdesc), Asked { timeout_ms, cancel }) }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out_ptr` and `out_len` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_zref(
    handle: *mut Chan,
    out_ptr: *mut *mut c_void,
    out_len: *mut usize,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_recv_zref_c(handle, out_ptr, out_len, timeout_ms, ptr::null()) }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// As for [`kc_chan_recv_zref`]; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_zref_c(
    handle: *mut Chan,
    out_ptr: *mut *mut c_void,
    out_len: *mut usize,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    call(errno::EIO, || {
        let mut zdesc = Zdesc::plain(ptr::null_mut(), 0);
        let to = (!out_ptr.is_null() && !out_len.is_null()).then_some(&mut zdesc);
        // SAFETY: the caller's promise.
        unsafe {
            let code = recv(handle, to, Asked { timeout_ms, cancel });
            if code == errno::OK {
                out_ptr.write(zdesc.addr);
                out_len.write(zdesc.len);
            }
            code
        }
    })
}
