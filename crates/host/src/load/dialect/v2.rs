// SPDX-License-Identifier: BSD-3-Clause
//! Version 2 of the ABI, adapted: init, handle, shutdown, stream_data, stream_close, resolve_entry,
//! handle_by_id, none of which takes a `plugin_ctx`.
//!
//! The host calls every plugin by the functions of version 1. For one of version 2 those are the
//! functions of this file, and their `plugin_ctx` is the table of the plugin's own:
//!
//! ```text
//!   host ── handle(plugin_ctx, entry, sid, request, payload) ──▶ this file
//!                     │                                            │
//!                     └─▶ Functions { init, handle, … }            └─▶ handle(entry, sid, payload)
//! ```
//!
//! So a call of any other plugin has not one instruction more. The request stays with the host: the
//! plugin has no parameter for it. What the plugin calls is in [`callbacks::v2`].
//!
//! # Invariants
//!
//! 1. The same functions have the same table, for ever: as with any plugin, two loads of one image
//!    have one `plugin_ctx`, and the second is refused ([`Inline::new`](crate::placement::Inline)).
//! 2. Every function in a table points to memory that was executable when it was bound.
//!
//! # Safety
//!
//! - A table is leaked; an image of version 2 is never unmapped, since it has no flag to allow that.
//! - That the code behind a word keeps the slot's signature cannot be checked, as in
//!   [`entry_points`](crate::load::entry_points).

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use becket_abi::{NrBytes, NrHostVTable, NrRequest, NrStatus, NrStr, v2};

use super::{Dialect, Evidence, Opinion};
use crate::callbacks;
use crate::load::entry_points::{EntryPoints, Slot, Table};
use crate::load::{Layout, LoadError};
use crate::reentry::Mutex;

pub(super) struct V2;

const SLOTS: [Slot; 7] = [
    Slot::Init,
    Slot::Handle,
    Slot::Shutdown,
    Slot::StreamData,
    Slot::StreamClose,
    Slot::ResolveEntry,
    Slot::HandleById,
];

impl Dialect for V2 {
    fn layout(&self) -> Option<Layout> {
        Some(Layout::V2)
    }

    fn slots(&self) -> &'static [Slot] {
        &SLOTS
    }

    fn judge(&self, _evidence: &Evidence) -> Opinion {
        Opinion::No
    }

    fn bind(&self, table: &Table<'_>) -> Result<EntryPoints, LoadError> {
        /// The function in a slot, as the type that the slot has.
        macro_rules! function {
            ($slot:ident as $type:ty) => {
                table.code(Slot::$slot)?.map(|code| {
                    // SAFETY: `code` is the non-NULL word of the slot whose type this is, and it
                    // points to executable memory.
                    unsafe { std::mem::transmute::<*const (), $type>(code) }
                })
            };
        }
        let init = function!(Init as InitFn).ok_or_else(|| table.missing("init"))?;
        let handle = function!(Handle as HandleFn).ok_or_else(|| table.missing("handle"))?;
        let functions = Functions {
            init,
            handle,
            shutdown: function!(Shutdown as ShutdownFn),
            stream_data: function!(StreamData as StreamDataFn),
            stream_close: function!(StreamClose as StreamCloseFn),
            by_id: function!(ResolveEntry as ResolveEntryFn)
                .zip(function!(HandleById as HandleByIdFn)),
            host_ctx: AtomicPtr::new(ptr::null_mut()),
        };
        let own = Functions::kept(table.words, functions);
        Ok(EntryPoints {
            plugin_ctx: ptr::from_ref(own).cast_mut().cast(),
            init: self::init,
            handle: Some(self::handle),
            handle_raw: None,
            shutdown: own.shutdown.map(|_| shutdown as _),
            stream_data: own.stream_data.map(|_| stream_data as _),
            stream_close: own.stream_close.map(|_| stream_close as _),
            resolve_entry: own.by_id.map(|_| resolve_entry as _),
            handle_by_id: own.by_id.map(|_| handle_by_id as _),
            describe: None,
            cancel: None,
            reload_export: None,
            reload_import: None,
            stream_room: None,
            attach: None,
        })
    }
}

type InitFn = unsafe extern "C" fn(*mut c_void, *const v2::HostVTable) -> NrStatus;
type HandleFn = unsafe extern "C" fn(NrStr, u64, NrBytes) -> NrStatus;
type ShutdownFn = unsafe extern "C" fn();
type StreamDataFn = unsafe extern "C" fn(u64, NrBytes) -> NrStatus;
type StreamCloseFn = unsafe extern "C" fn(u64) -> NrStatus;
type ResolveEntryFn = unsafe extern "C" fn(NrStr) -> u32;
type HandleByIdFn = unsafe extern "C" fn(u32, u64, NrBytes) -> NrStatus;

/// A plugin's functions, as it has them.
struct Functions {
    init: InitFn,
    handle: HandleFn,
    shutdown: Option<ShutdownFn>,
    stream_data: Option<StreamDataFn>,
    stream_close: Option<StreamCloseFn>,
    /// One is nothing without the other.
    by_id: Option<(ResolveEntryFn, HandleByIdFn)>,
    /// What `init` passed to the plugin.
    host_ctx: AtomicPtr<c_void>,
}

/// The tables, by the words of the plugins' own.
static KEPT: LazyLock<Mutex<HashMap<Vec<usize>, &'static Functions>>> =
    LazyLock::new(Mutex::default);

impl Functions {
    /// The one table of these words.
    fn kept(words: &[usize], functions: Self) -> &'static Self {
        KEPT.lock().entry(words.to_vec()).or_insert_with(|| Box::leak(Box::new(functions)))
    }

    /// # Safety
    /// `plugin_ctx` is that of this dialect's entry points.
    unsafe fn of(plugin_ctx: *mut c_void) -> &'static Self {
        // SAFETY: leaked in `kept`; shared access only.
        unsafe { &*plugin_ctx.cast_const().cast::<Self>() }
    }

    /// What `handle` returned. A call that it refused is over, and so is its lease.
    fn returned(&self, sid: u64, status: NrStatus) -> NrStatus {
        if !status.is_ok() {
            callbacks::v2::refused(self.host_ctx.load(Ordering::Acquire), sid);
        }
        status
    }
}

unsafe extern "C" fn init(
    plugin_ctx: *mut c_void,
    host_ctx: *mut c_void,
    _: *const NrHostVTable,
) -> NrStatus {
    // SAFETY: the host passes what the entry points carry.
    let own = unsafe { Functions::of(plugin_ctx) };
    own.host_ctx.store(host_ctx, Ordering::Release);
    // SAFETY: code of the plugin's image (invariant 2), which is mapped; the table is static.
    unsafe { (own.init)(host_ctx, callbacks::v2::vtable()) }
}

unsafe extern "C" fn handle(
    plugin_ctx: *mut c_void,
    entry: NrStr,
    sid: u64,
    _: *const NrRequest,
    payload: NrBytes,
) -> NrStatus {
    // SAFETY: as in `init`.
    let own = unsafe { Functions::of(plugin_ctx) };
    // SAFETY: as in `init`; the views are valid for the call.
    own.returned(sid, unsafe { (own.handle)(entry, sid, payload) })
}

unsafe extern "C" fn handle_by_id(
    plugin_ctx: *mut c_void,
    id: u32,
    sid: u64,
    _: *const NrRequest,
    payload: NrBytes,
) -> NrStatus {
    // SAFETY: as in `init`.
    let own = unsafe { Functions::of(plugin_ctx) };
    let Some((_, handle)) = own.by_id else { return NrStatus::Unsupported };
    // SAFETY: as in `handle`.
    own.returned(sid, unsafe { handle(id, sid, payload) })
}

unsafe extern "C" fn resolve_entry(plugin_ctx: *mut c_void, name: NrStr) -> u32 {
    // SAFETY: as in `init`.
    let own = unsafe { Functions::of(plugin_ctx) };
    let Some((resolve, _)) = own.by_id else { return becket_abi::BK_ENTRY_UNKNOWN };
    // SAFETY: as in `handle`.
    unsafe { resolve(name) }
}

unsafe extern "C" fn stream_data(plugin_ctx: *mut c_void, sid: u64, data: NrBytes) -> NrStatus {
    // SAFETY: as in `init`.
    let own = unsafe { Functions::of(plugin_ctx) };
    let Some(function) = own.stream_data else { return NrStatus::Unsupported };
    // SAFETY: as in `handle`.
    unsafe { function(sid, data) }
}

unsafe extern "C" fn stream_close(plugin_ctx: *mut c_void, sid: u64) -> NrStatus {
    // SAFETY: as in `init`.
    let own = unsafe { Functions::of(plugin_ctx) };
    let Some(function) = own.stream_close else { return NrStatus::Unsupported };
    // SAFETY: as in `init`.
    unsafe { function(sid) }
}

unsafe extern "C" fn shutdown(plugin_ctx: *mut c_void) {
    // SAFETY: as in `init`.
    let own = unsafe { Functions::of(plugin_ctx) };
    if let Some(function) = own.shutdown {
        // SAFETY: as in `init`.
        unsafe { function() };
    }
}
