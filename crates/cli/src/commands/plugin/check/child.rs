// SPDX-License-Identifier: BSD-3-Clause
//! The child process that the plugin is checked in, and the protocol of its reports.
//!
//! ```text
//!   becket plugin check … ──spawns──▶ becket plugin check … --in-process
//!            ▲                                │
//!            └────────── a line each ─────────┘ stdout      (stderr is shared)
//!                 "load"            what is checked next
//!                 {"check":…}       what was found
//!                 "done"            the end
//!                 {"refused":…}     it does not load, or the arguments are wrong
//! ```
//!
//! A child that ends without "done" was ended by the plugin: `exit`, `abort`, a signal. A child
//! that reports nothing for too long hangs in the step that it has begun, and is killed.

use std::time::Duration;

use super::{Finding, LOAD, RELOAD, UNLOAD, failed};
use crate::commands::child_process::{self, ChildProcess, Received, ReportPipe};
use crate::failure::Failure;

/// The last line of a child that completed.
const DONE: &str = "done";
/// The shortest limit of a load, also if that of a call is shorter: the system has to find and map
/// the library.
const LOAD_MIN: Duration = Duration::from_secs(5);
/// The time limit of another step, in calls, in addition to a constant.
const CALLS_A_STEP: u32 = 4;
const GRACE: Duration = Duration::from_secs(10);
/// The host has its own limits for these steps, and abandons the plugin only after them.
const DRAIN: Duration = Duration::from_secs(90);

/// In the child: reports the step that begins.
pub(super) fn begin(what: &str, pipe: &ReportPipe) -> Result<(), Failure> {
    pipe.send(&what)
}

/// In the child: reports a finding.
pub(super) fn tell(finding: &Finding, pipe: &ReportPipe) -> Result<(), Failure> {
    pipe.send(finding)
}

/// In the child: reports the end.
pub(super) fn done(pipe: &ReportPipe) -> Result<(), Failure> {
    pipe.send(&DONE)
}

/// In the child: how long a load may take. The parent gives up the first load before that; a reload
/// that takes too long is a finding, and the check continues.
pub(super) fn load_timeout(timeout: Duration) -> Duration {
    timeout.max(LOAD_MIN) + Duration::from_secs(1)
}

/// How long a step may take without a report.
fn idle_timeout(step: &str, timeout: Duration) -> Duration {
    match step {
        LOAD => timeout.max(LOAD_MIN),
        RELOAD | UNLOAD => DRAIN,
        _ => timeout.saturating_mul(CALLS_A_STEP).saturating_add(GRACE),
    }
}

/// Runs the child to its end, or until a step exceeds its limit.
pub(super) fn findings(timeout: Duration) -> Result<Vec<Finding>, Failure> {
    let child = ChildProcess::start(&["--in-process"])?;
    let mut findings = Vec::new();
    let mut current = LOAD.to_owned();
    let hung = loop {
        let idle_timeout = idle_timeout(&current, timeout);
        let line = match child.receive(idle_timeout) {
            Received::Line(line) => line,
            Received::TimedOut => break Some(idle_timeout),
            Received::End => break None,
        };
        if let Some(failure) = child_process::refused(&line) {
            child.end(true)?;
            return Err(failure);
        }
        if let Ok(finding) = serde_json::from_str(&line) {
            findings.push(finding);
        } else if let Ok(next) = serde_json::from_str(&line) {
            current = next;
        }
        if current == DONE {
            break None;
        }
    };
    let status = child.end(hung.is_some() || current == DONE)?;
    let why = match hung {
        _ if current == DONE => return Ok(findings),
        Some(idle_timeout) => {
            format!("the plugin hangs: nothing came back in {} s", idle_timeout.as_secs())
        }
        None => format!("the plugin ended its process: {}", child_process::how(status)),
    };
    findings.push(failed(&current, why));
    Ok(findings)
}
