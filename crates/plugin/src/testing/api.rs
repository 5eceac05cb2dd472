// SPDX-License-Identifier: BSD-3-Clause
//! The fake host's side of the ABI.
//!
//! # Safety
//!
//! Every function gets the context that `FakeHost` gave the plugin: a leaked `Inner`. Views are the
//! plugin's, borrowed for the call; what can be checked without reading them is.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::time::{Duration, Instant};

use becket_abi::{
    BK_HOST_API_VERSION, BK_METRIC_COUNTER, BK_METRIC_GAUGE, BK_METRIC_HISTOGRAM,
    BK_METRIC_UNKNOWN, BK_NO_DEADLINE, BkHostApi, BkTimerFn, NrBufferLease, NrBytes, NrHostVTable,
    NrOwnedBytes, NrStatus, NrStr,
};

use super::book::{Inner, LogLine, MetricBook, TimerBook, Violation};
use super::waits;

/// Far above what a test sends; a length beyond it is a mistake.
const PAYLOAD_BYTES_MAX: u64 = 1 << 30;
const KEY_BYTES_MAX: u64 = 1 << 16;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// This thread is inside a vtable call.
pub(super) struct InCall;

impl InCall {
    pub(super) fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether this thread is inside a vtable call that may not wait.
pub(super) fn in_call() -> bool {
    DEPTH.with(Cell::get) > 0
}

pub(super) static PLAIN: NrHostVTable = NrHostVTable { send_result };

pub(super) static API: BkHostApi = BkHostApi {
    struct_size: size_of::<BkHostApi>() as u32,
    api_version: BK_HOST_API_VERSION,
    send,
    send_wait,
    send_owned,
    lease_acquire,
    lease_commit,
    lease_release,
    stream_ready,
    state_set,
    state_get,
    host_ext: ptr::null(),
    is_cancelled,
    remaining_ms,
    log_enabled,
    log,
    metric_register,
    counter_add,
    gauge_set,
    histogram_record,
    timer_start,
    timer_cancel,
    config,
    config_get,
    coroutine_current: waits::coroutine_current,
    coroutine_yield: waits::coroutine_yield,
    coroutine_sleep: waits::coroutine_sleep,
    coroutine_spawn: waits::coroutine_spawn,
    stream_recv: waits::stream_recv,
    stream_send: waits::stream_send,
    channel_make: waits::channel_make,
    channel_send: waits::channel_send,
    channel_recv: waits::channel_recv,
    channel_close: waits::channel_close,
    channel_destroy: waits::channel_destroy,
};

pub(super) fn inner(ctx: *mut c_void) -> &'static Inner {
    // SAFETY: see the module's note.
    unsafe { &*ctx.cast::<Inner>() }
}

unsafe extern "C" fn send_result(ctx: *mut c_void, sid: u64, status: NrStatus, payload: NrBytes) {
    // SAFETY: the plugin's promises, unchanged.
    let _ = unsafe { send(ctx, sid, status, payload) };
}

unsafe extern "C" fn send(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
) -> NrStatus {
    let host = inner(ctx);
    // SAFETY: the plugin's view, borrowed for the call.
    let body = unsafe { payload.checked(host.limits.payload_bytes_max) };
    host.accept(sid, status, body)
}

unsafe extern "C" fn send_wait(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
    timeout_ms: u64,
) -> NrStatus {
    let host = inner(ctx);
    let until = Instant::now().checked_add(Duration::from_millis(timeout_ms));
    loop {
        // SAFETY: the plugin's promises, unchanged.
        let taken = unsafe { send(ctx, sid, status, payload) };
        if taken != NrStatus::Backpressure || DEPTH.with(Cell::get) > 0 {
            return taken;
        }
        let mut book = host.book.lock();
        let full = |book: &super::book::Book| {
            book.calls.get(&sid).is_some_and(|call| {
                !call.cancelled && call.frames.len() >= host.limits.stream_frames_max
            })
        };
        while full(&book) {
            match until {
                Some(until) if host.changed.wait_until(&mut book, until).timed_out() => {
                    return NrStatus::Backpressure;
                }
                Some(_) => {}
                None => host.changed.wait(&mut book),
            }
        }
    }
}

/// Copies and releases.
///
/// # Safety
/// The bytes were given away by their owner.
pub(super) unsafe fn take_owned(owned: NrOwnedBytes) -> Vec<u8> {
    let view = NrBytes { ptr: owned.ptr, len: owned.len };
    // SAFETY: the owner's promise: readable until released.
    let bytes = unsafe { view.checked(PAYLOAD_BYTES_MAX) }.unwrap_or_default().to_vec();
    if let Some(release) = owned.release {
        // SAFETY: given away, and released here once.
        unsafe { release(owned.owner_ctx, owned.ptr, owned.len) };
    }
    bytes
}

unsafe extern "C" fn send_owned(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrOwnedBytes,
) -> NrStatus {
    let view = NrBytes { ptr: payload.ptr, len: payload.len };
    // SAFETY: the plugin's promises: the bytes are readable until released.
    let taken = unsafe { send(ctx, sid, status, view) };
    if taken != NrStatus::Backpressure {
        // SAFETY: taken or refused, so the bytes are the host's to release.
        drop(unsafe { take_owned(payload) });
    }
    taken
}

unsafe extern "C" fn lease_acquire(ctx: *mut c_void, sid: u64, cap: u64) -> NrBufferLease {
    let host = inner(ctx);
    let mut book = host.book.lock();
    let open = book.calls.get(&sid).is_some_and(|call| call.ended.is_none() && !call.cancelled);
    let Some(len) = usize::try_from(cap).ok().filter(|len| *len <= host.limits.lease_bytes_max)
    else {
        return NrBufferLease::REFUSED;
    };
    if !open {
        return NrBufferLease::REFUSED;
    }
    book.leases_acquired += 1;
    let token = book.leases_acquired;
    let mut buffer = vec![0_u8; len.max(1)].into_boxed_slice();
    let lease = NrBufferLease { ptr: buffer.as_mut_ptr(), cap: buffer.len() as u64, token };
    book.leases.insert(token, (sid, buffer));
    lease
}

unsafe extern "C" fn lease_commit(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    token: u64,
    len: u64,
) -> NrStatus {
    let host = inner(ctx);
    let lease = host.book.lock().leases.remove(&token);
    let Some((owner, buffer)) = lease else {
        host.violate(Violation::BadLease { token });
        return NrStatus::Invalid;
    };
    let written = usize::try_from(len).ok().and_then(|len| buffer.get(..len));
    let (Some(written), true) = (written, owner == sid) else {
        host.violate(Violation::BadLease { token });
        return NrStatus::Invalid;
    };
    let taken = host.accept(sid, status, Ok(written));
    if taken == NrStatus::Backpressure {
        host.book.lock().leases.insert(token, (owner, buffer));
    }
    taken
}

unsafe extern "C" fn lease_release(ctx: *mut c_void, token: u64) -> NrStatus {
    let host = inner(ctx);
    if host.book.lock().leases.remove(&token).is_some() {
        return NrStatus::Ok;
    }
    host.violate(Violation::BadLease { token });
    NrStatus::Invalid
}

unsafe extern "C" fn stream_ready(ctx: *mut c_void, sid: u64) -> NrStatus {
    let host = inner(ctx);
    let mut book = host.book.lock();
    match book.calls.get_mut(&sid) {
        // A stream that ended meanwhile has nothing to offer; that is no violation.
        Some(call) if call.data_refused || call.ended.is_some() || call.cancelled => {
            call.data_refused = false;
            call.ready += 1;
            NrStatus::Ok
        }
        Some(_) => {
            book.violations.push(Violation::ReadyWithoutRefusal { sid });
            NrStatus::Invalid
        }
        None => {
            book.violations.push(Violation::UnknownSid { sid });
            NrStatus::Invalid
        }
    }
}

unsafe extern "C" fn state_set(ctx: *mut c_void, sid: u64, key: NrStr, value: NrBytes) -> NrStatus {
    let host = inner(ctx);
    // SAFETY: the plugin's views, borrowed for the call.
    let views = unsafe { (key.checked(KEY_BYTES_MAX), value.checked(PAYLOAD_BYTES_MAX)) };
    let (Ok(key), Ok(value)) = views else { return NrStatus::Invalid };
    let mut book = host.book.lock();
    let Some(call) = book.calls.get_mut(&sid).filter(|call| call.ended.is_none()) else {
        return NrStatus::Invalid;
    };
    let held: usize = call.state.iter().map(|(k, v)| k.len() + v.len()).sum();
    let replaced = call.state.get(key).map_or(0, |old| key.len() + old.len());
    if held - replaced + key.len() + value.len() > host.limits.state_bytes_max {
        return NrStatus::Backpressure;
    }
    call.state.insert(key.to_owned(), value.to_vec());
    NrStatus::Ok
}

unsafe extern "C" fn state_get(
    ctx: *mut c_void,
    sid: u64,
    key: NrStr,
    buf: *mut u8,
    cap: u64,
    len_out: *mut u64,
) -> NrStatus {
    // SAFETY: the plugin's view, borrowed for the call.
    let Ok(key) = (unsafe { key.checked(KEY_BYTES_MAX) }) else { return NrStatus::Invalid };
    let book = inner(ctx).book.lock();
    let Some(call) = book.calls.get(&sid).filter(|call| call.ended.is_none()) else {
        return NrStatus::Invalid;
    };
    let Some(value) = call.state.get(key) else { return NrStatus::Err };
    let fits = value.len().min(usize::try_from(cap).unwrap_or(usize::MAX));
    // SAFETY: the plugin promises `cap` writable bytes at `buf`, and a writable `len_out`.
    unsafe {
        if !buf.is_null() {
            slice::from_raw_parts_mut(buf, fits).copy_from_slice(value.get(..fits).unwrap_or(&[]));
        }
        if !len_out.is_null() {
            len_out.write(value.len() as u64);
        }
    }
    NrStatus::Ok
}

unsafe extern "C" fn is_cancelled(ctx: *mut c_void, sid: u64) -> u32 {
    let book = inner(ctx).book.lock();
    u32::from(book.calls.get(&sid).is_none_or(|call| call.cancelled || call.ended.is_some()))
}

unsafe extern "C" fn remaining_ms(ctx: *mut c_void, sid: u64) -> u64 {
    let book = inner(ctx).book.lock();
    match book.calls.get(&sid).map(|call| call.due_ms) {
        None => 0,
        Some(None) => BK_NO_DEADLINE,
        Some(Some(due)) => due.saturating_sub(book.now_ms),
    }
}

unsafe extern "C" fn log_enabled(ctx: *mut c_void, level: u32) -> u32 {
    u32::from(level <= inner(ctx).level as u32)
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, target: NrStr, message: NrStr) {
    let host = inner(ctx);
    if level > host.level as u32 {
        return;
    }
    // SAFETY: the plugin's views, borrowed for the call.
    let (target, message) = unsafe { (target.as_str().to_owned(), message.as_str().to_owned()) };
    host.book.lock().logs.push(LogLine { level, target, message });
    host.changed.notify_all();
}

unsafe extern "C" fn metric_register(
    ctx: *mut c_void,
    kind: u32,
    name: NrStr,
    _help: NrStr,
) -> u32 {
    let host = inner(ctx);
    // SAFETY: the plugin's view, borrowed for the call.
    let Ok(name) = (unsafe { name.checked(KEY_BYTES_MAX) }) else { return BK_METRIC_UNKNOWN };
    let mut book = host.book.lock();
    let known = book.metrics.iter().position(|metric| metric.name == name);
    let same_kind = |index: &usize| book.metrics.get(*index).is_some_and(|m| m.kind == kind);
    let id = match known {
        Some(index) => Some(index).filter(same_kind),
        None if name.is_empty() || book.metrics.len() >= host.limits.metrics_max => None,
        None => {
            book.metrics.push(MetricBook { kind, name: name.to_owned(), value: 0.0 });
            Some(book.metrics.len() - 1)
        }
    };
    id.and_then(|id| u32::try_from(id).ok()).unwrap_or(BK_METRIC_UNKNOWN)
}

fn record(ctx: *mut c_void, metric: u32, kind: u32, change: impl FnOnce(&mut f64)) -> NrStatus {
    let host = inner(ctx);
    let mut book = host.book.lock();
    match book.metrics.get_mut(metric as usize).filter(|found| found.kind == kind) {
        Some(found) => change(&mut found.value),
        None => {
            book.violations.push(Violation::BadMetric { metric });
            return NrStatus::Invalid;
        }
    }
    drop(book);
    host.changed.notify_all();
    NrStatus::Ok
}

unsafe extern "C" fn counter_add(ctx: *mut c_void, metric: u32, delta: u64) -> NrStatus {
    record(ctx, metric, BK_METRIC_COUNTER, |value| *value += delta as f64)
}

unsafe extern "C" fn gauge_set(ctx: *mut c_void, metric: u32, value: f64) -> NrStatus {
    record(ctx, metric, BK_METRIC_GAUGE, |old| *old = value)
}

unsafe extern "C" fn histogram_record(ctx: *mut c_void, metric: u32, _: f64) -> NrStatus {
    record(ctx, metric, BK_METRIC_HISTOGRAM, |count| *count += 1.0)
}

unsafe extern "C" fn timer_start(
    ctx: *mut c_void,
    delay_ms: u64,
    callback: Option<BkTimerFn>,
    user_data: *mut c_void,
) -> u64 {
    let host = inner(ctx);
    let mut book = host.book.lock();
    let Some(callback) = callback.filter(|_| book.timers.len() < host.limits.timers_max) else {
        return 0;
    };
    book.timers_started += 1;
    let id = book.timers_started;
    let due = book.now_ms.saturating_add(delay_ms);
    book.timers.insert((due, id), TimerBook { callback, user_data });
    drop(book);
    host.changed.notify_all();
    id
}

unsafe extern "C" fn timer_cancel(ctx: *mut c_void, timer: u64) -> NrStatus {
    let mut book = inner(ctx).book.lock();
    let key = book.timers.keys().find(|(_, id)| *id == timer).copied();
    match key.and_then(|key| book.timers.remove(&key)) {
        Some(_) => NrStatus::Ok,
        None => NrStatus::Invalid,
    }
}

unsafe extern "C" fn config(ctx: *mut c_void) -> NrStr {
    NrStr::from_str(&inner(ctx).config)
}

unsafe extern "C" fn config_get(ctx: *mut c_void, key: NrStr) -> NrStr {
    // SAFETY: the plugin's view, borrowed for the call.
    let Ok(key) = (unsafe { key.checked(KEY_BYTES_MAX) }) else { return NrStr::EMPTY };
    inner(ctx).config_value(key).map_or(NrStr::EMPTY, NrStr::from_str)
}
