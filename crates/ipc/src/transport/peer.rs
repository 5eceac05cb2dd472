// SPDX-License-Identifier: BSD-3-Clause
//! Who is at the other end.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// A process, and the user that it runs as.
///
/// Of a Unix socket the kernel tells (`SO_PEERCRED`): of who connected, as it was when it connected;
/// of who listens, as it was when it began to. Of a socketpair it is the process that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The process's id.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
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

    /// Who is at the other end of a connected Unix socket.
    pub fn of(socket: impl AsFd) -> Result<Self, Errno> {
        let credentials = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Self {
            pid: credentials.pid.as_raw_nonzero().get().unsigned_abs(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        })
    }
}
