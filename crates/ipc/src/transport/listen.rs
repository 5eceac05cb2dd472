// SPDX-License-Identifier: BSD-3-Clause
//! Listening sockets and access control: a Unix socket that only its user can reach.
//!
//! ```text
//!   DIR/            0700, created if absent; refused if other users can enter or own it
//!   DIR/NAME        0600, the socket
//!   DIR/NAME.lock   0600, locked for as long as a process listens
//! ```
//!
//! # Invariants
//!
//! 1. **One listener per path.** A listener holds the lock of the file at the lock's path (compared
//!    after locking, since its last holder removes it); one in a directory that others may enter,
//!    only while it creates its socket. The kernel releases the lock when the process ends, however
//!    it ends.
//! 2. **A socket file is replaced only when no process listens**: under the lock, and only when
//!    connecting to it is refused, so that a listener without a lock is not replaced either. A file
//!    that is not a socket is never removed.
//! 3. **The socket is 0600 from the start**: the mode is set before it is bound, so that the file
//!    is created with it, whatever the umask.
//! 4. **Every connection is checked**, by the credentials that the kernel reports (`SO_PEERCRED`),
//!    before a byte is read, and every refusal is counted.

mod access;
mod error;
mod lock;
mod permits;
mod socket_file;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags};

pub use self::access::Access;
pub use self::error::{ConnectError, ListenError};
use self::lock::Lock;
pub(crate) use self::permits::Permit;
pub use self::permits::{Admissions, Refusals};
use self::socket_file::SocketFile;
use super::socket::{Socket, SocketKind, retry};

/// The maximum length of a socket's path: the kernel has 108 bytes, including the terminating zero.
pub const PATH_BYTES_MAX: usize = 107;

/// The listen backlog: connections that wait to be accepted; further ones fail with `EAGAIN`.
const BACKLOG: i32 = 128;

/// The maximum number of connections that one call of [`Listener::accept`] examines, so that a
/// burst of refused ones cannot hold its caller.
const ACCEPTS_MAX: usize = 64;

/// A listening Unix socket. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    /// Removed before the socket is closed: while it listens, no other listener replaces the file.
    socket_file: SocketFile,
    fd: OwnedFd,
    kind: SocketKind,
    access: Access,
    admissions: Arc<Admissions>,
    /// Closed for a moment to refuse a connection when the process has no descriptor left.
    spare: Mutex<Option<File>>,
    /// That connections are refused for this has been logged, and none was admitted since.
    is_exhausted: AtomicBool,
    /// `None` for a listener in a directory that others may enter.
    #[allow(dead_code, reason = "held until it is dropped")]
    lock: Option<Lock>,
}

impl Listener {
    /// Listens at `path` for up to `connections_max` connections at a time.
    ///
    /// The directory is created, 0700, if it is absent (its parent is not). Peers that `access`
    /// does not name are refused.
    pub fn bind(
        path: &Path,
        kind: SocketKind,
        access: Access,
        connections_max: usize,
    ) -> Result<Self, ListenError> {
        // A path that is too long creates no directory.
        address(path)?;
        socket_file::private_directory(path)?;
        Self::create(path, kind, access, connections_max, BACKLOG)
    }

    /// As [`bind`](Self::bind), in any directory, for `backlog` connections that wait: only the
    /// socket's own mode keeps other users out. The lock is held while the socket is created, and
    /// no longer: a path whose file was removed may be listened at again.
    pub fn bind_in_any_directory(
        path: &Path,
        kind: SocketKind,
        access: Access,
        connections_max: usize,
        backlog: i32,
    ) -> Result<Self, ListenError> {
        let mut listener = Self::create(path, kind, access, connections_max, backlog)?;
        listener.lock = None;
        Ok(listener)
    }

    /// Takes the lock and creates the socket.
    fn create(
        path: &Path,
        kind: SocketKind,
        access: Access,
        connections_max: usize,
        backlog: i32,
    ) -> Result<Self, ListenError> {
        let address = address(path)?;
        let lock = Lock::take(path)?;
        socket_file::clear(path, &address, kind)?;
        let failed = |errno| ListenError::System { path: path.to_owned(), errno };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, kind.socket_type(), flags, None)
            .map_err(failed)?;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::fchmod(&fd, mode).map_err(failed)?;
        rustix::net::bind(&fd, &address).map_err(failed)?;
        let socket_file = SocketFile::of(path).map_err(failed)?;
        // The umask may have removed more bits than intended.
        rustix::fs::chmod(path, mode).map_err(failed)?;
        rustix::net::listen(&fd, backlog).map_err(failed)?;
        Ok(Self {
            socket_file,
            fd,
            kind,
            access,
            admissions: Admissions::new(connections_max),
            spare: Mutex::new(spare()),
            is_exhausted: AtomicBool::new(false),
            lock: Some(lock),
        })
    }

    /// The next connection that is admitted. `Ok(None)`: the backlog is empty (or very many
    /// connections were refused; the socket then stays readable).
    ///
    /// Connections that are not admitted are closed and counted. An error is the system's, not a
    /// peer's; the listener can still be used.
    pub fn accept(&self) -> Result<Option<Socket>, ListenError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        for _ in 0..ACCEPTS_MAX {
            let accepted = match retry(|| rustix::net::accept_with(&self.fd, flags)) {
                Ok(fd) => match self.admit(fd) {
                    Some(socket) => return Ok(Some(socket)),
                    None => Ok(()),
                },
                Err(errno @ (Errno::MFILE | Errno::NFILE)) => self.refuse_without_descriptor(errno),
                Err(errno) => Err(errno),
            };
            match accepted {
                // `CONNABORTED`: the peer gave up while it waited.
                Ok(()) | Err(Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => {
                    return Err(ListenError::System { path: self.path().to_owned(), errno });
                }
            }
        }
        Ok(None)
    }

    /// Stops listening, and removes the file: an [`accept`](Self::accept) from here on fails, and
    /// waits for the socket end.
    pub fn close(&self) {
        // In this order, as when it is dropped.
        self.socket_file.remove();
        // It fails if the socket is shut down already.
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Both);
    }

    /// The path at which it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.socket_file.path()
    }

    /// The kind of its sockets.
    #[must_use]
    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Its counts of admitted and refused connections.
    #[must_use]
    pub fn admissions(&self) -> &Arc<Admissions> {
        &self.admissions
    }

    fn admit(&self, fd: OwnedFd) -> Option<Socket> {
        let Some(permit) = Permit::take(&self.admissions) else {
            self.admissions.refuse(|refusals| &mut refusals.full);
            return None;
        };
        let Ok(socket) = Socket::of(fd, Some(permit)) else {
            self.admissions.refuse(|refusals| &mut refusals.unknown);
            return None;
        };
        if !self.access.admits(socket.peer()) {
            self.admissions.refuse(|refusals| &mut refusals.forbidden);
            return None;
        }
        self.admissions.admitted();
        self.is_exhausted.store(false, Ordering::Relaxed);
        Some(socket)
    }

    /// Logs that this process has no descriptor for its connections, once until one is admitted.
    pub(crate) fn warn_exhausted(&self, errno: Errno) {
        if !self.is_exhausted.swap(true, Ordering::Relaxed) {
            let path = self.path().display();
            tracing::warn!(
                %path, %errno,
                "connections are refused: this process has no file descriptor left for them; \
                 raise its limit of open files"
            );
        }
    }

    /// Closes one connection of the backlog, so that it does not hang and the socket does not stay
    /// readable. `errno` reported that there is no descriptor for it.
    fn refuse_without_descriptor(&self, errno: Errno) -> Result<(), Errno> {
        let mut held = self.spare.lock();
        // Another thread may have taken the descriptor that was closed last time.
        if held.take().or_else(spare).is_none() {
            return Err(errno);
        }
        let refused = retry(|| rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC)).map(drop);
        *held = spare();
        refused?;
        self.admissions.refuse(|refusals| &mut refusals.no_descriptor);
        self.warn_exhausted(errno);
        Ok(())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Connects to the listener at `path`. Does not wait: a listener with a full backlog is
/// [`ConnectError::Busy`].
pub fn connect(path: &Path, kind: SocketKind) -> Result<Socket, ConnectError> {
    connect_with(path, kind, SocketFlags::NONBLOCK)
}

/// As [`connect`], and blocks the thread until a full backlog has room.
pub fn connect_blocking(path: &Path, kind: SocketKind) -> Result<Socket, ConnectError> {
    connect_with(path, kind, SocketFlags::empty())
}

fn connect_with(path: &Path, kind: SocketKind, flags: SocketFlags) -> Result<Socket, ConnectError> {
    let address = address(path).map_err(ConnectError::Path)?;
    let path_buf = || PathBuf::from(path);
    let failed = |errno| match errno {
        Errno::CONNREFUSED if socket_file::is_something_else(path) => {
            ConnectError::NotASocket { path: path_buf() }
        }
        Errno::NOENT | Errno::CONNREFUSED => ConnectError::NotListening { path: path_buf(), errno },
        Errno::AGAIN => ConnectError::Busy { path: path_buf() },
        Errno::PROTOTYPE => ConnectError::OtherKind { path: path_buf() },
        Errno::ACCESS | Errno::PERM => ConnectError::Forbidden { path: path_buf() },
        errno => ConnectError::System { path: path_buf(), errno },
    };
    let flags = flags | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, kind.socket_type(), flags, None)
        .map_err(failed)?;
    retry(|| rustix::net::connect(&fd, &address)).map_err(failed)?;
    Socket::of(fd, None).map_err(failed)
}

fn address(path: &Path) -> Result<SocketAddrUnix, ListenError> {
    use std::os::unix::ffi::OsStrExt as _;

    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) || path.file_name().is_none() {
        return Err(ListenError::NoName { path: path.to_owned() });
    }
    if bytes.len() > PATH_BYTES_MAX {
        return Err(ListenError::PathTooLong { path: path.to_owned(), bytes: bytes.len() });
    }
    SocketAddrUnix::new(bytes).map_err(|errno| ListenError::System { path: path.to_owned(), errno })
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}
