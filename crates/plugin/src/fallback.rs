// SPDX-License-Identifier: BSD-3-Clause
//! A full function table for hosts that offer less.
//!
//! A host that never calls `attach` has `send_result` and nothing else; one that is older than this
//! SDK has a shorter table. Both get a table without holes: what is missing answers `Unsupported`,
//! "no deadline", "not enabled", so no other module asks whether a function is there.
//!
//! # Safety
//!
//! The tables and contexts made here are leaked: they stay valid for the rest of the process, as a
//! host's own do. That is some 200 bytes for each load on such a host, and none on a current one.

use std::ffi::c_void;
use std::mem::offset_of;
use std::ptr;

use becket_abi::{
    BK_METRIC_UNKNOWN, BK_NO_DEADLINE, BkCoroutineFn, BkHostApi, BkTimerFn, NrBufferLease, NrBytes,
    NrHostVTable, NrOwnedBytes, NrStatus, NrStr,
};

/// The context of [`PLAIN`]: a host that has `send_result` only.
struct PlainHost {
    ctx: *mut c_void,
    table: *const NrHostVTable,
}

/// The context and the table to call the host with; `None` if it gave no table at all.
///
/// # Safety
/// `attached` and `table` come from the host and keep the ABI's promises.
pub(crate) unsafe fn complete(
    attached: Option<(*mut c_void, *const BkHostApi)>,
    host_ctx: *mut c_void,
    table: *const NrHostVTable,
) -> Option<(*mut c_void, &'static BkHostApi)> {
    if let Some((ctx, api)) = attached
        && !api.is_null()
    {
        // SAFETY: not NULL, and the size comes first in every version of the table.
        let size = unsafe { (&raw const (*api).struct_size).read() } as usize;
        if size >= size_of::<BkHostApi>() {
            // SAFETY: the host's table is at least as long as ours and lives for the process.
            return Some((ctx, unsafe { &*api }));
        }
        // A table without `send` is not used.
        if size >= offset_of!(BkHostApi, send_wait) {
            let mut filled = NOTHING;
            let whole_slots = size - size % size_of::<usize>();
            // SAFETY: `whole_slots` is within both tables, and each slot of the host's is a valid
            // value of its field.
            unsafe {
                let to = (&raw mut filled).cast::<u8>();
                ptr::copy_nonoverlapping(api.cast::<u8>(), to, whole_slots);
            }
            return Some((ctx, Box::leak(Box::new(filled))));
        }
    }
    if table.is_null() {
        return None;
    }
    let plain = Box::leak(Box::new(PlainHost { ctx: host_ctx, table }));
    Some((ptr::from_mut(plain).cast(), &PLAIN))
}

/// Refuses everything, and looks at no context.
const NOTHING: BkHostApi = BkHostApi {
    struct_size: 0,
    api_version: 0,
    send: no_send,
    send_wait: no_send_wait,
    send_owned: no_send_owned,
    lease_acquire: no_lease,
    lease_commit: no_lease_commit,
    lease_release: no_u64,
    stream_ready: no_u64,
    state_set: no_state_set,
    state_get: no_state_get,
    host_ext: ptr::null(),
    is_cancelled: never_cancelled,
    remaining_ms: no_deadline,
    log_enabled: no_log_enabled,
    log: no_log,
    metric_register: no_metric,
    counter_add: no_counter,
    gauge_set: no_float,
    histogram_record: no_float,
    timer_start: no_timer,
    timer_cancel: no_timer_cancel,
    config: no_config,
    config_get: no_config_get,
    coroutine_current: no_coroutine,
    coroutine_yield: no_yield,
    coroutine_sleep: no_u64,
    coroutine_spawn: no_spawn,
    stream_recv: no_recv,
    stream_send: no_stream_send,
    channel_make: no_channel,
    channel_send: no_stream_send,
    channel_recv: no_recv,
    channel_close: no_u64,
    channel_destroy: no_u64,
};

/// `send_result` behind the answers' slots; its context is a [`PlainHost`].
static PLAIN: BkHostApi = BkHostApi {
    send: plain_send,
    send_wait: plain_send_wait,
    send_owned: plain_send_owned,
    ..NOTHING
};

unsafe extern "C" fn plain_send(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
) -> NrStatus {
    let plain = ctx.cast::<PlainHost>();
    // SAFETY: `complete` made the context, and leaked it; the host's table lives for the process.
    unsafe { ((*(*plain).table).send_result)((*plain).ctx, sid, status, payload) };
    NrStatus::Ok
}

unsafe extern "C" fn plain_send_wait(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrBytes,
    _timeout_ms: u64,
) -> NrStatus {
    // SAFETY: the caller's promises, unchanged; `send_result` itself waits for room.
    unsafe { plain_send(ctx, sid, status, payload) }
}

unsafe extern "C" fn plain_send_owned(
    ctx: *mut c_void,
    sid: u64,
    status: NrStatus,
    payload: NrOwnedBytes,
) -> NrStatus {
    let view = NrBytes { ptr: payload.ptr, len: payload.len };
    // SAFETY: the caller's promises; `send_result` copies before it returns, so the bytes can go.
    unsafe {
        let taken = plain_send(ctx, sid, status, view);
        release(payload);
        taken
    }
}

/// # Safety
/// The bytes are the caller's to give away.
unsafe fn release(payload: NrOwnedBytes) {
    if let Some(release) = payload.release {
        // SAFETY: the caller's promise; this is the one release.
        unsafe { release(payload.owner_ctx, payload.ptr, payload.len) };
    }
}

unsafe extern "C" fn no_send_owned(
    _: *mut c_void,
    _: u64,
    _: NrStatus,
    payload: NrOwnedBytes,
) -> NrStatus {
    // SAFETY: the plugin gave the bytes away with the call.
    unsafe { release(payload) };
    NrStatus::Unsupported
}

/// Functions that look at nothing and always answer the same.
macro_rules! constant {
    ($($name:ident($($argument:ty),*) -> $answer:ty = $value:expr;)*) => {$(
        unsafe extern "C" fn $name(_: *mut c_void, $(_: $argument),*) -> $answer {
            $value
        }
    )*};
}

constant! {
    no_send(u64, NrStatus, NrBytes) -> NrStatus = NrStatus::Unsupported;
    no_send_wait(u64, NrStatus, NrBytes, u64) -> NrStatus = NrStatus::Unsupported;
    no_lease(u64, u64) -> NrBufferLease = NrBufferLease::REFUSED;
    no_lease_commit(u64, NrStatus, u64, u64) -> NrStatus = NrStatus::Unsupported;
    no_state_set(u64, NrStr, NrBytes) -> NrStatus = NrStatus::Unsupported;
    no_state_get(u64, NrStr, *mut u8, u64, *mut u64) -> NrStatus = NrStatus::Unsupported;
    never_cancelled(u64) -> u32 = 0;
    no_deadline(u64) -> u64 = BK_NO_DEADLINE;
    no_log_enabled(u32) -> u32 = 0;
    no_log(u32, NrStr, NrStr) -> () = ();
    no_metric(u32, NrStr, NrStr) -> u32 = BK_METRIC_UNKNOWN;
    no_counter(u32, u64) -> NrStatus = NrStatus::Unsupported;
    no_float(u32, f64) -> NrStatus = NrStatus::Unsupported;
    no_timer(u64, Option<BkTimerFn>, *mut c_void) -> u64 = 0;
    no_timer_cancel(u64) -> NrStatus = NrStatus::Invalid;
    no_config() -> NrStr = NrStr::EMPTY;
    no_config_get(NrStr) -> NrStr = NrStr::EMPTY;
    no_coroutine() -> u64 = 0;
    no_yield() -> NrStatus = NrStatus::Unsupported;
    no_spawn(Option<BkCoroutineFn>, *mut c_void, u64) -> NrStatus = NrStatus::Unsupported;
    no_recv(u64, *mut NrOwnedBytes, u64) -> NrStatus = NrStatus::Unsupported;
    no_stream_send(u64, NrBytes, u64) -> NrStatus = NrStatus::Unsupported;
    no_channel(u64) -> u64 = 0;
    no_u64(u64) -> NrStatus = NrStatus::Unsupported;
}
