// SPDX-License-Identifier: BSD-3-Clause
//! The process at the other end.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// A process, and the user that it runs as.
///
/// For a Unix socket the kernel reports both (`SO_PEERCRED`): of the connecting process as of its
/// connect, of the listening process as of its listen. For a socketpair it is the creating process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The process id.
    pub pid: u32,
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
}

impl Peer {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// The process at the other end of a connected Unix socket.
    pub fn of(socket: impl AsFd) -> Result<Self, Errno> {
        let credentials = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Self {
            pid: credentials.pid.as_raw_nonzero().get().unsigned_abs(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        })
    }
}
