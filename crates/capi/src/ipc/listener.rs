// SPDX-License-Identifier: BSD-3-Clause
//! A listening socket of `becket_ipc` that keeps packets apart, with C's waits.

use std::ffi::{CStr, OsStr, c_int};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use becket_ipc::transport::listen::{self, Access, ConnectError, ListenError};
use becket_ipc::transport::{Socket, SocketKind};
use parking_lot::Mutex;

use super::code::ECONNABORTED;
use crate::blocking::reactor::{self, Direction};
use crate::blocking::{Event, Until};
use crate::errno;

/// `KCORO_IPC_BACKLOG`.
const BACKLOG: i32 = 8;

/// `kc_ipc_server_t`.
pub struct Listener {
    socket: listen::Listener,
    waits: AtomicBool,
    closed: AtomicBool,
}

impl Listener {
    pub(super) fn new(path: &CStr) -> Result<Self, c_int> {
        // The same user, or the superuser.
        let access = Access::own_user().user(0);
        let kind = SocketKind::Seqpacket;
        let bound = listen::Listener::bind_in_any_directory(
            as_path(path),
            kind,
            access,
            usize::MAX,
            BACKLOG,
        );
        let socket = bound.map_err(|error| match error {
            ListenError::NotASocket { .. } => -libc::EADDRINUSE,
            ListenError::NoName { .. } => -libc::ENOENT,
            error => -error.errno(),
        })?;
        Ok(Self { socket, waits: AtomicBool::new(true), closed: AtomicBool::new(false) })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }

    pub(super) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// The next connection of a permitted user.
    pub(super) fn accept(&self) -> Result<Socket, c_int> {
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
    pub(super) fn accept_now(&self) -> Result<Socket, c_int> {
        if self.closed.load(Ordering::Acquire) {
            return Err(ECONNABORTED);
        }
        match self.socket.accept() {
            Ok(accepted) => accepted.ok_or(errno::EAGAIN),
            // The result of an accept on a socket that was shut down.
            Err(_) if self.closed.load(Ordering::Acquire) => Err(ECONNABORTED),
            Err(error) => Err(-error.errno()),
        }
    }

    /// Ends every wait.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.socket.close();
    }
}

/// Connects to a path. While the listener's backlog is full, a thread for blocking calls waits.
pub(super) fn connect(path: &CStr) -> Result<Socket, c_int> {
    let path = as_path(path);
    match listen::connect(path, SocketKind::Seqpacket) {
        Err(ConnectError::Busy { .. }) => connect_when_there_is_room(path.to_owned()),
        connected => connected.map_err(|error| -error.errno()),
    }
}

fn connect_when_there_is_room(path: PathBuf) -> Result<Socket, c_int> {
    let event = Event::new();
    let place = Arc::new(Mutex::new(None));
    let (connected, done) = (place.clone(), event.trigger());
    drop(becket_coro::spawn_blocking(move || {
        *connected.lock() = Some(listen::connect_blocking(&path, SocketKind::Seqpacket));
        done.cancel();
    }));
    event.wait(Until::Ever)?;
    match place.lock().take() {
        Some(connected) => connected.map_err(|error| -error.errno()),
        None => Err(errno::EAGAIN),
    }
}

fn as_path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}
