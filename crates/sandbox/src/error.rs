// SPDX-License-Identifier: BSD-3-Clause
//! Why a sandbox was not entered.

use std::io;
use std::path::PathBuf;

/// Why a sandbox was not entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit was refused.
    #[error("the limit `{limit}` cannot be set to {value}")]
    Limit {
        /// The field of [`crate::limits::ResourceLimits`].
        limit: &'static str,
        /// Its value.
        value: u64,
        /// Why.
        source: io::Error,
    },
    /// The process may not become this user.
    #[error("cannot become user {uid} and group {gid}")]
    User {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// Why.
        source: io::Error,
    },
    /// A call to the kernel failed.
    #[error("{action} failed")]
    Kernel {
        /// What was to be done.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The parent ended while the process started.
    #[error("the parent has ended")]
    Orphan,
    /// A file or folder that is to be read or changed cannot be opened.
    #[error("`{}` of the sandbox cannot be opened", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        source: landlock::PathFdError,
    },
    /// Landlock refused the rules.
    #[error("the rules for files were refused")]
    Files(#[from] landlock::RulesetError),
    /// The filter of system calls was refused.
    #[error("the filter of system calls was refused")]
    Calls(#[from] seccompiler::Error),
    /// A required measure is not given by this kernel.
    #[error("the sandbox requires `{measure}`: {why}")]
    Required {
        /// The measure.
        measure: crate::MeasureKind,
        /// What is missing.
        why: String,
    },
}
