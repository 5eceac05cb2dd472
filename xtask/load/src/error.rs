// SPDX-License-Identifier: BSD-3-Clause
//! The errors of the load proof.

use std::io;
use std::path::PathBuf;

/// Why the proof could not be made, or did not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// A program did not start or could not be waited for.
    #[error("cannot run {}: {source}", program.display())]
    Program { program: PathBuf, source: io::Error },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    /// The gateway ended, or did not report its addresses.
    #[error("the gateway is not there: {0}")]
    Gateway(String),
    /// A request could not be made.
    #[error("{what}: {cause}")]
    Request { what: String, cause: String },
    /// A chat received another message than the expected one.
    #[error("chat {chat}: heard {heard:?}, expected {expected:?}")]
    Chat { chat: u32, heard: String, expected: String },
    /// A step did not end within its time limit.
    #[error("{what} did not end within {seconds} s")]
    TooLong { what: &'static str, seconds: u64 },
    /// The output of wrk could not be parsed.
    #[error("cannot read what wrk printed: no {0}")]
    Wrk(&'static str),
}

impl Error {
    pub(crate) fn request(what: impl Into<String>, cause: impl ToString) -> Self {
        Self::Request { what: what.into(), cause: cause.to_string() }
    }
}
