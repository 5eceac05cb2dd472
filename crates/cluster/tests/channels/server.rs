// SPDX-License-Identifier: BSD-3-Clause
//! A server on loopback, with a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use becket_cluster::{Connection, Kind, Options, Receiver, Sender};
use futures_lite::future::block_on;
use tempfile::TempDir;

/// Far longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Long enough for the server to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server, killed when it is dropped: also when its test fails.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Starts a server with JetStream, on a free port.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, port) = launch(folder.path(), -1);
        Self { child, folder, port }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process at once, without a word to its clients.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and with the same files.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.folder.path(), self.port.into()).0;
    }

    pub(crate) fn connect(&self) -> Connection {
        block_on(Connection::connect(&self.url())).unwrap()
    }

    /// Opens a channel, over a connection of its own.
    pub(crate) fn open(&self, name: &str, kind: Kind) -> (Sender, Receiver) {
        self.open_with(name, kind, Options::default())
    }

    pub(crate) fn open_with(&self, name: &str, kind: Kind, options: Options) -> (Sender, Receiver) {
        block_on(self.connect().open(name, kind, options)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by its test.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Starts a server and waits until it accepts clients. Returns its port.
fn launch(folder: &Path, port: i32) -> (Child, u16) {
    let mut child = Command::new(program())
        .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nats-server starts: `cargo xtask tools nats-server` fetches it");
    let log = BufReader::new(child.stderr.take().unwrap());
    let (found, ports) = mpsc::channel();
    // Reads to the end, so that the server never waits for its log.
    thread::spawn(move || {
        let mut port = None;
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                port = address.rsplit(':').next().and_then(|port| port.trim().parse::<u16>().ok());
            }
            if line.contains("Server is ready") {
                let _gone = found.send(port);
            }
        }
    });
    match ports.recv_timeout(START_TIMEOUT) {
        Ok(Some(port)) => (child, port),
        answer => {
            child.kill().unwrap();
            panic!("the server does not start: {answer:?}");
        }
    }
}

/// The server's program: from the environment, from `.tools/`, or on `PATH`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("BECKET_NATS_SERVER") {
        return program.into();
    }
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/nats-server/bin/nats-server");
    if fetched.is_file() { fetched } else { "nats-server".into() }
}
