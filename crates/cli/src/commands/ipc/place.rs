// SPDX-License-Identifier: BSD-3-Clause
//! The default path of the socket, the same for the server and its clients.
//!
//! `$XDG_RUNTIME_DIR/becket/ipc.sock`, else `becket-UID/ipc.sock` in the directory for temporary
//! files. The server makes the directory for its user alone; a client checks its owner before it
//! connects, since any user can make a directory of that name in `/tmp`.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::text;

/// The socket of a client.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct At {
    /// The server's socket [default: ipc.sock in $XDG_RUNTIME_DIR/becket, else in becket-UID in the
    /// directory for temporary files]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl At {
    /// The path to connect to.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        client(self.socket.as_deref())
    }

    /// The option again, for a line to paste.
    pub(super) fn option(&self) -> String {
        self.socket.as_deref().map(option).unwrap_or_default()
    }
}

/// ` --socket PATH`.
pub(super) fn option(path: &Path) -> String {
    format!(" --socket {}", text::shell_word(&path.display().to_string()))
}

/// A client's path: the one given, or the default if no other user could have made it.
pub(in crate::commands) fn client(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    let path = default();
    let directory = path.parent().unwrap_or(&path);
    match std::fs::symlink_metadata(directory) {
        Ok(found) if found.uid() != own_uid() => {
            Err(Failure::new(Exit::Failure, format!("{} is not used", path.display()))
                .cause(format!("{} belongs to user {}", directory.display(), found.uid()))
                .hint("name the server's socket by --socket"))
        }
        // Absent: connecting reports it.
        _ => Ok(path),
    }
}

/// The default path.
pub(super) fn default() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    choose(runtime, &std::env::temp_dir(), own_uid())
}

fn choose(runtime: Option<OsString>, temporary: &Path, uid: u32) -> PathBuf {
    let runtime = runtime.map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = match runtime {
        Some(runtime) => runtime.join("becket"),
        None => temporary.join(format!("becket-{uid}")),
    };
    directory.join("ipc.sock")
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_runtime_directory_comes_first() {
        let at = |runtime: Option<&str>| {
            choose(runtime.map(Into::into), Path::new("/tmp"), 1000).display().to_string()
        };
        assert_eq!(at(Some("/run/user/1000")), "/run/user/1000/becket/ipc.sock");
        assert_eq!(at(None), "/tmp/becket-1000/ipc.sock");
        assert_eq!(at(Some("")), "/tmp/becket-1000/ipc.sock");
        assert_eq!(at(Some("relative")), "/tmp/becket-1000/ipc.sock");
    }
}
