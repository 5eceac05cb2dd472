// SPDX-License-Identifier: BSD-3-Clause
//! A socket that answers monitors, and nothing else.
//!
//! It causes no work until a monitor connects. It offers no channels, clients cannot make any, and
//! only the process's own user may connect.

use std::path::Path;
use std::sync::Arc;

use super::query::Query;
use super::source::{Exporter, Source as _};
use crate::client::Options;
use crate::server::{Reporter, ServeError, Server};

/// Monitors at a time; further ones are refused.
const MONITORS_MAX: usize = 64;

/// Answers monitors that connect to `path` with what `exporter` collects, until the server is
/// dropped.
///
/// The monitors themselves are in the report only if the caller exports
/// [`Server::sessions_later`].
///
/// # Errors
///
/// See [`ServeError`].
pub fn serve(path: impl AsRef<Path>, exporter: Arc<Exporter>) -> Result<Server, ServeError> {
    // A few answers a second: not worth a segment.
    let options = Options { shared_memory: false, ..Options::default() };
    Server::builder()
        .options(options)
        .connections_max(MONITORS_MAX)
        .channels_max(0)
        .channels_made_max(0)
        .report(reporter(exporter))
        .bind(path)
}

fn reporter(exporter: Arc<Exporter>) -> Reporter {
    Arc::new(move |query| {
        let query = Query::from_json(query).map_err(|error| error.to_string())?;
        let report = exporter.collect(&query).to_json();
        Ok(report.map_err(|error| error.to_string())?.into())
    })
}
