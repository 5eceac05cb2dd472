// SPDX-License-Identifier: BSD-3-Clause
//! The vtable of a [`Plugin`]: each function finds the instance and goes through the panic boundary.
//!
//! # Safety
//!
//! *The context* that the host passes is the `plugin_ctx` of the info: a slot, which is never freed.
//!
//! *Views.* What the host passes is valid for the call (ABI), and every borrow made here is bound to
//! a `Context<'a>` that the handler cannot keep.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

use becket_abi::{
    BK_ENTRY_UNKNOWN, BkEntryInfo, BkHostApi, NrBytes, NrHostVTable, NrOwnedBytes, NrPluginVTable,
    NrRequest, NrStatus, NrStr,
};

use crate::boundary::guard;
use crate::call::{CallHandle, Context};
use crate::error::Failure;
use crate::fallback;
use crate::host::Host;
use crate::instance::{Attached, Live, Slot};
use crate::log::Level;
use crate::owned::OwnedBytes;
use crate::plugin::Plugin;

/// The functions, compiled for one plugin.
pub(crate) struct VTable<P>(P);

impl<P: Plugin> VTable<P> {
    pub(crate) const TABLE: &'static NrPluginVTable = &NrPluginVTable {
        init: Some(Self::init),
        handle: Some(Self::handle),
        shutdown: Some(Self::shutdown),
        stream_data: Some(Self::stream_data),
        stream_close: Some(Self::stream_close),
        handle_raw: Some(Self::handle_raw),
        resolve_entry: Some(Self::resolve_entry),
        handle_by_id: Some(Self::handle_by_id),
        describe: Some(Self::describe),
        cancel: Some(Self::cancel),
        reload_export: Some(Self::reload_export),
        reload_import: Some(Self::reload_import),
        stream_room: Some(Self::stream_room),
    };

    /// The host of a running instance, for the log line of a panic.
    fn host(ctx: *mut c_void) -> Option<Host> {
        // SAFETY: called by `guard` within a vtable call, with that call's `plugin_ctx`.
        unsafe { Slot::<P>::live(ctx) }.map(|live| live.host())
    }

    pub(crate) unsafe extern "C" fn attach(
        ctx: *mut c_void,
        host_ctx: *mut c_void,
        api: *const BkHostApi,
    ) -> NrStatus {
        guard(
            "attach",
            || None,
            || {
                // SAFETY: the host passes the `plugin_ctx` of the info.
                let Some(slot) = (unsafe { Slot::<P>::of(ctx) }) else { return NrStatus::Invalid };
                *slot.attached.lock() = Some(Attached { ctx: host_ctx, api });
                NrStatus::Ok
            },
        )
    }

    unsafe extern "C" fn init(
        ctx: *mut c_void,
        host_ctx: *mut c_void,
        table: *const NrHostVTable,
    ) -> NrStatus {
        // SAFETY: the host passes the `plugin_ctx` of the info.
        let Some(slot) = (unsafe { Slot::<P>::of(ctx) }) else { return NrStatus::Invalid };
        let attached = slot.attached.lock().map(|attached| (attached.ctx, attached.api));
        // SAFETY: all of these are the host's, as the ABI has them.
        let Some((ctx, api)) = (unsafe { fallback::complete(attached, host_ctx, table) }) else {
            return NrStatus::Invalid;
        };
        // SAFETY: `complete` gives a table whose every slot may be called with this context.
        let host = unsafe { Host::new(ctx, api, &slot.shared) };
        let status = guard("init", || Some(host), || slot.init(host));
        // The host does not call `shutdown` after a failed `init`.
        if slot.live.load(Ordering::Acquire).is_null() {
            guard("init", || Some(host), || slot.retire(host));
        }
        status
    }

    unsafe extern "C" fn shutdown(ctx: *mut c_void) {
        // SAFETY: the host passes the `plugin_ctx` of the info.
        let Some(slot) = (unsafe { Slot::<P>::of(ctx) }) else { return };
        let live = slot.live.swap(ptr::null_mut(), Ordering::AcqRel);
        if live.is_null() {
            return;
        }
        // SAFETY: `init` made the box, and the swap took it once; no other call of this instance is
        // at work (see "The instance").
        let live = unsafe { Box::from_raw(live) };
        let host = live.host();
        guard("shutdown", || Some(host), || live.stop());
        guard("shutdown", || Some(host), || slot.retire(host));
    }

    /// # Safety
    /// A vtable call of the host, with what it passed.
    #[inline]
    unsafe fn run(
        ctx: *mut c_void,
        id: usize,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        // SAFETY: the host passes the `plugin_ctx` of the info.
        let Some(live) = (unsafe { Slot::<P>::live(ctx) }) else { return NrStatus::Invalid };
        let Some(entry) = P::ENTRIES.get(id) else { return NrStatus::Unsupported };
        // SAFETY: see "Views".
        let (request, payload) = unsafe { (request.as_ref(), payload.checked(u64::MAX)) };
        let Ok(payload) = payload else { return NrStatus::Invalid };
        entry.run(live, Context::new(CallHandle::new(live.host(), sid), request, payload))
    }

    /// # Safety
    /// `name` is valid for the call.
    #[inline]
    unsafe fn find(name: NrStr) -> Option<usize> {
        // SAFETY: see "Views".
        let name = unsafe { NrBytes { ptr: name.ptr, len: u64::from(name.len) }.as_slice() };
        P::ENTRIES.iter().position(|entry| entry.name().as_bytes() == name)
    }

    unsafe extern "C" fn handle(
        ctx: *mut c_void,
        entry: NrStr,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        guard(
            "handle",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed.
                unsafe {
                    let Some(id) = Self::find(entry) else { return NrStatus::Unsupported };
                    Self::run(ctx, id, sid, request, payload)
                }
            },
        )
    }

    unsafe extern "C" fn handle_raw(
        ctx: *mut c_void,
        entry: NrStr,
        sid: u64,
        payload: NrBytes,
    ) -> NrStatus {
        // SAFETY: the caller's promises, unchanged.
        unsafe { Self::handle(ctx, entry, sid, ptr::null(), payload) }
    }

    unsafe extern "C" fn resolve_entry(_ctx: *mut c_void, name: NrStr) -> u32 {
        guard(
            "resolve_entry",
            || None,
            || {
                // SAFETY: a vtable call, with what the host passed.
                let found = unsafe { Self::find(name) };
                found.and_then(|id| u32::try_from(id).ok()).unwrap_or(BK_ENTRY_UNKNOWN)
            },
        )
    }

    unsafe extern "C" fn handle_by_id(
        ctx: *mut c_void,
        id: u32,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        guard(
            "handle_by_id",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed.
                unsafe { Self::run(ctx, id as usize, sid, request, payload) }
            },
        )
    }

    unsafe extern "C" fn describe(
        _ctx: *mut c_void,
        index: u32,
        out: *mut BkEntryInfo,
    ) -> NrStatus {
        guard(
            "describe",
            || None,
            || {
                let Some(entry) = P::ENTRIES.get(index as usize) else { return NrStatus::Invalid };
                // SAFETY: the host passes `NULL` or a record whose size it has set.
                unsafe { fill(out, entry.describe()) }
            },
        )
    }

    /// The panic boundary of a vtable call that needs the running instance.
    ///
    /// # Safety
    /// A vtable call of the host, with what it passed.
    unsafe fn with_live(
        place: &'static str,
        ctx: *mut c_void,
        body: impl FnOnce(&Live<P>) -> NrStatus,
    ) -> NrStatus {
        guard(
            place,
            || Self::host(ctx),
            || {
                // SAFETY: the caller's promise; the borrow ends with the call.
                let live = unsafe { Slot::<P>::live(ctx) };
                live.map_or(NrStatus::Invalid, body)
            },
        )
    }

    unsafe extern "C" fn stream_data(ctx: *mut c_void, sid: u64, data: NrBytes) -> NrStatus {
        let body = |live: &Live<P>| {
            // SAFETY: see "Views".
            let data = unsafe { data.checked(u64::MAX) };
            data.map_or(NrStatus::Invalid, |data| live.streams().data(live.host(), sid, data))
        };
        // SAFETY: a vtable call, with what the host passed.
        unsafe { Self::with_live("stream_data", ctx, body) }
    }

    unsafe extern "C" fn stream_close(ctx: *mut c_void, sid: u64) -> NrStatus {
        // SAFETY: a vtable call, with what the host passed.
        unsafe { Self::with_live("stream_close", ctx, |live| live.streams().close(sid)) }
    }

    unsafe extern "C" fn stream_room(ctx: *mut c_void, sid: u64) -> NrStatus {
        let body = |live: &Live<P>| live.streams().room(live.host(), sid);
        // SAFETY: a vtable call, with what the host passed.
        unsafe { Self::with_live("stream_room", ctx, body) }
    }

    unsafe extern "C" fn cancel(ctx: *mut c_void, sid: u64) -> NrStatus {
        let body = |live: &Live<P>| {
            // The stream first, so that the future that feeds it finds its sink closed.
            let stream = live.streams().cancel(sid);
            let future = live.executor().is_some_and(|executor| executor.cancel(sid));
            if !stream && !future {
                live.plugin().cancelled(sid);
            }
            NrStatus::Ok
        };
        // SAFETY: a vtable call, with what the host passed.
        unsafe { Self::with_live("cancel", ctx, body) }
    }

    unsafe extern "C" fn reload_export(ctx: *mut c_void, out: *mut NrOwnedBytes) -> NrStatus {
        let body = |live: &Live<P>| {
            if out.is_null() {
                return NrStatus::Invalid;
            }
            match live.plugin().export() {
                Ok(Some(state)) => {
                    // SAFETY: not NULL, and the host passes room for one.
                    unsafe { out.write(OwnedBytes::from(state).into_raw()) };
                    NrStatus::Ok
                }
                Ok(None) => NrStatus::Unsupported,
                Err(failure) => refuse::<P>(live.host(), &failure),
            }
        };
        // SAFETY: a vtable call, with what the host passed.
        unsafe { Self::with_live("reload_export", ctx, body) }
    }

    unsafe extern "C" fn reload_import(ctx: *mut c_void, state: NrBytes) -> NrStatus {
        let body = |live: &Live<P>| {
            // SAFETY: see "Views".
            let Ok(state) = (unsafe { state.checked(u64::MAX) }) else { return NrStatus::Invalid };
            match live.plugin().import(state) {
                Ok(()) => NrStatus::Ok,
                Err(failure) => refuse::<P>(live.host(), &failure),
            }
        };
        // SAFETY: a vtable call, with what the host passed.
        unsafe { Self::with_live("reload_import", ctx, body) }
    }
}

fn refuse<P: Plugin>(host: Host, failure: &Failure) -> NrStatus {
    host.log(Level::Error, P::NAME, format_args!("{}", failure.text()));
    failure.status()
}

/// Writes as much of `info` as the host's record holds.
///
/// # Safety
/// `out` is `NULL` or points to a record of `struct_size` bytes, the first field of it.
pub(crate) unsafe fn fill(out: *mut BkEntryInfo, info: BkEntryInfo) -> NrStatus {
    if out.is_null() {
        return NrStatus::Invalid;
    }
    // SAFETY: the caller's promise.
    let size = unsafe { (*out).struct_size };
    if (size as usize) < size_of::<BkEntryInfo>() {
        return NrStatus::Invalid;
    }
    // SAFETY: the record is at least as long as ours.
    unsafe { out.write(BkEntryInfo { struct_size: size, ..info }) };
    NrStatus::Ok
}
