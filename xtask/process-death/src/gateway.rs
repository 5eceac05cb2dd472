// SPDX-License-Identifier: BSD-3-Clause
//! A gateway with a plugin that has two workers, and another one beside it; what its end leaves.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

use crate::error::Error;
use crate::http::Connection;
use crate::record::Record;
use crate::{Programs, WAIT_MAX};

/// How long a worker may be alive after its host.
const LEFT_MAX: Duration = Duration::from_secs(1);

/// A running `becket serve`; killed when it is dropped.
pub(crate) struct Gateway {
    process: Child,
    /// Held open: the gateway writes there how it ended.
    _lines: BufReader<ChildStdout>,
    pub(crate) listen: String,
    admin: String,
}

impl Gateway {
    /// Serves the plugins `ends` and `healthy`.
    pub(crate) fn start(
        programs: &Programs,
        record: &Record,
        folder: &Path,
    ) -> Result<Self, Error> {
        let config = folder.join("becket.toml");
        let text = format!(
            "[plugins.ends]\npath = {:?}\nplacement = \"process\"\nworkers = 2\n\
             [plugins.ends.sandbox]\nwrite = [{:?}]\nenv = {{ {} = {:?} }}\n\
             [plugins.healthy]\npath = {:?}\nplacement = \"process\"\n",
            absolute(&programs.plugin)?,
            record.path(),
            crate::RECORD,
            record.path(),
            absolute(&programs.sample)?,
        );
        fs::write(&config, text).map_err(|source| Error::File {
            action: "write",
            path: config.clone(),
            source,
        })?;
        // A line for each end is expected, and not read.
        let mut process = Command::new(&programs.becket)
            .args(["serve", "--json", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--config"])
            .arg(&config)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::system("start the gateway"))?;
        let stdout = process.stdout.take().ok_or(Error::Gateway("it has no output".into()))?;
        let mut lines = BufReader::new(stdout);
        let mut started = String::new();
        lines.read_line(&mut started).map_err(Error::system("read the gateway's output"))?;
        let started: Value = serde_json::from_str(&started)
            .map_err(|error| Error::Gateway(format!("{error}: {started}")))?;
        let address = |key: &str| {
            let address = started.get(key).and_then(Value::as_str).map(str::to_owned);
            address.ok_or_else(|| Error::Gateway(format!("it has no address `{key}`")))
        };
        let (listen, admin) = (address("listen")?, address("admin")?);
        Ok(Self { process, _lines: lines, listen, admin })
    }

    /// A plugin, as the admin page has it.
    pub(crate) fn plugin(&self, name: &str) -> Result<Value, Error> {
        let failed = Error::system("ask the gateway for its plugins");
        let answer = Connection::open(&self.admin)
            .and_then(|mut connection| connection.request("/plugins", ""))
            .map_err(failed)?;
        let all: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Gateway(error.to_string()))?;
        let plugins = all.get("plugins").and_then(Value::as_array);
        let is_it =
            |plugin: &&Value| plugin.pointer("/info/name").and_then(Value::as_str) == Some(name);
        let found = plugins.into_iter().flatten().find(is_it).cloned();
        found.ok_or_else(|| Error::Gateway(format!("it has no plugin `{name}`")))
    }

    /// The processes of a plugin that take calls.
    pub(crate) fn workers(&self, name: &str) -> Result<Vec<u32>, Error> {
        let plugin = self.plugin(name)?;
        let workers = plugin.pointer("/workers/workers").and_then(Value::as_array);
        let running =
            |worker: &&Value| worker.get("state").and_then(Value::as_str) == Some("running");
        let pid = |worker: &Value| u32::try_from(worker.get("pid")?.as_u64()?).ok();
        Ok(workers.into_iter().flatten().filter(running).filter_map(pid).collect())
    }

    /// Kills it. How long a process of these lived on, and those that live after [`WAIT_MAX`].
    pub(crate) fn kill(mut self, workers: &[u32]) -> Result<(Duration, usize), Error> {
        let pids = workers.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?));
        // One that has ended already has none.
        let workers: Vec<_> =
            pids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
        let begin = Instant::now();
        self.process.kill().map_err(Error::system("kill the gateway"))?;
        let left = workers.iter().filter(|worker| !ends_by(worker, begin + WAIT_MAX)).count();
        Ok((begin.elapsed(), left))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, Error> {
    path.canonicalize().map_err(|source| Error::File { action: "find", path: path.into(), source })
}

/// Waits for the end of a process; false if it lives at the deadline.
fn ends_by(process: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok();
        match poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            ended => return ended.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Kills a gateway so often; returns what was missed.
pub(crate) fn kill_hosts(programs: &Programs, rounds: u32) -> Result<Vec<String>, Error> {
    let folder = tempfile::tempdir().map_err(Error::system("make a folder"))?;
    let record = Record::new(&folder.path().join("record"))?;
    let (mut all, mut missed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let gateway = Gateway::start(programs, &record, folder.path())?;
        let workers = [gateway.workers("ends")?, gateway.workers("healthy")?].concat();
        if workers.len() != 3 {
            let got = format!("{workers:?}");
            return Err(Error::Unexpected { expected: "three workers", got });
        }
        let (took, left) = gateway.kill(&workers)?;
        if took > LEFT_MAX || left > 0 {
            missed.push(format!("host: {left} workers lived for {took:?} after it was killed"));
        }
        all.push(took);
    }
    let longest = all.iter().max().copied().unwrap_or_default();
    println!("{rounds} hosts killed: the last of 3 workers ended within {longest:?}");
    Ok(missed)
}
