// SPDX-License-Identifier: BSD-3-Clause
//! Is this file a whole shared library for this machine?
//!
//! The dynamic linker trusts what it opens: it maps what the program headers promise and writes
//! where the relocations say, so a file that is still being copied kills the process with `SIGBUS`
//! or `SIGSEGV`. Everything here is read from the bytes and refused as an error instead.
//!
//! What is guaranteed of an accepted file:
//!
//! 1. It is a 64-bit ELF shared object for this machine and byte order.
//! 2. Program headers, section headers, and the bytes of every segment lie within the file.
//! 3. Segments to load ascend, do not overlap, and are aligned so that they can be mapped.
//! 4. Where there are section headers, they agree with the program headers: a section
//!    that is mapped lies in a segment, at the same offset, with the rights it needs.
//! 5. Every table that the dynamic section names lies within a segment, and every relocation
//!    writes into a segment that may be written.
//!
//! What is not: the meaning of code and data, the dynamic section's and the symbols' included. A
//! file made to deceive, or damaged in its code, can still crash the process that opens it, as can
//! its constructors. That is what a pinned SHA-256 is for.

use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _};

use super::error::LoadError;

type Header = FileHeader64<Endianness>;

const HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;
const SECTION_HEADER_BYTES: u64 = 64;
/// The largest page that a machine in the table below may have.
const PAGE_BYTES_MAX: u64 = 64 * 1024;
const RELA_BYTES: usize = 24;
/// More segments than this no linker makes.
const SEGMENTS_MAX: usize = 256;
/// No segment begins or ends above this address.
const ADDRESS_MAX: u64 = 1 << 46;

/// Machines by their ELF number, with Rust's name for them.
const MACHINES: [(u16, &str); 8] = [
    (3, "x86"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

/// Accepts the file and returns its machine's name, or the defect as an error.
pub(super) fn check(path: &Path, data: &[u8]) -> Result<&'static str, LoadError> {
    Checked { path, data }.run()
}

struct Checked<'a> {
    path: &'a Path,
    data: &'a [u8],
}

/// A segment to load.
#[derive(Clone, Copy)]
struct Load {
    start: u64,
    file_end: u64,
    end: u64,
    offset: u64,
    flags: u32,
}

impl Load {
    fn holds(&self, start: u64, len: u64) -> bool {
        start >= self.start && start.checked_add(len).is_some_and(|end| end <= self.end)
    }
}

impl Checked<'_> {
    fn run(&self) -> Result<&'static str, LoadError> {
        if !self.data.starts_with(b"\x7fELF") {
            let found = looks_like(self.data);
            return Err(LoadError::NotElf { path: self.path.to_owned(), found });
        }
        self.fits("header", HEADER_BYTES)?;
        let machine = self.machine()?;
        let header = Header::parse(self.data).map_err(|error| self.corrupt(error))?;
        let endian = header.endian().map_err(|error| self.corrupt(error))?;
        if header.e_type(endian) != elf::ET_DYN {
            let found = match header.e_type(endian).0 {
                1 => "an object file (.o)",
                2 => "an ELF program",
                4 => "a core dump",
                _ => "an ELF file of an unknown type",
            };
            return Err(LoadError::NotElf { path: self.path.to_owned(), found });
        }
        let loads = self.program_headers(header, endian)?;
        self.section_headers(header, endian, &loads)?;
        Ok(machine)
    }

    fn machine(&self) -> Result<&'static str, LoadError> {
        let byte = |at: usize| self.data.get(at).copied().unwrap_or(0);
        let little = byte(5) == 1;
        let number = [byte(18), byte(19)];
        let number = if little { u16::from_le_bytes(number) } else { u16::from_be_bytes(number) };
        let name = MACHINES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
        let wanted = std::env::consts::ARCH;
        let bits = if byte(4) == 2 { "64-bit" } else { "32-bit" };
        let order = if little { "little-endian" } else { "big-endian" };
        match name {
            Some(name)
                if name == wanted && byte(4) == 2 && little == cfg!(target_endian = "little") =>
            {
                Ok(name)
            }
            _ => Err(LoadError::WrongArchitecture {
                path: self.path.to_owned(),
                found: match name {
                    Some(name) => format!("{name} ({bits}, {order})"),
                    None => format!("machine number {number} ({bits}, {order})"),
                },
                wanted,
            }),
        }
    }

    fn program_headers(&self, header: &Header, endian: Endianness) -> Result<Vec<Load>, LoadError> {
        let count = u64::from(header.phnum(endian, self.data).map_err(|e| self.corrupt(e))?);
        let table = header.e_phoff(endian).saturating_add(count * PROGRAM_HEADER_BYTES);
        self.fits("program headers", table)?;
        let headers =
            header.program_headers(endian, self.data).map_err(|error| self.corrupt(error))?;
        if headers.len() > SEGMENTS_MAX {
            return Err(self.corrupt(format!("it has {} segments", headers.len())));
        }
        let mut loads: Vec<Load> = Vec::new();
        for (number, program) in headers.iter().enumerate() {
            let offset = program.p_offset(endian);
            let len = program.p_filesz(endian);
            self.fits("segments", offset.saturating_add(len))?;
            if program.p_type(endian) == elf::PT_LOAD {
                let load = self.load(number, program, endian)?;
                if loads.last().is_some_and(|last| load.start < last.end) {
                    return Err(self.corrupt(format!("segment {number} overlaps the one before")));
                }
                loads.push(load);
            }
        }
        for program in headers {
            let kind = program.p_type(endian);
            let inside = kind == elf::PT_DYNAMIC
                || kind == elf::PT_TLS
                || kind == elf::PT_GNU_RELRO
                || kind == elf::PT_PHDR;
            if inside {
                let start = program.p_vaddr(endian);
                let len = program.p_filesz(endian);
                // The linker protects all of the read-only-after-relocation part, whose last page
                // may be rounded up; of a thread-local image only what is in the file is mapped.
                let mapped = if kind == elf::PT_GNU_RELRO {
                    program.p_memsz(endian).saturating_sub(PAGE_BYTES_MAX).max(len)
                } else {
                    len
                };
                let load = loads.iter().find(|load| load.holds(start, mapped));
                let agrees = load.is_some_and(|load| {
                    len == 0 || start - load.start + load.offset == program.p_offset(endian)
                });
                if !agrees {
                    return Err(self.corrupt(format!("{kind:?} lies outside of its segments")));
                }
            }
        }
        let mut dynamics = headers.iter().filter(|p| p.p_type(endian) == elf::PT_DYNAMIC);
        match (dynamics.next(), dynamics.next()) {
            (Some(dynamic), None) => self.dynamic(dynamic, endian, &loads)?,
            _ => return Err(self.corrupt("it does not have exactly one dynamic section")),
        }
        Ok(loads)
    }

    fn load(
        &self,
        number: usize,
        program: &ProgramHeader64<Endianness>,
        endian: Endianness,
    ) -> Result<Load, LoadError> {
        let start = program.p_vaddr(endian);
        let offset = program.p_offset(endian);
        let file_len = program.p_filesz(endian);
        let len = program.p_memsz(endian);
        let align = program.p_align(endian).max(1);
        let end = start.saturating_add(len);
        if file_len > len || end > ADDRESS_MAX {
            return Err(self.corrupt(format!("segment {number} has impossible sizes")));
        }
        if !align.is_power_of_two() || (start % align) != (offset % align) {
            return Err(self.corrupt(format!("segment {number} is not aligned")));
        }
        let flags = program.p_flags(endian).0;
        Ok(Load { start, file_end: start + file_len, end, offset, flags })
    }

    fn dynamic(
        &self,
        program: &ProgramHeader64<Endianness>,
        endian: Endianness,
        loads: &[Load],
    ) -> Result<(), LoadError> {
        let entries = program.dynamic(endian, self.data).map_err(|error| self.corrupt(error))?;
        let entries = entries.unwrap_or_default();
        let value = |wanted: elf::DynamicTag| {
            entries
                .iter()
                .take_while(|entry| entry.d_tag(endian) != elf::DT_NULL)
                .find(|entry| entry.d_tag(endian) == wanted)
                .map(|entry| entry.d_val(endian))
        };
        if !entries.iter().any(|entry| entry.d_tag(endian) == elf::DT_NULL) {
            return Err(self.corrupt("its dynamic section has no end"));
        }
        for required in [elf::DT_STRTAB, elf::DT_SYMTAB] {
            if value(required).is_none() {
                return Err(self.corrupt(format!("its dynamic section has no {required:?}")));
            }
        }
        let tables = [
            (elf::DT_STRTAB, Some(elf::DT_STRSZ)),
            (elf::DT_SYMTAB, None),
            (elf::DT_HASH, None),
            (elf::DT_GNU_HASH, None),
            (elf::DT_RELA, Some(elf::DT_RELASZ)),
            (elf::DT_JMPREL, Some(elf::DT_PLTRELSZ)),
            (elf::DT_INIT_ARRAY, Some(elf::DT_INIT_ARRAYSZ)),
            (elf::DT_FINI_ARRAY, Some(elf::DT_FINI_ARRAYSZ)),
            (elf::DT_INIT, None),
            (elf::DT_FINI, None),
            (elf::DT_VERSYM, None),
            (elf::DT_VERNEED, None),
            (elf::DT_VERDEF, None),
            (elf::DT_PLTGOT, None),
        ];
        for (tag, size) in tables {
            let Some(start) = value(tag) else { continue };
            let len = size.map_or(Some(1), value).unwrap_or(0);
            if !loads.iter().any(|load| load.holds(start, len)) {
                return Err(self.corrupt(format!("the table {tag:?} lies outside of its segments")));
            }
        }
        if value(elf::DT_TEXTREL).is_some() {
            return Ok(());
        }
        for (tag, size) in [(elf::DT_RELA, elf::DT_RELASZ), (elf::DT_JMPREL, elf::DT_PLTRELSZ)] {
            if let (Some(start), Some(len)) = (value(tag), value(size)) {
                self.relocations(start, len, endian, loads)?;
            }
        }
        Ok(())
    }

    fn relocations(
        &self,
        start: u64,
        len: u64,
        endian: Endianness,
        loads: &[Load],
    ) -> Result<(), LoadError> {
        let bytes = loads
            .iter()
            .find(|load| load.holds(start, len) && start.saturating_add(len) <= load.file_end)
            .map(|load| (start - load.start + load.offset) as usize)
            .and_then(|offset| self.data.get(offset..offset.checked_add(len as usize)?))
            .ok_or_else(|| self.corrupt("its relocations lie outside of the file"))?;
        for record in bytes.chunks_exact(RELA_BYTES) {
            let Some((offset, rest)) = record.split_first_chunk::<8>() else { continue };
            let Some(info) = rest.first_chunk::<8>() else { continue };
            let (offset, info) = match endian {
                Endianness::Little => (u64::from_le_bytes(*offset), u64::from_le_bytes(*info)),
                Endianness::Big => (u64::from_be_bytes(*offset), u64::from_be_bytes(*info)),
            };
            // Type 0 does nothing.
            let is_none = info & 0xffff_ffff == 0;
            let writable =
                loads.iter().any(|load| load.flags & elf::PF_W.0 != 0 && load.holds(offset, 8));
            if !is_none && !writable {
                return Err(self.corrupt(format!(
                    "a relocation writes to {offset:#x}, which may not be written"
                )));
            }
        }
        Ok(())
    }

    fn section_headers(
        &self,
        header: &Header,
        endian: Endianness,
        loads: &[Load],
    ) -> Result<(), LoadError> {
        let offset = header.e_shoff(endian);
        if offset == 0 {
            return Ok(());
        }
        self.fits("section headers", offset.saturating_add(SECTION_HEADER_BYTES))?;
        let count = header.shnum(endian, self.data).map_err(|error| self.corrupt(error))?;
        let table = offset.saturating_add(u64::from(count) * SECTION_HEADER_BYTES);
        self.fits("section headers", table)?;
        let sections = header.sections(endian, self.data).map_err(|error| self.corrupt(error))?;
        for section in sections.iter() {
            let flags = section.sh_flags(endian).0;
            let in_file = section.sh_type(endian) != elf::SHT_NOBITS
                && section.sh_type(endian) != elf::SHT_NULL;
            let (start, len) = (section.sh_addr(endian), section.sh_size(endian));
            if flags & elf::SHF_ALLOC.0 == 0 || len == 0 || !in_file {
                continue;
            }
            let agrees = loads.iter().any(|load| {
                let may = |section_flag: u64, segment_flag: u32| {
                    flags & section_flag == 0 || load.flags & segment_flag != 0
                };
                load.holds(start, len)
                    && start.saturating_add(len) <= load.file_end
                    && start - load.start + load.offset == section.sh_offset(endian)
                    && load.flags & elf::PF_R.0 != 0
                    && may(elf::SHF_WRITE.0, elf::PF_W.0)
                    && may(elf::SHF_EXECINSTR.0, elf::PF_X.0)
            });
            if !agrees {
                return Err(
                    self.corrupt(format!("the section at {start:#x} does not match its segment"))
                );
            }
        }
        Ok(())
    }

    fn fits(&self, what: &'static str, needed: u64) -> Result<(), LoadError> {
        let len = self.data.len() as u64;
        if needed <= len {
            return Ok(());
        }
        Err(LoadError::Truncated { path: self.path.to_owned(), what, needed, len })
    }

    fn corrupt(&self, what: impl ToString) -> LoadError {
        LoadError::Corrupt { path: self.path.to_owned(), what: what.to_string() }
    }
}

/// What a file that is no ELF file is.
fn looks_like(data: &[u8]) -> &'static str {
    let starts: [(&[u8], &str); 9] = [
        (b"#!", "a script"),
        (b"MZ", "a Windows library or program"),
        (b"\0asm", "a WebAssembly module"),
        (b"!<arch>", "a static library (.a)"),
        (b"\xcf\xfa\xed\xfe", "a macOS library or program"),
        (b"\xca\xfe\xba\xbe", "a macOS library or program"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"/* GNU ld script", "a linker script"),
    ];
    if data.is_empty() {
        return "empty";
    }
    if let Some((_, what)) = starts.iter().find(|(start, _)| data.starts_with(start)) {
        return what;
    }
    let head = data.get(..data.len().min(512)).unwrap_or_default();
    // A file cut to fewer than four bytes of the ELF mark looks binary, which it is.
    if std::str::from_utf8(head).is_ok() && !head.contains(&0) { "text" } else { "some other file" }
}
