// SPDX-License-Identifier: BSD-3-Clause
//! A plugin's functions in one shape, whatever layout they came in.
//!
//! # Invariants
//!
//! 1. Every function here points into memory that was executable when it was bound.
//! 2. `init` is there, and one of `handle` and `handle_raw`.
//!
//! # Safety
//!
//! - Making a function pointer of a word ([`Table::bind`]): the word comes from the slot that the
//!   layout names, so its type is the slot's; it is not zero and points to code. That the code
//!   behind it keeps the slot's signature follows from the layout and cannot be checked: it is the
//!   trust that an inline plugin gets.
//! - Sharing between threads: the host obeys the plugin's thread-safety flag in its calls; the
//!   addresses themselves are plain numbers.

use std::ffi::c_void;

use becket_abi::layout::{HandleFn, HandleRawFn, InitFn, ShutdownFn, StreamCloseFn, StreamDataFn};
use becket_abi::{BkEntryInfo, BkHostApi, NrBytes, NrOwnedBytes, NrRequest, NrStatus, NrStr};
use serde::Serialize;

use super::error::LoadError;
use super::memory;

/// `resolve_entry`.
pub(crate) type ResolveEntryFn = unsafe extern "C" fn(*mut c_void, NrStr) -> u32;
/// `handle_by_id`.
pub(crate) type HandleByIdFn =
    unsafe extern "C" fn(*mut c_void, u32, u64, *const NrRequest, NrBytes) -> NrStatus;
/// `describe`.
pub(crate) type DescribeFn = unsafe extern "C" fn(*mut c_void, u32, *mut BkEntryInfo) -> NrStatus;
/// `cancel`.
pub(crate) type CancelFn = StreamCloseFn;
/// `reload_export`.
pub(crate) type ReloadExportFn = unsafe extern "C" fn(*mut c_void, *mut NrOwnedBytes) -> NrStatus;
/// `reload_import`.
pub(crate) type ReloadImportFn = unsafe extern "C" fn(*mut c_void, NrBytes) -> NrStatus;
/// `attach`.
pub(crate) type AttachFn =
    unsafe extern "C" fn(*mut c_void, *mut c_void, *const BkHostApi) -> NrStatus;

/// A plugin's functions and the context they are called with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryPoints {
    pub(crate) plugin_ctx: *mut c_void,
    pub(crate) init: InitFn,
    pub(crate) handle: Option<HandleFn>,
    pub(crate) handle_raw: Option<HandleRawFn>,
    pub(crate) shutdown: Option<ShutdownFn>,
    pub(crate) stream_data: Option<StreamDataFn>,
    pub(crate) stream_close: Option<StreamCloseFn>,
    pub(crate) resolve_entry: Option<ResolveEntryFn>,
    pub(crate) handle_by_id: Option<HandleByIdFn>,
    pub(crate) describe: Option<DescribeFn>,
    pub(crate) cancel: Option<CancelFn>,
    pub(crate) reload_export: Option<ReloadExportFn>,
    pub(crate) reload_import: Option<ReloadImportFn>,
    pub(crate) stream_room: Option<StreamCloseFn>,
    pub(crate) attach: Option<AttachFn>,
}

// SAFETY: addresses of code, and an opaque context that is only ever handed back to that code.
unsafe impl Send for EntryPoints {}
// SAFETY: as above.
unsafe impl Sync for EntryPoints {}

/// What a word of a vtable is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Slot {
    Init,
    Handle,
    HandleRaw,
    Shutdown,
    StreamData,
    StreamClose,
    ResolveEntry,
    HandleById,
    Describe,
    Cancel,
    ReloadExport,
    ReloadImport,
    StreamRoom,
}

impl Slot {
    /// The name in the C header.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Handle => "handle",
            Self::HandleRaw => "handle_raw",
            Self::Shutdown => "shutdown",
            Self::StreamData => "stream_data",
            Self::StreamClose => "stream_close",
            Self::ResolveEntry => "resolve_entry",
            Self::HandleById => "handle_by_id",
            Self::Describe => "describe",
            Self::Cancel => "cancel",
            Self::ReloadExport => "reload_export",
            Self::ReloadImport => "reload_import",
            Self::StreamRoom => "stream_room",
        }
    }
}

/// A vtable's words, each under the name that the layout gives it.
#[derive(Debug)]
pub(super) struct Table<'a> {
    /// Whose it is, for messages.
    pub(super) plugin: &'a str,
    pub(super) slots: &'a [Slot],
    pub(super) words: &'a [usize],
    pub(super) plugin_ctx: usize,
    /// The address of `attach`, or 0.
    pub(super) attach: usize,
}

impl Table<'_> {
    /// The functions, each checked to be absent or code.
    pub(super) fn bind(&self) -> Result<EntryPoints, LoadError> {
        let init = self.code(Slot::Init)?;
        let Some(init) = init else { return Err(self.missing("init")) };
        let attach = match self.attach {
            0 => None,
            address => Some(self.checked("attach", address)?),
        };
        /// The function in a slot, as the type that the slot has.
        macro_rules! function {
            ($slot:ident as $type:ty) => {
                self.code(Slot::$slot)?.map(|code| {
                    // SAFETY: `code` is the non-NULL word of the slot whose type this is, and it
                    // points to executable memory.
                    unsafe { std::mem::transmute::<*const (), $type>(code) }
                })
            };
        }
        let points = EntryPoints {
            plugin_ctx: std::ptr::with_exposed_provenance_mut(self.plugin_ctx),
            // SAFETY: the non-NULL word of slot `init`, which points to executable memory.
            init: unsafe { std::mem::transmute::<*const (), InitFn>(init) },
            handle: function!(Handle as HandleFn),
            handle_raw: function!(HandleRaw as HandleRawFn),
            shutdown: function!(Shutdown as ShutdownFn),
            stream_data: function!(StreamData as StreamDataFn),
            stream_close: function!(StreamClose as StreamCloseFn),
            resolve_entry: function!(ResolveEntry as ResolveEntryFn),
            handle_by_id: function!(HandleById as HandleByIdFn),
            describe: function!(Describe as DescribeFn),
            cancel: function!(Cancel as CancelFn),
            reload_export: function!(ReloadExport as ReloadExportFn),
            reload_import: function!(ReloadImport as ReloadImportFn),
            stream_room: function!(StreamRoom as StreamCloseFn),
            attach: attach.map(|code| {
                // SAFETY: the non-NULL `attach` field of the info, which points to executable
                // memory.
                unsafe { std::mem::transmute::<*const (), AttachFn>(code) }
            }),
        };
        if points.handle.is_none() && points.handle_raw.is_none() {
            let one_of_two = self.slots.contains(&Slot::HandleRaw);
            return Err(self.missing(if one_of_two { "handle or handle_raw" } else { "handle" }));
        }
        Ok(points)
    }

    pub(super) fn code(&self, slot: Slot) -> Result<Option<*const ()>, LoadError> {
        let index = self.slots.iter().position(|known| *known == slot);
        match index.and_then(|index| self.words.get(index)) {
            None | Some(0) => Ok(None),
            Some(&address) => self.checked(slot.name(), address).map(Some),
        }
    }

    fn checked(&self, function: &'static str, address: usize) -> Result<*const (), LoadError> {
        if memory::is_executable(address) {
            return Ok(std::ptr::with_exposed_provenance(address));
        }
        Err(LoadError::NotCode { plugin: self.plugin.to_owned(), function, address })
    }

    pub(super) fn missing(&self, function: &'static str) -> LoadError {
        LoadError::FunctionMissing { plugin: self.plugin.to_owned(), function }
    }
}
