// SPDX-License-Identifier: BSD-3-Clause
//! The lock of the process that listens at a path.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::error::ListenError;

/// Held: only this process replaces and listens at the socket. Dropped: the file is removed.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _fd: OwnedFd,
}

impl Lock {
    /// Takes the lock of the socket at `socket`; [`ListenError::InUse`] if another process holds
    /// it.
    pub(super) fn take(socket: &Path) -> Result<Self, ListenError> {
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        let failed = |errno| ListenError::System { path: path.clone(), errno };
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
            match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(ListenError::InUse { path: socket.to_owned() }),
                Err(errno) => return Err(failed(errno)),
            }
            // Its last holder may have removed the file between the open and the lock.
            let locked = rustix::fs::fstat(&fd).map_err(failed)?;
            match rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if (there.st_dev, there.st_ino) == (locked.st_dev, locked.st_ino) => {
                    return Ok(Self { path, _fd: fd });
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is held. If that fails, an unlocked file is left, which has no effect.
        let _ = rustix::fs::unlink(&self.path);
    }
}
