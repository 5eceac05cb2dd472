// SPDX-License-Identifier: BSD-3-Clause
//! A child process in which a plugin is checked, and the pipe by which it reports to its parent.
//!
//! ```text
//!   becket … ──spawns──▶ becket … --in-process
//!      ▲                        │
//!      └── a value per line ────┘ the child's stdout, kept from the plugin: what a plugin writes to
//!                                 stdout goes to stderr, so it cannot forge a finding
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::out;

/// The child's end of the report pipe.
#[derive(Debug)]
pub(super) struct ReportPipe(File);

impl ReportPipe {
    /// Takes over stdout. Call it before the plugin is loaded.
    ///
    /// From then on this process is killed when its parent ends: no process would read its reports.
    pub(super) fn claim() -> Result<Self, Failure> {
        let _refused = set_parent_process_death_signal(Some(Signal::KILL));
        out::take().map(Self).map_err(lost)
    }

    /// Writes one value, as a line of JSON.
    pub(super) fn send<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Reports the failure that ended the work; the parent reads it with [`refused`].
    pub(super) fn refuse(&self, failure: &Failure) -> Result<(), Failure> {
        self.send(&serde_json::json!({ REFUSED: failure }))
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        Ok((&self.0).write_all(bytes)?)
    }
}

/// The JSON key of a failure that the parent prints.
const REFUSED: &str = "refused";

/// The failure of the child, if this line of its report has one.
pub(super) fn refused(line: &str) -> Option<Failure> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Failure::of_json(value.get(REFUSED)?)
}

/// Lines that are queued between the reader thread and [`ChildProcess::receive`].
const LINES_MAX: usize = 64;

/// The child process, in its parent.
#[derive(Debug)]
pub(super) struct ChildProcess {
    process: Child,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
}

/// The result of waiting for a line of the child.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Line(String),
    /// No line within the timeout.
    TimedOut,
    /// The child has closed its end of the pipe.
    End,
}

/// This command again, with additional options.
pub(super) fn this_command(options: &[&str]) -> io::Result<Command> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Arguments after `--` are not options.
    let place = arguments.iter().position(|it| it == "--").unwrap_or(arguments.len());
    arguments.splice(place..place, options.iter().map(OsString::from));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

impl ChildProcess {
    /// Starts this command again, with additional options.
    pub(super) fn start(options: &[&str]) -> Result<Self, Failure> {
        let mut command = this_command(options).map_err(lost)?;
        let mut process = command.stdout(Stdio::piped()).spawn().map_err(lost)?;
        let stdout = process.stdout.take();
        let incoming = stdout.into_iter().flat_map(|out| BufReader::new(out).lines());
        let (sender, lines) = sync_channel(LINES_MAX);
        // The thread ends at the end of the child's stdout, or when the receiver is dropped.
        let reader = thread::spawn(move || {
            for line in incoming.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, lines, reader })
    }

    /// Waits for the next line, at most `timeout`.
    pub(super) fn receive(&self, timeout: Duration) -> Received {
        match self.lines.recv_timeout(timeout) {
            Ok(line) => Received::Line(line),
            Err(RecvTimeoutError::Timeout) => Received::TimedOut,
            Err(RecvTimeoutError::Disconnected) => Received::End,
        }
    }

    /// Waits for the child's end; `kill` kills it first, when it is done or hangs, since threads of
    /// the plugin may be stuck.
    pub(super) fn end(mut self, kill: bool) -> Result<ExitStatus, Failure> {
        if kill {
            // It may have ended by itself.
            let _ended = self.process.kill();
        }
        let status = self.process.wait().map_err(lost)?;
        drop(self.lines);
        // A grandchild may still have the pipe open: then the reader thread is not joined.
        if self.reader.is_finished() {
            let _read = self.reader.join();
        }
        Ok(status)
    }
}

/// The process could not be started, or waiting for it failed.
fn lost(error: io::Error) -> Failure {
    Failure::new(Exit::Failure, "the process to check the plugin in cannot run")
        .cause(error.to_string())
}

/// How the plugin ended the process.
pub(super) fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => signal_name(signal)
            .map_or_else(|| format!("signal {signal}"), |name| format!("signal {signal}, {name}")),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no exit code".to_owned(),
    }
}

/// The signals that a fault in a plugin leads to.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        _ => return None,
    })
}
