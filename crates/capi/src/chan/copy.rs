// SPDX-License-Identifier: BSD-3-Clause
//! Sends and receives of elements, by copy.

use libc::{c_int, c_long, c_void};

use super::operate::{self, Limits};
use super::{Chan, lent};
use crate::boundary::answer;
use crate::cancel::Cancel;
use crate::errno;

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `msg` is null or valid for reads of an element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send(
    handle: *mut Chan,
    msg: *const c_void,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { send(handle, msg, Limits::plain(timeout_ms)) })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// As for [`kc_chan_send`]; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_c(
    handle: *mut Chan,
    msg: *const c_void,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { send(handle, msg, Limits::with(timeout_ms, cancel)) })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for writes of an element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv(
    handle: *mut Chan,
    out: *mut c_void,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { recv(handle, out, Limits::plain(timeout_ms)) })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// As for [`kc_chan_recv`]; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_c(
    handle: *mut Chan,
    out: *mut c_void,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { recv(handle, out, Limits::with(timeout_ms, cancel)) })
}

/// # Safety
///
/// As for [`kc_chan_send`].
#[inline(always)]
unsafe fn send(handle: *mut Chan, msg: *const c_void, limits: Limits<'_>) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    match unsafe { lent(handle) } {
        Some(chan) if !msg.is_null() => {
            if !limits.is_cancelled()
                // SAFETY: the caller's promise.
                && let Some(sent) = unsafe { operate::send_plainly(&chan, msg.cast(), limits) }
            {
                return sent;
            }
            if !chan.takes_elements() {
                return Err(refused(limits));
            }
            // SAFETY: the caller's promise.
            unsafe { operate::send(&chan, msg.cast(), limits) }
        }
        _ => Err(refused(limits)),
    }
}

/// # Safety
///
/// As for [`kc_chan_recv`].
#[inline(always)]
unsafe fn recv(handle: *mut Chan, out: *mut c_void, limits: Limits<'_>) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    match unsafe { lent(handle) } {
        Some(chan) if !out.is_null() => {
            if !limits.is_cancelled()
                // SAFETY: the caller's promise.
                && let Some(received) = unsafe { operate::recv_plainly(&chan, out.cast(), limits) }
            {
                return received;
            }
            if !chan.takes_elements() {
                return Err(refused(limits));
            }
            // SAFETY: the caller's promise.
            unsafe { operate::recv(&chan, out.cast(), limits) }
        }
        _ => Err(refused(limits)),
    }
}

/// The result of an invalid call; a token that is set takes precedence.
#[cold]
pub(crate) fn refused(limits: Limits<'_>) -> c_int {
    if limits.is_cancelled() { errno::ECANCELED } else { errno::EINVAL }
}
