// SPDX-License-Identifier: BSD-3-Clause
//! Why a replay cannot be read.

use super::file::{FILE_BYTES_MAX, FORMAT, VERSION};

/// Why a replay cannot be read. `Display` gives the error and its position, [`cause`](Self::cause)
/// the reason, [`hint`](Self::hint) what to try. None repeats more than one word of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file is too long.
    #[error("the file has {bytes} bytes, and a replay has {FILE_BYTES_MAX} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The file is truncated.
    #[error("the replay ends too early, in line {line}")]
    Cut {
        /// Its last line, from 1.
        line: usize,
    },
    /// It is not JSON.
    #[error("the replay is no JSON in line {line}, column {column}: {said}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The parser's message.
        said: String,
    },
    /// It is JSON, but not a replay.
    #[error("the file is no replay: its `format` is not `{FORMAT}`")]
    NotAReplay,
    /// It has another version.
    #[error("the replay has version {found}, and this lab reads version {VERSION}")]
    Version {
        /// Its version.
        found: u64,
    },
    /// A field is invalid.
    #[error("the replay has a wrong `{field}` in line {line}, column {column}: {said}")]
    Field {
        /// Path of the field: `flows[2].end`.
        field: String,
        /// The line where it ends, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// Why it is invalid.
        said: String,
    },
    /// The file was modified after it was written.
    #[error(
        "the replay was changed after it was written: its `check` is not that of what is in it"
    )]
    Changed,
}

impl ReplayError {
    /// Why this is an error.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "a run has no more events and choices than fit in a replay",
            Self::Cut { .. } => "it was not written to its end, or not copied to its end",
            Self::Syntax { .. } => "a replay is one JSON object in UTF-8",
            Self::NotAReplay => "every replay says in its first line but one what it is",
            Self::Version { found } if *found > VERSION as u64 => "a newer lab has written it",
            Self::Version { .. } => "an older lab has written it, or none",
            Self::Field { .. } => "a run is made only of what is known and within its bounds",
            Self::Changed => "the line `check` holds the SHA-256 of all the others",
        }
    }

    /// What to try.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::NotAReplay => {
                "name a file that `becket check` or `becket lab shrink` has written"
            }
            Self::Cut { .. } => "copy it again, or run the check again with the same seed",
            Self::Syntax { .. } => {
                "undo what was changed there, or take the file as it was written"
            }
            Self::Version { found } if *found > VERSION as u64 => {
                "use the becket that has written it"
            }
            Self::Version { .. } => "run the check again with the same seed",
            Self::Field { .. } => {
                "set it to something that is allowed, and remove the line `check`"
            }
            Self::Changed => "remove the line `check` if you changed the file on purpose",
        }
    }
}
