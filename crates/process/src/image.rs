// SPDX-License-Identifier: BSD-3-Clause
//! The file of a native plugin, as it was when the plugin was loaded.
//!
//! ```text
//!   load      path ── read once ──▶ memory of the host's, sealed ─┬─ first worker
//!                                                                 ├─ the others
//!   restart   path is not looked at ──────────────────────────────┴─ the worker that is started again
//! ```
//!
//! All workers of one load get this memory as a descriptor, so that all run the same bytes, whatever is at the
//! path by then: a file that is overwritten or removed changes nothing before a reload.
//!
//! # Invariants
//!
//! 1. The memory is sealed before a worker has it: no worker can change what the next one loads.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use becket_host::{LoadError, read_plugin_file};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::protocol::Failed;
use crate::start::failed;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct PluginImage {
    /// Where it was found.
    path: PathBuf,
    memory: File,
}

impl PluginImage {
    /// Finds and reads a plugin's file.
    pub(crate) fn read(name: &Path, search_path: &[PathBuf]) -> Result<Self, Failed> {
        let (path, bytes) =
            read_plugin_file(name, search_path).map_err(|error| not_read(&error))?;
        let no_memory = |error: &dyn ToString| {
            failed(
                format!("no memory for a copy of {}", path.display()),
                error.to_string(),
                "it is kept for workers that are started again",
            )
        };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = memfd_create("becket-plugin", flags).map_err(|error| no_memory(&error))?;
        let mut memory = File::from(memory);
        memory.write_all(&bytes).map_err(|error| no_memory(&error))?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&memory, seals).map_err(|error| no_memory(&error))?;
        Ok(Self { path, memory })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PluginImage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

fn not_read(error: &LoadError) -> Failed {
    let (cause, hint) = (error.cause().unwrap_or_default(), error.hint().unwrap_or_default());
    failed(error.to_string(), cause, &hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_was_read_stays_and_cannot_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.so");
        std::fs::write(&path, "first").unwrap();
        let image = PluginImage::read(&path, &[]).unwrap();
        std::fs::write(&path, "second, and longer").unwrap();
        std::fs::remove_file(&path).unwrap();
        let of_worker = File::from(image.as_fd().try_clone_to_owned().unwrap());
        for write in [of_worker.write_at(b"x", 0), of_worker.write_at(b"x", 5)] {
            assert_eq!(write.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        }
        assert!(of_worker.set_len(0).is_err());
        let mut bytes = [0; 8];
        assert_eq!(of_worker.read_at(&mut bytes, 0).unwrap(), 5);
        assert_eq!(bytes.get(..5).unwrap(), b"first");
        let error = PluginImage::read(&path, &[]).unwrap_err();
        assert!(error.error.contains("plugin.so"), "{error:?}");
    }
}
