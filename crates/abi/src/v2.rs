// SPDX-License-Identifier: BSD-3-Clause
//! Version 2 of the ABI: answers are vectors that may move to the host, and no function takes a
//! plugin context.
//!
//! It is another dialect of the same ABI, of the crate `nylon-ring` 0.2 of crates.io: views, statuses,
//! owned bytes and leases are those of version 1. What it lacks is the request: `handle` gets an
//! entry and bytes, and no method, path, query or header.
//!
//! ```text
//!            host                                       plugin
//!   dlsym nylon_ring_get_plugin ──────────────────────▶ &PluginInfo ──▶ &PluginVTable
//!   init(host_ctx, &HostVTable) ──────────────────────▶ keeps both, in statics
//!   resolve_entry(name) ──────────────────────────────▶ id, or 0xFFFFFFFF
//!   handle(entry, sid, bytes), handle_by_id(id, …) ───▶ returns at once
//!   send_result(host_ctx, sid, status, NrVec) ◀──────── now or later, from any thread
//!   shutdown() ───────────────────────────────────────▶
//! ```
//!
//! A file that exports the symbols of both versions is loaded by version 1.
//!
//! # Ownership
//!
//! 1. Whatever the host answers, an [`NrVec`] with `owned` 1 and a [`NrOwnedBytes`] are the host's as
//!    soon as they are passed: `drop_fn` and `release` run once, also when the answer is refused, full
//!    streams included (version 1 leaves those bytes with the plugin).
//! 2. A call has one lease at a time, a stream has none. The plugin may write into it until it commits
//!    it, answers the call otherwise, or returns from `handle` with an error; there is no function to
//!    give one back.

use core::ffi::{CStr, c_void};

use crate::{NrBufferLease, NrBytes, NrOwnedBytes, NrStatus, NrStr};

/// The symbol that a plugin of this dialect exports.
pub const ENTRY_SYMBOL: &CStr = c"nylon_ring_get_plugin";

/// The version in its info.
pub const ABI_VERSION: u32 = 2;

/// A vector that moves to the other side, with the function that frees it.
///
/// With `owned` 0 it is borrowed for the call, as [`NrBytes`] is, and `cap` and `drop_fn` mean
/// nothing. With `owned` 1 it is the receiver's, which calls `drop_fn`, if there is one, once, with
/// the three values that it got; `len` is at most `cap`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrVec {
    /// The first byte.
    pub ptr: *mut u8,
    /// Length in bytes.
    pub len: u64,
    /// Capacity in bytes.
    pub cap: u64,
    /// 1 if the receiver must call `drop_fn`, else 0.
    pub owned: u8,
    /// Zero.
    pub _reserved: [u8; 7],
    /// Frees it, from any thread.
    pub drop_fn: Option<VecDropFn>,
}

/// Frees a vector.
pub type VecDropFn = unsafe extern "C" fn(ptr: *mut u8, len: u64, cap: u64);

impl NrVec {
    /// The empty vector, with nothing to free.
    pub const EMPTY: Self = Self {
        ptr: core::ptr::null_mut(),
        len: 0,
        cap: 0,
        owned: 0,
        _reserved: [0; 7],
        drop_fn: None,
    };
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
    /// A buffer to write the answer of a call into; with a `NULL` pointer if there is none.
    pub acquire_result_buffer:
        unsafe extern "C" fn(ctx: *mut c_void, sid: u64, cap: u64) -> NrBufferLease,
    /// Answers with the first `len` bytes of the lease. After `Invalid` for a token or a length, the
    /// lease is still the plugin's; after any other `Invalid` the call is over, and so is the lease.
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
    /// The id of an entry, or [`crate::BK_ENTRY_UNKNOWN`]. Not called without `handle_by_id`.
    pub resolve_entry: Option<unsafe extern "C" fn(name: NrStr) -> u32>,
    /// One request, by id.
    pub handle_by_id: Option<unsafe extern "C" fn(id: u32, sid: u64, payload: NrBytes) -> NrStatus>,
}

/// What the entry function returns.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PluginInfo {
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// Size of the structure: 56, or more if it has grown.
    pub struct_size: u32,
    /// The plugin's name.
    pub name: NrStr,
    /// The plugin's own version.
    pub version: NrStr,
    /// Passed to no function.
    pub plugin_ctx: *mut c_void,
    /// The functions. `init` and `handle` are required.
    pub vtable: *const PluginVTable,
}

// SAFETY: what it points to is never written.
unsafe impl Sync for PluginInfo {}

/// Functions for the state of a call.
///
/// They are in no table: plugins of that time read them behind `host_ctx`, through the crate of the
/// host that they were written for.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct HostExt {
    /// Keeps a value with the call, until it ends.
    pub set_state: SetStateFn,
    /// The value, as a copy of the plugin's own; empty if there is none.
    pub get_state: GetStateFn,
}

/// `set_state` of version 2.
pub type SetStateFn =
    unsafe extern "C" fn(ctx: *mut c_void, sid: u64, key: NrStr, value: NrBytes) -> NrStatus;
/// `get_state` of version 2.
pub type GetStateFn = unsafe extern "C" fn(ctx: *mut c_void, sid: u64, key: NrStr) -> NrVec;

crate::assert_layout!(NrVec, 40, { ptr: 0, len: 8, cap: 16, owned: 24, drop_fn: 32 });
crate::assert_layout!(HostVTable, 32, {
    send_result: 0, send_result_owned: 8, acquire_result_buffer: 16, commit_result_buffer: 24,
});
crate::assert_layout!(PluginVTable, 56, {
    init: 0, handle: 8, shutdown: 16, stream_data: 24, stream_close: 32, resolve_entry: 40,
    handle_by_id: 48,
});
crate::assert_layout!(PluginInfo, 56, {
    abi_version: 0, struct_size: 4, name: 8, version: 24, plugin_ctx: 40, vtable: 48,
});
crate::assert_layout!(HostExt, 16, { set_state: 0, get_state: 8 });
