// SPDX-License-Identifier: BSD-3-Clause
//! The files that the code of a crashed worker is in.
//!
//! A worker maps a copy of the plugin's file that is gone: its host has the bytes.
//!
//! The symbols and the debug information of a file may be in another one, which debuggers find by its build id or by
//! its name in `.gnu_debuglink`:
//!
//! ```text
//!   /usr/lib/debug/.build-id/01/23456789….debug
//!   FOLDER/NAME   FOLDER/.debug/NAME   /usr/lib/debug/FOLDER/NAME
//! ```
//!
//! It is taken if it has the build id of the file, which the linker has put into both.
//!
//! The worker's own program has names and no lines: its debug information is as long as all else that is read, and the
//! time for that is another plugin's.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use becket_sandbox::crash::{Mapping, Record};
use object::read::elf::ElfFile64;
use object::read::{Object, ObjectSection, ObjectSegment, ReadCache};
use object::{CompressionFormat, Endianness};
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

/// Of a file that is opened.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// Of a section that is read.
const SECTION_BYTES_MAX: u64 = 256 << 20;
/// After this time of a processor no further file is read.
const CPU_SECONDS_MAX: i64 = 5;
/// Where systems install debug information.
const DEBUG_FOLDER: &str = "/usr/lib/debug";
/// What are files to the kernel alone.
const NO_FILES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The plugin's file.
#[derive(Debug)]
pub(super) struct PluginFile {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl PluginFile {
    /// Whether this is its image in a worker: a copy that is gone.
    fn is_in(&self, mapping: &Mapping) -> bool {
        mapping.path == self.path
            || mapping.is_removed && mapping.path.file_name() == self.path.file_name()
    }
}

/// The files of one record.
pub(super) struct Modules<'a> {
    record: &'a Record,
    plugin: Option<&'a PluginFile>,
    /// The worker's program, which is this process's.
    program: Option<PathBuf>,
    /// By mappings, those that were looked for.
    seen: Vec<(&'a Mapping, Module)>,
}

/// One file, at the place where it was mapped.
pub(super) struct Module {
    /// As people know it.
    pub(super) name: Option<String>,
    pub(super) is_plugin: bool,
    /// Its debug information is read.
    pub(super) has_lines: bool,
    pub(super) image: Option<Image>,
}

/// A file that could be read.
pub(super) struct Image {
    data: ReadCache<File>,
    /// The other file, with its symbols and debug information.
    debug: Option<ReadCache<File>>,
    /// What is to be subtracted from an address to have the file's own.
    pub(super) bias: u64,
}

pub(super) type Elf<'a> = ElfFile64<'a, Endianness, &'a ReadCache<File>>;

impl<'a> Modules<'a> {
    pub(super) fn new(record: &'a Record, plugin: Option<&'a PluginFile>) -> Self {
        Self { record, plugin, program: env::current_exe().ok(), seen: Vec::new() }
    }

    /// The module at an address, looked for if it is the first time; true then. `None`: there is no code.
    pub(super) fn look(&mut self, address: u64) -> Option<(&'a Mapping, bool)> {
        let mapping = self.record.mapping(address)?;
        if self.seen.iter().any(|(seen, _)| *seen == mapping) {
            return Some((mapping, false));
        }
        let module = self.open(mapping);
        self.seen.push((mapping, module));
        Some((mapping, true))
    }

    /// The module at an address, if it was looked for.
    pub(super) fn at(&self, address: u64) -> Option<&Module> {
        let of =
            |(mapping, _): &&(&Mapping, Module)| (mapping.start..mapping.end).contains(&address);
        self.seen.iter().find(of).map(|(_, module)| module)
    }

    /// This process has used its time of a processor: nothing more is read.
    pub(super) fn is_late(&self) -> bool {
        clock_gettime(ClockId::ProcessCPUTime).tv_sec >= CPU_SECONDS_MAX
    }

    fn open(&self, mapping: &Mapping) -> Module {
        let plugin = self.plugin.filter(|plugin| plugin.is_in(mapping));
        let path = plugin.map_or(&mapping.path, |plugin| &plugin.path);
        let name = Some(super::text(&path.to_string_lossy())).filter(|name| !name.is_empty());
        let has_lines = plugin.is_some() || self.program.as_ref() != Some(path);
        let module = Module { name, is_plugin: plugin.is_some(), has_lines, image: None };
        let file = match plugin {
            _ if self.is_late() => return module,
            Some(plugin) => plugin.file.try_clone().ok(),
            // Of another removed file only the name is left.
            None if mapping.is_removed => return module,
            None => file(path).ok().flatten(),
        };
        let image = file.and_then(|file| Image::at(mapping, file, path));
        Module { image, ..module }
    }
}

/// Opens a file that can be read without waiting.
fn file(path: &Path) -> io::Result<Option<File>> {
    if !path.is_absolute() || NO_FILES.iter().any(|folder| path.starts_with(folder)) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let is_taken = metadata.is_file() && metadata.len() <= FILE_BYTES_MAX;
    Ok(is_taken.then_some(file))
}

impl Image {
    /// A file that was mapped there; `None`: it was not, or is of another form.
    fn at(mapping: &Mapping, file: File, path: &Path) -> Option<Self> {
        let data = ReadCache::new(file);
        let elf = Elf::parse(&data).ok()?;
        let bias = bias(mapping, &elf)?;
        let debug = debug_file(&elf, path);
        Some(Self { data, debug, bias })
    }

    pub(super) fn elf(&self) -> Option<Elf<'_>> {
        Elf::parse(&self.data).ok()
    }

    /// The file with its symbols and debug information, if that is another one.
    pub(super) fn debug_elf(&self) -> Option<Elf<'_>> {
        Elf::parse(self.debug.as_ref()?).ok()
    }
}

/// The file with the debug information of the one at this path, unless that has its own.
fn debug_file(elf: &Elf<'_>, path: &Path) -> Option<ReadCache<File>> {
    if elf.section_by_name(".debug_info").is_some() {
        return None;
    }
    let id = elf.build_id().ok()??;
    let is_of_it = |path: &PathBuf| {
        let data = ReadCache::new(file(path).ok()??);
        let is_same = Elf::parse(&data).ok()?.build_id() == Ok(Some(id));
        is_same.then_some(data)
    };
    let (first, rest) = id.split_first()?;
    let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    let by_id = format!("{DEBUG_FOLDER}/.build-id/{first:02x}/{hex}.debug");
    let link = elf.gnu_debuglink().ok().flatten();
    let name = link.and_then(|(name, _)| Path::new(OsStr::from_bytes(name)).file_name());
    let by_name = name.zip(path.parent()).map(|(name, folder)| {
        let below = folder.strip_prefix("/").unwrap_or(folder);
        let folders = [folder, &folder.join(".debug"), &Path::new(DEBUG_FOLDER).join(below)];
        folders.map(|folder| folder.join(name))
    });
    std::iter::once(by_id.into())
        .chain(by_name.into_iter().flatten())
        .find_map(|path| is_of_it(&path))
}

/// The difference between an address and the file's own: from the segment of code that the mapping begins in.
/// Another one may end in the same page.
fn bias(mapping: &Mapping, elf: &Elf<'_>) -> Option<u64> {
    let mut segments = elf.segments().filter(|segment| segment.permissions().executable());
    let segment = segments.find_map(|segment| {
        let (offset, bytes) = segment.file_range();
        let page = segment.align().max(1);
        let first = offset.checked_sub(offset % page)?;
        let range = first..offset.checked_add(bytes)?;
        range.contains(&mapping.offset).then(|| segment.address().wrapping_sub(offset))
    })?;
    Some(mapping.start.wrapping_sub(mapping.offset.wrapping_add(segment)))
}

/// A section's bytes and its first address, unless it is compressed or too long.
pub(super) fn section<'a>(elf: &Elf<'a>, name: &str) -> Option<(u64, &'a [u8])> {
    let section = elf.section_by_name(name)?;
    let range = section.compressed_file_range().ok()?;
    let is_plain = range.format == CompressionFormat::None;
    let is_read = is_plain && range.uncompressed_size <= SECTION_BYTES_MAX;
    is_read.then(|| Some((section.address(), section.data().ok()?)))?
}
