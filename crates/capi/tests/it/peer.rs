// SPDX-License-Identifier: BSD-3-Clause
//! A C program in a process of its own, which speaks to the test by its standard streams.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{C, Library, program};

/// A program that speaks to the test by lines, until it is ended or killed.
pub(crate) struct Peer(Child);

impl Peer {
    /// Until it is ready.
    pub(crate) fn start(command: Command) -> Self {
        let mut peer = Self::spawn(command);
        peer.is_ready();
        peer
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn server(socket: &Path) -> Self {
        let mut server = program("session_serve", &C, Library::Shared);
        server.arg(socket);
        Self::start(server)
    }

    pub(crate) fn client(name: &str, mode: &str, socket: &Path) -> Self {
        let mut client = program(name, &C, Library::Static);
        client.arg(mode).arg(socket);
        Self::start(client)
    }

    /// It has written "ready".
    pub(crate) fn is_ready(&mut self) {
        let mut ready = [0; 6];
        self.0.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    }

    pub(crate) fn says(&mut self, line: &str) {
        self.0.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// The next number that it has written; `None`: it has ended, or was killed.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = [0; 8];
        self.0.stdout.as_mut().unwrap().read_exact(&mut number).ok()?;
        Some(u64::from_ne_bytes(number))
    }

    /// As [`kill`](Self::kill); the numbers that it had written.
    pub(crate) fn killed(mut self) -> Vec<u64> {
        self.0.kill().unwrap();
        let numbers = std::iter::from_fn(|| self.number()).collect();
        self.0.wait().unwrap();
        numbers
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn ends(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("private/socket");
    (directory, socket)
}

/// The same program once more, for another process.
pub(crate) fn again(built: &Command) -> Command {
    let mut command = Command::new(built.get_program());
    command.args(built.get_args());
    for (name, value) in built.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}
