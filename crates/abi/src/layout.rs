// SPDX-License-Identifier: BSD-3-Clause
//! The other vtable layouts that exist under version 1, for a host that must read them.
//!
//! ```text
//!   documented   init  handle  shutdown  stream_data  stream_close      (ours begins like this)
//!   with raw     init  handle  handle_raw  shutdown  stream_data  stream_close
//!   short        init  handle  shutdown
//! ```

use core::ffi::c_void;

use crate::{NrBytes, NrHostVTable, NrRequest, NrStatus, NrStr};

/// `init`, as every layout has it.
pub type InitFn = unsafe extern "C" fn(*mut c_void, *mut c_void, *const NrHostVTable) -> NrStatus;
/// `handle`, as every layout has it.
pub type HandleFn =
    unsafe extern "C" fn(*mut c_void, NrStr, u64, *const NrRequest, NrBytes) -> NrStatus;
/// `handle_raw`.
pub type HandleRawFn = unsafe extern "C" fn(*mut c_void, NrStr, u64, NrBytes) -> NrStatus;
/// `shutdown`.
pub type ShutdownFn = unsafe extern "C" fn(*mut c_void);
/// `stream_data`.
pub type StreamDataFn = unsafe extern "C" fn(*mut c_void, u64, NrBytes) -> NrStatus;
/// `stream_close` and `cancel`.
pub type StreamCloseFn = unsafe extern "C" fn(*mut c_void, u64) -> NrStatus;

/// The documented layout: five slots.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Documented {
    /// See [`crate::NrPluginVTable::init`].
    pub init: Option<InitFn>,
    /// See [`crate::NrPluginVTable::handle`].
    pub handle: Option<HandleFn>,
    /// See [`crate::NrPluginVTable::shutdown`].
    pub shutdown: Option<ShutdownFn>,
    /// See [`crate::NrPluginVTable::stream_data`].
    pub stream_data: Option<StreamDataFn>,
    /// See [`crate::NrPluginVTable::stream_close`].
    pub stream_close: Option<StreamCloseFn>,
}

/// The layout with `handle_raw` in the middle: six slots.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct WithRaw {
    /// See [`crate::NrPluginVTable::init`].
    pub init: Option<InitFn>,
    /// See [`crate::NrPluginVTable::handle`].
    pub handle: Option<HandleFn>,
    /// See [`crate::NrPluginVTable::handle_raw`].
    pub handle_raw: Option<HandleRawFn>,
    /// See [`crate::NrPluginVTable::shutdown`].
    pub shutdown: Option<ShutdownFn>,
    /// See [`crate::NrPluginVTable::stream_data`].
    pub stream_data: Option<StreamDataFn>,
    /// See [`crate::NrPluginVTable::stream_close`].
    pub stream_close: Option<StreamCloseFn>,
}

/// The short layout: three slots.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Short {
    /// See [`crate::NrPluginVTable::init`].
    pub init: Option<InitFn>,
    /// See [`crate::NrPluginVTable::handle`].
    pub handle: Option<HandleFn>,
    /// See [`crate::NrPluginVTable::shutdown`].
    pub shutdown: Option<ShutdownFn>,
}

crate::assert_layout!(Documented, 40, {
    init: 0, handle: 8, shutdown: 16, stream_data: 24, stream_close: 32,
});
crate::assert_layout!(WithRaw, 48, {
    init: 0, handle: 8, handle_raw: 16, shutdown: 24, stream_data: 32, stream_close: 40,
});
crate::assert_layout!(Short, 24, { init: 0, handle: 8, shutdown: 16 });
