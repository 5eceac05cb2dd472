// SPDX-License-Identifier: BSD-3-Clause
//! A process apart, in which a plugin is tried, and what it says to the one that reports.
//!
//! ```text
//!   becket … ──spawns──▶ becket … --in-process
//!      ▲                        │
//!      └── a value a line ──────┘ its stdout, which the plugin does not have: what a plugin writes to
//!                                 stdout goes to stderr, and is never taken for a finding
//! ```

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

/// In the child: speaks to the one that reports.
#[derive(Debug)]
pub(super) struct Voice(File);

impl Voice {
    /// Takes stdout. Before the plugin is loaded.
    ///
    /// When the one that reports has gone, nobody hears what is said: this process ends with it.
    pub(super) fn claim() -> Result<Self, Failure> {
        let _refused = set_parent_process_death_signal(Some(Signal::KILL));
        out::take().map(Self).map_err(lost)
    }

    /// Says one value.
    pub(super) fn say<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Says why there is nothing more to say: [`refused`] hears it.
    pub(super) fn refuse(&self, failure: &Failure) -> Result<(), Failure> {
        self.say(&serde_json::json!({ REFUSED: failure }))
    }

    /// Says these bytes.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        Ok((&self.0).write_all(bytes)?)
    }
}

/// The key of a failure that is the other process's to tell.
const REFUSED: &str = "refused";

/// What the process apart refuses with, if it does in this line.
pub(super) fn refused(line: &str) -> Option<Failure> {
    let said: serde_json::Value = serde_json::from_str(line).ok()?;
    Failure::of_json(said.get(REFUSED)?)
}

/// Lines that wait to be read.
const LINES_MAX: usize = 64;

/// In the one that reports: the process apart.
#[derive(Debug)]
pub(super) struct Apart {
    process: Child,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
}

/// What came of listening to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Line(String),
    /// It said nothing for so long.
    Silence,
    /// It says nothing more.
    End,
}

impl Apart {
    /// Starts this very command once more, with these arguments besides.
    pub(super) fn start(besides: &[&str]) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(lost)?;
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).args(besides).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(lost)?;
        let said = process.stdout.take();
        let said = said.into_iter().flat_map(|out| BufReader::new(out).lines());
        let (sender, lines) = sync_channel(LINES_MAX);
        // It ends with the process, whose stdout is closed then; or with the receiver.
        let reader = thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, lines, reader })
    }

    /// What it says next, unless it says nothing for too long.
    pub(super) fn hear(&self, patience: Duration) -> Heard {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Heard::Line(line),
            Err(RecvTimeoutError::Timeout) => Heard::Silence,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// How it ended. Whoever is done, or hangs, is killed: threads of the plugin may be stuck.
    pub(super) fn end(mut self, kill: bool) -> Result<ExitStatus, Failure> {
        if kill {
            // It may have ended by itself.
            let _ended = self.process.kill();
        }
        let status = self.process.wait().map_err(lost)?;
        drop(self.lines);
        // A grandchild may have its stdout still: then nobody waits for the reader.
        if self.reader.is_finished() {
            let _read = self.reader.join();
        }
        Ok(status)
    }
}

/// The process could not be had, or not be waited for.
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
