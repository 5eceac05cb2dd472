// SPDX-License-Identifier: BSD-3-Clause
//! Why no filters are there.

use std::io;

use becket_gateway::GatewayError;

/// Why [`Filters`](crate::Filters) cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration names something that is not there, or a plugin does not load.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The system gives no threads.
    #[error("no threads for plugins")]
    Threads(#[source] io::Error),
    /// [`Filters`](crate::Filters) was started on a thread of an async runtime, which must not wait.
    #[error("filters are started on a thread that serves no tasks: before the server runs")]
    InRuntime,
}
