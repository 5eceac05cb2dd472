// SPDX-License-Identifier: BSD-3-Clause
//! What the gateway counts: requests by entry and status, connections, refusals by cause.
//!
//! # Invariants
//!
//! 1. Every request that found a route is counted once when it arrives and once when it is
//!    answered or given up, so `started - finished` is the number in flight.
//! 2. Labels are bounded: entries come from the plugins and the configuration, never from a
//!    client. Entries of plugins that do not describe themselves share one line, `*`.
//! 3. Counters survive a reload of routes and of plugins.
//! 4. What every request counts is in shards, so that threads do not wait for one another (`entry`).

mod entry;
mod filter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub(crate) use self::entry::{EntryStats, InFlight};
pub(crate) use self::filter::{FilterResult, FilterStats};

use crate::serve::ServerStats;

/// A counter that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, delta: u64) {
        self.0.fetch_add(delta, Relaxed);
    }

    /// The same where no other thread adds: without a locked instruction.
    fn add_alone(&self, delta: u64) {
        self.0.store(self.get().wrapping_add(delta), Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The gauge of things that are open now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed).try_into().unwrap_or(0)
    }
}

/// One open thing; gone from its gauge when dropped.
#[derive(Debug)]
pub(crate) struct Open(Arc<Stats>, fn(&Stats) -> &Gauge);

impl Open {
    pub(crate) fn new(stats: &Arc<Stats>, gauge: fn(&Stats) -> &Gauge) -> Self {
        gauge(stats).0.fetch_add(1, Relaxed);
        Self(Arc::clone(stats), gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.1)(&self.0).0.fetch_sub(1, Relaxed);
    }
}

/// Everything counted.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections: Counter,
    pub(crate) websockets: Counter,
    pub(crate) websockets_open: Gauge,
    pub(crate) ws_messages_in: Counter,
    pub(crate) ws_messages_out: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Counter,
    pub(crate) access_lines_dropped: Counter,
    refused: [Counter; Refusal::ALL.len()],
    spans: [Counter; SpanResult::ALL.len()],
    entries: Mutex<BTreeMap<(String, String), Arc<EntryStats>>>,
    filters: Mutex<BTreeMap<(String, String), Arc<FilterStats>>>,
    servers: Mutex<BTreeMap<(String, String), Arc<ServerStats>>>,
}

impl Stats {
    /// The counters of one entry, the same ones for the same names.
    pub(crate) fn entry(&self, plugin: &str, entry: &str) -> Arc<EntryStats> {
        let mut entries = self.entries.lock();
        Arc::clone(entries.entry((plugin.to_owned(), entry.to_owned())).or_default())
    }

    /// All entries by `(plugin, entry)`, in order.
    pub(crate) fn entries(&self) -> Vec<((String, String), Arc<EntryStats>)> {
        self.entries.lock().iter().map(|(key, stats)| (key.clone(), Arc::clone(stats))).collect()
    }

    /// The counters of one filter, the same ones for the same names.
    pub(crate) fn filter(&self, plugin: &str, entry: &str) -> Arc<FilterStats> {
        let mut filters = self.filters.lock();
        Arc::clone(filters.entry((plugin.to_owned(), entry.to_owned())).or_default())
    }

    /// All filters by `(plugin, entry)`, in order.
    pub(crate) fn filters(&self) -> Vec<((String, String), Arc<FilterStats>)> {
        self.filters.lock().iter().map(|(key, stats)| (key.clone(), Arc::clone(stats))).collect()
    }

    /// The counters of one server of a route, the same ones for the same names.
    pub(crate) fn server(&self, route: &str, server: &str) -> Arc<ServerStats> {
        let mut servers = self.servers.lock();
        Arc::clone(servers.entry((route.to_owned(), server.to_owned())).or_default())
    }

    /// All servers by `(route, server)`, in order.
    pub(crate) fn servers(&self) -> Vec<((String, String), Arc<ServerStats>)> {
        self.servers.lock().iter().map(|(key, stats)| (key.clone(), Arc::clone(stats))).collect()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.entries.lock().values().map(|entry| entry.in_flight()).sum()
    }

    pub(crate) fn refuse(&self, cause: Refusal) {
        if let Some(counter) = self.refused.get(cause as usize) {
            counter.add(1);
        }
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn count_spans(&self, result: SpanResult, spans: u64) {
        if let Some(counter) = self.spans.get(result as usize) {
            counter.add(spans);
        }
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        SpanResult::ALL.iter().zip(&self.spans).map(|((_, name), counter)| (*name, counter.get()))
    }

    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        Refusal::ALL.iter().zip(&self.refused).map(|((_, name), counter)| (*name, counter.get()))
    }
}

/// What came of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "otlp"), allow(dead_code, reason = "there are no spans"))]
pub(crate) enum SpanResult {
    Exported,
    /// Dropped: the queue was full, or at its end.
    NoRoom,
    /// The receiver has rejected it.
    Refused,
    /// The receiver was not reached, or could not take it.
    Failed,
}

impl SpanResult {
    /// Each result with its name in metrics, in the order of the enum.
    const ALL: [(Self, &'static str); 4] = [
        (Self::Exported, "exported"),
        (Self::NoRoom, "no_room"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
    ];
}

/// Why the gateway refused before a plugin was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Route,
    Method,
    Upgrade,
    BodyTooLarge,
    BodyTimeout,
    Bodies,
    Header,
    HeaderTooLarge,
    HeaderTimeout,
    Malformed,
    Connections,
    TlsHandshake,
    ClientConnections,
    ClientRequests,
}

impl Refusal {
    /// Each cause with its name in metrics, in the order of the enum.
    const ALL: [(Self, &'static str); 14] = [
        (Self::Route, "route"),
        (Self::Method, "method"),
        (Self::Upgrade, "upgrade"),
        (Self::BodyTooLarge, "body_too_large"),
        (Self::BodyTimeout, "body_timeout"),
        (Self::Bodies, "bodies"),
        (Self::Header, "header"),
        (Self::HeaderTooLarge, "header_too_large"),
        (Self::HeaderTimeout, "header_timeout"),
        (Self::Malformed, "malformed"),
        (Self::Connections, "connections"),
        (Self::TlsHandshake, "tls_handshake"),
        (Self::ClientConnections, "client_connections"),
        (Self::ClientRequests, "client_requests"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_under_their_own_name() {
        let stats = Stats::default();
        for (at, (cause, name)) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
            stats.refuse(cause);
            assert!(stats.refused().any(|counted| counted == (name, 1)));
        }
    }
}
