// SPDX-License-Identifier: BSD-3-Clause
//! A server on loopback, with its monitoring: what it has counted.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::model::Counts;

/// Far longer than the server takes.
const LONG: Duration = Duration::from_secs(10);

/// Killed when it is dropped.
pub(crate) struct Measured {
    child: Child,
    _folder: TempDir,
    port: u16,
    monitor: u16,
}

impl Measured {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("server.conf");
        let store = folder.path().display();
        let text = format!(
            "listen: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\njetstream {{ store_dir: \"{store}\" }}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(program())
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nats-server starts: `cargo xtask tools nats-server` fetches it");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut port, mut monitor, mut line) = (None, None, String::new());
        while !line.contains("Server is ready") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server did not start");
            let last = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
            if line.contains("Listening for client connections on ") {
                port = last;
            } else if line.contains("Starting http monitor on ") {
                monitor = last;
            }
        }
        // To the end, so that the server never waits for its log.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { child, _folder: folder, port: port.unwrap(), monitor: monitor.unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    fn sum(&self, field: &str) -> u64 {
        let connections = self.get("/connz?limit=4096");
        let connections = connections["connections"].as_array().unwrap();
        connections.iter().map(|connection| connection[field].as_u64().unwrap()).sum()
    }

    /// Of the clients that are connected.
    pub(crate) fn counts(&self) -> Counts {
        let jetstream = self.get("/jsz");
        let connections = self.get("/connz?limit=4096");
        let connections = connections["connections"].as_array().unwrap();
        let sum = |field: &str| {
            connections.iter().map(|connection| connection[field].as_u64().unwrap()).sum()
        };
        Counts {
            connections: connections.len() as u64,
            subscriptions: sum("subscriptions"),
            streams: jetstream["streams"].as_u64().unwrap(),
            consumers: jetstream["consumers"].as_u64().unwrap(),
            sent: sum("in_msgs"),
            delivered: sum("out_msgs"),
        }
    }

    /// The bytes of messages that clients have sent, without the lines of the protocol.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.sum("in_bytes")
    }

    pub(crate) fn has(&self, expected: Counts) -> bool {
        self.counts() == expected
    }

    /// Waits until the server has counted so much, and no more.
    pub(crate) fn wait_for(&self, expected: Counts) {
        let begin = Instant::now();
        loop {
            let counts = self.counts();
            if counts == expected {
                return;
            }
            assert!(begin.elapsed() < LONG, "expected {expected:?}, the server has {counts:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
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
