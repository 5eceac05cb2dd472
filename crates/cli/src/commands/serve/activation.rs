// SPDX-License-Identifier: BSD-3-Clause
//! Listening sockets that the service manager passes, as sd_listen_fds(3) has it: `LISTEN_FDS` descriptors from 3 on,
//! for the process `LISTEN_PID`, named by `LISTEN_FDNAMES`.
//!
//! # Invariants
//!
//! 1. They are taken before this process opens a descriptor, so the numbers are those of the service manager.
//! 2. Programs that this process starts get neither the descriptors nor `LISTEN_FDS`.

use becket_gateway::ListenSocket;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::exit::Exit;
use crate::failure::Failure;

/// How many sockets are taken.
const SOCKETS_MAX: usize = 64;

/// The name of a socket without one, as sd_listen_fds_with_names(3) has it.
const UNNAMED: &str = "unknown";

/// A socket, and its name.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) name: String,
    pub(super) socket: ListenSocket,
}

/// Those for this process.
pub(super) fn sockets() -> Result<Vec<Passed>, Failure> {
    let value = |name: &str| std::env::var(name).ok();
    if value("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let Some(count) = value("LISTEN_FDS") else { return Ok(Vec::new()) };
    if !count.parse().is_ok_and(|count: usize| count <= SOCKETS_MAX) {
        return Err(failure(format!("`LISTEN_FDS` is `{count}`"), None)
            .hint(format!("pass at most {SOCKETS_MAX} sockets")));
    }
    let names = value("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let mut fds = ListenFd::from_env();
    (0..fds.len()).map(|index| take(&mut fds, index, names.next().unwrap_or(UNNAMED))).collect()
}

fn take(fds: &mut ListenFd, index: usize, name: &str) -> Result<Passed, Failure> {
    let refused = |cause: String| {
        let what = format!("the service manager passes `{name}`, which cannot be listened at");
        failure(what, Some(cause)).hint(
            "pass stream sockets that listen: `ListenStream=` and `Accept=no` in the socket unit",
        )
    };
    let tcp = fds.take_tcp_listener(index).ok().flatten().map(ListenSocket::Tcp);
    let socket = match tcp {
        Some(socket) => socket,
        None => match fds.take_unix_listener(index) {
            Ok(Some(socket)) => ListenSocket::Unix(socket),
            Ok(None) => return Err(refused("it was taken before".to_owned())),
            Err(_) => return Err(refused("it is neither TCP nor a Unix stream socket".to_owned())),
        },
    };
    let listens = match &socket {
        ListenSocket::Tcp(socket) => socket_acceptconn(socket),
        ListenSocket::Unix(socket) => socket_acceptconn(socket),
        _ => Ok(false),
    };
    match listens {
        Ok(true) => Ok(Passed { name: name.to_owned(), socket }),
        Ok(false) => Err(refused("it does not listen".to_owned())),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn failure(what: String, cause: Option<String>) -> Failure {
    let failure = Failure::new(Exit::Failure, what);
    match cause {
        Some(cause) => failure.cause(cause),
        None => failure,
    }
}
