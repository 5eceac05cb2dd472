// SPDX-License-Identifier: BSD-3-Clause
//! From a path, or a plugin linked into this binary, to functions that can be called.
//!
//! ```text
//!   name ──file──▶ bytes, SHA-256 ──soundness, elf──▶ whole, right machine, exports the symbol
//!        ──image──▶ private copy, dlopen, entry function ──info──▶ NrPluginInfo, checked
//!        ──dialect──▶ layout and why ──entry_points──▶ EntryPoints
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`file`](mod@file) | search path, the one read of the file, its digest |
//! | [`soundness`] | whether the file is a whole shared library for this machine |
//! | [`elf`] | symbols, sections, needed libraries |
//! | [`image`] | the private copy, mapping and unmapping |
//! | [`unique`] | C++ objects that the linker would share between copies |
//! | [`memory`] | reading plugin memory without trusting pointers |
//! | [`info`] | `NrPluginInfo` |
//! | [`dialect`] | the vtable layouts, one file each |
//! | [`entry_points`] | the functions in one shape |
//! | [`entry`] | the entries that `describe` reports |
//! | [`inspect`](mod@inspect) | all of it as a report |
//! | [`error`] | everything that can go wrong |
//!
//! Loading runs code of the plugin: its constructors and its entry function. `attach` and `init`
//! are called by the host, later.
//!
//! # Invariants
//!
//! 1. A pointer from the plugin is never dereferenced here: the kernel copies what it points to.
//! 2. An ambiguous layout is refused, never guessed.
//! 3. A failed load leaves an image mapped if it was mapped at all: its constructors may have
//!    started what cannot be stopped.

mod dialect;
mod elf;
mod entry;
mod entry_points;
mod error;
mod file;
mod image;
mod info;
mod inspect;
mod memory;
mod remote;
mod soundness;
#[cfg(test)]
mod tests;
mod unique;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use becket_abi::{LinkedPlugin, NR_ABI_VERSION, NrPluginInfo};
use serde::{Deserialize, Serialize};

use self::dialect::Chosen;
use self::elf::{Abi, ElfFacts, Extent};
pub use self::entry::{EntryInfo, EntryKind};
pub(crate) use self::entry_points::EntryPoints;
use self::entry_points::Table;
pub use self::error::{CoroutineDefect, InfoDefect, LoadError, LoadStage};
use self::file::PluginFile;
pub use self::file::read_plugin_file;
pub(crate) use self::image::Image;
use self::image::Opened;
use self::info::Info;
pub use self::inspect::{Inspection, SlotInfo, inspect};
pub use self::remote::{
    Metadata, NotStarted, Remote, RemoteCall, RemoteEntry, RemoteSpec, SandboxInfo, SandboxMeasure,
    StartRemote, Started,
};
pub(crate) use self::remote::{RemoteRef, load as start_remote};

/// Where a plugin comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A file, by path or by name.
    Path(PathBuf),
    /// This binary.
    Linked(LinkedPlugin),
}

/// Where a plugin runs.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// In this process.
    Here(Source),
    /// In another one.
    Elsewhere(Arc<dyn StartRemote>),
}

/// How to load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadOptions<'a> {
    /// Where a name without a slash is looked for.
    pub(crate) search_path: &'a [PathBuf],
    /// The vtable's layout, instead of recognising it.
    pub(crate) layout: Option<Layout>,
    /// The file, already open: its path is only its name then.
    pub(crate) file: Option<&'a File>,
    /// The digest that the file must have.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Load a private copy, so that a later load of the same path gets the bytes of that time.
    pub(crate) private_copy: bool,
}

/// Called before each stage of a load; an error ends the load there.
pub(crate) type Begin<'a> = &'a dyn Fn(LoadStage) -> Result<(), LoadError>;

/// What an inline placement needs of a plugin.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) image: Image,
    pub(crate) points: EntryPoints,
    /// `None`: the grown one, by the plugin's own `vtable_size`.
    pub(crate) layout: Option<Layout>,
    pub(crate) flags: u32,
    /// It has the documented `NrPluginInfo`, which carries no mark of what it was built with.
    pub(crate) unmarked: bool,
    /// Where it runs, if its functions only pass calls on.
    pub(crate) remote: Option<RemoteRef>,
}

/// A loaded plugin, not attached and not initialised.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) mapped: Mapped,
    pub(crate) reported_name: String,
    pub(crate) version: String,
    /// What its handlers want on a coroutine; 0: as it comes.
    pub(crate) coroutine_stack_bytes: u64,
    /// It was built by the Go compiler.
    pub(crate) is_go: bool,
    pub(crate) config_default: String,
    /// Where it runs.
    pub(crate) placement: &'static str,
    /// What its process may do, if it has one.
    pub(crate) sandbox: Option<SandboxInfo>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) sha256: Option<[u8; 32]>,
}

/// A vtable layout that a plugin without a mark of its own may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// init, handle, shutdown, stream_data, stream_close.
    Documented,
    /// init, handle, handle_raw, shutdown, stream_data, stream_close.
    Raw,
    /// init, handle, shutdown.
    Short,
    /// That of version 2 of the ABI: init, handle, shutdown, stream_data, stream_close,
    /// resolve_entry, handle_by_id, none of which takes a `plugin_ctx`. A file that exports the
    /// symbols of both versions is read so only if this is asked for.
    V2,
}

/// The name of the layout that a plugin was found to have; `None`: by its own `vtable_size`.
pub(crate) fn layout_name(layout: Option<Layout>) -> &'static str {
    layout.map_or("becket", Layout::name)
}

impl Layout {
    /// The layout of this name; `None` for any other.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// Every layout.
    pub const ALL: [Self; 4] = [Self::Documented, Self::Raw, Self::Short, Self::V2];

    /// The name in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Raw => "raw",
            Self::Short => "short",
            Self::V2 => "v2",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no vtable layout; there are documented, raw, short and v2")]
pub struct UnknownLayout(String);

impl FromStr for Layout {
    type Err = UnknownLayout;

    fn from_str(text: &str) -> Result<Self, UnknownLayout> {
        Self::from_name(text).ok_or_else(|| UnknownLayout(text.to_owned()))
    }
}

/// Loads a plugin; does not call `attach` or `init`.
pub(crate) fn load(
    source: &Source,
    options: &LoadOptions<'_>,
    stage: Begin<'_>,
) -> Result<Loaded, LoadError> {
    let (bound, path, sha256, is_go) = match source {
        Source::Path(name) => {
            let file = match options.file {
                Some(file) => PluginFile::of_open(name, file, options.sha256)?,
                None => PluginFile::read(name, options.search_path, options.sha256)?,
            };
            let facts = ElfFacts::read(&file)?;
            let is_go = facts.runtime == Some("go");
            (bind_file(&file, &facts, options, stage)?, Some(file.path), Some(file.sha256), is_go)
        }
        Source::Linked(plugin) => {
            stage(LoadStage::EntryFunction)?;
            let opened = Image::linked(*plugin);
            (bind("(linked into this program)", opened, None, options.layout)?, None, None, false)
        }
    };
    let Bound { image, entry_points, info, chosen } = bound;
    let layout = chosen.dialect.layout();
    let place = path.as_deref().map(|path| tracing::field::display(path.display()));
    let (plugin, name, why) = (info.name.as_str(), layout_name(layout), chosen.why.as_str());
    if is_unmarked(&info) || layout == Some(Layout::V2) {
        // Recognised or asked for: a reader of the log may know better.
        tracing::info!(plugin, path = place, layout = name, why, "plugin mapped");
    } else {
        tracing::debug!(plugin, path = place, layout = name, why, "plugin mapped");
    }
    let unmarked = is_unmarked(&info);
    Ok(Loaded {
        mapped: Mapped {
            image,
            points: entry_points,
            layout,
            flags: info.flags,
            unmarked,
            remote: None,
        },
        reported_name: info.name,
        version: info.version,
        coroutine_stack_bytes: info.coroutine_stack_bytes,
        is_go,
        config_default: info.config_default,
        placement: "inline",
        sandbox: None,
        path,
        sha256,
    })
}

/// A mapped plugin whose functions are known.
struct Bound {
    image: Image,
    entry_points: EntryPoints,
    info: Info,
    chosen: Chosen,
}

fn bind_file(
    file: &PluginFile,
    facts: &ElfFacts,
    options: &LoadOptions<'_>,
    stage: Begin<'_>,
) -> Result<Bound, LoadError> {
    let opened = Image::open(file, facts, options.layout, options.private_copy, stage)?;
    let mut bound = bind(&display(&file.path), opened, Some(facts), options.layout)?;
    if facts.has(Abi::V1) && facts.has(Abi::V2) {
        let (plugin, version) = (bound.info.name.as_str(), bound.info.abi_version);
        tracing::info!(plugin, version, "the plugin has both versions of the ABI; one is used");
        bound.chosen.why.push_str(", and it exports the other version's entry function too");
    }
    // Only what carries no mark can be one; with a layout that is asked for, the mark is overruled.
    if is_unmarked(&bound.info)
        && options.layout.is_none()
        && let Some(version) = elf::without_plugin_ctx(&file.bytes)
    {
        return Err(LoadError::WithoutPluginCtx { plugin: display(&file.path), version });
    }
    Ok(bound)
}

fn bind(
    plugin: &str,
    opened: Opened,
    facts: Option<&ElfFacts>,
    wanted: Option<Layout>,
) -> Result<Bound, LoadError> {
    // The info grows with the documented layout; the headers of the other layouts have no such
    // field.
    let abi = opened.abi;
    let grown = abi == Abi::V1 && matches!(wanted, None | Some(Layout::Documented));
    let info = Info::read(plugin, opened.info, abi, grown)?;
    let mapped = opened.mapped.unwrap_or_default();
    let extent = match facts {
        Some(facts) if mapped.contains(info.vtable) => {
            facts.extent(info.vtable.wrapping_sub(mapped.bias) as u64)
        }
        // On the plugin's heap, or in this binary: no symbol leads there.
        _ => Extent::default(),
    };
    let chosen = dialect::choose(plugin, &info, abi, wanted, &mapped, extent)?;
    let entry_points = chosen.dialect.bind(&Table {
        plugin,
        slots: chosen.dialect.slots(),
        words: &chosen.words,
        plugin_ctx: info.plugin_ctx,
        attach: info.attach,
    })?;
    Ok(Bound { image: opened.image, entry_points, info, chosen })
}

/// True for the documented info of version 1, which carries no mark of what it was built with.
fn is_unmarked(info: &Info) -> bool {
    info.abi_version == NR_ABI_VERSION && info.struct_size == NrPluginInfo::STRUCT_SIZE_DOCUMENTED
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
