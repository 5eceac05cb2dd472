// SPDX-License-Identifier: BSD-3-Clause
//! A plugin's code in this process: copied, mapped, and by default never unmapped.
//!
//! The dynamic linker knows files by name and by device and inode: opening a changed file again
//! would give the old image back, and one file under two names a single image. So each load writes
//! the bytes that were checked to a file of its own (0600), in a directory of its own that only this
//! user may enter (0700, whatever the umask), so that nothing replaces them behind a pinned digest,
//! opens that, and removes it: the mapping keeps the inode alive, so no later copy can be mistaken
//! for it.
//!
//! ```text
//!   plugin.so ──read once──▶ bytes ──checked──▶ TMPDIR/becket-XXXXXX/plugin.so ──dlopen──▶ image
//!                                                        └── unlinked at once
//! ```
//!
//! # Invariants
//!
//! 1. What is mapped is what was checked, but for the bytes of invariant 3. (With a private copy;
//!    in place, the file may be replaced in between.)
//! 2. An image is unmapped by [`Image::unmap`] alone. Dropping it leaves it mapped: a thread, a
//!    thread-local destructor or a late callback of the plugin may still need the code.
//! 3. Private copies share nothing that they define: C++ objects that the compiler marks unique
//!    process-wide are made the copy's own ([`unique`]).
//!
//! # Safety
//!
//! - Opening runs the file's constructors: code of the plugin, trusted like the host's own.
//! - Unmapping: the caller of [`Image::unmap`] promises that nothing of the plugin is left.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use becket_abi::{GetPluginFn, LinkedPlugin};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::elf::{Abi, ElfFacts};
use super::error::{LoadError, LoadStage};
use super::file::PluginFile;
use super::memory::MappedImage;
use super::unique;
use super::{Begin, Layout};

/// A plugin's image.
#[derive(Debug)]
pub(crate) struct Image {
    /// `None` for a plugin linked into this binary.
    library: Option<ManuallyDrop<Library>>,
}

/// An image and what its entry function returned.
pub(super) struct Opened {
    pub(super) image: Image,
    /// The address of the info; may be 0 or anything.
    pub(super) info: usize,
    /// Which entry function returned it.
    pub(super) abi: Abi,
    /// The segments that the plugin's code lies in.
    pub(super) mapped: Option<MappedImage>,
}

impl Image {
    /// Maps a file and asks it for its info.
    pub(super) fn open(
        file: &PluginFile,
        facts: &ElfFacts,
        layout: Option<Layout>,
        private_copy: bool,
        stage: Begin<'_>,
    ) -> Result<Opened, LoadError> {
        let entry_functions = facts.entry_functions(&file.path, layout)?;
        stage(LoadStage::Open)?;
        let library = if private_copy {
            let patched = unique::patched(&file.path, &file.bytes, facts);
            let (copy, directory) = write_copy(file, patched.as_deref().unwrap_or(&file.bytes))?;
            let library = dlopen(&copy, file, facts, true);
            drop(directory);
            library?
        } else {
            unique::warn(&file.path, facts, "its file is mapped in place");
            let path = fs::canonicalize(&file.path)
                .map_err(|source| LoadError::Unreadable { path: file.path.clone(), source })?;
            dlopen(&path, file, facts, false)?
        };
        let found = entry_functions.into_iter().find_map(|abi| {
            // SAFETY: both versions give their symbol this type; the function is copied out and used
            // only while `library` is mapped.
            let get = unsafe { library.get::<GetPluginFn>(abi.symbol()) };
            get.ok().map(|symbol| (abi, *symbol))
        });
        let library = ManuallyDrop::new(library);
        let Some((abi, get)) = found else {
            return Err(facts.symbol_missing(&file.path, layout));
        };
        stage(LoadStage::EntryFunction)?;
        // SAFETY: the image is mapped and initialised; the ABI's entry function takes nothing.
        let info = unsafe { get() };
        Ok(Opened {
            image: Self { library: Some(library) },
            info: info.expose_provenance(),
            abi,
            mapped: MappedImage::containing(get as usize),
        })
    }

    /// Of a plugin that runs elsewhere: nothing.
    pub(super) const fn none() -> Self {
        Self { library: None }
    }

    /// A plugin that is in this binary.
    pub(super) fn linked(plugin: LinkedPlugin) -> Opened {
        let info = plugin.info().expose_provenance();
        let mapped = MappedImage::containing(info);
        Opened { image: Self { library: None }, info, abi: Abi::V1, mapped }
    }

    /// Unmaps the image; nothing happens for a linked one.
    ///
    /// # Safety
    /// The plugin has allowed it, its `shutdown` has returned, and no thread, callback, thread-local
    /// or pointer of anyone leads into the image any more.
    pub(crate) unsafe fn unmap(self) {
        if let Some(library) = self.library
            && let Err(error) = ManuallyDrop::into_inner(library).close()
        {
            tracing::warn!(%error, "a plugin's image could not be unmapped");
        }
    }
}

fn write_copy(file: &PluginFile, bytes: &[u8]) -> Result<(PathBuf, tempfile::TempDir), LoadError> {
    let failed = |directory: &Path, source| LoadError::Copy {
        path: file.path.clone(),
        directory: directory.to_owned(),
        source,
    };
    let directory = tempfile::Builder::new()
        .prefix("becket-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(|source| failed(&std::env::temp_dir(), source))?;
    // The file's own name, for debuggers and profilers.
    let copy = directory.path().join(plain_name(&file.path));
    let write = || {
        // Again, since a umask may take the owner's own rights away.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700))?;
        let mut written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy)?;
        written.set_permissions(Permissions::from_mode(0o600))?;
        written.write_all(bytes)
    };
    write().map_err(|source| failed(directory.path(), source))?;
    Ok((copy, directory))
}

/// The file's name without the `$` that the dynamic linker would expand.
fn plain_name(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_bytes().iter().map(|byte| if *byte == b'$' { b'_' } else { *byte });
    OsString::from_vec(bytes.collect())
}

fn dlopen(
    path: &Path,
    file: &PluginFile,
    facts: &ElfFacts,
    is_copy: bool,
) -> Result<Library, LoadError> {
    // SAFETY: the file is whole and its headers agree (checked); its constructors are the plugin's
    // own code and run under the trust that an inline plugin gets.
    let opened = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    opened.map_err(|error| {
        let said = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        let place = path.display().to_string();
        let reason = said.replace(&place, &file.path.display().to_string());
        let missing = missing_name(&said, &place);
        let origin_lost = is_copy
            && facts.uses_origin
            && missing.as_ref().is_some_and(|missing| missing.contains(".so"));
        LoadError::Open { path: file.path.clone(), reason, missing, origin_lost }
    })
}

/// The library or symbol that the linker's message says is missing.
fn missing_name(said: &str, opened: &str) -> Option<String> {
    if let Some((_, rest)) = said.split_once("undefined symbol: ") {
        let end = rest.find([',', ' ', '\n']).unwrap_or(rest.len());
        return rest.get(..end).map(str::to_owned);
    }
    let (library, _) = said.split_once(": cannot open shared object file")?;
    (library != opened).then(|| library.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_message_names_what_is_missing() {
        let name = |said| missing_name(said, "/tmp/p.so");
        let library = "libfoo.so.3: cannot open shared object file: No such file or directory";
        assert_eq!(name(library).as_deref(), Some("libfoo.so.3"));
        let symbol = "/tmp/p.so: undefined symbol: foo, version BAR_1";
        assert_eq!(name(symbol).as_deref(), Some("foo"));
        assert_eq!(name("/tmp/p.so: cannot open shared object file: Error 13"), None);
        assert_eq!(name("/tmp/p.so: invalid ELF header"), None);
    }
}
