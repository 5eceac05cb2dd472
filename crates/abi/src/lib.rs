// SPDX-License-Identifier: BSD-3-Clause
//! The plugin ABI: plain C, stable, shared by the host and by plugins in any language.
//!
//! A plugin is a shared library that exports [`NR_ENTRY_SYMBOL`]. The host calls it once, reads the
//! [`NrPluginInfo`] it returns, hands over its callbacks in `init`, and then calls `handle` for
//! every request. Answers come back through [`NrHostVTable::send_result`], from any thread, at any
//! time.
//!
//! ```text
//!            host                                       plugin
//!   dlsym nylon_ring_get_plugin_v1 ───────────────────▶ &NrPluginInfo ──▶ &NrPluginVTable
//!   attach(plugin_ctx, host_ctx, &BkHostApi) ─────────▶ optional: everything beyond send_result
//!   init(plugin_ctx, host_ctx, &NrHostVTable) ────────▶ keeps host_ctx and the table
//!   handle(plugin_ctx, entry, sid, &NrRequest, bytes) ▶ returns at once
//!   send_result(host_ctx, sid, status, bytes) ◀──────── now or later, from any thread
//!   shutdown(plugin_ctx) ─────────────────────────────▶
//! ```
//!
//! # Invariants
//!
//! 1. Every type is `#[repr(C)]`; sizes and offsets are asserted in this crate at compile time and
//!    checked against `include/*.h` by a C compiler.
//! 2. Structures grow only at their end. Those that grow begin with, or carry, their size.
//! 3. A status is a number, never a Rust enum: what comes from a plugin may be any value.
//! 4. A view ([`NrStr`], [`NrBytes`], [`NrRequest`]) is borrowed for the call. Code that keeps the
//!    data copies it.
//! 5. A view that this project makes is `NULL` or a real address, never a dangling one.
//!
//! # Modules
//!
//! | module | what lives there |
//! |---|---|
//! | `status` | [`NrStatus`] |
//! | `view` | [`NrStr`], [`NrBytes`] and their checked reading |
//! | `request` | [`NrHeader`], [`NrRequest`] |
//! | `host` | [`NrHostVTable`], [`NrHostExt`] |
//! | `plugin` | [`NrPluginInfo`], [`NrPluginVTable`] |
//! | [`layout`] | the other vtable layouts that exist under version 1 |
//! | `api` | [`BkHostApi`], owned answers, leases |
//! | [`v2`] | the types of version 2 |
//! | `linked` | [`LinkedPlugin`], a plugin in the same binary |
#![no_std]

mod api;
mod host;
pub mod layout;
mod linked;
mod plugin;
mod request;
mod status;
pub mod v2;
mod view;

pub use crate::api::{
    BK_ENTRY_BIDIRECTIONAL, BK_ENTRY_NEVER_WAITS, BK_ENTRY_STREAM, BK_ENTRY_UNARY, BK_FOREVER,
    BK_HOST_API_VERSION, BK_LOG_DEBUG, BK_LOG_ERROR, BK_LOG_INFO, BK_LOG_TRACE, BK_LOG_WARN,
    BK_METRIC_COUNTER, BK_METRIC_GAUGE, BK_METRIC_HISTOGRAM, BK_METRIC_UNKNOWN, BK_NO_DEADLINE,
    BkCoroutineFn, BkEntryInfo, BkHostApi, BkTimerFn, NrBufferLease, NrOwnedBytes,
};
pub use crate::host::{NrHostExt, NrHostVTable};
pub use crate::linked::LinkedPlugin;
pub use crate::plugin::{
    BK_ENTRY_UNKNOWN, BK_PLUGIN_MAY_UNLOAD, BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_NEVER_BLOCKS,
    BK_PLUGIN_THREAD_SAFE, BK_PLUGIN_WANTS_COROUTINE, GetPluginFn, NR_ABI_VERSION, NR_ENTRY_SYMBOL,
    NrPluginInfo, NrPluginVTable,
};
pub use crate::request::{NrHeader, NrRequest};
pub use crate::status::NrStatus;
pub use crate::view::{NrBytes, NrStr, ViewError, is_user_range};

/// Asserts at compile time the size of a type and the offset of each of its fields.
///
/// `assert_layout!(NrBytes, 16, { ptr: 0, len: 8 });`
macro_rules! assert_layout {
    ($type:ty, $size:expr, { $($field:ident: $offset:expr),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$type>() == $size, "size");
            $(assert!(core::mem::offset_of!($type, $field) == $offset, stringify!($field));)*
        };
    };
}
pub(crate) use assert_layout;
