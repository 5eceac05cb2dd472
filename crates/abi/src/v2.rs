// SPDX-License-Identifier: BSD-3-Clause
//! Version 2 of the ABI: answers are owned vectors, the vtable carries no plugin context.
//!
//! The types record its layouts. `becket-host` runs no plugin of version 2: it refuses a file that
//! exports [`ENTRY_SYMBOL`] alone, with a hint. Owned bytes and leases are [`crate::NrOwnedBytes`]
//! and [`crate::NrBufferLease`].

use core::ffi::{CStr, c_void};

use crate::{NrBufferLease, NrBytes, NrOwnedBytes, NrStatus, NrStr};

/// The symbol that a plugin of this dialect exports.
pub const ENTRY_SYMBOL: &CStr = c"nylon_ring_get_plugin";

/// The version in its info.
pub const ABI_VERSION: u32 = 2;

/// A vector that moves to the other side, with the function that frees it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrVec {
    /// The first byte.
    pub ptr: *mut u8,
    /// Length in bytes.
    pub len: u64,
    /// Capacity in bytes.
    pub cap: u64,
    /// 1 if the receiver must call `drop_fn`.
    pub owned: u8,
    /// Zero.
    pub _reserved: [u8; 7],
    /// Frees it.
    pub drop_fn: Option<unsafe extern "C" fn(ptr: *mut u8, len: u64, cap: u64)>,
}

/// The host's callbacks.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct HostVTable {
    /// Answers with a vector.
    pub send_result: unsafe extern "C" fn(
        ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        payload: NrVec,
    ) -> NrStatus,
    /// Answers with bytes that stay the plugin's until released.
    pub send_result_owned: unsafe extern "C" fn(
        ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        payload: NrOwnedBytes,
    ) -> NrStatus,
    /// A buffer to write the answer into.
    pub acquire_result_buffer:
        unsafe extern "C" fn(ctx: *mut c_void, sid: u64, cap: u64) -> NrBufferLease,
    /// Sends what was written into the lease.
    pub commit_result_buffer: unsafe extern "C" fn(
        ctx: *mut c_void,
        sid: u64,
        status: NrStatus,
        token: u64,
        len: u64,
    ) -> NrStatus,
}

/// The plugin's functions.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct PluginVTable {
    /// Called once, first.
    pub init:
        Option<unsafe extern "C" fn(host_ctx: *mut c_void, vtable: *const HostVTable) -> NrStatus>,
    /// One request.
    pub handle: Option<unsafe extern "C" fn(entry: NrStr, sid: u64, payload: NrBytes) -> NrStatus>,
    /// The end.
    pub shutdown: Option<unsafe extern "C" fn()>,
    /// A frame from the host.
    pub stream_data: Option<unsafe extern "C" fn(sid: u64, data: NrBytes) -> NrStatus>,
    /// The host sends no more.
    pub stream_close: Option<unsafe extern "C" fn(sid: u64) -> NrStatus>,
    /// The id of an entry, or [`crate::BK_ENTRY_UNKNOWN`].
    pub resolve_entry: Option<unsafe extern "C" fn(name: NrStr) -> u32>,
    /// One request, by id.
    pub handle_by_id: Option<unsafe extern "C" fn(id: u32, sid: u64, payload: NrBytes) -> NrStatus>,
}

crate::assert_layout!(NrVec, 40, { ptr: 0, len: 8, cap: 16, owned: 24, drop_fn: 32 });
crate::assert_layout!(HostVTable, 32, {
    send_result: 0, send_result_owned: 8, acquire_result_buffer: 16, commit_result_buffer: 24,
});
crate::assert_layout!(PluginVTable, 56, {
    init: 0, handle: 8, shutdown: 16, stream_data: 24, stream_close: 32, resolve_entry: 40,
    handle_by_id: 48,
});
