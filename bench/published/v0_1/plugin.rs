// SPDX-License-Identifier: BSD-3-Clause
//! A plugin of the published `nylon-ring` 0.1, as the documentation of that crate shows them, with one
//! entry of each kind. The packages of 0.1.0 and of 0.1.4 compile this file.
//!
//! | entry | kind |
//! |---|---|
//! | `echo` | unary: its payload |
//! | `upper` | raw: an answer from memory that stays the plugin's |
//! | `count` | state: how often it was called |
//! | `stream` | a stream: three frames, and one for each message until it is closed |

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use nylon_ring::{NrBytes, NrHostVTable, NrStatus, NrVec, define_plugin};

static HOST_CTX: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static HOST_VTABLE: AtomicPtr<NrHostVTable> = AtomicPtr::new(ptr::null_mut());
static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: only the wrapper of `define_plugin!` calls it; it reads nothing behind the pointers.
unsafe fn init(ctx: *mut c_void, vtable: *const NrHostVTable) -> NrStatus {
    if ctx.is_null() || vtable.is_null() {
        return NrStatus::Invalid;
    }
    HOST_CTX.store(ctx, Ordering::Release);
    HOST_VTABLE.store(vtable.cast_mut(), Ordering::Release);
    NrStatus::Ok
}

fn shutdown() {
    HOST_VTABLE.store(ptr::null_mut(), Ordering::Release);
    HOST_CTX.store(ptr::null_mut(), Ordering::Release);
}

fn answer(sid: u64, status: NrStatus, bytes: &[u8]) -> NrStatus {
    let ctx = HOST_CTX.load(Ordering::Acquire);
    let vtable = HOST_VTABLE.load(Ordering::Acquire);
    if ctx.is_null() || vtable.is_null() {
        return NrStatus::Err;
    }
    // SAFETY: `init` has stored both as the host passed them, and the host keeps them until `shutdown`.
    unsafe { ((*vtable).send_result)(ctx, sid, status, NrVec::from_vec(bytes.to_vec())) }
}

// SAFETY: only the wrapper calls a handler, with a payload that the host lends for this call.
unsafe fn echo(sid: u64, payload: NrBytes) -> NrStatus {
    // SAFETY: see above.
    match unsafe { payload.as_slice() } {
        Ok(bytes) => answer(sid, NrStatus::Ok, bytes),
        Err(_) => NrStatus::Invalid,
    }
}

// SAFETY: see `echo`.
unsafe fn upper(sid: u64, payload: NrBytes) -> NrStatus {
    // SAFETY: see above.
    match unsafe { payload.as_slice() } {
        Ok(bytes) => answer(sid, NrStatus::Ok, &bytes.to_ascii_uppercase()),
        Err(_) => NrStatus::Invalid,
    }
}

// SAFETY: see `echo`.
unsafe fn count(sid: u64, _payload: NrBytes) -> NrStatus {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    answer(sid, NrStatus::Ok, calls.to_string().as_bytes())
}

// SAFETY: see `echo`.
unsafe fn stream(sid: u64, _payload: NrBytes) -> NrStatus {
    for frame in ["one", "two", "three"] {
        let _ = answer(sid, NrStatus::Ok, frame.as_bytes());
    }
    NrStatus::Ok
}

// SAFETY: see `echo`.
unsafe fn on_stream_data(sid: u64, data: NrBytes) -> NrStatus {
    // SAFETY: see above.
    unsafe { echo(sid, data) }
}

// SAFETY: see `echo`.
unsafe fn on_stream_close(sid: u64) -> NrStatus {
    answer(sid, NrStatus::StreamEnd, b"")
}

define_plugin! {
    init: init,
    shutdown: shutdown,
    entries: {
        "echo" => echo,
        "upper" => upper,
        "count" => count,
        "stream" => stream,
    },
    stream_handlers: {
        data: on_stream_data,
        close: on_stream_close,
    }
}
