// SPDX-License-Identifier: BSD-3-Clause
//! The process at the other end.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

/// A process, and the user that it runs as.
///
/// For a Unix socket the kernel reports both (`SO_PEERCRED`): of the connecting process as of its
/// connect, of the listening process as of its listen. For a socketpair it is the creating process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The process id; 0 for a process that this one's PID namespace does not have, such as one of
    /// the host whose socket was mounted into a container.
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
        let libc::ucred { pid, uid, gid } = credentials(socket.as_fd())?;
        Ok(Self { pid: pid.unsigned_abs(), uid, gid })
    }
}

#[allow(unsafe_code, reason = "rustix's function has no room for the process id 0")]
fn credentials(socket: BorrowedFd<'_>) -> Result<libc::ucred, Errno> {
    let mut found = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    let to = (&raw mut found).cast();
    // SAFETY: `to` has room for `bytes` bytes, and any bytes are a `ucred`; both outlive the call.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, to, &raw mut bytes) };
    if done == 0 { Ok(found) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_is_the_process_that_made_the_socket_and_a_file_has_none() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(Peer::of(&one), Ok(Peer::own()));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Peer::of(&file), Err(Errno::NOTSOCK));
    }
}
