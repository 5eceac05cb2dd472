// SPDX-License-Identifier: BSD-3-Clause
//! What people and scripts see.
//!
//! | module | what lives there |
//! |---|---|
//! | [`out`] | stdout, also when a plugin is in the process |
//! | `progress` | one line on a terminal with the progress of a long command |
//! | `style` | the few colours, and when they show |
//! | `table` | rows in columns |
//! | `text` | quantities, durations and payloads as text |

pub(crate) mod out;
mod progress;
mod style;
#[cfg(any(feature = "cluster", feature = "ipc"))]
pub(crate) mod table;
pub(crate) mod text;

use std::io::{self, IsTerminal, Write};

use becket_host::escape_controls;
use serde::Serialize;

pub(crate) use self::progress::Progress;
pub(crate) use self::style::{BAD, DIM, GOOD, HEAD, WARN, paint};
use crate::args::Global;
use crate::failure::Failure;

/// The output of this run of the command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
}

impl Ui {
    /// With the settings of the global options.
    pub(crate) fn new(global: &Global) -> Self {
        Self { json: global.json, quiet: global.quiet }
    }

    /// For output before the options are parsed.
    pub(crate) fn plain(json: bool) -> Self {
        Self { json, quiet: false }
    }

    /// True if stdout carries JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Text to stdout, as it is; colours only on a terminal.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = out::text_out();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Bytes to stdout, unchanged.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = out::out();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Bytes to stdout as one line: a missing line end is added.
    pub(crate) fn line(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = out::out();
        out.write_all(bytes)?;
        if bytes.last() != Some(&b'\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// One JSON value to stdout, on one line.
    pub(crate) fn data<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut out = out::out();
        serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// A remark to stderr for a person; nothing with `--quiet` or `--json`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            // It fails only if stderr has no reader.
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// A progress line, shown on a terminal.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new(!self.quiet && !self.json && io::stderr().is_terminal())
    }

    /// `error:`, `cause:` and `hint:` to stderr; one JSON object with `--json`.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        let text = if self.json {
            serde_json::to_string(failure).unwrap_or_else(|_| failure.to_string())
        } else {
            let said = failure.to_string();
            let mut text = format!("{} {}", paint(BAD, "error:"), escape_controls(&said));
            if let Some(excerpt) = failure.excerpt() {
                text.push_str(&format!("\n{}", shown(excerpt.trim_end(), "\n")));
            }
            if let Some(cause) = failure.why() {
                text.push_str(&format!("\n{} {}", paint(WARN, "cause:"), indent(cause)));
            }
            if let Some(hint) = failure.advice() {
                text.push_str(&format!("\n{}  {}", paint(GOOD, "hint:"), indent(hint)));
            }
            text
        };
        let _ = writeln!(anstream::stderr(), "{text}");
    }
}

/// Indents further lines to the column of the first.
fn indent(text: &str) -> String {
    shown(text.trim_end(), "\n       ")
}

/// The lines of a text, without terminal control characters.
fn shown(text: &str, between: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escape_controls).collect();
    lines.join(between)
}
