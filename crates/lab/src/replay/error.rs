// SPDX-License-Identifier: BSD-3-Clause
//! Why a replay cannot be read.

use super::file::{FILE_BYTES_MAX, FORMAT, VERSION};

/// Why a replay cannot be read. `Display` says what is wrong where, [`cause`](Self::cause) why that
/// is so, [`hint`](Self::hint) what to try. None repeats more of the file than one word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is too long to be one.
    #[error("the file has {bytes} bytes, and a replay has {FILE_BYTES_MAX} at most")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It ends too early.
    #[error("the replay ends too early, in line {line}")]
    Cut {
        /// Its last line, from 1.
        line: usize,
    },
    /// It is no JSON.
    #[error("the replay is no JSON in line {line}, column {column}: {said}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        said: String,
    },
    /// It is JSON, and something else.
    #[error("the file is no replay: its `format` is not `{FORMAT}`")]
    NotAReplay,
    /// It is of another version.
    #[error("the replay has version {found}, and this lab reads version {VERSION}")]
    Version {
        /// Which.
        found: u64,
    },
    /// Something in it cannot be.
    #[error("the replay has a wrong `{field}` in line {line}, column {column}: {said}")]
    Field {
        /// Where in the structure: `flows[2].end`.
        field: String,
        /// The line where it ends, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong with it.
        said: String,
    },
    /// It is another than the one that was written.
    #[error(
        "the replay was changed after it was written: its `check` is not that of what is in it"
    )]
    Changed,
}

impl ReplayError {
    /// Why that is so.
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
