// SPDX-License-Identifier: BSD-3-Clause
//! Operations on descriptors, by the backend that is bound to the channel.

use std::ptr;
use std::sync::Arc;

use becket_zcopy::{Desc, Event, Failure, Limits as LinkLimits, Link, Time};
use libc::{c_int, c_long, c_void};

use super::{By, count, failure, zref};
use crate::boundary::call;
use crate::cancel::Cancel;
use crate::chan::counters::Failures;
use crate::chan::descriptor::Zdesc;
use crate::chan::operate::Limits;
use crate::chan::{CLOSED, Chan, copy::refused, lent};
use crate::errno;
use crate::limit::Wait;

/// A call's limits, as C passed them.
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
    match chan.zcopy.by() {
        By::None => errno::ENOTSUP,
        By::Zref => zref::send(&chan, *zdesc, limits),
        By::Link => {
            let chan = Arc::clone(&chan);
            let (desc, len) = (Desc::from(*zdesc), zdesc.len);
            let was_open = !chan.has(CLOSED);
            let (answer, count) = by_link(&chan, |link| link.send_wait(desc, of_link(limits)));
            if count {
                outcome(&chan, Event::of_send(answer, was_open), answer.err(), len, true);
            }
            answer.map_or_else(failure::code, |()| errno::OK)
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
    let received = match chan.zcopy.by() {
        By::None => Err(errno::ENOTSUP),
        By::Zref => zref::recv(&chan, limits),
        By::Link => {
            let chan = Arc::clone(&chan);
            let (answer, count) = by_link(&chan, |link| link.recv_wait(of_link(limits)));
            if count {
                let len = answer.map_or(0, |desc| desc.len);
                outcome(&chan, Event::of_recv(&answer), answer.err(), len, false);
            }
            answer.map(Zdesc::from).map_err(failure::code)
        }
    };
    match received {
        Ok(zdesc) => {
            *out = zdesc;
            errno::OK
        }
        Err(code) => code,
    }
}

/// Calls the link that is bound. Also returns whether the result is still to be counted. The link
/// lives in the channel, which may be destroyed during the wait: the caller holds a reference until
/// the end.
fn by_link<T>(
    chan: &Arc<Chan>,
    ask: impl FnOnce(&dyn Link) -> Result<T, Failure>,
) -> (Result<T, Failure>, bool) {
    match chan.zcopy.links().bound() {
        Some(bound) => (ask(bound.link), !bound.counts),
        None => (Err(Failure::Unsupported), false),
    }
}

fn of_link(limits: Limits<'_>) -> LinkLimits<'_> {
    let time = match Wait::of(limits.timeout_ms) {
        Wait::Not => Time::Now,
        Wait::For(time) => Time::For(time),
        Wait::Forever => Time::Ever,
    };
    LinkLimits { time, token: limits.token }
}

/// Counts the result of a link that does not count for itself.
fn outcome(
    chan: &Arc<Chan>,
    event: Option<Event>,
    failed: Option<Failure>,
    len: usize,
    sending: bool,
) {
    if let Some(event) = event {
        count::note(chan, event, len as u64);
    }
    if let Some(failure) = failed {
        side(chan, sending).note(failure::code(failure));
    }
}

fn side(chan: &Chan, sending: bool) -> &Failures {
    if sending { &chan.counters.send } else { &chan.counters.recv }
}

/// The token was set before the first attempt.
fn count_cancelled(chan: &Chan, sending: bool) -> c_int {
    count::descriptor(chan, Event::Cancelled);
    side(chan, sending).count(errno::ECANCELED)
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
