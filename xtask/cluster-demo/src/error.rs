// SPDX-License-Identifier: BSD-3-Clause
//! Why the demonstration could not go on, with a cause and a hint.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use becket_cluster::OpenError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {action}")]
    System { action: &'static str, source: io::Error },
    #[error("{name} did not start")]
    Start { name: String, cause: String },
    #[error("the cluster does not have what the demonstration needs")]
    Open(#[from] OpenError),
    #[error("no connection to the servers")]
    Connect(#[from] async_nats::ConnectError),
    #[error("{0}, within {seconds} s", seconds = crate::WAIT_MAX.as_secs())]
    TooLong(String),
    #[error("expected 1 node with the plugin, found {0}")]
    Offering(usize),
    #[error("a task of the load has panicked")]
    Task,
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// What failed, why, what to try.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("error: {self}");
        let cause = match self {
            Self::File { source, .. } | Self::System { source, .. } => Some(source.to_string()),
            Self::Start { cause, .. } => Some(cause.clone()),
            Self::Open(error) => Some(error.to_string()),
            Self::Connect(error) => Some(error.to_string()),
            _ => None,
        };
        let hint = match self {
            Self::Start { .. } => Some(
                "start it as `cargo xtask cluster-demo`, which builds what it needs; try again, if another program has taken its port",
            ),
            Self::TooLong(_) => Some("run it again on a machine with less other work"),
            _ => None,
        };
        // Writing to a String cannot fail.
        if let Some(cause) = cause {
            let cause = cause.replace('\n', "\n       ");
            let _ = write!(text, "\ncause: {cause}");
        }
        if let Some(hint) = hint {
            let _ = write!(text, "\n hint: {hint}");
        }
        text
    }
}
