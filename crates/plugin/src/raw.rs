// SPDX-License-Identifier: BSD-3-Clause
//! What `define_plugin!` builds when it is given functions instead of a [`crate::Plugin`].
//!
//! Everything here is a constant of the plugin: a table of entries, a vtable, an info. The macro
//! writes the `extern "C"` functions; they do their work through the tables.
//!
//! # Safety
//!
//! [`Link`] holds the two pointers that the host gave in `attach`. Both stay valid for the rest of
//! the process (ABI); they are used to log a panic, nothing else.

use std::ffi::c_void;
use std::fmt;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use becket_abi::{
    BK_ENTRY_UNARY, BK_ENTRY_UNKNOWN, BK_LOG_ERROR, BkEntryInfo, BkHostApi, NR_ABI_VERSION,
    NrBytes, NrPluginInfo, NrPluginVTable, NrRequest, NrStatus, NrStr,
};

use crate::boundary::{self, PanicAnswer};
use crate::vtable::fill;

/// A handler of `entries`.
type HandleFn = unsafe fn(*mut c_void, u64, *const NrRequest, NrBytes) -> NrStatus;
/// A handler of `raw_entries`.
type HandleRawFn = unsafe fn(*mut c_void, u64, NrBytes) -> NrStatus;

/// One entry of a table.
#[derive(Clone, Copy)]
pub struct RawEntry {
    name: &'static str,
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    Request(HandleFn),
    Raw(HandleRawFn),
}

type AttachFn = unsafe extern "C" fn(*mut c_void, *mut c_void, *const BkHostApi) -> NrStatus;

impl RawEntry {
    /// An entry that gets the request.
    #[must_use]
    pub const fn with_request(name: &'static str, run: HandleFn) -> Self {
        Self { name, run: Run::Request(run) }
    }

    /// An entry that gets the payload alone.
    #[must_use]
    pub const fn raw(name: &'static str, run: HandleRawFn) -> Self {
        Self { name, run: Run::Raw(run) }
    }

    /// # Safety
    /// A vtable call, with what the host passed.
    #[inline]
    unsafe fn call(
        self,
        ctx: *mut c_void,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        match self.run {
            // SAFETY: the caller's promise is what the handler asks for.
            Run::Request(run) => unsafe { run(ctx, sid, request, payload) },
            // SAFETY: as above.
            Run::Raw(run) => unsafe { run(ctx, sid, payload) },
        }
    }
}

impl fmt::Debug for RawEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A plugin as the macro's arms define it. The ids of `entries` come first, then `raw_entries`.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Definition {
    pub name: &'static str,
    pub version: &'static str,
    pub config_default: &'static str,
    pub flags: u32,
    pub entries: &'static [RawEntry],
    pub raw_entries: &'static [RawEntry],
    pub attach: AttachFn,
    /// What the arms gave, over what every plugin has.
    pub table: NrPluginVTable,
}

/// What the generated functions do.
impl Definition {
    /// The info; `table` is the definition's.
    #[must_use]
    pub const fn info(&self, table: &'static NrPluginVTable) -> NrPluginInfo {
        NrPluginInfo {
            abi_version: NR_ABI_VERSION,
            struct_size: size_of::<NrPluginInfo>() as u32,
            name: NrStr::from_str(self.name),
            version: NrStr::from_str(self.version),
            plugin_ctx: ptr::null_mut(),
            vtable: table,
            vtable_size: size_of::<NrPluginVTable>() as u32,
            flags: self.flags,
            config_default: NrStr::from_str(self.config_default),
            attach: Some(self.attach),
            coroutine_stack_bytes: 0,
        }
    }

    fn find(&self, name: NrStr) -> Option<(u32, RawEntry)> {
        // SAFETY: the host's view is valid for the vtable call that asks.
        let name = unsafe { NrBytes { ptr: name.ptr, len: u64::from(name.len) }.as_slice() };
        let mut all = (0_u32..).zip(self.entries.iter().chain(self.raw_entries));
        all.find(|(_, entry)| entry.name.as_bytes() == name).map(|(id, entry)| (id, *entry))
    }

    #[inline]
    fn at(&self, id: u32) -> Option<RawEntry> {
        let id = id as usize;
        let raw = || self.raw_entries.get(id.checked_sub(self.entries.len())?);
        self.entries.get(id).or_else(raw).copied()
    }

    /// # Safety
    /// A vtable call, with what the host passed.
    pub unsafe fn handle(
        &self,
        ctx: *mut c_void,
        name: NrStr,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        match self.find(name) {
            // SAFETY: the caller's promise.
            Some((_, entry)) => unsafe { entry.call(ctx, sid, request, payload) },
            None => NrStatus::Unsupported,
        }
    }

    /// # Safety
    /// A vtable call, with what the host passed.
    #[inline]
    pub unsafe fn handle_by_id(
        &self,
        ctx: *mut c_void,
        id: u32,
        sid: u64,
        request: *const NrRequest,
        payload: NrBytes,
    ) -> NrStatus {
        match self.at(id) {
            // SAFETY: the caller's promise.
            Some(entry) => unsafe { entry.call(ctx, sid, request, payload) },
            None => NrStatus::Unsupported,
        }
    }

    /// # Safety
    /// A vtable call, with what the host passed.
    #[must_use]
    pub unsafe fn resolve(&self, name: NrStr) -> u32 {
        self.find(name).map_or(BK_ENTRY_UNKNOWN, |(id, _)| id)
    }

    /// Every entry is reported as unary: functions carry no kind.
    ///
    /// # Safety
    /// `out` is `NULL` or points to a record whose size is set.
    pub unsafe fn describe(&self, index: u32, out: *mut BkEntryInfo) -> NrStatus {
        let Some(entry) = self.at(index) else { return NrStatus::Invalid };
        let name = NrStr::from_str(entry.name);
        // SAFETY: the caller's promise.
        unsafe { fill(out, BkEntryInfo { kind: BK_ENTRY_UNARY, name, ..BkEntryInfo::EMPTY }) }
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The host that attached last, for the log line of a panic.
#[derive(Debug)]
pub struct Link {
    ctx: AtomicPtr<c_void>,
    api: AtomicPtr<BkHostApi>,
}

impl Link {
    /// Not attached yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { ctx: AtomicPtr::new(ptr::null_mut()), api: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Remembers the host.
    pub fn attach(&self, ctx: *mut c_void, api: *const BkHostApi) {
        self.ctx.store(ctx, Ordering::Release);
        self.api.store(api.cast_mut(), Ordering::Release);
    }

    /// The panic boundary of one vtable function.
    #[inline]
    pub fn guard<R: PanicAnswer>(&self, place: &'static str, body: impl FnOnce() -> R) -> R {
        boundary::guard_with(place, |text| self.log(text), body)
    }

    #[cold]
    fn log(&self, text: &str) {
        let api = self.api.load(Ordering::Acquire);
        if api.is_null() {
            return;
        }
        // SAFETY: not NULL, so the host's table, which lives for the process and begins with its
        // size; `log` is called only if the table has it.
        unsafe {
            if (*api).struct_size as usize >= offset_of!(BkHostApi, metric_register) {
                let (target, text) = (NrStr::from_str("panic"), NrStr::from_str(text));
                ((*api).log)(self.ctx.load(Ordering::Acquire), BK_LOG_ERROR, target, text);
            }
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}
