// SPDX-License-Identifier: BSD-3-Clause
//! Why listening or connecting failed.

use std::path::PathBuf;

use rustix::io::Errno;

use super::PATH_BYTES_MAX;

/// Why a listener could not be created, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The path does not fit into a socket address.
    #[error(
        "socket path of {bytes} bytes: {}\ncause: a Unix socket's path has at most \
         {PATH_BYTES_MAX}\nhint: choose a shorter directory, such as one in $XDG_RUNTIME_DIR",
        path.display()
    )]
    PathTooLong {
        /// The path as given.
        path: PathBuf,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The path has no file name.
    #[error("{path:?} cannot be a socket\ncause: it names no file\nhint: use DIRECTORY/NAME")]
    NoName {
        /// The path as given.
        path: PathBuf,
    },
    /// Other users can enter the directory.
    #[error(
        "cannot put a socket into {}\ncause: other users can enter or read it (mode {mode:03o})\n\
         hint: name a directory that does not exist, such as {}: it is created with mode 700",
        directory.display(), directory.join("becket").display()
    )]
    OpenDirectory {
        /// The directory.
        directory: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory belongs to another user.
    #[error(
        "cannot put a socket into {}\ncause: it belongs to user {uid}\n\
         hint: name a directory of your own, or one that does not exist: it is created",
        directory.display()
    )]
    ForeignDirectory {
        /// The directory.
        directory: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Another process listens there.
    #[error(
        "cannot listen at {}\ncause: another process listens there\n\
         hint: stop it, or choose another path",
        path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The path is a file of another type.
    #[error(
        "cannot listen at {}\ncause: the file there is not a socket, and is not replaced\n\
         hint: remove it yourself, or choose another path",
        path.display()
    )]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot listen at {}\ncause: {errno}", path.display())]
    System {
        /// The socket, its lock or its directory.
        path: PathBuf,
        /// The cause.
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

/// Why a connection could not be established.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The path cannot be that of a socket.
    #[error(transparent)]
    Path(ListenError),
    /// No process listens there.
    #[error(
        "cannot connect to {}\ncause: no server listens there ({errno})\n\
         hint: start the server, or check its --socket",
        path.display()
    )]
    NotListening {
        /// The socket.
        path: PathBuf,
        /// No file, or no listener.
        errno: Errno,
    },
    /// The file is not a socket.
    #[error(
        "cannot connect to {}\ncause: the file there is not a socket\n\
         hint: name the socket that the server prints when it starts",
        path.display()
    )]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The listener's backlog is full.
    #[error(
        "cannot connect to {}\ncause: the server's backlog is full\nhint: try again",
        path.display()
    )]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is of the other kind, stream or seqpacket.
    #[error(
        "cannot connect to {}\ncause: it is a socket of another kind (stream, seqpacket)",
        path.display()
    )]
    OtherKind {
        /// The socket.
        path: PathBuf,
    },
    /// This user may not connect.
    #[error(
        "cannot connect to {}\ncause: only its owner may\nhint: run as the user that serves it",
        path.display()
    )]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot connect to {}\ncause: {errno}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// The cause.
        errno: Errno,
    },
}

impl ConnectError {
    /// The error's number, as in `errno.h`.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Path(error) => return error.errno(),
            Self::NotListening { errno, .. } | Self::System { errno, .. } => *errno,
            Self::NotASocket { .. } => Errno::CONNREFUSED,
            Self::Busy { .. } => Errno::AGAIN,
            Self::OtherKind { .. } => Errno::PROTOTYPE,
            Self::Forbidden { .. } => Errno::ACCESS,
        }
        .raw_os_error()
    }
}
