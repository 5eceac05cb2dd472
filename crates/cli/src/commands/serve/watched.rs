// SPDX-License-Identifier: BSD-3-Clause
//! The socket that answers `becket mon`.
//!
//! It exists only on request: a listener costs a thread, and two gateways would need the same
//! default path. It causes no work until a monitor connects. It offers no channels, clients cannot
//! make any, and only the gateway's own user may connect.

use std::path::Path;
use std::sync::Arc;

use becket_gateway::monitor;
use becket_host::Host;
use becket_ipc::monitor::{ExportError, Exporter, Query, SessionReport, Source};
use becket_ipc::{Options, Reporter, Server};

use crate::commands::ipc::opening::not_served;
use crate::exit::Exit;
use crate::failure::Failure;

/// Monitors at a time; further ones are refused.
const MONITORS_MAX: usize = 64;

/// Answers monitors until it is dropped.
pub(super) fn serve(path: &Path, host: &Host) -> Result<Server, Failure> {
    let exporter = Arc::new(Exporter::new("becket serve"));
    let mut options = Options::default();
    // A few answers a second: not worth a segment.
    options.shared_memory = false;
    let server = Server::builder()
        .options(options)
        .connections_max(MONITORS_MAX)
        .channels_max(0)
        .channels_made_max(0)
        .report(reporter(exporter.clone()))
        .bind(path)
        .map_err(|error| not_served(&error))?;
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

fn reporter(exporter: Arc<Exporter>) -> Reporter {
    Arc::new(move |query| {
        let query = Query::from_json(query).map_err(|error| error.to_string())?;
        let report = exporter.collect(&query).to_json();
        Ok(report.map_err(|error| error.to_string())?.into())
    })
}
