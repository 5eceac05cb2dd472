// SPDX-License-Identifier: BSD-3-Clause
//! Symbols, sections and needed libraries of a shared library, read before any of it runs.
//!
//! [`soundness`] has accepted the file before.

use std::ffi::CStr;
use std::path::Path;

use becket_abi::{NR_ABI_VERSION, NR_ENTRY_SYMBOL, v2};
use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, SectionHeader as _, SectionTable, Sym as _};

use super::Layout;
use super::error::LoadError;
use super::file::PluginFile;
use super::soundness;
use super::unique::{self, Unique};

type Header = FileHeader64<Endianness>;

/// At most this many exported names are shown.
const EXPORTS_SHOWN_MAX: usize = 8;

/// The facts about a file that loading needs.
#[derive(Debug, Default)]
pub(super) struct ElfFacts {
    pub(super) machine: &'static str,
    /// Exported names; `None` if the file has no section headers to find them by.
    pub(super) exports: Option<Vec<String>>,
    /// The entry functions that the file's full list of symbols has.
    in_symtab: Vec<Abi>,
    /// The libraries that it needs.
    pub(super) needed: Vec<String>,
    /// It looks for libraries relative to its own place.
    pub(super) uses_origin: bool,
    /// The language it seems to be written in.
    pub(super) runtime: Option<&'static str>,
    /// The C++ objects that the dynamic linker would share between its copies.
    pub(super) unique: Vec<Unique>,
    /// Address and size of each data object that has a symbol.
    objects: Vec<(u64, u64)>,
    /// Address and end of each section that is mapped.
    sections: Vec<(u64, u64)>,
}

/// A version of the ABI, which its entry function's name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    V1,
    V2,
}

impl Abi {
    /// The versions that a load takes, the first that the file has.
    pub(super) const fn accepted(layout: Option<Layout>) -> &'static [Self] {
        match layout {
            None => &[Self::V1, Self::V2],
            Some(Layout::V2) => &[Self::V2],
            Some(Layout::Documented | Layout::Raw | Layout::Short) => &[Self::V1],
        }
    }

    /// The entry function.
    pub(super) const fn symbol(self) -> &'static CStr {
        match self {
            Self::V1 => NR_ENTRY_SYMBOL,
            Self::V2 => v2::ENTRY_SYMBOL,
        }
    }

    pub(super) fn symbol_name(self) -> &'static str {
        self.symbol().to_str().unwrap_or_default()
    }

    /// What the info has to have as its version.
    pub(super) const fn version(self) -> u32 {
        match self {
            Self::V1 => NR_ABI_VERSION,
            Self::V2 => v2::ABI_VERSION,
        }
    }
}

/// The path of the crate's source, up to the version that [`without_plugin_ctx`] looks for.
const PUBLISHED: &[u8] = b"/nylon-ring-0.1.";

/// The version of the published crate `nylon-ring` that the file was built with, if that was 0.1 and
/// left its mark: the path of its source, in panic messages or debug information.
///
/// Plugins built with it have the symbol, the version and every size of the documented ABI, but
/// functions without `plugin_ctx`, and answers of another shape.
pub(super) fn without_plugin_ctx(data: &[u8]) -> Option<String> {
    let mut rest = data;
    while let Some(at) = rest.iter().position(|byte| *byte == b'/') {
        rest = rest.get(at..)?;
        if let Some(behind) = rest.strip_prefix(PUBLISHED) {
            let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (patch, path) = behind.split_at_checked(digits)?;
            if digits > 0 && path.starts_with(b"/src/") {
                return Some(format!("0.1.{}", String::from_utf8_lossy(patch)));
            }
        }
        rest = rest.get(1..)?;
    }
    None
}

/// How far a structure at some address reaches, as far as the file tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// The size of the object that begins there, by its symbol.
    pub(super) exact: Option<u64>,
    /// It cannot be longer: there something else begins, or its section ends.
    pub(super) bytes_max: Option<u64>,
}

impl ElfFacts {
    /// Checks the file and reads it.
    pub(super) fn read(file: &PluginFile) -> Result<Self, LoadError> {
        let machine = soundness::check(&file.path, &file.bytes)?;
        let mut facts = Self { machine, ..Self::default() };
        // What cannot be read is left out: the dynamic linker needs none of the section headers.
        let _ = facts.read_sections(&file.bytes);
        Ok(facts)
    }

    /// The entry functions that may be asked for, in order. Refuses a file whose symbols have none
    /// of them, before its code runs.
    pub(super) fn entry_functions(
        &self,
        path: &Path,
        layout: Option<Layout>,
    ) -> Result<Vec<Abi>, LoadError> {
        let accepted = Abi::accepted(layout).iter().copied();
        // Without section headers the dynamic linker alone knows.
        let there: Vec<Abi> =
            accepted.filter(|abi| self.exports.is_none() || self.has(*abi)).collect();
        if there.is_empty() {
            return Err(self.symbol_missing(path, layout));
        }
        Ok(there)
    }

    /// True if the file is seen to export the entry function of this version.
    pub(super) fn has(&self, abi: Abi) -> bool {
        let exports = self.exports.as_deref().unwrap_or_default();
        exports.iter().any(|name| name.as_bytes() == abi.symbol().to_bytes())
    }

    /// The error for a file without an entry function that this layout is read by.
    pub(super) fn symbol_missing(&self, path: &Path, layout: Option<Layout>) -> LoadError {
        let all = self.exports.as_deref().unwrap_or_default();
        let accepted = Abi::accepted(layout);
        LoadError::SymbolMissing {
            path: path.to_owned(),
            wanted: accepted.first().map_or("", |abi| abi.symbol_name()),
            exports: nearest(all),
            exports_total: all.len(),
            hidden: accepted.iter().any(|abi| self.in_symtab.contains(abi) && !self.has(*abi)),
        }
    }

    /// How far the structure at `address` (as in the file) reaches.
    pub(super) fn extent(&self, address: u64) -> Extent {
        let mut exact = self
            .objects
            .iter()
            .filter(|(start, size)| *start == address && *size > 0)
            .map(|(_, size)| *size);
        let first = exact.next();
        // Two symbols that disagree prove nothing.
        let exact = first.filter(|size| exact.all(|other| other == *size));
        let next_object =
            self.objects.iter().map(|(start, _)| *start).filter(|start| *start > address);
        let ends = self
            .sections
            .iter()
            .filter(|(start, end)| (*start..*end).contains(&address))
            .map(|(_, end)| *end)
            .chain(
                self.objects
                    .iter()
                    .filter(|(start, size)| {
                        (*start..start.saturating_add(*size)).contains(&address)
                    })
                    .map(|(start, size)| start.saturating_add(*size)),
            );
        let bytes_max = next_object.chain(ends).map(|end| end.saturating_sub(address)).min();
        Extent { exact, bytes_max }
    }

    fn read_sections(&mut self, data: &[u8]) -> object::read::Result<()> {
        let header = Header::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        if sections.is_empty() {
            return Ok(());
        }
        for section in sections.iter() {
            let flags = section.sh_flags(endian).0;
            // Thread-local sections have addresses that overlap what follows them.
            if flags & elf::SHF_ALLOC.0 != 0 && flags & elf::SHF_TLS.0 == 0 {
                let start = section.sh_addr(endian);
                self.sections.push((start, start.saturating_add(section.sh_size(endian))));
            }
        }
        self.exports = Some(self.read_symbols(&sections, endian, data)?);
        self.unique = unique::find(&sections, endian, data)?;
        if let Some((dynamic, link)) = sections.dynamic(endian, data)? {
            let strings = sections.strings(endian, data, link)?;
            for entry in dynamic {
                let tag = entry.d_tag(endian);
                let Ok(text) = entry.string(endian, strings) else { continue };
                if tag == elf::DT_NEEDED {
                    self.needed.push(String::from_utf8_lossy(text).into_owned());
                } else if tag == elf::DT_RUNPATH || tag == elf::DT_RPATH {
                    self.uses_origin |= text.windows(6).any(|part| part == b"ORIGIN");
                }
            }
        }
        self.runtime = self.guess_runtime(&sections, endian, data);
        Ok(())
    }

    fn read_symbols(
        &mut self,
        sections: &SectionTable<'_, Header>,
        endian: Endianness,
        data: &[u8],
    ) -> object::read::Result<Vec<String>> {
        let mut exports = Vec::new();
        for table in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
            let symbols = sections.symbols(endian, data, table)?;
            for symbol in symbols.iter() {
                if symbol.is_undefined(endian) {
                    continue;
                }
                if symbol.st_type() == elf::STT_OBJECT {
                    self.objects.push((symbol.st_value(endian), symbol.st_size(endian)));
                }
                if table == elf::SHT_DYNSYM {
                    let visible = symbol.st_visibility() == elf::STV_DEFAULT
                        || symbol.st_visibility() == elf::STV_PROTECTED;
                    if !symbol.is_local() && visible {
                        let name = symbol.name(endian, symbols.strings())?;
                        exports.push(String::from_utf8_lossy(name).into_owned());
                    }
                } else if let Ok(name) = symbol.name(endian, symbols.strings()) {
                    let named = |abi: &Abi| name == abi.symbol().to_bytes();
                    self.in_symtab.extend([Abi::V1, Abi::V2].into_iter().filter(named));
                }
            }
        }
        Ok(exports)
    }

    fn guess_runtime(
        &self,
        sections: &SectionTable<'_, Header>,
        endian: Endianness,
        data: &[u8],
    ) -> Option<&'static str> {
        if sections.section_by_name(endian, b".go.buildinfo").is_some() {
            return Some("go");
        }
        let comment = sections
            .section_by_name(endian, b".comment")
            .and_then(|(_, section)| section.data(endian, data).ok())
            .unwrap_or_default();
        let says = |word: &[u8]| comment.windows(word.len()).any(|part| part == word);
        let needs = |library: &str| self.needed.iter().any(|name| name.starts_with(library));
        if says(b"rustc") {
            Some("rust")
        } else if needs("libstdc++") || needs("libc++") {
            Some("c++")
        } else if says(b"GCC") || says(b"clang") {
            Some("c")
        } else {
            None
        }
    }
}

/// The names most like the entry function's, most alike first.
fn nearest(names: &[String]) -> Vec<String> {
    let wanted = NR_ENTRY_SYMBOL.to_bytes();
    let rank = |name: &str| {
        let shared = name.bytes().zip(wanted).take_while(|(one, other)| one == *other).count();
        let family = if name.contains("nylon_ring_get_plugin") {
            0
        } else if name.contains("nylon_ring") {
            1
        } else if name.contains("plugin") {
            2
        } else {
            3
        };
        (family, std::cmp::Reverse(shared))
    };
    let mut nearest: Vec<&String> = names.iter().collect();
    nearest.sort_by_key(|name| (rank(name), *name));
    // Versions of one symbol.
    nearest.dedup();
    nearest.into_iter().take(EXPORTS_SHOWN_MAX).cloned().collect()
}
