// SPDX-License-Identifier: BSD-3-Clause
//! Servers on loopback and nodes that offer plugins, for the test programs of the placement `cluster`.
//!
//! The server is `BECKET_NATS_SERVER`, that of `.tools/` (`cargo xtask tools nats-server` fetches it), or on `PATH`.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

pub mod through;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};

use becket_cluster::{ClusterPlugin, Connection, Offer, offer};
use becket_host::{Host, Limits, Plugin, PluginSpec};
use futures_lite::future::block_on;
use tempfile::TempDir;

/// Ends the server when this program has ended, however it ended.
const WITH_STDIN: &str = r#""$@" & server=$!; cat > /dev/null; kill -9 $server; wait $server"#;

/// A server. It ends with this value, or with this program.
pub struct Server {
    shell: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (shell, port) = launch(folder.path(), -1);
        Self { shell, folder, port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn connect(&self) -> Connection {
        block_on(Connection::connect(&self.url())).unwrap()
    }

    /// Kills it, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.shell = launch(self.folder.path(), self.port.into()).0;
    }

    pub fn kill(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }
}

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("BECKET_NATS_SERVER") {
        return program.into();
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools");
    let fetched = tools.join("nats-server/bin/nats-server");
    if fetched.is_file() { fetched } else { "nats-server".into() }
}

fn launch(folder: &Path, port: i32) -> (Child, u16) {
    let config = folder.join("server.conf");
    fs::write(&config, format!("host: 127.0.0.1\nport: {port}\nmax_payload: 4MB\n")).unwrap();
    let mut shell = Command::new("sh")
        .args(["-c", WITH_STDIN, "sh"])
        .arg(program())
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(shell.stderr.take().unwrap());
    let (mut port, mut line) = (None, String::new());
    while !line.contains("Server is ready") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the server did not start");
        if let Some((_, address)) = line.split_once("Listening for client connections on ") {
            port = address.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        }
    }
    // To the end, so that the server never waits for its log.
    std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
    (shell, port.unwrap())
}

/// The server of a test program, with a connection for hosts and one for nodes.
pub struct Shared {
    pub server: Server,
    pub host: Connection,
    pub node: Connection,
}

pub fn shared() -> &'static Shared {
    static SHARED: LazyLock<Shared> = LazyLock::new(|| {
        let server = Server::start();
        let (host, node) = (server.connect(), server.connect());
        Shared { server, host, node }
    });
    &SHARED
}

/// A plugin that a host of this program offers.
pub struct Node {
    pub offer: Offer,
    pub plugin: Plugin,
    pub host: Host,
}

impl Node {
    pub fn start(connection: &Connection, spec: PluginSpec) -> Self {
        let host = Host::new();
        let plugin = host.load(spec).unwrap_or_else(|error| panic!("{error}"));
        let offer = block_on(offer(connection, &plugin)).unwrap();
        Self { offer, plugin, host }
    }
}

/// Loads the plugin that nodes offer by this name.
pub fn load(host: &Host, connection: &Connection, name: &str) -> Plugin {
    load_with(host, connection, name, Limits::default())
}

pub fn load_with(host: &Host, connection: &Connection, name: &str, limits: Limits) -> Plugin {
    let cluster = Arc::new(ClusterPlugin::new(connection, name));
    let spec = PluginSpec::remote(name, cluster).limits(limits);
    host.load(spec).unwrap_or_else(|error| panic!("{error}"))
}
