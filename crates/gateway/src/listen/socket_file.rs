// SPDX-License-Identifier: BSD-3-Clause
//! The file of a Unix socket.
//!
//! ```text
//!   lock PATH.lock ─▶ connect to PATH ─▶ refused: remove it ─▶ bind ─▶ mode ─▶ listen ─▶ unlock
//!                          └ answered, or not a socket: an error
//! ```
//!
//! # Invariants
//!
//! 1. A file is replaced only under the lock, and only when connecting to it is refused, which means that no process
//!    listens. The lock is held while the socket is made and no longer; the kernel ends it with its process.
//! 2. What is no socket is never removed.
//! 3. No client connects before the mode is set: a socket that does not listen yet refuses.
//! 4. A listener removes its own file alone: one that was replaced in the meantime has another number.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::ListenError;

/// Connections that wait to be accepted: as many as tokio has for TCP.
const BACKLOG: u32 = 1024;

/// Removed with its listener.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    mode: u32,
    /// Its device and number; `None` while it is another process's, and once it is removed.
    number: Mutex<Option<(u64, u64)>>,
}

impl SocketFile {
    /// One that another process has made, and removes until [`Self::claim`].
    pub(super) fn inherited(path: &Path, mode: u32) -> Self {
        Self { path: path.to_owned(), mode, number: Mutex::new(None) }
    }

    /// Takes what is at the path, and gives it the mode.
    pub(super) fn claim(&self) -> io::Result<()> {
        *self.number.lock() = Some(number(&fs::symlink_metadata(&self.path)?));
        fs::set_permissions(&self.path, Permissions::from_mode(self.mode))
    }

    /// Leaves it where it is.
    pub(super) fn keep(&self) {
        self.number.lock().take();
    }

    pub(super) fn remove(&self) {
        // Locked until the file is gone: a second call returns no earlier.
        let mut kept = self.number.lock();
        let Some(own) = kept.take() else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|there| number(&there) == own) {
            // Without it nothing but a stale file is left, which the next start replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Listens at `path`.
pub(super) async fn bind(
    path: &Path,
    mode: u32,
) -> Result<(UnixListener, SocketFile), ListenError> {
    let _lock = Lock::take(path)?;
    clear(path).await?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::inherited(path, mode);
    file.claim()?;
    Ok((socket.listen(BACKLOG)?, file))
}

/// Removes the socket of a dead process.
async fn clear(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(there) if !there.file_type().is_socket() => return Err(ListenError::NotASocket),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(fs::remove_file(path)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        // Also one whose queue is full, or that is of another kind.
        Ok(_) | Err(_) => Err(ListenError::InUse),
    }
}

/// Held: no other gateway replaces the socket. Dropped: its file is removed.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self, ListenError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let mut open = OpenOptions::new();
            open.write(true).create(true).truncate(false).mode(0o600);
            let file = open.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(ListenError::InUse),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Its last holder may have removed the file between the opening and the lock.
            let locked = number(&file.metadata()?);
            match fs::symlink_metadata(&path) {
                Ok(there) if number(&there) == locked => return Ok(Self { path, _file: file }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held. A file that is left has no effect.
        let _ = fs::remove_file(&self.path);
    }
}

fn number(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_there_with_its_mode_as_long_as_it_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for mode in [0o600, 0o666] {
            let bound = bind(&path, mode).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            assert!(UnixStream::connect(&path).await.is_ok());
            drop(bound);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test]
    async fn only_a_dead_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let dead = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path, 0o600).await, Err(ListenError::InUse)));
        assert!(path.exists());
        drop(dead);
        let (first, file) = bind(&path, 0o600).await.unwrap();
        assert!(matches!(bind(&path, 0o600).await, Err(ListenError::InUse)));
        // Another one has its place: it is not removed.
        fs::remove_file(&path).unwrap();
        let second = bind(&path, 0o600).await.unwrap();
        drop((file, first));
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(second);
        fs::write(&path, "text").unwrap();
        assert!(matches!(bind(&path, 0o600).await, Err(ListenError::NotASocket)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    #[tokio::test]
    async fn two_that_start_do_not_replace_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let lock = Lock::take(&path).unwrap();
        assert!(matches!(bind(&path, 0o600).await, Err(ListenError::InUse)));
        drop(lock);
        assert!(bind(&path, 0o600).await.is_ok());
    }
}
