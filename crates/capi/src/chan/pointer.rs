// SPDX-License-Identifier: BSD-3-Clause
//! Pointer channels, and the capabilities of a channel.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_long, c_uint, c_ulong, c_void};

use super::copy::refused;
use super::descriptor::Zdesc;
use super::operate::{self, Limits};
use super::{Chan, Lent, ZERO_COPY, known, lent};
use crate::boundary::{answer, call};
use crate::cancel::Cancel;
use crate::handle::place;

const CAP_ZERO_COPY: c_uint = 1 << 0;
const CAP_PTR: c_uint = 1 << 1;

/// `struct kc_chan_zstats`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro.h")]
pub struct ChanZstats {
    pub zref_sent: c_ulong,
    pub zref_received: c_ulong,
    pub zref_fallback_small: c_ulong,
    pub zref_fallback_capacity: c_ulong,
    pub zref_canceled: c_ulong,
    pub zref_aborted_close: c_ulong,
}

pub(crate) fn capabilities(chan: &Chan) -> c_uint {
    let zero_copy = if chan.has(ZERO_COPY) { CAP_ZERO_COPY } else { 0 };
    zero_copy | if chan.pointers { CAP_PTR } else { 0 }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_capabilities(handle: *mut Chan) -> c_uint {
    // SAFETY: the caller's promise.
    call(0, || unsafe { lent(handle) }.map_or(0, |chan| capabilities(&chan)))
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_get_zstats(handle: *mut Chan, out: *mut ChanZstats) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (chan, out) = (unsafe { known(handle) }?, place(out)?);
        let zref = &chan.counters.zref;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as c_ulong;
        let stats = ChanZstats {
            zref_sent: count(&zref.sent),
            zref_received: count(&zref.received),
            zref_fallback_small: count(&zref.fallback_small),
            zref_fallback_capacity: count(&zref.fallback_capacity),
            zref_canceled: count(&zref.cancelled),
            zref_aborted_close: count(&zref.aborted_close),
        };
        // SAFETY: the caller's promise.
        unsafe { out.write(stats) };
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_ptr(
    handle: *mut Chan,
    ptr: *mut c_void,
    len: usize,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_send_ptr_c(handle, ptr, len, timeout_ms, ptr::null()) }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_send_ptr_c(
    handle: *mut Chan,
    ptr: *mut c_void,
    len: usize,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (chan, limits) = unsafe { (lent(handle), Limits::with(timeout_ms, cancel)) };
        match chan {
            Some(chan) if chan.pointers && !ptr.is_null() && len > 0 => {
                operate::send_descriptor(&chan, Zdesc::plain(ptr, len), limits, &mut None)
            }
            _ => Err(refused(limits)),
        }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out_ptr` and `out_len` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_ptr(
    handle: *mut Chan,
    out_ptr: *mut *mut c_void,
    out_len: *mut usize,
    timeout_ms: c_long,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_chan_recv_ptr_c(handle, out_ptr, out_len, timeout_ms, ptr::null()) }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// As for [`kc_chan_recv_ptr`]; `cancel` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_chan_recv_ptr_c(
    handle: *mut Chan,
    out_ptr: *mut *mut c_void,
    out_len: *mut usize,
    timeout_ms: c_long,
    cancel: *const Cancel,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (chan, limits) = unsafe { (lent(handle), Limits::with(timeout_ms, cancel)) };
        let usable = |chan: &Lent| chan.pointers && !out_ptr.is_null() && !out_len.is_null();
        let chan = chan.filter(usable).ok_or_else(|| refused(limits))?;
        let zdesc = operate::recv_descriptor(&chan, limits, &mut None)?;
        // SAFETY: the caller's promise.
        unsafe {
            out_ptr.write(zdesc.addr);
            out_len.write(zdesc.len);
        }
        Ok(())
    })
}
