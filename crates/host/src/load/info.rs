// SPDX-License-Identifier: BSD-3-Clause
//! `NrPluginInfo`, read without trusting it.
//!
//! ```text
//!   0 abi_version  4 struct_size  8 name  24 version  40 plugin_ctx  48 vtable     every plugin
//!  56 vtable_size 60 flags       64 config_default    80 attach                    struct_size > 56
//!  88 coroutine_stack_bytes                                                        struct_size > 88
//! ```
//!
//! Version 2 has the first line alone.
//!
//! A field is read only if `struct_size` covers it. The structure may lie anywhere that can be
//! read: C has it in the image, Go and C++ plugins often on their heap.

use std::mem::offset_of;

use becket_abi::NrPluginInfo;

use super::elf::Abi;
use super::error::{InfoDefect, LoadError};
use super::memory;
use crate::text::escape_controls;

const DOCUMENTED_BYTES: u32 = NrPluginInfo::STRUCT_SIZE_DOCUMENTED;
/// A `struct_size` or `vtable_size` above this is garbage.
const STRUCT_BYTES_MAX: u32 = 4096;
/// A vtable with a size has at least the five documented slots.
const VTABLE_BYTES_MIN: u32 = 40;
const TEXT_BYTES_MAX: u32 = 4096;
const CONFIG_BYTES_MAX: u32 = 64 * 1024;

/// A plugin's `NrPluginInfo`, checked and copied.
#[derive(Debug, Clone)]
pub(super) struct Info {
    /// Where the structure lies.
    pub(super) address: usize,
    pub(super) abi_version: u32,
    pub(super) struct_size: u32,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) plugin_ctx: usize,
    /// Not 0, and a multiple of 8.
    pub(super) vtable: usize,
    pub(super) vtable_size: u32,
    pub(super) flags: u32,
    pub(super) config_default: String,
    pub(super) attach: usize,
    pub(super) coroutine_stack_bytes: u64,
}

impl Info {
    /// Reads the structure at `address`, of this version. Without `grown`, nothing behind the
    /// documented fields.
    pub(super) fn read(
        plugin: &str,
        address: usize,
        abi: Abi,
        grown: bool,
    ) -> Result<Self, LoadError> {
        if address == 0 {
            let entry = abi.symbol_name();
            return Err(LoadError::InfoNull { plugin: plugin.to_owned(), entry });
        }
        Reader { plugin, address }.read(abi, grown)
    }
}

struct Reader<'a> {
    plugin: &'a str,
    address: usize,
}

impl Reader<'_> {
    fn read(&self, abi: Abi, grown: bool) -> Result<Info, LoadError> {
        let address = self.address;
        if !address.is_multiple_of(align_of::<NrPluginInfo>()) {
            let why = "is not aligned to 8 bytes";
            return Err(self.defect(InfoDefect::Address { address, why }));
        }
        // The version first: another version may have another size.
        let head = self.bytes(8)?;
        let abi_version = memory::half(&head, offset_of!(NrPluginInfo, abi_version));
        if abi_version != abi.version() {
            let plugin = self.plugin.to_owned();
            let wanted = abi.version();
            return Err(LoadError::AbiVersion { plugin, found: abi_version, wanted });
        }
        let struct_size = memory::half(&head, offset_of!(NrPluginInfo, struct_size));
        if !(DOCUMENTED_BYTES..=STRUCT_BYTES_MAX).contains(&struct_size) {
            return Err(self.defect(InfoDefect::StructSize { found: struct_size }));
        }
        let covered = if grown { struct_size } else { DOCUMENTED_BYTES } as usize;
        let bytes = self.bytes(covered.min(size_of::<NrPluginInfo>()))?;
        // A field past what was read reads as 0: absent.
        let text = |field, offset, len_max| {
            let whole = bytes.len() >= offset + 16;
            let (at, len) = if whole {
                (memory::word(&bytes, offset), memory::half(&bytes, offset + 8))
            } else {
                (0, 0)
            };
            self.text(field, at, len, len_max)
        };
        let name = text("name", offset_of!(NrPluginInfo, name), TEXT_BYTES_MAX)?;
        let version = text("version", offset_of!(NrPluginInfo, version), TEXT_BYTES_MAX)?;
        let config_default =
            text("config_default", offset_of!(NrPluginInfo, config_default), CONFIG_BYTES_MAX)?;
        self.check_config(&config_default)?;
        // They are shown by whatever shows the plugin, and nothing is found by them.
        let [name, version] = [name, version].map(|text| escape_controls(&text).into_owned());
        let vtable = memory::word(&bytes, offset_of!(NrPluginInfo, vtable));
        self.check_vtable(vtable)?;
        let vtable_size = memory::half(&bytes, offset_of!(NrPluginInfo, vtable_size));
        let sound = vtable_size == 0
            || ((VTABLE_BYTES_MIN..=STRUCT_BYTES_MAX).contains(&vtable_size)
                && vtable_size.is_multiple_of(8));
        if !sound {
            return Err(self.defect(InfoDefect::VtableSize { found: vtable_size }));
        }
        Ok(Info {
            address,
            abi_version,
            struct_size,
            name,
            version,
            plugin_ctx: memory::word(&bytes, offset_of!(NrPluginInfo, plugin_ctx)),
            vtable,
            vtable_size,
            flags: memory::half(&bytes, offset_of!(NrPluginInfo, flags)),
            config_default,
            attach: memory::word(&bytes, offset_of!(NrPluginInfo, attach)),
            coroutine_stack_bytes: memory::word(
                &bytes,
                offset_of!(NrPluginInfo, coroutine_stack_bytes),
            ) as u64,
        })
    }

    fn bytes(&self, len: usize) -> Result<Vec<u8>, LoadError> {
        memory::read(self.address, len).map_err(|_| {
            let why = "cannot be read";
            self.defect(InfoDefect::Address { address: self.address, why })
        })
    }

    fn check_vtable(&self, address: usize) -> Result<(), LoadError> {
        if address == 0 {
            return Err(self.defect(InfoDefect::VtableNull));
        }
        let why = if !address.is_multiple_of(align_of::<usize>()) {
            "is not aligned to 8 bytes"
        } else if memory::read(address, size_of::<usize>()).is_err() {
            "cannot be read"
        } else {
            return Ok(());
        };
        Err(self.defect(InfoDefect::Vtable { address, why }))
    }

    fn text(
        &self,
        field: &'static str,
        address: usize,
        len: u32,
        len_max: u32,
    ) -> Result<String, LoadError> {
        let defect = |why| self.defect(InfoDefect::Text { field, address, len, why });
        if len == 0 {
            return Ok(String::new());
        }
        if address == 0 {
            return Err(defect("is NULL but has a length"));
        }
        if len > len_max {
            return Err(defect("is too long"));
        }
        let bytes = memory::read(address, len as usize).map_err(|_| defect("cannot be read"))?;
        String::from_utf8(bytes).map_err(|_| defect("is not UTF-8"))
    }

    fn check_config(&self, config: &str) -> Result<(), LoadError> {
        if config.is_empty() {
            return Ok(());
        }
        let why = match serde_json::from_str::<serde_json::Value>(config) {
            Ok(serde_json::Value::Object(_)) => return Ok(()),
            Ok(_) => "it is another JSON value".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(self.defect(InfoDefect::ConfigDefault { why }))
    }

    fn defect(&self, defect: InfoDefect) -> LoadError {
        LoadError::Info { plugin: self.plugin.to_owned(), defect }
    }
}
