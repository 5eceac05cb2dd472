// SPDX-License-Identifier: BSD-3-Clause
//! A folder of a worker's own, its `TMPDIR`: the only one that it can change by default.
//!
//! It is removed when its worker has ended. A host that is killed leaves its folders behind; the next one
//! removes them. Folders in use are locked by their hosts, and the kernel gives the locks of a host back
//! when that ends, however it does.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::Once;
use std::time::Duration;
use std::{env, fs, io};

use becket_sandbox::User;
use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tempfile::TempDir;

use crate::protocol::Failed;
use crate::start::failed;

/// What the names of the folders begin with.
const PREFIX: &str = "becket-worker-";
/// A folder that is younger may be about to be locked.
const AGE_MIN: Duration = Duration::from_secs(60);

/// A folder, until it is dropped.
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// A new one, for this user alone; `None`: this process's.
    pub(crate) fn new(user: Option<User>) -> Result<Self, Failed> {
        static SWEEP: Once = Once::new();
        let parent = env::temp_dir();
        SWEEP.call_once(|| sweep(&parent));
        make(&parent, user).map_err(|error| {
            let what = format!("no folder for a worker in {}", parent.display());
            failed(what, error, "set TMPDIR to another folder")
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn make(parent: &Path, user: Option<User>) -> io::Result<Scratch> {
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
    let lock = File::open(folder.path())?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    if let Some(User { uid, gid }) = user {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    Ok(Scratch { folder, _lock: lock })
}

/// Removes what hosts that were killed have left. What cannot be removed stays.
fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if is_left(&entry.path()).unwrap_or(false) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// True for a folder that this user may remove and no host holds.
fn is_left(path: &Path) -> io::Result<bool> {
    let about = fs::symlink_metadata(path)?;
    let own = geteuid();
    let age = about.modified()?.elapsed().unwrap_or_default();
    if !about.is_dir() || !(own.is_root() || about.uid() == own.as_raw()) || age < AGE_MIN {
        return Ok(false);
    }
    let lock = File::open(path)?;
    Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(folder: &Path) {
        let then = std::time::SystemTime::now() - 2 * AGE_MIN;
        File::open(folder).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn what_a_killed_host_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let used = make(parent.path(), None).unwrap();
        let [left, young, other] =
            ["becket-worker-left", "becket-worker-young", "other"].map(|name| {
                let folder = parent.path().join(name);
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join("file"), "").unwrap();
                folder
            });
        [used.path(), &left, &other].into_iter().for_each(age);
        sweep(parent.path());
        assert!(!left.exists());
        assert!(used.path().exists() && young.exists() && other.exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
