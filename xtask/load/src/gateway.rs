// SPDX-License-Identifier: BSD-3-Clause
//! A gateway in a process of its own: start, queries, memory, reload, end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::Error;
use crate::http;

/// The time limit of the gateway's start, of a reload and of its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The outcome of a reload of the configuration.
#[derive(Debug)]
pub(crate) enum Reloaded {
    /// The new one is in force.
    Taken,
    /// The old one stayed, for this reason.
    Refused(String),
}

/// A running `becket serve`.
#[derive(Debug)]
pub(crate) struct Gateway {
    process: Child,
    // Held open: the gateway reports there how it ended.
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    reloads: mpsc::Receiver<Reloaded>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// Starts `becket serve` with this configuration file, and waits until it reports its
    /// addresses.
    pub(crate) async fn start(becket: &Path, config: &Path, log: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Program { program: becket.into(), source };
        if let Some(folder) = log.parent() {
            let made = tokio::fs::create_dir_all(folder).await;
            made.map_err(|source| Error::File { action: "create", path: folder.into(), source })?;
        }
        let log_file = tokio::fs::File::create(log).await.map_err(|source| Error::File {
            action: "create",
            path: log.into(),
            source,
        })?;
        let mut process = Command::new(becket)
            .args(["serve", "--json", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(Error::Gateway("it has no output".into()));
        };
        let (found, reloads) = mpsc::channel(16);
        tokio::spawn(follow(stderr, log_file, found));
        let mut lines = BufReader::new(stdout).lines();
        let started = timeout(PATIENCE, lines.next_line())
            .await
            .map_err(|_| Error::TooLong {
                what: "the gateway's start",
                seconds: PATIENCE.as_secs(),
            })?
            .map_err(failed)?
            .ok_or_else(|| Error::Gateway(format!("it ended at once; see {}", log.display())))?;
        let started: Value =
            serde_json::from_str(&started).map_err(|error| Error::Gateway(error.to_string()))?;
        let address = |key: &str| {
            started
                .get(key)
                .and_then(Value::as_str)
                .and_then(|text| text.parse::<SocketAddr>().ok())
                .ok_or_else(|| Error::Gateway(format!("it did not say its address `{key}`")))
        };
        let (listen, admin) = (address("listen")?, address("admin")?);
        Ok(Self { process, lines, reloads, listen, admin })
    }

    /// One plugin, as `/plugins` of the admin listener shows it.
    pub(crate) async fn plugin(&self, name: &str) -> Result<Option<Value>, Error> {
        let answer = http::get(self.admin, "/plugins").await?;
        let all: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::request("GET /plugins", error))?;
        let name_of = |plugin: &Value| {
            plugin.get("info").and_then(|info| info.get("name")).and_then(Value::as_str)
                == Some(name)
        };
        let plugins = all.get("plugins").and_then(Value::as_array);
        Ok(plugins.into_iter().flatten().find(|plugin| name_of(plugin)).cloned())
    }

    /// Has the gateway read its configuration again, and waits for the outcome.
    pub(crate) async fn reload(&mut self) -> Result<Reloaded, Error> {
        self.signal(Signal::HUP)?;
        timeout(PATIENCE, self.reloads.recv())
            .await
            .map_err(|_| Error::TooLong { what: "a reload", seconds: PATIENCE.as_secs() })?
            .ok_or_else(|| Error::Gateway("it ended during a reload".into()))
    }

    /// Resident memory of the process, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, Error> {
        let pid = self.process.id().ok_or_else(|| Error::Gateway("it ended".into()))?;
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let text = std::fs::read_to_string(&path).map_err(|source| Error::File {
            action: "read",
            path,
            source,
        })?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Error::Gateway("the system does not say how much memory it uses".into()))
    }

    /// Drains and ends it; an error if it did not end well.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        self.signal(Signal::TERM)?;
        let status = timeout(PATIENCE, self.process.wait())
            .await
            .map_err(|_| Error::TooLong { what: "the gateway's end", seconds: PATIENCE.as_secs() })?
            .map_err(|error| Error::Gateway(error.to_string()))?;
        let mut last = None;
        while let Ok(Some(line)) = self.lines.next_line().await {
            last = Some(line);
        }
        if status.success() {
            return Ok(());
        }
        Err(Error::Gateway(format!("it ended with {status}: {}", last.unwrap_or_default())))
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| Error::Gateway("it ended".into()))?;
        kill_process(pid, signal).map_err(|error| Error::Gateway(error.to_string()))
    }
}

/// Copies the gateway's messages to the log, and passes on every reload that they report: as a line
/// of its log, or as the JSON object of a failure.
async fn follow(stderr: ChildStderr, mut log: tokio::fs::File, found: mpsc::Sender<Reloaded>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The log is for people, after a failure: a lost line is no error.
        let _ = log.write_all(format!("{line}\n").as_bytes()).await;
        let reload = if line.contains("configuration reloaded") {
            Reloaded::Taken
        } else if line.starts_with('{') {
            Reloaded::Refused(line)
        } else {
            continue;
        };
        // No receiver: the gateway is about to be ended.
        let _ = found.try_send(reload);
    }
}
