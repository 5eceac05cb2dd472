// SPDX-License-Identifier: BSD-3-Clause
//! The server's report on its channels and connections, made on request.
//!
//! Channels are added while the server runs, with increasing numbers that are never reused. So at
//! each request the exporter adds the channels above the highest number that it has seen; channels
//! that are gone leave it by themselves.

use std::sync::{Arc, OnceLock, Weak};

use becket_ipc::channels::Channels;
use becket_ipc::monitor::{ExportError, Exporter, Limits, Query, SessionReport, Source};
use becket_ipc::{Reporter, Server};
use tokio::sync::Mutex;

/// Channels that are added before another report may be made.
const PAGE: usize = 256;

/// The server as a report shows it.
pub(super) struct Reported {
    exporter: Exporter,
    channels: OnceLock<Weak<Channels>>,
    /// The number of the last channel that the exporter has.
    seen: Mutex<Option<u32>>,
}

impl Reported {
    /// A server that has no channel yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            exporter: Exporter::with_limits("becket ipc serve", Limits::default()),
            channels: OnceLock::new(),
            seen: Mutex::new(None),
        })
    }

    /// Sets the server.
    ///
    /// # Errors
    ///
    /// The exporter is full.
    pub(super) fn bind(&self, server: &Server) -> Result<(), ExportError> {
        // Set once, when the server is made.
        let _ = self.channels.set(Arc::downgrade(server.channels()));
        let sessions = server.sessions_later();
        self.exporter.sessions(move || sessions().iter().map(SessionReport::new).collect())?;
        let older = server.v1_sessions_later();
        self.exporter.sessions(move || older().iter().map(SessionReport::of_v1).collect())
    }

    /// The function that answers a monitor.
    pub(super) fn reporter(self: &Arc<Self>) -> Reporter {
        let reported = self.clone();
        Arc::new(move |query| {
            let query = Query::from_json(query).map_err(|error| error.to_string())?;
            reported.update().map_err(|error| error.to_string())?;
            let report = reported.exporter.collect(&query).to_json();
            Ok(report.map_err(|error| error.to_string())?.into())
        })
    }

    fn update(&self) -> Result<(), ExportError> {
        let Some(channels) = self.channels.get().and_then(Weak::upgrade) else { return Ok(()) };
        // Another report adds them now: this one shows the channels known before.
        let Ok(mut seen) = self.seen.try_lock() else { return Ok(()) };
        loop {
            let page = channels.page(*seen, PAGE);
            if page.is_empty() {
                return Ok(());
            }
            for channel in page {
                let id = channel.id();
                let name = channel.name().map_or_else(|| format!("#{id}"), str::to_owned);
                let channel = Arc::downgrade(&channel);
                self.exporter.channel_with(name, move || channel.upgrade()?.snapshot())?;
                *seen = Some(id);
            }
        }
    }
}
