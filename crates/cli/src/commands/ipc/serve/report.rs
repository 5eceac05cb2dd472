// SPDX-License-Identifier: BSD-3-Clause
//! What the server says of its channels and connections when somebody asks.
//!
//! Channels come while it runs, in the order of their numbers, which are never given twice. So the
//! exporter is brought up to date with those above the last number that it has seen, when a report
//! is asked for; those that are gone leave it by themselves.

use std::sync::{Arc, OnceLock, Weak};

use becket_ipc::channels::Channels;
use becket_ipc::monitor::{ExportError, Exporter, Limits, Query, SessionReport, Source};
use becket_ipc::{Reporter, Server};
use tokio::sync::Mutex;

/// Channels that are looked at before others may ask for a report too.
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

    /// It is this server.
    ///
    /// # Errors
    ///
    /// The exporter takes no more.
    pub(super) fn bind(&self, server: &Server) -> Result<(), ExportError> {
        // Said once, by who made the server.
        let _ = self.channels.set(Arc::downgrade(server.channels()));
        let sessions = server.sessions_later();
        self.exporter.sessions(move || sessions().iter().map(SessionReport::new).collect())?;
        let older = server.v1_sessions_later();
        self.exporter.sessions(move || older().iter().map(SessionReport::of_v1).collect())
    }

    /// What the server answers a monitor with.
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
        // Another report does it now: this one shows what was there before.
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
