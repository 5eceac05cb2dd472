// SPDX-License-Identifier: BSD-3-Clause
//! A server on loopback, with a folder of its own: `BECKET_NATS_SERVER`, that of `.tools/`
//! (`cargo xtask tools nats-server` fetches it), or the one on `PATH`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::error::BenchError;

/// Its process and its folder end with the value.
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
    pub(crate) url: String,
}

fn failed(source: std::io::Error) -> BenchError {
    BenchError::System {
        what: "start nats-server (`cargo xtask tools nats-server` gets it)",
        source,
    }
}

impl Server {
    pub(crate) fn start() -> Result<Self, BenchError> {
        let folder = std::env::temp_dir().join(format!("becket-bench-nats-{}", std::process::id()));
        fs::create_dir(&folder).map_err(failed)?;
        let process = Command::new(program())
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut server = Self { process, folder, url: String::new() };
        let Some(log) = server.process.stderr.take() else { return Err(BenchError::Worker) };
        let (mut log, mut line) = (BufReader::new(log), String::new());
        while !line.contains("Server is ready") {
            line.clear();
            if log.read_line(&mut line).map_err(failed)? == 0 {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                server.url = format!("nats://{}", address.trim());
            }
        }
        // To the end, so that the server never waits for its log.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
        let _removed = fs::remove_dir_all(&self.folder);
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
