// SPDX-License-Identifier: BSD-3-Clause
//! The servers of a route: whose turn it is, and which of them are ejected or down.
//!
//! ```text
//!   a request's outcome ──▶ consecutive failures ──▶ ejected for a time     passive, on by default
//!   GET /healthz        ──▶ consecutive results  ──▶ down, up               active, if it is configured
//! ```
//!
//! # Invariants
//!
//! 1. A server that is ejected or down gets a request only after every other one could not be connected to. So with no
//!    server up, each is tried: health never makes an answer impossible.
//! 2. A server that was ejected gets requests again after that time. One more failure ejects it again, one success
//!    clears its failures.
//! 3. The checks of a server end with the routes that have it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use http::uri::{Authority, InvalidUriParts, PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connector::Connector;
use crate::TARGET;
use crate::config::{HealthConfig, UpstreamConfig};
use crate::stats::{Counter, Stats};
use crate::status::ms;

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    BEGAN.elapsed().as_millis() as u64
}

/// One server of a route.
#[derive(Debug)]
pub(crate) struct Server {
    scheme: Scheme,
    pub(crate) at: Authority,
    /// Consecutive ones of its requests.
    failures: AtomicU32,
    /// In milliseconds since [`BEGAN`].
    ejected_until_ms: AtomicU64,
    /// Its checks say so.
    is_down: AtomicBool,
    /// 0: never.
    eject_after: u32,
    eject_for: Duration,
    stats: Arc<ServerStats>,
}

/// What is counted of a server of a route, over all reloads.
#[derive(Debug, Default)]
pub(crate) struct ServerStats {
    pub(crate) ejections: Counter,
    /// That of the routes in force.
    server: Mutex<Weak<Server>>,
}

impl ServerStats {
    /// Whether it takes requests; `None`: no route has it any more.
    pub(crate) fn is_up(&self) -> Option<bool> {
        self.server.lock().upgrade().map(|server| server.is_up(now_ms()))
    }
}

impl Server {
    /// Where it has this path.
    pub(super) fn uri(&self, path: Option<PathAndQuery>) -> Result<Uri, InvalidUriParts> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(self.scheme.clone());
        uri.authority = Some(self.at.clone());
        uri.path_and_query = path;
        Uri::from_parts(uri)
    }

    fn is_up(&self, now_ms: u64) -> bool {
        !self.is_down.load(Relaxed) && now_ms >= self.ejected_until_ms.load(Relaxed)
    }

    /// It has answered with this status.
    pub(crate) fn answered(&self, status: StatusCode) {
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => self.failed(),
            _ => self.succeeded(),
        }
    }

    fn succeeded(&self) {
        // Mostly there is nothing to clear, and the line of the cache stays shared.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// It has not, or as one that cannot.
    #[cold]
    pub(super) fn failed(&self) {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        if self.eject_after == 0 || failures < self.eject_after {
            return;
        }
        let now_ms = now_ms();
        let until_ms = now_ms + self.eject_for.as_millis() as u64;
        // Of several requests that fail at once, one ejects it.
        let eject = |before| (before <= now_ms).then_some(until_ms);
        if self.ejected_until_ms.fetch_update(Relaxed, Relaxed, eject).is_ok() {
            self.stats.ejections.add(1);
            tracing::warn!(target: TARGET,
                server = self.at.as_str(),
                failures,
                ms = self.eject_for.as_millis() as u64,
                "an upstream server is ejected"
            );
        }
    }

    fn is_now(&self, is_down: bool) {
        if self.is_down.swap(is_down, Relaxed) != is_down {
            let server = self.at.as_str();
            match is_down {
                true => tracing::warn!(target: TARGET, server, "an upstream server is down"),
                false => tracing::info!(target: TARGET, server, "an upstream server is up"),
            }
        }
    }
}

/// The servers of a route.
#[derive(Debug)]
pub(super) struct Servers {
    /// At most as many as a mask has bits.
    all: Vec<Arc<Server>>,
    /// The number of the next one.
    next: AtomicUsize,
    checks: Vec<AbortHandle>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.checks.iter().for_each(AbortHandle::abort);
    }
}

impl Servers {
    /// Checks begin at once, on the caller's runtime.
    pub(super) fn new(
        config: &UpstreamConfig,
        connector: &Connector,
        route: &str,
        stats: &Stats,
    ) -> Self {
        let uris = config.urls.iter().filter_map(|url| url.parse::<Uri>().ok());
        let places = uris.map(Uri::into_parts).filter_map(|uri| uri.scheme.zip(uri.authority));
        let server = |(scheme, at): (Scheme, Authority)| {
            let stats = stats.server(route, at.as_str());
            let server = Arc::new(Server {
                scheme,
                at,
                failures: AtomicU32::new(0),
                ejected_until_ms: AtomicU64::new(0),
                is_down: AtomicBool::new(false),
                eject_after: config.eject_after,
                eject_for: ms(config.eject_ms),
                stats: Arc::clone(&stats),
            });
            *stats.server.lock() = Arc::downgrade(&server);
            server
        };
        let all: Vec<_> = places.map(server).collect();
        let check = |(server, health): (&Arc<Server>, &HealthConfig)| {
            let check = check(Arc::clone(server), connector.clone(), health.clone());
            tokio::spawn(check).abort_handle()
        };
        let checks = all.iter().zip(config.health.iter().cycle()).map(check).collect();
        Self { all, next: AtomicUsize::new(0), checks }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Each once, those that are up first, the one whose turn it is at their head.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Arc<Server>> {
        let now_ms = now_ms();
        // Once: it may change meanwhile.
        let up = self.all.iter().enumerate().fold(0_u64, |up, (at, server)| {
            up | u64::from(server.is_up(now_ms)).checked_shl(at as u32).unwrap_or(0)
        });
        let count = self.all.len();
        let first = self.next.fetch_add(1, Relaxed) % count.max(1);
        let order = move || (first..count).chain(0..first);
        let is_up = move |at: &usize| up.checked_shr(*at as u32).is_some_and(|up| up & 1 == 1);
        let turns = order().filter(is_up).chain(order().filter(move |at| !is_up(at)));
        turns.filter_map(|at| self.all.get(at))
    }
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.at.as_str())
    }
}

/// Asks a server again and again, until it is ended.
async fn check(server: Arc<Server>, connector: Connector, config: HealthConfig) {
    // The path was checked with the configuration.
    let Ok(uri) = server.uri(config.path.parse().ok()) else { return };
    // Each check connects: a server that takes no connection is down.
    let client: Client<_, String> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let mut ticks = interval(ms(config.interval_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_a_row = 0;
    loop {
        ticks.tick().await;
        let mut request = Request::new(String::new());
        *request.uri_mut() = uri.clone();
        let answer = timeout(ms(config.timeout_ms), client.request(request)).await;
        let is_well = matches!(&answer, Ok(Ok(answer)) if answer.status().is_success());
        let is_down = server.is_down.load(Relaxed);
        // Results that say what is known already begin the count anew.
        in_a_row = if is_well == is_down { in_a_row + 1 } else { 0 };
        let enough = if is_well { config.up_after } else { config.down_after };
        if in_a_row >= enough {
            server.is_now(!is_well);
            in_a_row = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(config: UpstreamConfig) -> Servers {
        let urls = ["http://a", "http://b", "http://c"].map(str::to_owned).to_vec();
        let connector = Connector::new(Duration::from_secs(1), None);
        Servers::new(&UpstreamConfig { urls, ..config }, &connector, "/", &Stats::default())
    }

    fn turn(servers: &Servers) -> String {
        servers.in_turn().map(|server| server.at.as_str()).collect()
    }

    #[test]
    fn servers_take_turns() {
        let servers = servers(UpstreamConfig::default());
        assert_eq!([(); 4].map(|()| turn(&servers)), ["abc", "bca", "cab", "abc"]);
    }

    #[test]
    fn one_that_is_not_up_is_the_last() {
        let servers = servers(UpstreamConfig { eject_after: 2, ..UpstreamConfig::default() });
        servers.all[1].failed();
        servers.all[1].succeeded();
        servers.all[1].failed();
        assert_eq!(turn(&servers), "abc");
        servers.all[1].failed();
        assert_eq!([(); 3].map(|()| turn(&servers)), ["cab", "cab", "acb"]);
        servers.all[0].is_now(true);
        assert_eq!([(); 3].map(|()| turn(&servers)), ["cba", "cab", "cab"]);
        servers.all[2].is_now(true);
        // None is up: each is tried.
        assert_eq!([(); 3].map(|()| turn(&servers)), ["bca", "cab", "abc"]);
        assert_eq!(servers.all[1].stats.ejections.get(), 1);
    }

    #[test]
    fn a_server_comes_back_after_its_time_and_on_probation() {
        let config = UpstreamConfig { eject_after: 1, eject_ms: 0, ..UpstreamConfig::default() };
        let servers = servers(config);
        servers.all[0].failed();
        assert_eq!(turn(&servers), "abc", "its time is over at once");
        servers.all[0].failed();
        assert_eq!(servers.all[0].stats.ejections.get(), 2);
        let never = self::servers(UpstreamConfig { eject_after: 0, ..UpstreamConfig::default() });
        (0..1000).for_each(|_| never.all[0].failed());
        assert_eq!((turn(&never).as_str(), never.all[0].stats.ejections.get()), ("abc", 0));
    }
}
