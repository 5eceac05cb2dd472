// SPDX-License-Identifier: BSD-3-Clause
//! Errors of this program, each with its cause and a hint.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a command or a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A program ended with a failure.
    #[error("`{command}` ended with {status}")]
    Failed { command: String, status: ExitStatus, log: Option<PathBuf> },
    /// A program did not start.
    #[error("cannot run `{program}`")]
    Spawn { program: String, source: io::Error },
    /// A file could not be read, written or moved.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// A tool is not on this machine and could not be fetched.
    #[error("{0}")]
    Missing(#[from] Missing),
    /// The output of a program is not what was expected.
    #[error("cannot read the output of `{command}`: {what}")]
    Output { command: String, what: String },
    /// Rules of the repository are broken.
    #[error("{} broken:\n  {}", count(.0.len(), "rule"), .0.join("\n  "))]
    Rules(Vec<String>),
    /// A file that must be in the repository is not there.
    #[error("{} is not there", .0.display())]
    Absent(PathBuf),
    /// An unknown name on the command line.
    #[error("there is no {what} `{name}`")]
    Unknown { what: &'static str, name: String, known: String },
}

/// A tool that is not there: which one, why it could not be fetched, how to get it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{tool} is not there")]
pub(crate) struct Missing {
    pub(crate) tool: String,
    pub(crate) cause: String,
    pub(crate) hint: String,
}

impl Error {
    /// The three lines of a report: what failed, why, what to try.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("error: {self}");
        // Writing to a String cannot fail.
        if let Some(cause) = self.cause() {
            let _ = write!(text, "\ncause: {cause}");
        }
        if let Some(hint) = self.hint() {
            let _ = write!(text, "\n hint: {hint}");
        }
        text
    }

    fn cause(&self) -> Option<String> {
        match self {
            Self::Spawn { source, .. } | Self::File { source, .. } => Some(source.to_string()),
            Self::Missing(missing) => Some(missing.cause.clone()),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { log: Some(log), .. } => Some(format!("read {}", log.display())),
            Self::Spawn { program, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("install {program}, or put it on PATH"))
            }
            Self::Missing(missing) => Some(missing.hint.clone()),
            Self::Unknown { known, .. } => Some(format!("one of: {known}")),
            _ => None,
        }
    }
}

/// "1 rule", "2 rules".
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
