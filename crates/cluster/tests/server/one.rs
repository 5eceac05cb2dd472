// SPDX-License-Identifier: BSD-3-Clause
//! A server on loopback, with a folder of its own. The tests of the command use it too.
//!
//! The program is `BECKET_NATS_SERVER`, that of `.tools/` (`cargo xtask tools nats-server` fetches it), or on `PATH`.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use becket_cluster::Connection;
use futures_lite::future::block_on;

/// Ends the server, by its process id, when this program has ended, however it ended: its standard
/// input is a pipe whose other end this program alone has. Then it removes the folder, `$0`, unless
/// a line came first.
const WITH_STDIN: &str = r#""$@" & server=$!; exec 2> /dev/null; read -r kept; kill -9 $server
    wait $server; [ "$kept" ] || rm -rf "$0""#;

/// A server with JetStream. It is killed with this value, or with this program.
pub struct Server {
    shell: Child,
    folder: PathBuf,
    config: String,
    port: u16,
    pub route_port: Option<u16>,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With lines for its configuration.
    pub fn start_with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let launched = Launched::new(&folder, config, -1);
        let Launched { shell, port, route_port } = launched;
        Self { shell, folder, config: config.to_owned(), port, route_port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    pub fn connect(&self) -> Connection {
        block_on(Connection::connect(&self.url())).unwrap()
    }

    /// Ends the process at once, without a word to its clients: `kill -9`. Nothing if it has ended.
    pub fn kill(&mut self) {
        if let Some(mut stdin) = self.shell.stdin.take() {
            writeln!(stdin, "kept").unwrap();
        }
        self.shell.wait().unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and with the same files.
    pub fn start_again(&mut self) {
        let launched = Launched::new(&self.folder, &self.config, self.port.into());
        self.shell = launched.shell;
        self.route_port = launched.route_port;
    }

    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
        // There still is one where the server was killed and not started again.
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

struct Launched {
    shell: Child,
    port: u16,
    route_port: Option<u16>,
}

impl Launched {
    /// Starts a server and waits until it accepts clients.
    fn new(folder: &Path, config: &str, port: i32) -> Self {
        let file = folder.join("server.conf");
        let store = folder.display();
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nmax_payload: 4MB\njetstream {{ store_dir: \"{store}\" }}\n{config}\n"
        );
        fs::write(&file, &config).unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", WITH_STDIN])
            .arg(folder)
            .arg(program())
            .arg("--config")
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(shell.stderr.take().unwrap());
        let (mut port, mut route_port) = (None, None);
        let (mut line, mut read, mut is_ready) = (String::new(), String::new(), false);
        let has_routes = config.contains("routes:");
        while !is_ready || (has_routes && route_port.is_none()) {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server did not start:\n{read}");
            read.push_str(&line);
            is_ready |= line.contains("Server is ready");
            for (start, found) in [
                ("Listening for client connections on ", &mut port),
                ("Listening for route connections on ", &mut route_port),
            ] {
                if let Some((_, address)) = line.split_once(start) {
                    *found = address.rsplit(':').next().and_then(|port| port.trim().parse().ok());
                }
            }
        }
        // To the end, so that the server never waits for its log.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { shell, port: port.unwrap(), route_port }
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
