// SPDX-License-Identifier: BSD-3-Clause
//! Why something could not be counted.

use std::io;

use becket_host::{CallError, LoadError};
use becket_process::WorkerError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("cannot {action}: {source}")]
    System { action: &'static str, source: io::Error },
    #[error("the plugin does not load: {0}")]
    Load(#[from] Box<LoadError>),
    #[error("a call: {0}")]
    Call(#[from] CallError),
    #[error("a worker: {0}")]
    Worker(WorkerError),
    #[error("expected {expected}, got {got}")]
    Unexpected { expected: &'static str, got: String },
}

impl Error {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}
