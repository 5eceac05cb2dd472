// SPDX-License-Identifier: BSD-3-Clause
//! Everything that can go wrong while a plugin is loaded.
//!
//! `Display` says what failed with which value, [`LoadError::cause`] why, [`LoadError::hint`] what
//! to try: the three lines that a command prints. `plugin` in a variant is the plugin's path, or
//! says that it is linked into this program.

use std::fmt;
use std::io;
use std::path::PathBuf;

use becket_abi::{NR_ABI_VERSION, NrStatus};

use super::elf::Abi;

/// Why a plugin could not be loaded. The host is unharmed by any of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No file under any of the names tried.
    #[error("no plugin file found for `{}`", name.display())]
    NotFound {
        /// The path or name asked for.
        name: PathBuf,
        /// Every path tried, in order.
        tried: Vec<PathBuf>,
    },
    /// The file is there and cannot be read.
    #[error("cannot read plugin {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The path leads to something else than a file.
    #[error("plugin {} is {what}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The file is larger than any plugin.
    #[error("plugin {} has {len} bytes; a plugin may have {bytes_max}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size; or, if it grew while it was read, how much was read.
        len: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A plugin that runs elsewhere did not start.
    #[error("plugin {plugin} did not start: {why}")]
    Remote {
        /// The plugin.
        plugin: String,
        /// Why.
        why: Box<super::NotStarted>,
    },
    /// The bytes are not the ones that were pinned.
    #[error("plugin {} has SHA-256 {}", path.display(), Hex(found))]
    Digest {
        /// The file.
        path: PathBuf,
        /// The digest of the file.
        found: [u8; 32],
        /// The digest asked for.
        wanted: [u8; 32],
    },
    /// Not a shared library of this kind of system.
    #[error("plugin {} is {found}, not an ELF shared library", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
    },
    /// A shared library for another machine.
    #[error("plugin {} is built for {found}; this host runs on {wanted}", path.display())]
    WrongArchitecture {
        /// The file.
        path: PathBuf,
        /// The file's machine.
        found: String,
        /// The host's.
        wanted: &'static str,
    },
    /// The file ends before what its headers promise.
    #[error("plugin {} is truncated: it has {len} bytes and its {what} end at {needed}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is cut off.
        what: &'static str,
        /// Bytes that the headers promise.
        needed: u64,
        /// Bytes that are there.
        len: u64,
    },
    /// The file's headers contradict each other.
    #[error("plugin {} is corrupt: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        what: String,
    },
    /// The private copy could not be written.
    #[error("cannot write the private copy of plugin {} in {}", path.display(), directory.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// Where the copy was to go.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The dynamic linker refused it.
    #[error("the dynamic linker refused plugin {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The linker's own words.
        reason: String,
        /// The library or symbol that it missed.
        missing: Option<String>,
        /// The file looks for libraries beside itself, and a private copy of it was loaded.
        origin_lost: bool,
    },
    /// The file does not export the entry function.
    #[error("plugin {} does not export `{wanted}`", path.display())]
    SymbolMissing {
        /// The file.
        path: PathBuf,
        /// The entry function's name.
        wanted: &'static str,
        /// The exported names nearest to the one wanted, nearest first.
        exports: Vec<String>,
        /// How many names it exports.
        exports_total: usize,
        /// The function is in the file under its right name, but not exported.
        hidden: bool,
    },
    /// The entry function returned `NULL`.
    #[error("{entry} of plugin {plugin} returned NULL")]
    InfoNull {
        /// The plugin.
        plugin: String,
        /// The entry function's name.
        entry: &'static str,
    },
    /// What the entry function returned is not a usable `NrPluginInfo`.
    #[error("NrPluginInfo of plugin {plugin}: {defect}")]
    Info {
        /// The plugin.
        plugin: String,
        /// What is wrong with it.
        defect: InfoDefect,
    },
    /// Another version of the ABI.
    #[error("plugin {plugin} has ABI version {found}; this host runs version {wanted}")]
    AbiVersion {
        /// The plugin.
        plugin: String,
        /// The plugin's version.
        found: u32,
        /// The version that its entry function's name tells.
        wanted: u32,
    },
    /// The order of the vtable's functions is ambiguous.
    #[error("cannot tell the vtable layout of plugin {plugin}")]
    LayoutUndecided {
        /// The plugin.
        plugin: String,
        /// The evidence that does not agree.
        why: String,
    },
    /// A slot of the vtable leads to something that is not code.
    #[error("`{function}` of plugin {plugin} points to {address:#x}, which is not code")]
    NotCode {
        /// The plugin.
        plugin: String,
        /// The slot.
        function: &'static str,
        /// Where it points.
        address: usize,
    },
    /// A function that every plugin needs is absent.
    #[error("plugin {plugin} has no `{function}`")]
    FunctionMissing {
        /// The plugin.
        plugin: String,
        /// The function.
        function: &'static str,
    },
    /// Its handlers cannot run on coroutines, as it wants.
    #[error("plugin {plugin} wants its handlers on coroutines, and {defect}")]
    Coroutine {
        /// The plugin.
        plugin: String,
        /// Why not.
        defect: CoroutineDefect,
    },
    /// The plugin's `attach` refused.
    #[error("`attach` of plugin {plugin} answered {status}")]
    AttachFailed {
        /// The plugin.
        plugin: String,
        /// What it answered.
        status: NrStatus,
    },
    /// The plugin's `init` refused.
    #[error("`init` of plugin {plugin} answered {status}")]
    InitFailed {
        /// The plugin.
        plugin: String,
        /// What it answered.
        status: NrStatus,
        /// Nothing tells that it was not built with the published `nylon-ring` 0.1, whose functions
        /// take no `plugin_ctx`: it finds `NULL` where it looks for its host, and refuses.
        may_lack_plugin_ctx: bool,
    },
    /// Built with the published crate `nylon-ring` 0.1, which has another ABI under the same
    /// symbol, version and sizes.
    #[error(
        "plugin {plugin} is built with nylon-ring {version}, whose functions are called otherwise"
    )]
    WithoutPluginCtx {
        /// The plugin.
        plugin: String,
        /// The crate's version.
        version: String,
    },
    /// The plugin did not come back in time. It is left as it is, on the thread that called it.
    #[error("{stage} of plugin {plugin} did not return within {timeout_ms} ms")]
    TimedOut {
        /// The plugin.
        plugin: String,
        /// What did not return.
        stage: LoadStage,
        /// How long it was waited for.
        timeout_ms: u64,
    },
    /// There is no thread to load on.
    #[error("cannot start a thread to load plugin {plugin}")]
    Thread {
        /// The plugin.
        plugin: String,
        /// What the system said.
        source: io::Error,
    },
    /// The image runs already, and lacks `BK_PLUGIN_MULTI_INSTANCE`.
    #[error("plugin {plugin} runs already in this process and allows no second instance")]
    SecondInstance {
        /// The plugin.
        plugin: String,
    },
    /// The host has a plugin of that name.
    #[error("a plugin named `{name}` is loaded already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The host is shutting down.
    #[error("the host is shutting down and loads nothing more")]
    ShuttingDown,
}

/// What a load does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadStage {
    /// Finds, reads and checks the file.
    Read,
    /// Maps it; that runs its constructors. Of a plugin that runs elsewhere: starts it there.
    Open,
    /// Calls its entry function.
    EntryFunction,
    /// Calls `attach`.
    Attach,
    /// Calls `init`.
    Init,
    /// Calls `describe` until it has described every entry.
    Describe,
    /// Moves the state of the plugin before to this one.
    HandOver,
}

impl fmt::Display for LoadStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading the file",
            Self::Open => "a constructor",
            Self::EntryFunction => "its entry function",
            Self::Attach => "`attach`",
            Self::Init => "`init`",
            Self::Describe => "`describe`",
            Self::HandOver => "`reload_export` or `reload_import`",
        })
    }
}

/// Why the handlers of a plugin cannot run on coroutines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoroutineDefect {
    /// It has Go's runtime in it.
    #[error("is written in Go")]
    Go,
    /// It lacks `BK_PLUGIN_THREAD_SAFE`.
    #[error("does not say that it is thread-safe")]
    NotThreadSafe,
    /// It asks for too much stack.
    #[error("asks for stacks of {found} bytes, more than {bytes_max}")]
    Stack {
        /// Bytes asked for.
        found: u64,
        /// The limit.
        bytes_max: u64,
    },
}

/// What is wrong with an `NrPluginInfo`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InfoDefect {
    /// The pointer to it cannot be followed.
    #[error("its address {address:#x} {why}")]
    Address {
        /// Where it should be.
        address: usize,
        /// Why not.
        why: &'static str,
    },
    /// `struct_size` cannot be right.
    #[error("struct_size is {found}; it must be 56 (the documented layout) to 4096")]
    StructSize {
        /// The value.
        found: u32,
    },
    /// `vtable_size` cannot be right.
    #[error("vtable_size is {found}; it must be 0 or a multiple of 8 from 40 to 4096")]
    VtableSize {
        /// The value.
        found: u32,
    },
    /// `vtable` is `NULL`.
    #[error("its vtable is NULL")]
    VtableNull,
    /// `vtable` cannot be followed.
    #[error("its vtable at {address:#x} {why}")]
    Vtable {
        /// Where it should be.
        address: usize,
        /// Why not.
        why: &'static str,
    },
    /// A text is no text.
    #[error("{field} (address {address:#x}, {len} bytes) {why}")]
    Text {
        /// Which one.
        field: &'static str,
        /// Where it should be.
        address: usize,
        /// How long it claims to be.
        len: u32,
        /// Why not.
        why: &'static str,
    },
    /// `config_default` is not a JSON object.
    #[error("config_default is not a JSON object: {why}")]
    ConfigDefault {
        /// The first thing wrong with it.
        why: String,
    },
}

impl LoadError {
    /// Why it failed, where that is more than the error itself says.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { tried, .. } => {
                let paths: Vec<String> =
                    tried.iter().map(|path| path.display().to_string()).collect();
                format!("tried {}", paths.join(", "))
            }
            Self::Unreadable { source, .. }
            | Self::Copy { source, .. }
            | Self::Thread { source, .. } => source.to_string(),
            Self::TimedOut { stage: LoadStage::Open, .. } => {
                "its thread, `becket-load`, is left to it, and the dynamic linker with it: no \
                 other plugin can be loaded before it returns"
                    .to_owned()
            }
            Self::TimedOut { .. } => {
                "its thread, `becket-load`, is left to it; what it does later reaches no call"
                    .to_owned()
            }
            Self::Digest { wanted, .. } => format!("the SHA-256 asked for is {}", Hex(wanted)),
            Self::Open { reason, .. } => reason.clone(),
            Self::SymbolMissing { exports, exports_total, .. } => match exports_total {
                0 => "it exports nothing".to_owned(),
                total => format!(
                    "it exports {}{}",
                    exports.join(", "),
                    match total.saturating_sub(exports.len()) {
                        0 => String::new(),
                        more => format!(" and {more} more"),
                    }
                ),
            },
            Self::LayoutUndecided { why, .. } => why.clone(),
            Self::WithoutPluginCtx { .. } => {
                "its functions take no plugin_ctx and its answers have another shape, under the \
                 symbol, the version and the sizes of the documented ABI"
                    .to_owned()
            }
            Self::InitFailed { may_lack_plugin_ctx: true, .. } => {
                "the plugin says no more; one built with nylon-ring 0.1.0 to 0.1.4 of crates.io \
                 always answers so, since its `init` takes no plugin_ctx and finds no host"
                    .to_owned()
            }
            Self::Coroutine { defect: CoroutineDefect::Go, .. } => {
                "Go's runtime moves its goroutines between stacks of its own and cannot run on a \
                 stack that it did not make"
                    .to_owned()
            }
            Self::Coroutine { defect: CoroutineDefect::NotThreadSafe, .. } => {
                "handlers on coroutines interleave at each of their waits, on several threads"
                    .to_owned()
            }
            Self::Info { defect: InfoDefect::StructSize { found: 0 }, .. } => {
                "the structure is not filled in".to_owned()
            }
            Self::Remote { why, .. } => return why.cause.clone(),
            _ => return None,
        })
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { name, .. } if !name.as_os_str().as_encoded_bytes().contains(&b'/') => {
                format!(
                    "build the plugin, or give its path with a slash in it, such as ./{}",
                    name.display()
                )
            }
            Self::NotFound { .. } => "build the plugin, or check the path".to_owned(),
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "the host's user needs read permission on the file and its directories".to_owned()
            }
            Self::NotAFile { .. } => "give the path of the plugin's .so file".to_owned(),
            Self::TooLarge { .. } => {
                "strip its debug information (strip --strip-debug), or move data that it reads into \
                 files beside it"
                    .to_owned()
            }
            Self::Digest { .. } => "if the new file is meant, pin its digest instead".to_owned(),
            Self::NotElf { found: "empty", .. } | Self::Truncated { .. } => {
                "wait until the file is written completely, or build it again; write to another \
                 name and rename it into place"
                    .to_owned()
            }
            Self::NotElf { .. } => {
                "build it as a shared library: cc -shared -fPIC, crate-type = [\"cdylib\"], \
                 go build -buildmode=c-shared, zig build-lib -dynamic"
                    .to_owned()
            }
            Self::WrongArchitecture { wanted, .. } => format!("build it for {wanted}"),
            Self::Corrupt { .. } => "build the plugin again, or copy it again".to_owned(),
            Self::Copy { .. } => {
                "set TMPDIR to a directory that the host may write to, or private_copy = false"
                    .to_owned()
            }
            Self::Open { origin_lost: true, .. } => {
                "the file looks for libraries beside itself ($ORIGIN) and the host loads a private \
                 copy of it: set private_copy = false, or link those libraries into the plugin"
                    .to_owned()
            }
            Self::Open { missing: Some(missing), .. } if missing.contains(".so") => {
                format!("install `{missing}`, or add its directory to LD_LIBRARY_PATH")
            }
            Self::Open { missing: Some(missing), .. } => {
                format!("`{missing}` is defined nowhere: link the library that has it")
            }
            Self::Open { reason, .. } if reason.contains("failed to map segment") => {
                "the directory may be mounted noexec: set TMPDIR to another one, or \
                 private_copy = false"
                    .to_owned()
            }
            Self::SymbolMissing { hidden: true, .. } => {
                "the function is there but hidden: export it with NR_EXPORT, \
                 __attribute__((visibility(\"default\"))) or the linker's version script"
                    .to_owned()
            }
            Self::SymbolMissing { exports, .. } => symbol_hint(exports),
            Self::AbiVersion { wanted: NR_ABI_VERSION, .. } => {
                format!("build the plugin against nylon_ring.h of ABI version {NR_ABI_VERSION}")
            }
            Self::AbiVersion { wanted, .. } => {
                format!(
                    "build the plugin against nylon_ring.h of ABI version {NR_ABI_VERSION}, or with \
                     a header or crate of version {wanted}"
                )
            }
            Self::LayoutUndecided { .. } => {
                "set `layout` to the header that the plugin was built with: documented (init, \
                 handle, shutdown, stream_data, stream_close), raw (handle_raw after handle) or \
                 short (init, handle, shutdown)"
                    .to_owned()
            }
            Self::NotCode { .. } => {
                "check that the vtable's functions are in the header's order, and that `layout`, \
                 if set, is the plugin's"
                    .to_owned()
            }
            Self::FunctionMissing { .. } => {
                "every plugin needs `init` and one of `handle` and `handle_raw`".to_owned()
            }
            Self::Coroutine { defect, .. } => match defect {
                CoroutineDefect::Go => {
                    "clear BK_PLUGIN_WANTS_COROUTINE: a goroutine for each call or stream waits in \
                     straight-line code as well (HandleStream of the Go SDK)"
                }
                CoroutineDefect::NotThreadSafe => {
                    "make the plugin thread-safe and set BK_PLUGIN_THREAD_SAFE, or clear \
                     BK_PLUGIN_WANTS_COROUTINE"
                }
                CoroutineDefect::Stack { .. } => {
                    "raise `coroutine_stack_bytes_max` of the plugin, or lower \
                     coroutine_stack_bytes in its NrPluginInfo"
                }
            }
            .to_owned(),
            Self::WithoutPluginCtx { .. } => REBUILD.to_owned(),
            Self::InitFailed { may_lack_plugin_ctx: true, .. } => {
                format!("if it is one of those, {REBUILD}; if not, see what it prints itself")
            }
            Self::AttachFailed { .. } | Self::InitFailed { .. } => {
                "the plugin's own log messages say more; check its configuration".to_owned()
            }
            Self::TimedOut { stage: LoadStage::Read, .. } => {
                "is the file on a file system that answers? `load_timeout_ms` of the plugin waits \
                 longer"
                    .to_owned()
            }
            Self::TimedOut { .. } => {
                "what takes long belongs on a thread of the plugin's own; `load_timeout_ms` of the \
                 plugin waits longer"
                    .to_owned()
            }
            Self::Remote { why, .. } => return why.hint.clone(),
            Self::SecondInstance { .. } => {
                "load it with its private copy (private_copy = true), or set \
                 BK_PLUGIN_MULTI_INSTANCE in the plugin if it can run twice"
                    .to_owned()
            }
            Self::NameTaken { .. } => "choose another name, or reload that plugin".to_owned(),
            _ => return None,
        })
    }
}

/// What helps a plugin of the published crate.
const REBUILD: &str = "build it again with becket-plugin, or against nylon_ring.h of this host \
                       (`becket plugin new` shows both)";

fn symbol_hint(exports: &[String]) -> String {
    let exports = |wanted: &str| exports.iter().any(|name| name == wanted);
    // Then a layout of the other version was asked for.
    for abi in [Abi::V1, Abi::V2] {
        if exports(abi.symbol_name()) {
            let version = abi.version();
            return format!(
                "it has version {version} of the ABI, and `layout` asks for the other: leave `layout` out"
            );
        }
    }
    if exports("_Z24nylon_ring_get_plugin_v1v") || exports("_Z21nylon_ring_get_pluginv") {
        return "the name is mangled: declare the function extern \"C\"".to_owned();
    }
    "is it a plugin? `becket plugin new` makes one that is".to_owned()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
