// SPDX-License-Identifier: BSD-3-Clause
//! Everything that can be known of a plugin without starting it.

use std::path::{Path, PathBuf};

use becket_abi::{
    BK_PLUGIN_MAY_UNLOAD, BK_PLUGIN_MULTI_INSTANCE, BK_PLUGIN_THREAD_SAFE,
    BK_PLUGIN_WANTS_COROUTINE,
};
use serde::Serialize;

use super::elf::ElfFacts;
use super::error::Hex;
use super::file::PluginFile;
use super::{Begin, EntryInfo, Layout, LoadError, LoadOptions, LoadStage, bind_file};
use crate::limits::Limits;
use crate::loading;

/// A plugin's file and what it reports.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The machine it is built for.
    pub machine: &'static str,
    /// The language it seems to be written in, where its compiler left a mark: `go`, `rust`,
    /// `c++`, `c`.
    pub runtime: Option<&'static str>,
    /// The libraries it needs.
    pub needed: Vec<String>,
    /// The exported names that belong to a plugin ABI.
    pub exports: Vec<String>,
    /// How many names it exports in all.
    pub exports_total: usize,
    /// `NrPluginInfo::abi_version`.
    pub abi_version: u32,
    /// `NrPluginInfo::struct_size`.
    pub struct_size: u32,
    /// `NrPluginInfo::vtable_size`; 0 if it has none.
    pub vtable_size: u32,
    /// The vtable's layout: `documented`, `raw`, `short`, `v2` or `becket`.
    pub layout: &'static str,
    /// Why it is taken for that layout.
    pub layout_reason: String,
    /// The plugin's name.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// Its flags, by name; an unknown one as a number.
    pub flags: Vec<String>,
    /// The vtable's slots in its layout's order.
    pub slots: Vec<SlotInfo>,
    /// True if it wants more of the host than `send_result`.
    pub attach: bool,
    /// The entries that it describes; a plugin without `describe` has none here.
    pub entries: Vec<EntryInfo>,
    /// Its default configuration: JSON, or empty.
    pub config_default: String,
}

/// A slot of a plugin's vtable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SlotInfo {
    /// The function.
    pub name: &'static str,
    /// False if the slot is `NULL` or behind the vtable's end.
    pub present: bool,
}

/// Reads a plugin's file, maps it, and asks it what it is; `attach` and `init` are not called.
///
/// Its constructors, its entry function and `describe` do run: inspect only what you would load.
/// They may take as long as by default when it is loaded.
///
/// # Errors
/// As for loading.
pub fn inspect(path: &Path, layout: Option<Layout>) -> Result<Inspection, LoadError> {
    let path = path.to_owned();
    let name = path.display().to_string();
    let inspect = move |loading: &loading::Loading| {
        inspect_here(&path, layout, &|stage| loading.begin(stage))
    };
    loading::within(&name, Limits::default().load_timeout_ms, inspect, drop)
}

fn inspect_here(
    path: &Path,
    layout: Option<Layout>,
    stage: Begin<'_>,
) -> Result<Inspection, LoadError> {
    let file = PluginFile::read(path, &[], None)?;
    let facts = ElfFacts::read(&file)?;
    // Libraries beside the file are found from its own place only.
    let private_copy = !facts.uses_origin;
    let options = LoadOptions { search_path: &[], layout, file: None, sha256: None, private_copy };
    let bound = bind_file(&file, &facts, &options, stage)?;
    stage(LoadStage::Describe)?;
    let exports = facts.exports.unwrap_or_default();
    let slots = bound.chosen.dialect.slots().iter().enumerate().map(|(index, slot)| SlotInfo {
        name: slot.name(),
        present: bound.chosen.words.get(index).is_some_and(|word| *word != 0),
    });
    Ok(Inspection {
        size_bytes: file.bytes.len() as u64,
        sha256: Hex(&file.sha256).to_string(),
        machine: facts.machine,
        runtime: facts.runtime,
        needed: facts.needed,
        exports_total: exports.len(),
        exports: exports.into_iter().filter(|name| name.contains("nylon_ring")).collect(),
        abi_version: bound.info.abi_version,
        struct_size: bound.info.struct_size,
        vtable_size: bound.info.vtable_size,
        layout: bound.chosen.dialect.name(),
        slots: slots.collect(),
        layout_reason: bound.chosen.why,
        name: bound.info.name,
        version: bound.info.version,
        flags: flag_names(bound.info.flags),
        attach: bound.entry_points.attach.is_some(),
        entries: bound.entry_points.entries(),
        config_default: bound.info.config_default,
        path: file.path,
    })
}

fn flag_names(flags: u32) -> Vec<String> {
    let known = [
        (BK_PLUGIN_THREAD_SAFE, "thread-safe"),
        (BK_PLUGIN_MULTI_INSTANCE, "multi-instance"),
        (BK_PLUGIN_WANTS_COROUTINE, "wants-coroutine"),
        (BK_PLUGIN_MAY_UNLOAD, "may-unload"),
    ];
    let named = known.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, n)| (*n).to_owned());
    let rest = known.iter().fold(flags, |rest, (flag, _)| rest & !flag);
    named.chain((rest != 0).then(|| format!("{rest:#x}"))).collect()
}
