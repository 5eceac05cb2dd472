// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin may wait for: time, frames, its own channels. See [`crate::coroutine`].
//!
//! A coroutine of the plugin is parked; a thread of the plugin's own sleeps; a thread of the host
//! that is inside the plugin gets `Unsupported`. When a runtime ends under a wait, the panic that
//! unwinds it ends at [`boundary`], above which the frames are the plugin's.

use std::{
    ffi::c_void,
    time::{Duration, Instant},
};

use becket_abi::{BK_FOREVER, BkCoroutineFn, NrBytes, NrOwnedBytes, NrStatus, ViewError};
use becket_chan::{RecvError, SendError};

use super::{
    answer::{self, WhenFull},
    boundary, is_function, is_writable,
};
use crate::{
    coroutine::{NotStarted, Waiter, coroutine_id},
    counters::Count,
    instance::Instance,
    reentry::Running,
    table::{self, Refusal, Target},
    thread, timer,
};

/// A wait beyond this is one without a limit.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// When to give up; `None`: never.
fn deadline(timeout_ns: u64) -> Option<Instant> {
    match timeout_ns {
        BK_FOREVER => None,
        timeout_ns => Some(timer::after(Duration::from_nanos(timeout_ns).min(CENTURY))),
    }
}

/// Runs a callback's body if the calling context may wait, and sees to it that a handler that does
/// not listen to `Cancelled` does not spin.
fn waiting(
    host_ctx: *mut c_void,
    body: impl FnOnce(&'static Instance, &Waiter) -> NrStatus,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let Some(waiter) = Waiter::new(instance) else { return NrStatus::Unsupported };
        Running::waits();
        let status = body(instance, &waiter);
        if status == NrStatus::Cancelled {
            waiter.heard();
        }
        status
    })
}

pub(super) unsafe extern "C" fn current(host_ctx: *mut c_void) -> u64 {
    boundary(host_ctx, 0, |instance| {
        if thread::current().is_busy() { 0 } else { coroutine_id(instance).unwrap_or(0) }
    })
}

pub(super) unsafe extern "C" fn give_way(host_ctx: *mut c_void) -> NrStatus {
    waiting(host_ctx, |_, waiter| {
        if waiter.token().is_cancelled() {
            return NrStatus::Cancelled;
        }
        becket_coro::yield_now();
        NrStatus::Ok
    })
}

pub(super) unsafe extern "C" fn sleep(host_ctx: *mut c_void, duration_ns: u64) -> NrStatus {
    waiting(host_ctx, |_, waiter| {
        let cancelled = waiter.token().cancelled();
        let cancelled = match deadline(duration_ns) {
            Some(until) => cancelled.deadline(until).wait(),
            None => cancelled.wait(),
        };
        if cancelled { NrStatus::Cancelled } else { NrStatus::Ok }
    })
}

pub(super) unsafe extern "C" fn spawn(
    host_ctx: *mut c_void,
    function: Option<BkCoroutineFn>,
    argument: *mut c_void,
    stack_bytes: u64,
) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let Some(function) = function else { return NrStatus::Invalid };
        if !is_function(instance, function as usize) {
            return NrStatus::Invalid;
        }
        if stack_bytes > instance.limits.coroutine_stack_bytes_max {
            instance.plugin.counters.one(Count::ResourceRefused);
            return NrStatus::Backpressure;
        }
        match instance.spawn_function(function, argument, stack_bytes as usize) {
            Ok(()) => NrStatus::Ok,
            Err(NotStarted::Quota) => NrStatus::Backpressure,
            Err(NotStarted::Refused) => NrStatus::Invalid,
        }
    })
}

pub(super) unsafe extern "C" fn stream_recv(
    host_ctx: *mut c_void,
    sid: u64,
    out: *mut NrOwnedBytes,
    timeout_ns: u64,
) -> NrStatus {
    waiting(host_ctx, |instance, waiter| {
        if !is_writable(instance, out) {
            return NrStatus::Invalid;
        }
        // SAFETY: see `callbacks`: not NULL, aligned.
        unsafe { out.write(NrOwnedBytes::EMPTY) };
        let own = match waiter {
            Waiter::Handler(handler) if handler.sid() == sid => Some(handler.clone()),
            _ => instance.coroutines.find(sid),
        };
        let Some(handler) = own else {
            let refusal = table::find(sid, instance).err();
            return refusal.map_or(NrStatus::Invalid, |refusal| answer::refuse(instance, refusal));
        };
        let Some((inbound, cell)) = handler.stream() else { return NrStatus::Invalid };
        match inbound.recv(waiter.token(), deadline(timeout_ns)) {
            _ if handler.is_over() => NrStatus::Cancelled,
            Ok((frame, room)) => {
                if room {
                    cell.set_ready(sid);
                }
                hand_over(frame, out);
                NrStatus::Ok
            }
            Err(error) => status_of(error),
        }
    })
}

pub(super) unsafe extern "C" fn stream_send(
    host_ctx: *mut c_void,
    sid: u64,
    payload: NrBytes,
    timeout_ns: u64,
) -> NrStatus {
    waiting(host_ctx, |instance, _| {
        if !matches!(table::find(sid, instance), Ok(Target::Stream(_)) | Err(Refusal::Late)) {
            return NrStatus::Invalid;
        }
        let patience = match timeout_ns {
            BK_FOREVER => CENTURY,
            timeout_ns => Duration::from_nanos(timeout_ns).min(CENTURY),
        };
        let when_full = WhenFull::Wait(patience);
        match answer::copied(instance, sid, NrStatus::Ok, payload, when_full) {
            NrStatus::Backpressure => NrStatus::Timeout,
            NrStatus::Invalid if !super::observe::is_waiting(instance, sid) => NrStatus::Cancelled,
            status => status,
        }
    })
}

pub(super) unsafe extern "C" fn channel_make(host_ctx: *mut c_void, capacity: u64) -> u64 {
    boundary(host_ctx, 0, |instance| {
        let fits = capacity <= u64::from(instance.limits.channel_messages_max);
        let made = fits && !instance.is_stopped();
        let made = made.then(|| instance.coroutines.channels.make(capacity as usize)).flatten();
        made.unwrap_or_else(|| {
            instance.plugin.counters.one(Count::ResourceRefused);
            0
        })
    })
}

pub(super) unsafe extern "C" fn channel_send(
    host_ctx: *mut c_void,
    channel: u64,
    message: NrBytes,
    timeout_ns: u64,
) -> NrStatus {
    waiting(host_ctx, |instance, waiter| {
        // SAFETY: see `callbacks`; copied before the callback returns.
        let message = unsafe { message.checked(instance.limits.payload_bytes_max) };
        let channel = instance.coroutines.channels.find(channel).ok_or(NrStatus::Invalid);
        let message = message.map_err(|error| match error {
            ViewError::TooLong { .. } => NrStatus::TooLong,
            _ => NrStatus::Invalid,
        });
        let (channel, message) = match (channel, message) {
            (Ok(channel), Ok(message)) => (channel, message),
            (Err(refused), _) | (_, Err(refused)) => {
                instance.plugin.counters.one(Count::AnswersInvalid);
                return refused;
            }
        };
        let mut send = channel.sender.send(message.to_vec()).cancel_on(waiter.token());
        if let Some(deadline) = deadline(timeout_ns) {
            send = send.deadline(deadline);
        }
        match send.wait() {
            Ok(()) => NrStatus::Ok,
            Err(SendError::TimedOut(_)) => NrStatus::Timeout,
            Err(SendError::Cancelled(_)) => NrStatus::Cancelled,
            Err(_) => NrStatus::Closed,
        }
    })
}

pub(super) unsafe extern "C" fn channel_recv(
    host_ctx: *mut c_void,
    channel: u64,
    out: *mut NrOwnedBytes,
    timeout_ns: u64,
) -> NrStatus {
    waiting(host_ctx, |instance, waiter| {
        if !is_writable(instance, out) {
            return NrStatus::Invalid;
        }
        // SAFETY: see `callbacks`: not NULL, aligned.
        unsafe { out.write(NrOwnedBytes::EMPTY) };
        let Some(channel) = instance.coroutines.channels.find(channel) else {
            instance.plugin.counters.one(Count::AnswersInvalid);
            return NrStatus::Invalid;
        };
        let mut recv = channel.receiver.recv().cancel_on(waiter.token());
        if let Some(deadline) = deadline(timeout_ns) {
            recv = recv.deadline(deadline);
        }
        match recv.wait() {
            Ok(message) => {
                hand_over(message, out);
                NrStatus::Ok
            }
            Err(error) => status_of(error),
        }
    })
}

pub(super) unsafe extern "C" fn channel_close(host_ctx: *mut c_void, channel: u64) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let Some(channel) = instance.coroutines.channels.find(channel) else {
            return NrStatus::Invalid;
        };
        channel.sender.close();
        NrStatus::Ok
    })
}

pub(super) unsafe extern "C" fn channel_destroy(host_ctx: *mut c_void, channel: u64) -> NrStatus {
    boundary(host_ctx, NrStatus::Invalid, |instance| {
        let known = instance.coroutines.channels.destroy(channel);
        if known { NrStatus::Ok } else { NrStatus::Invalid }
    })
}

fn status_of(error: RecvError) -> NrStatus {
    match error {
        RecvError::TimedOut => NrStatus::Timeout,
        RecvError::Cancelled => NrStatus::Cancelled,
        _ => NrStatus::Closed,
    }
}

/// Makes the bytes the plugin's, until it releases them. `out` is valid and aligned.
fn hand_over(bytes: Vec<u8>, out: *mut NrOwnedBytes) {
    if bytes.is_empty() {
        return;
    }
    let bytes = Box::new(bytes);
    let (ptr, len) = (bytes.as_ptr(), bytes.len() as u64);
    let owned =
        NrOwnedBytes { ptr, len, owner_ctx: Box::into_raw(bytes).cast(), release: Some(release) };
    // SAFETY: see `callbacks`; the caller has checked the pointer.
    unsafe { out.write(owned) };
}

/// Pointer and length may have been changed on the way: only the owner counts.
unsafe extern "C" fn release(owner_ctx: *mut c_void, _ptr: *const u8, _len: u64) {
    if !owner_ctx.is_null() {
        // SAFETY: `hand_over` made it, and the plugin says that this is the one release.
        drop(unsafe { Box::from_raw(owner_ctx.cast::<Vec<u8>>()) });
    }
}
