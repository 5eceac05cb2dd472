// SPDX-License-Identifier: BSD-3-Clause
//! Operations on descriptors, by the backend that is bound to the channel.

use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use becket_zcopy::{Desc, Event, Failure, Limits as LinkLimits, Link, Time};
use libc::{c_int, c_long, c_void};

use super::{By, count, failure, zref};
use crate::boundary::answer;
use crate::cancel::Cancel;
use crate::chan::counters::Failures;
use crate::chan::descriptor::Zdesc;
use crate::chan::operate::Limits;
use crate::chan::{CLOSED, Chan, copy::refused, lent};
use crate::errno;

/// Sends a descriptor by the channel's backend.
///
/// # Safety
///
/// `handle` is null or valid.
unsafe fn send(handle: *mut Chan, zdesc: Option<&Zdesc>, limits: Limits<'_>) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    let chan = unsafe { lent(handle) };
    let (chan, zdesc) = chan.zip(zdesc).ok_or_else(|| refused(limits))?;
    if limits.is_cancelled() {
        return Err(count_cancelled(&chan, true));
    }
    if zdesc.addr.is_null() || zdesc.len == 0 {
        return Err(errno::EINVAL);
    }
    match chan.zcopy.by() {
        By::None => Err(errno::ENOTSUP),
        By::Zref => zref::send(&chan, *zdesc, limits),
        By::Link => {
            let chan = Arc::clone(&chan);
            let (desc, len) = (Desc::from(*zdesc), zdesc.len);
            let was_open = !chan.has(CLOSED);
            let (answer, count) = by_link(&chan, |link| link.send_wait(desc, of_link(limits)));
            if count {
                outcome(&chan, Event::of_send(answer, was_open), answer.err(), len, true);
            }
            answer.map_err(failure::code)
        }
    }
}

/// Receives a descriptor by the channel's backend, if the caller has a place for it.
///
/// # Safety
///
/// As for [`send`].
unsafe fn recv(handle: *mut Chan, has_place: bool, limits: Limits<'_>) -> Result<Zdesc, c_int> {
    // SAFETY: the caller's promise.
    let chan = unsafe { lent(handle) };
    let chan = chan.filter(|_| has_place).ok_or_else(|| refused(limits))?;
    if limits.is_cancelled() {
        return Err(count_cancelled(&chan, false));
    }
    match chan.zcopy.by() {
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
    // A duration: a backend of C gets just the number that its caller passed.
    let time = match u64::try_from(limits.timeout_ms) {
        Ok(0) => Time::Now,
        Ok(ms) => Time::For(Duration::from_millis(ms)),
        Err(_) => Time::Ever,
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
    answer(|| unsafe { send(handle, zdesc.as_ref(), Limits::with(timeout_ms, cancel)) })
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
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe { out.write(recv(handle, !out.is_null(), Limits::with(timeout_ms, cancel))?) };
        Ok(())
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
    answer(|| {
        let zdesc = Zdesc::plain(ptr, len);
        // SAFETY: the caller's promise.
        unsafe { send(handle, Some(&zdesc), Limits::with(timeout_ms, cancel)) }
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
    answer(|| {
        let has_place = !out_ptr.is_null() && !out_len.is_null();
        // SAFETY: the caller's promise.
        unsafe {
            let zdesc = recv(handle, has_place, Limits::with(timeout_ms, cancel))?;
            out_ptr.write(zdesc.addr);
            out_len.write(zdesc.len);
        }
        Ok(())
    })
}
