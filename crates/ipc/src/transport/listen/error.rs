// SPDX-License-Identifier: BSD-3-Clause
//! Why nobody can connect here, or we cannot there.

use std::path::PathBuf;

use rustix::io::Errno;

use super::PATH_BYTES_MAX;

/// Why a listener could not be made, or could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The path has no room in a socket's address.
    #[error(
        "socket path of {bytes} bytes: {}\ncause: a Unix socket's path has at most \
         {PATH_BYTES_MAX}\nhint: choose a shorter directory, such as one in $XDG_RUNTIME_DIR",
        path.display()
    )]
    PathTooLong {
        /// As it was given.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// The path names no file.
    #[error("no socket can be {path:?}\ncause: it names no file\nhint: give it as DIRECTORY/NAME")]
    NoName {
        /// As it was given.
        path: PathBuf,
    },
    /// Others can enter the directory.
    #[error(
        "cannot put a socket into {}\ncause: others can enter it or read it (mode {mode:03o})\n\
         hint: name a directory that is not there yet, such as {}: it is made, with mode 700",
        directory.display(), directory.join("becket").display()
    )]
    OpenDirectory {
        /// The directory.
        directory: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory is somebody else's.
    #[error(
        "cannot put a socket into {}\ncause: it belongs to user {uid}\n\
         hint: name a directory of your own, or one that is not there yet: it is made",
        directory.display()
    )]
    ForeignDirectory {
        /// The directory.
        directory: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Somebody listens there.
    #[error(
        "cannot listen at {}\ncause: another process listens there\n\
         hint: stop it, or choose another path",
        path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else lies there.
    #[error(
        "cannot listen at {}\ncause: what lies there is no socket, and is left alone\n\
         hint: remove it yourself, or choose another path",
        path.display()
    )]
    NotASocket {
        /// What lies there.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen at {}\ncause: {errno}", path.display())]
    System {
        /// The socket, its lock or its directory.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

impl ListenError {
    /// The error's number, as in `errno.h`.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::PathTooLong { .. } => Errno::NAMETOOLONG,
            Self::NoName { .. } => Errno::INVAL,
            Self::OpenDirectory { .. } | Self::ForeignDirectory { .. } => Errno::PERM,
            Self::InUse { .. } => Errno::ADDRINUSE,
            Self::NotASocket { .. } => Errno::EXIST,
            Self::System { errno, .. } => *errno,
        }
        .raw_os_error()
    }
}

/// Why a connection could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The path is none that a socket can have.
    #[error(transparent)]
    Path(ListenError),
    /// Nobody listens there.
    #[error(
        "cannot connect to {}\ncause: nobody listens there ({errno})\n\
         hint: start the server, or look at its --socket",
        path.display()
    )]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// No file, or nobody behind it.
        errno: Errno,
    },
    /// What lies there is no socket.
    #[error(
        "cannot connect to {}\ncause: what lies there is no socket\n\
         hint: name the socket that the server says it serves at",
        path.display()
    )]
    NotASocket {
        /// What lies there.
        path: PathBuf,
    },
    /// Too many wait to be let in already.
    #[error(
        "cannot connect to {}\ncause: too many wait to be let in\nhint: try again",
        path.display()
    )]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// Who listens there carries packets where we carry bytes, or the other way round.
    #[error(
        "cannot connect to {}\ncause: it is a socket of another kind (stream, seqpacket)",
        path.display()
    )]
    OtherKind {
        /// The socket.
        path: PathBuf,
    },
    /// We may not.
    #[error(
        "cannot connect to {}\ncause: only its owner may\nhint: run as the user that serves it",
        path.display()
    )]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot connect to {}\ncause: {errno}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

impl ConnectError {
    /// The error's number, as in `errno.h`.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Path(error) => return error.errno(),
            Self::Nobody { errno, .. } | Self::System { errno, .. } => *errno,
            Self::NotASocket { .. } => Errno::CONNREFUSED,
            Self::Busy { .. } => Errno::AGAIN,
            Self::OtherKind { .. } => Errno::PROTOTYPE,
            Self::Forbidden { .. } => Errno::ACCESS,
        }
        .raw_os_error()
    }
}
