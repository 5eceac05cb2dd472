// SPDX-License-Identifier: BSD-3-Clause
//! A Unix socket that keeps packets apart, at a path: listened on, or connected to.
//!
//! # Invariants
//!
//! 1. No other user can connect before the file is private to the user: its mode is set between
//!    `bind` and `listen`.
//! 2. A file is replaced only if it is a socket without a listener.
//! 3. The file that is removed at the end is the one that was created.

use std::ffi::{CStr, CString, c_int};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Mode, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};

use super::code::{ECONNABORTED, of_system};
use crate::blocking::Until;
use crate::blocking::reactor::{self, Direction};
use crate::errno;

/// The limit of a path: its length must be below.
const PATH_BYTES: usize = 108;
/// `KCORO_IPC_BACKLOG`.
const BACKLOG: c_int = 8;

/// `kc_ipc_server_t`.
pub struct Listener {
    socket: OwnedFd,
    path: CString,
    /// Device and inode of the file that was created.
    made: Option<(u64, u64)>,
    waits: AtomicBool,
    closed: AtomicBool,
}

impl Listener {
    pub(super) fn new(path: &CStr) -> Result<Self, c_int> {
        let address = address(path)?;
        let socket = socket(SocketFlags::NONBLOCK)?;
        match rustix::net::bind(&socket, &address) {
            Err(Errno::ADDRINUSE) if is_stale(path, &address) => {
                rustix::fs::unlink(path).map_err(of_system)?;
                rustix::net::bind(&socket, &address).map_err(of_system)?;
            }
            bound => bound.map_err(of_system)?,
        }
        let made = identity(path);
        // From here on it removes the file when it is dropped.
        let listener = Self {
            socket,
            path: path.to_owned(),
            made,
            waits: AtomicBool::new(true),
            closed: AtomicBool::new(false),
        };
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR).map_err(of_system)?;
        rustix::net::listen(&listener.socket, BACKLOG).map_err(of_system)?;
        Ok(listener)
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// The next connection of a permitted user.
    pub(super) fn accept(&self) -> Result<OwnedFd, c_int> {
        loop {
            match self.accept_now() {
                Err(errno::EAGAIN) if self.waits.load(Ordering::Relaxed) => {
                    reactor::wait(self.fd(), Direction::Readable, Until::Ever)?;
                }
                accepted => return accepted,
            }
        }
    }

    /// The same without waiting.
    pub(super) fn accept_now(&self) -> Result<OwnedFd, c_int> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(ECONNABORTED);
            }
            match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) if may_connect(&socket) => return Ok(socket),
                // The peer is gone already, or is refused.
                Ok(_) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                // The result of an accept on a socket that was shut down.
                Err(Errno::INVAL) => return Err(ECONNABORTED),
                Err(error) => return Err(of_system(error)),
            }
        }
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // There is no remedy if that fails.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        if self.made.is_some() && identity(&self.path) == self.made {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.closed.load(Ordering::Acquire) {
            self.close();
        }
    }
}

/// Connects to a path.
pub(super) fn connect(path: &CStr) -> Result<OwnedFd, c_int> {
    let address = address(path)?;
    let socket = socket(SocketFlags::empty())?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Err(Errno::INTR) => {}
            connected => return connected.map(|()| socket).map_err(of_system),
        }
    }
}

fn address(path: &CStr) -> Result<SocketAddrUnix, c_int> {
    if path.to_bytes().len() >= PATH_BYTES {
        return Err(-libc::ENAMETOOLONG);
    }
    SocketAddrUnix::new(path).map_err(of_system)
}

fn socket(flags: SocketFlags) -> Result<OwnedFd, c_int> {
    let flags = flags | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(of_system)
}

/// Whether the file is a socket without a listener.
fn is_stale(path: &CStr, address: &SocketAddrUnix) -> bool {
    let is_socket = rustix::fs::lstat(path)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    is_socket
        && socket(SocketFlags::NONBLOCK)
            .is_ok_and(|probe| rustix::net::connect(probe, address) == Err(Errno::CONNREFUSED))
}

fn identity(path: &CStr) -> Option<(u64, u64)> {
    rustix::fs::lstat(path).ok().map(|Stat { st_dev, st_ino, .. }| (st_dev, st_ino))
}

/// Whether the peer is the same user, or the superuser.
fn may_connect(socket: &OwnedFd) -> bool {
    let own = rustix::process::geteuid();
    rustix::net::sockopt::socket_peercred(socket)
        .is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}
