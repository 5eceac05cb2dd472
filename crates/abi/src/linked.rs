// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that is linked into the host's own binary instead of loaded from a file.

use core::fmt;

use crate::{GetPluginFn, NrPluginInfo};

/// A plugin in this binary, behind the same vtable as one from a file.
///
/// `becket_plugin::define_plugin!` makes the constant; a host takes it like a path.
#[derive(Clone, Copy)]
pub struct LinkedPlugin {
    get: GetPluginFn,
}

impl LinkedPlugin {
    /// Wraps a plugin's entry function.
    ///
    /// # Safety
    /// `get` returns `NULL` or the address of an [`NrPluginInfo`] that is valid for the rest of the
    /// process and keeps every rule of the ABI.
    #[must_use]
    pub const unsafe fn new(get: GetPluginFn) -> Self {
        Self { get }
    }

    /// What the entry function returns; may be `NULL`.
    #[must_use]
    pub fn info(self) -> *const NrPluginInfo {
        // SAFETY: `new`'s caller promised that `get` keeps the ABI's rules.
        unsafe { (self.get)() }
    }
}

impl fmt::Debug for LinkedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkedPlugin").finish_non_exhaustive()
    }
}
