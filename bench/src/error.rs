// SPDX-License-Identifier: BSD-3-Clause
//! The errors of a benchmark. Each ends the run: figures of unchecked work are worthless.

use std::io;
use std::path::PathBuf;

/// Why a run ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BenchError {
    /// The result of the work is wrong, so its time is meaningless.
    #[error("{host}: {operation}: expected {expected}, got {got}")]
    Wrong {
        /// The side that did it.
        host: &'static str,
        /// What was asked.
        operation: &'static str,
        /// What must come back.
        expected: String,
        /// What came back.
        got: String,
    },
    /// A host could not load the plugin, or refused a call.
    #[error("{host}: {source}")]
    Host {
        /// Which host.
        host: &'static str,
        /// Its error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read or written.
    #[error("cannot use `{path}`: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A measuring program printed unexpected output.
    #[error("`{program}` was of no use: {output}")]
    Program {
        /// Which one.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// A side did not end its work.
    #[error("{host}: {operation}: not done after {limit_s} s; a value or a wake-up was lost")]
    Stuck {
        /// The side that did it.
        host: &'static str,
        /// What was asked.
        operation: &'static str,
        /// How long it was given.
        limit_s: u64,
    },
    /// A thread of the benchmark panicked.
    #[error("a worker thread ended in a panic")]
    Worker,
    /// Ratios fell behind the committed ones.
    #[error("{count} of the ratios are more than {percent} % behind bench/RESULTS.md")]
    Regression {
        /// How many rows.
        count: usize,
        /// The tolerance.
        percent: u32,
    },
    /// The command line is invalid.
    #[error("unknown argument `{argument}`\nhint: {usage}")]
    Usage {
        /// Which argument.
        argument: String,
        /// How it is used.
        usage: String,
    },
}

impl BenchError {
    /// An error of a host under test.
    pub(crate) fn host(
        host: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Host { host, source: source.into() }
    }
}

/// The checks of this benchmark: `Ok` only if the work was done as asked.
pub(crate) fn check<T: PartialEq + std::fmt::Debug>(
    host: &'static str,
    operation: &'static str,
    expected: T,
    got: T,
) -> Result<(), BenchError> {
    if got == expected {
        return Ok(());
    }
    wrong(host, operation, expected, got)
}

#[cold]
fn wrong<T: std::fmt::Debug>(
    host: &'static str,
    operation: &'static str,
    expected: T,
    got: T,
) -> Result<(), BenchError> {
    Err(BenchError::Wrong {
        host,
        operation,
        expected: format!("{expected:?}"),
        got: format!("{got:?}"),
    })
}
