// SPDX-License-Identifier: BSD-3-Clause
//! What a plugin exports: its info and its vtable, in this project's layout.
//!
//! The first 56 bytes of [`NrPluginInfo`] and the first five slots of [`NrPluginVTable`] are the
//! documented ABI of version 1, unchanged. A plugin compiled against those alone sets
//! `struct_size` to 56, and the host reads nothing behind it.

use core::ffi::{CStr, c_void};

use crate::{
    BkEntryInfo, BkHostApi, NrBytes, NrHostVTable, NrOwnedBytes, NrRequest, NrStatus, NrStr,
};

/// The version in [`NrPluginInfo::abi_version`].
pub const NR_ABI_VERSION: u32 = 1;

/// The symbol that a plugin exports.
pub const NR_ENTRY_SYMBOL: &CStr = c"nylon_ring_get_plugin_v1";

/// The type of [`NR_ENTRY_SYMBOL`].
pub type GetPluginFn = unsafe extern "C" fn() -> *const NrPluginInfo;

/// `resolve_entry` found no entry of that name.
pub const BK_ENTRY_UNKNOWN: u32 = 0xFFFF_FFFF;

/// Flag: every function but `init` and `shutdown` may be called from several threads at once.
/// Without it the host serialises its calls.
pub const BK_PLUGIN_THREAD_SAFE: u32 = 1;
/// Flag: several instances of one file may live in one process.
pub const BK_PLUGIN_MULTI_INSTANCE: u32 = 1 << 1;
/// Flag: handlers run on coroutines of the host, where they may wait: see [`BkHostApi`]. Needs
/// [`BK_PLUGIN_THREAD_SAFE`], since handlers interleave at their waits. An entry described with
/// [`crate::BK_ENTRY_NEVER_WAITS`] runs as if the flag were not set, and so do `call_now` and
/// notifications, which are over when `handle` returns.
pub const BK_PLUGIN_WANTS_COROUTINE: u32 = 1 << 2;
/// Flag: once `shutdown` has returned no thread of the plugin runs its code, and no pointer into
/// its image is left behind: the host may unmap it.
pub const BK_PLUGIN_MAY_UNLOAD: u32 = 1 << 3;
/// Flag: no function of the plugin ever blocks or computes for long, so the host may call `handle`,
/// `stream_*` and the `release` of an owned answer on its callers' threads, which may be those of
/// an async executor. Without it they run on worker threads of the plugin. A plugin that is found
/// stuck on a caller's thread runs on workers until its next load.
pub const BK_PLUGIN_NEVER_BLOCKS: u32 = 1 << 4;

/// What the plugin is, and where its functions are.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct NrPluginInfo {
    /// [`NR_ABI_VERSION`].
    pub abi_version: u32,
    /// The size of this structure as the plugin was compiled with it; 56 for the first layout.
    pub struct_size: u32,
    /// The plugin's name: shown, not used to find it.
    pub name: NrStr,
    /// The plugin's version: shown.
    pub version: NrStr,
    /// Passed back as the first argument of every vtable function.
    pub plugin_ctx: *mut c_void,
    /// The functions.
    pub vtable: *const NrPluginVTable,
    // Present only if `struct_size` covers them.
    /// The size of the vtable as the plugin was compiled with it; 0: the five documented slots.
    pub vtable_size: u32,
    /// `BK_PLUGIN_*`.
    pub flags: u32,
    /// The plugin's default configuration, a JSON object, or empty. Each key that the host's
    /// configuration sets replaces it.
    pub config_default: NrStr,
    /// Called once, before `init`, with everything a host offers beyond `send_result`.
    pub attach: Option<
        unsafe extern "C" fn(
            plugin_ctx: *mut c_void,
            host_ctx: *mut c_void,
            api: *const BkHostApi,
        ) -> NrStatus,
    >,
    /// Bytes of stack that a handler on a coroutine gets; 0: 64 KiB. More than the host allows
    /// refuses the load.
    pub coroutine_stack_bytes: u64,
}

// SAFETY: the structure is read-only data that a plugin exports as a static; the pointers in it are
// followed only in `unsafe` code that states its own reasons.
unsafe impl Sync for NrPluginInfo {}
// SAFETY: as above.
unsafe impl Send for NrPluginInfo {}

impl NrPluginInfo {
    /// `struct_size` of the documented layout, without anything of ours.
    pub const STRUCT_SIZE_DOCUMENTED: u32 = 56;
}

/// The plugin's functions. `NULL` means "not supported"; `init` and one of `handle`, `handle_raw`
/// are required. Grows at its end.
///
/// None of them may unwind.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct NrPluginVTable {
    /// Called once, before anything but `attach`. Anything but `Ok` refuses the load.
    pub init: Option<
        unsafe extern "C" fn(
            plugin_ctx: *mut c_void,
            host_ctx: *mut c_void,
            host_vtable: *const NrHostVTable,
        ) -> NrStatus,
    >,
    /// One request. `request` may be `NULL`. Returns at once, unless it runs on a coroutine;
    /// anything but `Ok` fails the call.
    pub handle: Option<
        unsafe extern "C" fn(
            plugin_ctx: *mut c_void,
            entry: NrStr,
            sid: u64,
            request: *const NrRequest,
            payload: NrBytes,
        ) -> NrStatus,
    >,
    /// The end: returns when the plugin's threads have stopped. Not called if `init` failed.
    pub shutdown: Option<unsafe extern "C" fn(plugin_ctx: *mut c_void)>,
    /// A frame from the host to stream `sid`. `Backpressure`: not taken. A stream whose handler
    /// runs on a coroutine gets its frames from [`BkHostApi::stream_recv`] instead.
    pub stream_data:
        Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, sid: u64, data: NrBytes) -> NrStatus>,
    /// The host sends no more on stream `sid`; answers may still follow.
    pub stream_close: Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, sid: u64) -> NrStatus>,
    // Present only if `vtable_size` covers them.
    /// As `handle`, without a request.
    pub handle_raw: Option<
        unsafe extern "C" fn(
            plugin_ctx: *mut c_void,
            entry: NrStr,
            sid: u64,
            payload: NrBytes,
        ) -> NrStatus,
    >,
    /// The id of an entry for `handle_by_id`, or [`BK_ENTRY_UNKNOWN`].
    pub resolve_entry: Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, name: NrStr) -> u32>,
    /// As `handle`, by an id that `resolve_entry` gave.
    pub handle_by_id: Option<
        unsafe extern "C" fn(
            plugin_ctx: *mut c_void,
            id: u32,
            sid: u64,
            request: *const NrRequest,
            payload: NrBytes,
        ) -> NrStatus,
    >,
    /// Entry number `index`, counted from 0; `Invalid` past the last. `out.struct_size` is set by
    /// the host. May be called before `init`.
    pub describe: Option<
        unsafe extern "C" fn(
            plugin_ctx: *mut c_void,
            index: u32,
            out: *mut BkEntryInfo,
        ) -> NrStatus,
    >,
    /// Call or stream `sid` has no caller any more: its deadline passed, or the caller left.
    pub cancel: Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, sid: u64) -> NrStatus>,
    /// The state to hand to the next version, on reload. `Unsupported`: none.
    pub reload_export:
        Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, out: *mut NrOwnedBytes) -> NrStatus>,
    /// The state that the version before handed over; called after `init`, before any call.
    pub reload_import:
        Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, state: NrBytes) -> NrStatus>,
    /// A frame of stream `sid` was answered `Backpressure`; now there is room again. Called once
    /// for each time that the queue was full, on a thread of the host.
    pub stream_room: Option<unsafe extern "C" fn(plugin_ctx: *mut c_void, sid: u64) -> NrStatus>,
}

crate::assert_layout!(NrPluginInfo, 96, {
    abi_version: 0, struct_size: 4, name: 8, version: 24, plugin_ctx: 40, vtable: 48,
    vtable_size: 56, flags: 60, config_default: 64, attach: 80, coroutine_stack_bytes: 88,
});
crate::assert_layout!(NrPluginVTable, 104, {
    init: 0, handle: 8, shutdown: 16, stream_data: 24, stream_close: 32, handle_raw: 40,
    resolve_entry: 48, handle_by_id: 56, describe: 64, cancel: 72, reload_export: 80,
    reload_import: 88, stream_room: 96,
});
