// SPDX-License-Identifier: BSD-3-Clause
//! C++ objects that the dynamic linker would share between copies of a plugin.
//!
//! An inline variable, a static of a template or of an inline function may be defined in several
//! libraries and has to be one object. GCC marks its symbol `STB_GNU_UNIQUE`: the linker keeps the
//! first definition for the whole process, whatever the scope, and never unmaps the library that it
//! stands in. So two copies of a plugin, and the plugin before and after a reload, would have their
//! statics in common, with the constructors of the first.
//!
//! In the private copy each such symbol is made an ordinary one that the library binds to itself:
//!
//! ```text
//!   Elf64_Sym   0 name   4 info            5 other          6 shndx   8 value   16 size
//!                          binding ▸ type    visibility
//!                          UNIQUE  ▸ GLOBAL  DEFAULT ▸ HIDDEN
//! ```
//!
//! Hidden, so that the copy's own references find its own object, and no other library's find it.
//! Neither the hash tables nor the relocations depend on those bytes.
//!
//! A plugin that brings libraries of its own may rightly share such objects with them, and those
//! libraries are mapped once for all copies. It is left as it is, with a warning that names them.
//!
//! # Invariants
//!
//! 1. Only definitions are changed, and of each only the binding and the visibility.

use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{SectionHeader as _, SectionTable, Sym as _};

use super::elf::ElfFacts;

type Header = FileHeader64<Endianness>;

/// At most this many names are shown.
const NAMES_SHOWN_MAX: usize = 8;

const SYMBOL_BYTES: usize = 24;
const INFO_AT: usize = 4;
const OTHER_AT: usize = 5;

/// The libraries of compilers and of the system: they share no object of a plugin's own.
const RUNTIME: [&str; 14] = [
    "libc.so",
    "libm.so",
    "libdl.so",
    "librt.so",
    "libpthread.so",
    "libutil.so",
    "libresolv.so",
    "libgcc_s.so",
    "libstdc++.so",
    "libc++.so",
    "libc++abi.so",
    "libunwind.so",
    "libatomic.so",
    "ld-",
];

/// A definition that is unique in the process.
#[derive(Debug)]
pub(super) struct Unique {
    /// Where its symbol stands in the file.
    at: usize,
    name: String,
}

/// The definitions of a file that are unique in the process.
pub(super) fn find(
    sections: &SectionTable<'_, Header>,
    endian: Endianness,
    data: &[u8],
) -> object::read::Result<Vec<Unique>> {
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM)?;
    if symbols.is_empty() {
        return Ok(Vec::new());
    }
    let table = sections.section(symbols.section())?.sh_offset(endian) as usize;
    let mut unique = Vec::new();
    for (index, symbol) in symbols.iter().enumerate() {
        if symbol.st_bind() == elf::STB_GNU_UNIQUE && !symbol.is_undefined(endian) {
            let name = String::from_utf8_lossy(symbol.name(endian, symbols.strings())?);
            unique.push(Unique { at: table + index * SYMBOL_BYTES, name: name.into_owned() });
        }
    }
    Ok(unique)
}

/// The file's bytes with its unique objects made its own; `None` if they stay as they are.
pub(super) fn patched(path: &Path, bytes: &[u8], facts: &ElfFacts) -> Option<Vec<u8>> {
    let is_runtime = |name: &String| RUNTIME.iter().any(|known| name.starts_with(known));
    if facts.unique.is_empty() {
        return None;
    }
    if let Some(own) = facts.needed.iter().find(|name| !is_runtime(name)) {
        warn(path, facts, &format!("it may share them with `{own}`"));
        return None;
    }
    let mut bytes = bytes.to_vec();
    for unique in &facts.unique {
        if let Some(info) = bytes.get_mut(unique.at + INFO_AT) {
            *info = (elf::STB_GLOBAL.0 << 4) | (*info & 0xf);
        }
        if let Some(other) = bytes.get_mut(unique.at + OTHER_AT) {
            *other = (*other & !0x3) | elf::STV_HIDDEN.0;
        }
    }
    Some(bytes)
}

/// Says that the file's unique objects are shared with every other copy of it.
pub(super) fn warn(path: &Path, facts: &ElfFacts, why: &str) {
    if facts.unique.is_empty() {
        return;
    }
    let names: Vec<&str> =
        facts.unique.iter().take(NAMES_SHOWN_MAX).map(|unique| unique.name.as_str()).collect();
    tracing::warn!(
        target: "becket::host",
        path = %path.display(),
        statics = names.join(", "),
        count = facts.unique.len(),
        why,
        "these C++ statics are shared by all copies of the plugin, also after a reload, and its \
         image is never unmapped; build it with -fno-gnu-unique or -fvisibility=hidden",
    );
}
