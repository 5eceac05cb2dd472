// SPDX-License-Identifier: BSD-3-Clause
//! A server process in a directory of its own, and clients of it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};

use becket_ipc::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use snapbox::cmd::Command;
use tempfile::TempDir;

/// The command, independent of the environment.
pub(crate) fn becket(args: &[&str]) -> Command {
    Command::new(env!("CARGO_BIN_EXE_becket"))
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .env_remove("XDG_RUNTIME_DIR")
        .args(args)
}

/// The same, for tests that keep it running.
pub(crate) fn process(args: &[&str]) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_becket"));
    process.env_remove("RUST_LOG").env_remove("NO_COLOR").env_remove("XDG_RUNTIME_DIR");
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    process.args(args);
    process
}

/// A process that is killed on drop.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(mut process: Process) -> Self {
        Self(process.spawn().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its exit code; none if a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        drop(self.0.stdin.take());
        self.0.wait().unwrap().code()
    }

    /// Its stderr until it ended.
    pub(crate) fn stderr(&mut self) -> String {
        std::io::read_to_string(self.0.stderr.take().unwrap()).unwrap()
    }

    /// Writes to its stdin, which stays open.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.0.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Writes to its stdin; an error is ignored if it has ended.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) {
        let stdin = self.0.stdin.as_mut().unwrap();
        if let Err(error) = stdin.write_all(bytes) {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
    }

    /// Reads this many bytes of its stdout, and no more.
    pub(crate) fn read(&mut self, bytes: usize) -> Vec<u8> {
        use std::io::Read;
        let mut read = vec![0; bytes];
        self.0.stdout.as_mut().unwrap().read_exact(&mut read).unwrap();
        read
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server.
pub(crate) struct World {
    pub(crate) server: Running,
    pub(crate) socket: PathBuf,
    pub(crate) directory: TempDir,
}

impl World {
    /// One that has these channels. It listens when this returns.
    pub(crate) fn new(channels: &[&str]) -> Self {
        Self::with(channels, &[])
    }

    pub(crate) fn with(channels: &[&str], options: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("private/ipc.sock");
        let mut serve = process(&["ipc", "serve", "--json", "--socket"]);
        serve.arg(&socket).args(options).stderr(Stdio::inherit());
        serve.args(channels.iter().flat_map(|channel| ["--channel", channel]));
        let mut server = Running::start(serve);
        let mut line = String::new();
        let stdout = server.0.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(started["socket"], socket.display().to_string());
        Self { server, socket, directory }
    }

    /// A command on it, `becket ipc ARGS --socket SOCKET`.
    pub(crate) fn ipc(&self, args: &[&str]) -> Command {
        becket(&["ipc"]).args(args).arg("--socket").arg(&self.socket)
    }

    /// The same, kept running.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut process = process(&["ipc"]);
        process.args(args).arg("--socket").arg(&self.socket);
        Running::start(process)
    }

    /// Sends lines, which must be accepted.
    pub(crate) fn send(&self, channel: &str, lines: &str) {
        self.ipc(&["send", channel]).stdin(lines).assert().success();
    }

    /// Receives this many elements, as lines.
    pub(crate) fn recv(&self, channel: &str, count: usize) -> String {
        let count = count.to_string();
        let received = self.ipc(&["recv", channel, "--count", &count]).assert().success();
        stdout(received.get_output())
    }

    /// A channel's figures.
    pub(crate) fn figures(&self, channel: &str) -> Value {
        let stat = self.ipc(&["stat", channel, "--json"]).assert().success();
        serde_json::from_slice(&stat.get_output().stdout).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket).wait().unwrap()
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `FIRST` to `LAST`, a number a line.
pub(crate) fn numbers(first: u32, last: u32) -> String {
    (first..=last).map(|number| format!("{number}\n")).collect()
}

/// The numbers on lines.
pub(crate) fn parsed(lines: &str) -> Vec<u32> {
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

/// Writes a file in the world's directory, for stdin.
pub(crate) fn file(directory: &Path, text: &str) -> Stdio {
    let path = directory.join("stdin");
    std::fs::write(&path, text).unwrap();
    std::fs::File::open(path).unwrap().into()
}
