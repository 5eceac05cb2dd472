// SPDX-License-Identifier: BSD-3-Clause
//! From a path or a bare name to the bytes of one file, read once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::LoadError;

/// No plugin is larger: 512 MiB. It is read into memory as a whole, to be checked.
pub(super) const FILE_BYTES_MAX: u64 = 512 << 20;

/// A plugin's file, as it was at one moment.
pub(super) struct PluginFile {
    /// Where it was found; with a slash in it.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: [u8; 32],
}

impl PluginFile {
    /// Finds and reads the file and checks its digest.
    pub(super) fn read(
        name: &Path,
        search_path: &[PathBuf],
        wanted: Option<[u8; 32]>,
    ) -> Result<Self, LoadError> {
        let (path, bytes) = read_plugin_file(name, search_path)?;
        Self::checked(path, bytes, wanted)
    }

    /// The same of a file that is open, whatever its path leads to now.
    pub(super) fn of_open(
        path: &Path,
        file: &File,
        wanted: Option<[u8; 32]>,
    ) -> Result<Self, LoadError> {
        Self::checked(path.to_owned(), read_to_end(path, file, FromStart { file, at: 0 })?, wanted)
    }

    fn checked(path: PathBuf, bytes: Vec<u8>, wanted: Option<[u8; 32]>) -> Result<Self, LoadError> {
        let sha256: [u8; 32] = Sha256::digest(&bytes).into();
        if let Some(wanted) = wanted
            && wanted != sha256
        {
            return Err(LoadError::Digest { path, found: sha256, wanted });
        }
        Ok(Self { path, bytes, sha256 })
    }
}

/// Finds a plugin's file, as a load does, and reads it: its path, and the bytes of this moment.
///
/// # Errors
/// It is not there, no file, longer than a plugin may be, or cannot be read.
pub fn read_plugin_file(
    name: &Path,
    search_path: &[PathBuf],
) -> Result<(PathBuf, Vec<u8>), LoadError> {
    let path = find(name, search_path)?;
    let bytes = read(&path)?;
    Ok((path, bytes))
}

/// The first of the names that is there.
///
/// A name with a slash is a path. One without is looked for in the search path and then in the
/// working directory. In each place `NAME`, `NAME.so` and `libNAME.so` are tried.
fn find(name: &Path, search_path: &[PathBuf]) -> Result<PathBuf, LoadError> {
    let mut tried = Vec::new();
    for candidate in candidates(name, search_path) {
        match fs::metadata(&candidate) {
            Ok(metadata) if metadata.is_file() => return Ok(candidate),
            // A directory of the plugin's bare name does not hide `NAME.so`.
            Ok(metadata) if !metadata.is_dir() || has_slash(name) => {
                let kind = metadata.file_type();
                let what = if kind.is_dir() {
                    "a directory"
                } else if kind.is_fifo() {
                    "a pipe"
                } else if kind.is_socket() {
                    "a socket"
                } else {
                    "a device"
                };
                return Err(LoadError::NotAFile { path: candidate, what });
            }
            Ok(_) => tried.push(candidate),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                        | io::ErrorKind::InvalidFilename
                        | io::ErrorKind::InvalidInput
                ) =>
            {
                tried.push(candidate);
            }
            Err(source) => return Err(LoadError::Unreadable { path: candidate, source }),
        }
    }
    Err(LoadError::NotFound { name: name.to_owned(), tried })
}

fn candidates(name: &Path, search_path: &[PathBuf]) -> Vec<PathBuf> {
    let Some(file_name) = name.file_name() else { return vec![name.to_owned()] };
    let here = PathBuf::from(".");
    let directories: Vec<&Path> = if has_slash(name) {
        vec![name.parent().unwrap_or(&here)]
    } else {
        search_path.iter().chain([&here]).map(PathBuf::as_path).collect()
    };
    let is_so = Path::new(file_name).extension().is_some_and(|extension| extension == "so");
    let mut candidates = Vec::with_capacity(directories.len() * 3);
    for directory in directories {
        candidates.push(directory.join(file_name));
        for prefix in ["", "lib"] {
            let mut decorated = std::ffi::OsString::from(prefix);
            decorated.push(file_name);
            if !is_so {
                decorated.push(".so");
            }
            if decorated != file_name {
                candidates.push(directory.join(decorated));
            }
        }
    }
    candidates
}

fn has_slash(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().contains(&b'/')
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    // Non-blocking, should the file have become a pipe since it was found.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(unreadable)?;
    read_to_end(path, &file, &file)
}

/// Reads `file` through `reader`, to at most [`FILE_BYTES_MAX`].
fn read_to_end(path: &Path, file: &File, reader: impl Read) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
    let too_large = |len| {
        let (path, bytes_max) = (path.to_owned(), FILE_BYTES_MAX);
        Err(LoadError::TooLarge { path, len, bytes_max })
    };
    let len = file.metadata().map_err(unreadable)?.len();
    if len > FILE_BYTES_MAX {
        return too_large(len);
    }
    let mut bytes = Vec::with_capacity(len as usize);
    // It may have grown since.
    reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return too_large(bytes.len() as u64);
    }
    Ok(bytes)
}

/// A file, read from its start: its position may be shared with other processes.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
