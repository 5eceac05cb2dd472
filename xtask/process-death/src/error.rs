// SPDX-License-Identifier: BSD-3-Clause
//! Why something could not be measured.

use std::io;
use std::path::PathBuf;

use becket_host::{CallError, LoadError};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {action}: {source}")]
    System { action: &'static str, source: io::Error },
    #[error("a plugin does not load: {0}")]
    Load(#[from] Box<LoadError>),
    #[error("{what}: {source}")]
    Call { what: &'static str, source: CallError },
    #[error("the gateway: {0}")]
    Gateway(String),
    #[error("expected {expected}, got {got}")]
    Unexpected { expected: &'static str, got: String },
    #[error("{0} did not happen within 60 s")]
    TooLong(&'static str),
    #[error("a thread of the measurement has panicked")]
    Thread,
}

impl Error {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}
