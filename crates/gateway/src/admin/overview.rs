// SPDX-License-Identifier: BSD-3-Clause
//! What `/plugins` answers: the figures of the page, as JSON.
//!
//! A request is counted under what answered it: the entry of a plugin, or a route to other servers or to files.

use std::time::Instant;

use becket_host::{Latency, PluginInfo, PluginSnapshot, Workers};
use http::Uri;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::router::{RouteInfo, Target};
use crate::shared::Shared;
use crate::stats::{EntryStats, FilterStats, Stats};

#[derive(Serialize)]
pub(super) struct Overview {
    gateway: GatewayOverview,
    plugins: Vec<PluginOverview>,
    routes: Vec<RouteOverview>,
}

#[derive(Serialize)]
struct GatewayOverview {
    version: &'static str,
    uptime_seconds: f64,
    draining: bool,
    /// There are actions: a token is configured.
    actions: bool,
    connections: u32,
    requests_in_flight: u64,
    websockets: u64,
    refused: Map<String, Value>,
}

#[derive(Serialize)]
struct PluginOverview {
    info: PluginInfo,
    snapshot: PluginSnapshot,
    /// `null` for a plugin in this process.
    workers: Option<Workers>,
    http: Vec<EntryOverview>,
    filters: Vec<FilterOverview>,
}

/// One entry, as HTTP clients use it.
#[derive(Serialize)]
struct EntryOverview {
    entry: String,
    #[serde(flatten)]
    http: HttpOverview,
}

/// What requests are counted by.
#[derive(Serialize)]
struct HttpOverview {
    requests: u64,
    errors: u64,
    in_flight: u64,
    bytes_in: u64,
    bytes_out: u64,
    latency: Latency,
}

/// One entry, as filters of routes use it: how many of its calls ended in each way.
#[derive(Serialize)]
struct FilterOverview {
    entry: String,
    results: Map<String, Value>,
}

#[derive(Serialize)]
struct RouteOverview {
    #[serde(flatten)]
    info: RouteInfo,
    /// `null` if a plugin answers: its entry has the figures.
    http: Option<HttpOverview>,
    servers: Vec<ServerOverview>,
}

/// One server that requests are passed on to.
#[derive(Serialize)]
struct ServerOverview {
    url: String,
    /// Whether it gets requests.
    up: bool,
    ejections: u64,
}

impl Overview {
    pub(super) fn of(shared: &Shared, since: Instant, has_actions: bool) -> Self {
        let stats = &shared.stats;
        let (entries, filters) = (stats.entries(), stats.filters());
        let refused = stats.refused().map(|(cause, count)| (cause.to_owned(), count.into()));
        let plugins = shared.plugins();
        let plugins = plugins.iter().map(|(name, plugin)| PluginOverview {
            info: plugin.info(),
            snapshot: plugin.snapshot(),
            workers: plugin.workers(),
            http: of_plugin(&entries, name)
                .map(|(entry, stats)| EntryOverview::of(entry, stats))
                .collect(),
            filters: of_plugin(&filters, name)
                .map(|(entry, stats)| FilterOverview::of(entry, stats))
                .collect(),
        });
        Self {
            gateway: GatewayOverview {
                version: env!("CARGO_PKG_VERSION"),
                uptime_seconds: since.elapsed().as_secs_f64(),
                draining: shared.connections.is_draining(),
                actions: has_actions,
                connections: shared.connections.open(),
                requests_in_flight: stats.in_flight(),
                websockets: stats.websockets_open.get(),
                refused: refused.collect(),
            },
            plugins: plugins.collect(),
            routes: shared
                .listing()
                .into_iter()
                .map(|info| RouteOverview::of(info, stats))
                .collect(),
        }
    }
}

/// The lines of one plugin, each with its entry.
fn of_plugin<'a, T>(
    all: &'a [((String, String), T)],
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    let own = all.iter().filter(move |((plugin, _), _)| plugin == name);
    own.map(|((_, entry), stats)| (entry.as_str(), stats))
}

impl EntryOverview {
    fn of(entry: &str, stats: &EntryStats) -> Self {
        Self { entry: entry.to_owned(), http: HttpOverview::of(stats) }
    }
}

impl HttpOverview {
    fn of(stats: &EntryStats) -> Self {
        Self {
            requests: stats.answers().map(|(_, count)| count).sum(),
            errors: stats.answers().filter(|(code, _)| *code >= 400).map(|(_, n)| n).sum(),
            in_flight: stats.in_flight(),
            bytes_in: stats.bytes_in(),
            bytes_out: stats.bytes_out(),
            latency: stats.latency(),
        }
    }
}

impl FilterOverview {
    fn of(entry: &str, stats: &FilterStats) -> Self {
        let results = stats.results().map(|(result, count)| (result.to_owned(), count.into()));
        Self { entry: entry.to_owned(), results: results.collect() }
    }
}

impl RouteOverview {
    fn of(info: RouteInfo, stats: &Stats) -> Self {
        let target = Target::name_without_plugin(&info);
        let http = target.map(|name| HttpOverview::of(&stats.entry(name, &info.path)));
        let servers = info.upstream.iter().map(|url| ServerOverview::of(&info.path, url, stats));
        Self { http, servers: servers.collect(), info }
    }
}

impl ServerOverview {
    fn of(route: &str, url: &str, stats: &Stats) -> Self {
        let uri = url.parse::<Uri>().ok();
        let at = uri.as_ref().and_then(Uri::authority).map_or(url, |at| at.as_str());
        let stats = stats.server(route, at);
        Self {
            url: url.to_owned(),
            up: stats.is_up().unwrap_or(false),
            ejections: stats.ejections.get(),
        }
    }
}
