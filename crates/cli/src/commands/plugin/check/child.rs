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
//!                 {"refused":…}     it does not load, or the arguments are wrong
//! ```
//!
//! A child that ends without "done" was ended by the plugin: `exit`, `abort`, a signal. One that says
//! nothing for too long hangs in what it has begun, and is killed.

use std::time::Duration;

use super::{Finding, LOAD, RELOAD, UNLOAD, failed};
use crate::commands::apart::{self, Apart, Heard, Voice};
use crate::failure::Failure;

/// The last line of a child that came to its end.
const DONE: &str = "done";
/// Loading may take as long as a call, but is given so long also if calls are given less: it is the
/// system that finds and maps the library.
const LOAD_MIN: Duration = Duration::from_secs(5);
/// Another step may take as long as so many calls, and this besides.
const CALLS_A_STEP: u32 = 4;
const GRACE: Duration = Duration::from_secs(10);
/// The host has limits for these: only then it gives the plugin up.
const DRAIN: Duration = Duration::from_secs(90);

/// In the child: what is checked next.
pub(super) fn begin(what: &str, voice: &Voice) -> Result<(), Failure> {
    voice.say(&what)
}

/// In the child: one finding.
pub(super) fn tell(finding: &Finding, voice: &Voice) -> Result<(), Failure> {
    voice.say(finding)
}

/// In the child: there are no more.
pub(super) fn done(voice: &Voice) -> Result<(), Failure> {
    voice.say(&DONE)
}

/// In the child: how long a load may take. At the first load the reporting process gives up before; a
/// reload that is given up is a finding, and the check goes on.
pub(super) fn load_timeout(timeout: Duration) -> Duration {
    timeout.max(LOAD_MIN) + Duration::from_secs(1)
}

/// How long a step may say nothing.
fn patience(step: &str, timeout: Duration) -> Duration {
    match step {
        LOAD => timeout.max(LOAD_MIN),
        RELOAD | UNLOAD => DRAIN,
        _ => timeout.saturating_mul(CALLS_A_STEP).saturating_add(GRACE),
    }
}

/// Runs the child to its end, or to that of the patience.
pub(super) fn findings(timeout: Duration) -> Result<Vec<Finding>, Failure> {
    let child = Apart::start(&["--in-process"])?;
    let mut findings = Vec::new();
    let mut current = LOAD.to_owned();
    let hung = loop {
        let patience = patience(&current, timeout);
        let line = match child.hear(patience) {
            Heard::Line(line) => line,
            Heard::Silence => break Some(patience),
            Heard::End => break None,
        };
        if let Some(failure) = apart::refused(&line) {
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
        Some(patience) => {
            format!("the plugin hangs: nothing came back in {} s", patience.as_secs())
        }
        None => format!("the plugin ended its process: {}", apart::how(status)),
    };
    findings.push(failed(&current, why));
    Ok(findings)
}
