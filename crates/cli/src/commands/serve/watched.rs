// SPDX-License-Identifier: BSD-3-Clause
//! The socket that answers `becket mon`.
//!
//! It exists only on request: a listener costs a thread, and two gateways would need the same
//! default path.

use std::path::Path;
use std::sync::Arc;

use becket_gateway::monitor;
use becket_host::Host;
use becket_ipc::Server;
use becket_ipc::monitor::{ExportError, Exporter, SessionReport};

use crate::commands::ipc::opening::not_served;
use crate::exit::Exit;
use crate::failure::Failure;

/// Answers monitors until it is dropped.
pub(super) fn serve(path: &Path, host: &Host) -> Result<Server, Failure> {
    let exporter = Arc::new(Exporter::new("becket serve"));
    let served = becket_ipc::monitor::serve(path, exporter.clone());
    let server = served.map_err(|error| not_served(&error))?;
    export(&exporter, host, &server).map_err(|error| {
        Failure::new(Exit::Failure, "the gateway cannot be watched").cause(error.to_string())
    })?;
    Ok(server)
}

fn export(exporter: &Exporter, host: &Host, server: &Server) -> Result<(), ExportError> {
    monitor::export(exporter, host)?;
    let sessions = server.sessions_later();
    exporter.sessions(move || sessions().iter().map(SessionReport::new).collect())
}
