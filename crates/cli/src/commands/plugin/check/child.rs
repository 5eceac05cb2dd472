// SPDX-License-Identifier: BSD-3-Clause
//! The process that the plugin is checked in, and what it says to the one that reports.
//!
//! ```text
//!   becket plugin check … ──spawns──▶ becket plugin check … --in-process
//!            ▲                                │
//!            └────────── a line each ─────────┘ stdout      (stderr is shared)
//!                 "load"            what is checked next
//!                 {"check":…}       what was found
//!                 "done"            the end
//! ```
//!
//! A child that ends without "done" was ended by the plugin: `exit`, `abort`, a signal.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use super::{Finding, failed};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// The last line of a child that came to its end.
const DONE: &str = "done";

/// What became of the child.
pub(super) enum Outcome {
    /// The plugin was loaded, and this was found.
    Checked(Vec<Finding>),
    /// It was not; the child has said why on stderr.
    NotLoaded,
}

/// In the child: what is checked next.
pub(super) fn begin(what: &str, ui: &Ui) -> Result<(), Failure> {
    ui.data(&what)
}

/// In the child: one finding.
pub(super) fn tell(finding: &Finding, ui: &Ui) -> Result<(), Failure> {
    ui.data(finding)
}

/// In the child: there are no more.
pub(super) fn done(ui: &Ui) -> Result<(), Failure> {
    ui.data(&DONE)
}

/// Runs the child to its end.
pub(super) fn findings() -> Result<Outcome, Failure> {
    let lost = |error: std::io::Error| {
        Failure::new(Exit::Failure, "the process to check the plugin in cannot run")
            .cause(error.to_string())
    };
    let program = std::env::current_exe().map_err(lost)?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("--in-process")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(lost)?;
    let mut findings = Vec::new();
    let mut current = String::new();
    let lines = child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines());
    for line in lines {
        let line = line.map_err(lost)?;
        if let Ok(finding) = serde_json::from_str(&line) {
            findings.push(finding);
        } else if let Ok(next) = serde_json::from_str(&line) {
            current = next;
        } else {
            // The plugin writes to stdout. Nobody reads stderr: then nobody misses it.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
    let status = child.wait().map_err(lost)?;
    if current != DONE {
        if findings.is_empty() && status.code() == Some(Exit::Load.code().into()) {
            return Ok(Outcome::NotLoaded);
        }
        findings.push(failed(&current, ended(status)));
    }
    Ok(Outcome::Checked(findings))
}

/// How the plugin ended the child.
fn ended(status: ExitStatus) -> String {
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => signal_name(signal)
            .map_or_else(|| format!("signal {signal}"), |name| format!("signal {signal}, {name}")),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "no exit code".to_owned(),
    };
    format!("the plugin ended its process: {how}")
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
