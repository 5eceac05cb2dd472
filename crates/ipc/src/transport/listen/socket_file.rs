// SPDX-License-Identifier: BSD-3-Clause
//! The directory, and the socket's file in it.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags};

use super::super::socket::{SocketKind, retry};
use super::error::ListenError;

/// A socket's file. Dropping it removes the file, unless it was replaced by another file.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> Result<Self, Errno> {
        let (device, inode) = identity(path)?;
        Ok(Self { path: path.to_owned(), device, inode })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless it was replaced.
    pub(super) fn remove(&self) {
        if identity(&self.path) == Ok((self.device, self.inode)) {
            // A file that is left behind is replaced by the next listener.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Creates the directory of `path`, or checks that no other user can enter it.
pub(super) fn private_directory(path: &Path) -> Result<(), ListenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |errno| ListenError::System { path: directory.to_owned(), errno };
    match rustix::fs::mkdir(directory, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty()).map_err(failed)?;
    let status = rustix::fs::fstat(&opened).map_err(failed)?;
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return Err(ListenError::ForeignDirectory {
            directory: directory.to_owned(),
            uid: status.st_uid,
        });
    }
    let mode = Mode::from_raw_mode(status.st_mode);
    if mode.intersects(Mode::RWXG | Mode::RWXO) {
        return Err(ListenError::OpenDirectory {
            directory: directory.to_owned(),
            mode: mode.as_raw_mode() & 0o777,
        });
    }
    Ok(())
}

/// Removes the socket that an earlier listener has left at `path`. The lock is held.
pub(super) fn clear(
    path: &Path,
    address: &SocketAddrUnix,
    kind: SocketKind,
) -> Result<(), ListenError> {
    let failed = |errno| ListenError::System { path: path.to_owned(), errno };
    let status = match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) => status,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    if FileType::from_raw_mode(status.st_mode) != FileType::Socket {
        return Err(ListenError::NotASocket { path: path.to_owned() });
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, kind.socket_type(), flags, None)
        .map_err(failed)?;
    match retry(|| rustix::net::connect(&probe, address)) {
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(failed),
        Err(Errno::NOENT) => Ok(()),
        // It accepted the connection, its backlog is full, or it is a listener of the other kind.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            Err(ListenError::InUse { path: path.to_owned() })
        }
        Err(errno) => Err(failed(errno)),
    }
}

/// Whether a file other than a socket is at `path`, following links.
pub(super) fn is_something_else(path: &Path) -> bool {
    rustix::fs::stat(path)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) != FileType::Socket)
}

fn identity(path: &Path) -> Result<(u64, u64), Errno> {
    let status = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((status.st_dev, status.st_ino))
}
