// SPDX-License-Identifier: BSD-3-Clause
//! The callbacks that every plugin gets in `init`, in every dialect of version 1.

use core::ffi::c_void;

use crate::{NrBytes, NrStatus, NrStr};

/// The host's callbacks. Grows at its end.
///
/// Thread safety: any function, from any thread, at any time, also after `shutdown`: a late call
/// is refused and counted, never an access to freed memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrHostVTable {
    /// Answers call `sid`, or sends one frame of stream `sid`. The payload is copied before the
    /// function returns.
    ///
    /// It returns no status. When a stream's queue is full it waits for room on a plugin's own
    /// thread and on a coroutine, at most for the stream's idle limit (60 s without one). After
    /// that, and at once in a vtable call or a timer, the stream ends with `Backpressure`.
    /// [`crate::BkHostApi::send`] returns the status instead.
    pub send_result:
        unsafe extern "C" fn(host_ctx: *mut c_void, sid: u64, status: NrStatus, payload: NrBytes),
}

/// Per-call state, in the layout of the first Rust plugins. They find the table behind `host_ctx`,
/// at offset 0x30 or 0x50, as their build has it; all others in [`crate::BkHostApi::host_ext`].
///
/// The bytes that come back belong to the calling thread and stay valid until that thread's next
/// call into the host. [`crate::BkHostApi::state_get`] copies into the plugin's own buffer instead.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrHostExt {
    /// Keeps a copy of `value` under `key` until call `sid` ends. Returns the empty view, or the
    /// reason of a refusal as static text.
    pub set_state: unsafe extern "C" fn(
        host_ctx: *mut c_void,
        sid: u64,
        key: NrStr,
        value: NrBytes,
    ) -> NrBytes,
    /// The value under `key`; the empty view if there is none.
    pub get_state: unsafe extern "C" fn(host_ctx: *mut c_void, sid: u64, key: NrStr) -> NrBytes,
}

crate::assert_layout!(NrHostVTable, 8, { send_result: 0 });
crate::assert_layout!(NrHostExt, 16, { set_state: 0, get_state: 8 });
