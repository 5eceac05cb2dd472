// SPDX-License-Identifier: BSD-3-Clause
//! The vtable of a [`Plugin`], and the slots that its instances live in.
//!
//! ```text
//!   host ── nylon_ring_get_plugin_v1() ──▶ Slots ── hands out ──▶ Slot { info, live, .. }
//!                                                                   ▲        │
//!   handle(plugin_ctx, ..) ── plugin_ctx is the slot ───────────────┘        ▼
//!                                                             Live { plugin, streams, executor }
//! ```
//!
//! Each call of the entry function hands out a slot of its own, so one file can be loaded several
//! times. A slot that was shut down is handed out again.
//!
//! # Invariants
//!
//! 1. A slot is never freed: its address stays valid for late calls.
//! 2. `info` is written only while the slot is handed out, under the lock of `Slots`, when nobody
//!    has its address yet (or any more, after `shutdown`).
//! 3. `live` is `NULL` before `init` and after `shutdown`; every function answers `Invalid` then.
//!
//! # Safety
//!
//! *The instance.* `live` is dereferenced during a vtable call only. The ABI has the host call
//! `shutdown` once, after every other call of this instance has returned, so the instance outlives
//! each borrow.
//!
//! *Views.* What the host passes is valid for the call (ABI), and every borrow made here is bound to
//! a `Context<'a>` that the handler cannot keep.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use becket_abi::{
    BK_ENTRY_UNKNOWN, BkEntryInfo, BkHostApi, NR_ABI_VERSION, NrBytes, NrHostVTable, NrOwnedBytes,
    NrPluginInfo, NrPluginVTable, NrRequest, NrStatus, NrStr,
};
use parking_lot::Mutex;

use crate::boundary::guard;
use crate::call::{CallHandle, Context};
use crate::error::Failure;
use crate::executor::Executor;
use crate::fallback;
use crate::host::{Host, Shared};
use crate::log::Level;
use crate::owned::OwnedBytes;
use crate::plugin::{self, Plugin};
use crate::stream::Streams;
use crate::timer::Timers;

/// A running instance.
pub(crate) struct Live<P> {
    host: Host,
    plugin: Arc<P>,
    streams: Arc<Streams>,
    executor: Option<Executor>,
}

impl<P: Plugin> Live<P> {
    fn start(host: Host) -> Result<Self, Failure> {
        let plugin = Arc::new(P::start(host)?);
        let futures = P::ENTRIES.iter().any(|entry| entry.has_future());
        let executor = futures
            .then(|| Executor::start(host, P::NAME, P::FUTURE_THREADS.max(1), P::FUTURES_MAX))
            .transpose()
            .inspect_err(|_| plugin.stop())?;
        let streams = Arc::new(Streams::new(P::STREAMS_MAX));
        Ok(Self { host, plugin, streams, executor })
    }

    /// The order matters: first whoever could start something new.
    fn stop(self) {
        self.plugin.stop();
        if let Some(executor) = &self.executor {
            executor.close();
        }
        self.streams.clear();
    }

    #[inline]
    pub(crate) fn plugin(&self) -> &P {
        &self.plugin
    }

    pub(crate) fn plugin_shared(&self) -> Arc<P> {
        Arc::clone(&self.plugin)
    }

    pub(crate) const fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    pub(crate) const fn executor(&self) -> Option<&Executor> {
        self.executor.as_ref()
    }
}

/// What `plugin_ctx` points to.
struct Slot<P: Plugin> {
    info: UnsafeCell<NrPluginInfo>,
    live: AtomicPtr<Live<P>>,
    attached: Mutex<Option<Attached>>,
    shared: Shared,
    home: AtomicPtr<Slots<P>>,
}

#[derive(Clone, Copy)]
struct Attached {
    ctx: *mut c_void,
    api: *const BkHostApi,
}

// SAFETY: both pointers are the host's, which may be used from any thread (ABI).
unsafe impl Send for Attached {}
// SAFETY: `info` changes only as invariant 2 says; everything else is `Sync` by itself.
unsafe impl<P: Plugin> Sync for Slot<P> {}

/// The instances of one plugin in one image. `define_plugin!` makes the static.
pub struct Slots<P: Plugin> {
    /// The usual one instance needs no memory beyond the image.
    first: Slot<P>,
    free: Mutex<Free<P>>,
}

struct Free<P: Plugin> {
    first: bool,
    others: Vec<&'static Slot<P>>,
}

impl<P: Plugin> Slots<P> {
    /// No instance yet.
    #[must_use]
    pub const fn new() -> Self {
        let free = Free { first: true, others: Vec::new() };
        Self { first: Slot::new(), free: Mutex::new(free) }
    }

    fn give_back(&'static self, slot: &'static Slot<P>) {
        let mut free = self.free.lock();
        if ptr::eq(slot, &self.first) {
            free.first = true;
        } else {
            free.others.push(slot);
        }
    }

    /// The info of an instance that is nobody's yet.
    pub fn hand_out(&'static self) -> *const NrPluginInfo {
        guard(
            "nylon_ring_get_plugin_v1",
            || None,
            || {
                let mut free = self.free.lock();
                let slot = if std::mem::take(&mut free.first) {
                    &self.first
                } else {
                    free.others.pop().unwrap_or_else(|| Box::leak(Box::new(Slot::new())))
                };
                slot.home.store(ptr::from_ref(self).cast_mut(), Ordering::Release);
                let info = NrPluginInfo {
                    abi_version: NR_ABI_VERSION,
                    struct_size: size_of::<NrPluginInfo>() as u32,
                    name: NrStr::from_str(P::NAME),
                    version: NrStr::from_str(P::VERSION),
                    plugin_ctx: ptr::from_ref(slot).cast_mut().cast(),
                    vtable: &raw const *VTable::<P>::TABLE,
                    vtable_size: size_of::<NrPluginVTable>() as u32,
                    flags: plugin::flags::<P>(),
                    config_default: NrStr::from_str(P::CONFIG_DEFAULT),
                    attach: Some(VTable::<P>::attach),
                };
                // SAFETY: invariant 2; the lock of `Slots` is held.
                unsafe { *slot.info.get() = info };
                slot.info.get().cast_const()
            },
        )
    }
}

impl<P: Plugin> Default for Slots<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Plugin> fmt::Debug for Slots<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("free", &self.free.lock().others.len()).finish()
    }
}

impl<P: Plugin> Slot<P> {
    const fn new() -> Self {
        Self {
            info: UnsafeCell::new(NrPluginInfo {
                abi_version: NR_ABI_VERSION,
                struct_size: 0,
                name: NrStr::EMPTY,
                version: NrStr::EMPTY,
                plugin_ctx: ptr::null_mut(),
                vtable: ptr::null(),
                vtable_size: 0,
                flags: 0,
                config_default: NrStr::EMPTY,
                attach: None,
            }),
            live: AtomicPtr::new(ptr::null_mut()),
            attached: Mutex::new(None),
            shared: Shared { config_default: P::CONFIG_DEFAULT, timers: Timers::new() },
            home: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// # Safety
    /// `plugin_ctx` is `NULL` or what [`Slots::hand_out`] put into an info.
    #[inline]
    unsafe fn of(plugin_ctx: *mut c_void) -> Option<&'static Self> {
        // SAFETY: the caller's promise; a slot is never freed (invariant 1).
        unsafe { plugin_ctx.cast::<Self>().as_ref() }
    }

    /// # Safety
    /// As for [`Self::of`], and the caller is a vtable call that ends before `'a` does.
    #[inline]
    unsafe fn live<'a>(plugin_ctx: *mut c_void) -> Option<&'a Live<P>> {
        // SAFETY: the caller's promise.
        let slot = unsafe { Self::of(plugin_ctx) }?;
        // SAFETY: see "The instance" above.
        unsafe { slot.live.load(Ordering::Acquire).as_ref() }
    }

    fn init(&'static self, host: Host) -> NrStatus {
        if !self.live.load(Ordering::Acquire).is_null() {
            return NrStatus::Invalid;
        }
        match Live::start(host) {
            Ok(live) => {
                let live = Box::into_raw(Box::new(live));
                self.live.store(live, Ordering::Release);
                NrStatus::Ok
            }
            Err(failure) => {
                host.log(Level::Error, P::NAME, format_args!("{}", failure.text()));
                match failure.status() {
                    NrStatus::Ok => NrStatus::Err,
                    other => other,
                }
            }
        }
    }

    /// The instance is over: what may still run is stopped, and the slot is free again.
    ///
    /// A late timer, sink or answer still finds the slot's address valid; its host context is the
    /// old one, whose ids the host refuses.
    fn retire(&'static self, host: Host) {
        self.shared.timers.close(host);
        *self.attached.lock() = None;
        // SAFETY: `hand_out` stored the address of a static.
        if let Some(home) = unsafe { self.home.load(Ordering::Acquire).as_ref::<'static>() } {
            home.give_back(self);
        }
    }
}

/// The functions, compiled for one plugin.
struct VTable<P>(P);

impl<P: Plugin> VTable<P> {
    const TABLE: &'static NrPluginVTable = &NrPluginVTable {
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
    };

    /// The host of a running instance, for the log line of a panic.
    fn host(ctx: *mut c_void) -> Option<Host> {
        // SAFETY: called by `guard` within a vtable call, with that call's `plugin_ctx`.
        unsafe { Slot::<P>::live(ctx) }.map(|live| live.host)
    }

    unsafe extern "C" fn attach(
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
        let host = live.host;
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
        entry.run(live, Context::new(CallHandle::new(live.host, sid), request, payload))
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

    unsafe extern "C" fn stream_data(ctx: *mut c_void, sid: u64, data: NrBytes) -> NrStatus {
        guard(
            "stream_data",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed; see "Views".
                let (live, data) = unsafe { (Slot::<P>::live(ctx), data.checked(u64::MAX)) };
                match (live, data) {
                    (Some(live), Ok(data)) => live.streams.data(live.host, sid, data),
                    _ => NrStatus::Invalid,
                }
            },
        )
    }

    unsafe extern "C" fn stream_close(ctx: *mut c_void, sid: u64) -> NrStatus {
        guard(
            "stream_close",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed.
                let live = unsafe { Slot::<P>::live(ctx) };
                live.map_or(NrStatus::Invalid, |live| live.streams.close(sid))
            },
        )
    }

    unsafe extern "C" fn cancel(ctx: *mut c_void, sid: u64) -> NrStatus {
        guard(
            "cancel",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed.
                let Some(live) = (unsafe { Slot::<P>::live(ctx) }) else {
                    return NrStatus::Invalid;
                };
                // The stream first, so that the future that feeds it finds its sink closed.
                let stream = live.streams.cancel(sid);
                let future = live.executor.as_ref().is_some_and(|executor| executor.cancel(sid));
                if !stream && !future {
                    live.plugin.cancelled(sid);
                }
                NrStatus::Ok
            },
        )
    }

    unsafe extern "C" fn reload_export(ctx: *mut c_void, out: *mut NrOwnedBytes) -> NrStatus {
        guard(
            "reload_export",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed.
                let Some(live) = (unsafe { Slot::<P>::live(ctx) }) else {
                    return NrStatus::Invalid;
                };
                if out.is_null() {
                    return NrStatus::Invalid;
                }
                match live.plugin.export() {
                    Ok(Some(state)) => {
                        // SAFETY: not NULL, and the host passes room for one.
                        unsafe { out.write(OwnedBytes::from(state).into_raw()) };
                        NrStatus::Ok
                    }
                    Ok(None) => NrStatus::Unsupported,
                    Err(failure) => refuse::<P>(live.host, &failure),
                }
            },
        )
    }

    unsafe extern "C" fn reload_import(ctx: *mut c_void, state: NrBytes) -> NrStatus {
        guard(
            "reload_import",
            || Self::host(ctx),
            || {
                // SAFETY: a vtable call, with what the host passed; see "Views".
                let (live, state) = unsafe { (Slot::<P>::live(ctx), state.checked(u64::MAX)) };
                let (Some(live), Ok(state)) = (live, state) else { return NrStatus::Invalid };
                match live.plugin.import(state) {
                    Ok(()) => NrStatus::Ok,
                    Err(failure) => refuse::<P>(live.host, &failure),
                }
            },
        )
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
