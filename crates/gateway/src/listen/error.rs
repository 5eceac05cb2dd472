// SPDX-License-Identifier: BSD-3-Clause
//! Why there is no listener.

use std::io;

/// Why a Unix socket or a passed one cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// A process serves the socket, or just starts to.
    #[error("another process serves it")]
    InUse,
    /// The file is something else, which is never removed.
    #[error("the file at this path is not a socket")]
    NotASocket,
    /// The system's error.
    #[error("{0}")]
    System(#[from] io::Error),
    /// No socket of this name was passed.
    #[error("{}", not_passed(.passed))]
    NotPassed {
        /// The names of those that were.
        passed: Vec<String>,
    },
    /// `tls = true` for a Unix socket.
    #[error("the socket that was passed is a Unix socket, and `tls = true` is set for it")]
    NoTls,
}

impl ListenError {
    /// What to try.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::InUse => "stop that process, or choose another path".to_owned(),
            Self::NotASocket => "choose another path, or remove the file".to_owned(),
            Self::System(error) => match error.kind() {
                io::ErrorKind::NotFound => "make the folder, or choose a path in one that exists",
                io::ErrorKind::PermissionDenied => {
                    "let the user that runs the gateway write in the folder of the socket"
                }
                _ => "choose a path in a folder of this machine, such as /run/becket/http.sock",
            }
            .to_owned(),
            Self::NotPassed { passed } if passed.is_empty() => {
                "start it by a socket unit of systemd, or write an address in `listen`".to_owned()
            }
            Self::NotPassed { .. } => {
                "set `FileDescriptorName=` in the socket unit, or write \"systemd\" for every socket"
                    .to_owned()
            }
            Self::NoTls => "remove `tls`".to_owned(),
        }
    }
}

fn not_passed(passed: &[String]) -> String {
    match passed {
        [] => "no socket was passed to this process (`LISTEN_FDS`)".to_owned(),
        passed => format!("the sockets that were passed are named {}", passed.join(", ")),
    }
}
